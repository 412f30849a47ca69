#!/usr/bin/env bash
# fuzz.sh TIME: runs every fuzz target of the module for TIME, one by one.
set -euo pipefail
cd "$(dirname "$0")/../.."
fuzztime=${1:-4s}
n=0
while read -r dir; do
	targets=$(cat "$dir"/*_test.go 2>/dev/null | sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' | sort -u) ||
		continue # a package without test files
	for target in $targets; do
		n=$((n + 1))
		# The fuzzing engine now and then reports its own deadline as a failure;
		# a real one says where its input was written, or that a seed failed.
		if ! out=$(go test -run '^$' -fuzz "^$target\$" -fuzztime "$fuzztime" "$dir" 2>&1) &&
			! { grep -q '^ *context deadline exceeded$' <<<"$out" && ! grep -qE 'Failing input|failure while testing seed' <<<"$out"; }; then
			printf '%s\nFAIL %s in %s\n' "$out" "$target" "${dir#"$PWD"/}"
			exit 1
		fi
		printf 'ok   %-24s %-36s %s\n' "${dir#"$PWD"/}" "$target" "$(grep -o 'execs: [0-9]*' <<<"$out" | tail -1)"
	done
done < <(go list -f '{{.Dir}}' ./...)
echo "$n fuzz targets, $fuzztime each"
