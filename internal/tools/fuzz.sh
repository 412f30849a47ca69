#!/usr/bin/env bash
# fuzz.sh TIME: runs every fuzz target of the module for TIME, one by one.
set -euo pipefail
cd "$(dirname "$0")/../.."
fuzztime=${1:-4s}
n=0
while read -r dir; do
	# A package without fuzz targets has no match, which is not an error.
	targets=$(cat "$dir"/*_test.go 2>/dev/null | sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' | sort -u)
	for target in $targets; do
		n=$((n + 1))
		if ! out=$(go test -run '^$' -fuzz "^$target\$" -fuzztime "$fuzztime" "$dir" 2>&1); then
			printf '%s\nFAIL %s in %s\n' "$out" "$target" "${dir#"$PWD"/}"
			exit 1
		fi
		printf 'ok   %-24s %-36s %s\n' "${dir#"$PWD"/}" "$target" "$(grep -o 'execs: [0-9]*' <<<"$out" | tail -1)"
	done
done < <(go list -f '{{.Dir}}' ./...)
echo "$n fuzz targets, $fuzztime each"
