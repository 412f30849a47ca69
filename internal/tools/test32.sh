#!/usr/bin/env bash
# test32.sh SUMMARY: runs the library's tests on a 32-bit machine, and gives their
# events to the program SUMMARY.
#
# Most amd64 machines run the programs of 386. On one that does not, where the kernel
# is built without them, qemu runs those of arm: slower, so only packages that count
# in ints, use atomics or convert numbers, and none whose tests start processes.
set -euo pipefail
cd "$(dirname "$0")/../.."
export CGO_ENABLED=0 GOOS=linux GOARCH=386
packages=$(go list ./... | grep -v -e /examples/ -e /internal/itest -e /internal/torture -e /internal/hostile)
run=()

probe=$(mktemp -d)
trap 'rm -rf "$probe"' EXIT
printf 'package main\n\nfunc main() {}\n' >"$probe/main.go"
go build -o "$probe/main" "$probe/main.go"
if ! "$probe/main" 2>/dev/null; then
	export GOARCH=arm
	if ! command -v qemu-arm-static >/dev/null; then
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends qemu-user-static >/dev/null || {
			echo "this machine runs no 32-bit programs, and qemu-arm-static is not there" >&2
			exit 1
		}
	fi
	echo "no programs of 386 run here: some packages run on arm, by qemu"
	run=(-exec qemu-arm-static)
	packages="./internal/sched ./internal/sim ./internal/value ./internal/jsonx ./internal/kpl ./bridge ./rule/... ./template ./sink/kinesis/kinesistest ./source/mqtt"
fi
# shellcheck disable=SC2086 # a list of packages
go test -short -vet=off -json "${run[@]}" $packages | "$1"
