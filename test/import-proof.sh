#!/bin/sh
# `make import-proof FILE=...`: a fresh house imports the file; the API's net sales by month, country and SKU equal those that
# test/sums reckons from the file by itself; a second import changes nothing. DISTURB=1 adds test/import-disturbed.sh's question.
. test/house.sh
file=${1:?file}
export ANNAL_TIMEZONE=Europe/London SAMPLE=none
house_open
house_start
echo "load before: $(load)"
began=$(seconds)
bin/annal import online-retail "$file"
echo "imported in $(($(seconds) - began)) s, load: $(load)"
house_settled
echo "read models complete after $(($(seconds) - began)) s"
house_digest >"$HOUSE/once"
. "$ANNAL_HOME/tokens.env"
export TOKEN="$ADMIN_TOKEN"
go run ./test/sums -api "$API" -report "$(ls "$ANNAL_HOME"/imports/*.json)" "$file"
began=$(seconds)
bin/annal import online-retail "$file" >/dev/null
house_settled
house_digest >"$HOUSE/twice"
cmp "$HOUSE/once" "$HOUSE/twice" || { diff "$HOUSE/once" "$HOUSE/twice"; exit 1; }
echo "a second import ($(($(seconds) - began)) s) changes nothing"
