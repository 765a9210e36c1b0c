# Installs the packages named as arguments and keeps Debian from starting its own instance of them (invoke-rc.d and
# deb-systemd-invoke ask /usr/sbin/policy-rc.d). The policy that was there is put back, also after a killed run.
set -eu
export DEBIAN_FRONTEND=noninteractive
policy=/usr/sbin/policy-rc.d
saved=$policy.annal-saved
restore() {
	rm -f "$policy"
	if [ -e "$saved" ]; then mv "$saved" "$policy"; fi
}
if [ -e "$policy" ] && grep -q 'annal: do not start' "$policy"; then restore; fi
if [ -e "$policy" ]; then mv "$policy" "$saved"; fi
trap restore EXIT
trap 'exit 130' INT TERM HUP
printf '#!/bin/sh\n# annal: do not start what is being installed\nexit 101\n' >"$policy"
chmod 755 "$policy"
apt-get -q update
apt-get -q -o Dpkg::Use-Pty=0 install -y --no-install-recommends "$@"
