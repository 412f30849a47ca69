#!/usr/bin/env bash
# vuln.sh GOVULNCHECK: checks the module against the vulnerability database. A
# database that cannot be reached is said and is not a failure; a vulnerability
# that the code reaches is one.
set -uo pipefail
cd "$(dirname "$0")/../.."
out=$(timeout 300 "$1" ./... 2>&1)
status=$?
case $status in
0 | 3) printf '%s\n' "$out" && exit $status ;;
esac
if grep -qiE 'fetching vulnerabilit|vuln\.go\.dev|dial tcp|no such host|proxyconnect|connection refused|i/o timeout|forbidden' <<<"$out"; then
	echo "NOT CHECKED: the vulnerability database cannot be reached from here ($(tail -1 <<<"$out"))"
	exit 0
fi
printf '%s\n' "$out"
exit $status
