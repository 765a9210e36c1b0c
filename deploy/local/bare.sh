#!/bin/sh
# Proves the two commands on a machine that has nothing: a fresh Debian of its own (debootstrap, in a chroot on this
# kernel and network), in it only this checkout, Go, make and certificates. Needs root and debootstrap.
#
#   1. as a user without sudo and with nothing installed: the exact command is printed and nothing happens
#   2. as root: make test, which installs; make start says ready; make stop; make clean leaves nothing behind
#   3. as the user, now that the packages are there: the same
#
# TESTS is the test command (default: make test), SUITE the Debian release (default: bookworm).
set -eu
if [ "$(id -u)" != 0 ] || ! command -v debootstrap >/dev/null; then
	echo "test-bare needs root and debootstrap (apt-get install debootstrap)" >&2
	exit 1
fi
tests=${TESTS:-make test}
mirror=$(apt-get indextargets --format '$(SITE)' | head -n 1)
bare=$(mktemp -d /var/tmp/annal-bare-XXXXXX)
chmod 755 "$bare"
finish() {
	status=$?
	trap - EXIT
	# What still runs in there was started in there: its root says so.
	for p in /proc/[0-9]*; do
		if [ "$(readlink "$p/root" 2>/dev/null || :)" = "$bare" ]; then kill -9 "${p#/proc/}" 2>/dev/null || :; fi
	done
	sleep 1
	for m in modcache dev/shm dev/pts dev proc; do umount "$bare/$m" 2>/dev/null || :; done
	rm -rf --one-file-system "$bare"
	exit $status
}
trap finish EXIT
trap 'exit 130' INT TERM HUP

debootstrap --variant=minbase --include=make,ca-certificates,git "${SUITE:-bookworm}" "$bare" "$mirror" >"$bare.log" 2>&1 || { tail "$bare.log"; exit 1; }
rm -f "$bare.log"
cp /etc/resolv.conf "$bare/etc/resolv.conf"
printf '127.0.0.1\tlocalhost\n::1\tlocalhost\n' >"$bare/etc/hosts" # what an installer would write
mount -t proc proc "$bare/proc"
mount --bind /dev "$bare/dev"
mount -t tmpfs -o mode=1777 tmpfs "$bare/dev/shm"
mount --bind /dev/pts "$bare/dev/pts"
cp -a "$(go env GOROOT)" "$bare/usr/local/go"
# Modules come from this machine's cache first, as from a proxy; go.sum checks them as always.
mkdir "$bare/modcache"
mount --bind -o ro "$(go env GOMODCACHE)/cache/download" "$bare/modcache"
chroot "$bare" useradd --create-home builder
git clone -q . "$bare/home/builder/annal"
git clone -q . "$bare/root/annal"
chroot "$bare" chown -R builder:builder /home/builder

inside() { # user, command
	echo "== $1: $2"
	chroot "$bare" /usr/bin/env -i HOME="$(chroot "$bare" getent passwd "$1" | cut -d: -f6)" TERM=dumb \
		PATH=/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
		GOPROXY="file:///modcache,$(go env GOPROXY)" GOTOOLCHAIN=local GOFLAGS=-buildvcs=false \
		ANNAL_HTTP_LISTEN=127.0.0.1:19080 ANNAL_ADMIN_LISTEN=127.0.0.1:19081 ANNAL_EVENTSTORE_LISTEN=127.0.0.1:19113 \
		runuser -u "$1" -- /bin/sh -c "cd ~/annal && $2" </dev/null
}
timed() {
	began=$(date +%s)
	inside "$@"
	echo "== $(($(date +%s) - began)) s"
}

if inside builder 'make servers' >"$bare/refused" 2>&1; then
	echo "a user without sudo was not refused"; exit 1
fi
grep -q 'apt-get install -y --no-install-recommends postgresql rabbitmq-server' "$bare/refused" || { cat "$bare/refused"; exit 1; }
cat "$bare/refused"

for user in root builder; do
	timed "$user" "$tests"
	timed "$user" 'make start'
	inside "$user" 'make stop && make servers && make clean && test ! -e .annal && test -z "$(ls -A /var/tmp)"'
done
if [ -e "$bare/usr/sbin/policy-rc.d" ]; then echo "policy-rc.d was left behind"; exit 1; fi
echo "bare: all well"
