#!/bin/sh
# `make import-proof FILE=...`: a fresh house imports the file; the API's net sales by month, country and SKU equal those that
# test/sums reckons from the file by itself; a second import changes nothing, and so do the same sales in other bytes. A mended file refunds nothing twice. DISTURB=1 adds test/import-disturbed.sh's question.
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

# Other line ends, another digest, the same sales.
case $file in *.gz) gzip -dc "$file" ;; *) cat "$file" ;; esac | tr -d '\r' | { cat; echo; } >"$HOUSE/plain.csv"
sed 's/$/\r/' "$HOUSE/plain.csv" >"$HOUSE/windows.csv"
for again in plain windows; do
	bin/annal import online-retail "$HOUSE/$again.csv" >/dev/null
	house_settled
	house_digest >"$HOUSE/again"
	cmp "$HOUSE/once" "$HOUSE/again" || { diff "$HOUSE/once" "$HOUSE/again"; exit 1; }
done
echo "the same sales with other line ends change nothing"

# With one sale more another order is the most plausible to have been cancelled: what was refunded is not refunded again.
head=InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country
first='990001,72001,MUG,10,2011-07-01 10:00:00,2.00,29001,United Kingdom'
later='990002,72001,MUG,10,2011-07-02 10:00:00,2.00,29001,United Kingdom'
back='C990003,72001,MUG,-5,2011-07-05 10:00:00,2.00,29001,United Kingdom'
printf '%s\n' "$head" "$first" "$back" >"$HOUSE/short.csv"
printf '%s\n' "$head" "$first" "$later" "$back" >"$HOUSE/mended.csv"
bin/annal import online-retail "$HOUSE/short.csv" >/dev/null
if bin/annal import online-retail "$HOUSE/mended.csv" >"$HOUSE/mended.out" 2>&1; then
	echo "a cancellation that stands against another order was not told"; exit 1
fi
grep -q 'IMPORT_DIFFERS' "$HOUSE/mended.out" || { cat "$HOUSE/mended.out"; exit 1; }
house_settled
house_query() { curl -sf "$API" -H "authorization: Bearer $TOKEN" -H 'content-type: application/json' --data-binary "{\"query\":\"$1\"}"; }
stock=$(house_query '{ product(sku: \"72001\") { stock { onHand } } }')
case $stock in *'"onHand":5}'*) ;; *) echo "5 units came back, and the shop has $stock"; exit 1 ;; esac
echo "a mended file refunds nothing twice"
