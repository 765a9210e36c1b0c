#!/bin/sh
# `make interop`: other people's programs against a running house. npm graphql-http audits the API (GraphQL over HTTP); Node's two
# official clients, the one of before and the one of after the renaming, use the embedded event store. Versions are pinned in test/interop/package.json;
# the packages are installed below the house and go with it. Needs Node 18 or later, which is installed if it can be (Debian, as root).
. test/house.sh
if ! command -v npm >/dev/null; then
	[ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || { echo 'interop needs Node 18 or later with npm on PATH' >&2; exit 1; }
	echo 'installing nodejs and npm'
	apt-get -q update >/dev/null && apt-get -q install -y --no-install-recommends nodejs npm >/dev/null
fi
export SAMPLE=none
house_open
mkdir "$HOUSE/interop"
cp test/interop/* "$HOUSE/interop/"
npm install --prefix "$HOUSE/interop" --no-audit --no-fund --loglevel error &
install=$!
HOUSE_PIDS=$install
house_start
wait $install
. "$ANNAL_HOME/tokens.env"
export ADMIN_TOKEN
node "$HOUSE/interop/audit.mjs" "$API"
node "$HOUSE/interop/store.mjs" @eventstore/db-client "esdb://$ANNAL_EVENTSTORE_LISTEN?tls=false"
node "$HOUSE/interop/store.mjs" @kurrent/kurrentdb-client "kurrentdb://$ANNAL_EVENTSTORE_LISTEN?tls=false"
