#!/bin/sh
# Fuzzes every target, or those that match TARGET, FUZZTIME (30s) each. What fails is kept in the package's testdata/fuzz.
#
# It instruments this module alone: `go test -fuzz` would do so with all that it uses, which takes a quarter of an hour to
# compile, and then mutates towards what servers and drivers do by themselves.
set -eu
cd "$(dirname "$0")/.."
module=$(go list -m)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for folder in $(grep -rl --include='*_test.go' '^func Fuzz' . | xargs -n 1 dirname | sort -u); do
	grep -hoE "^func Fuzz\w+" "$folder"/*_test.go | grep -qE "${TARGET:-.}" || continue
	go test -c -gcflags="$module/...=-d=libfuzzer" -o "$work/fuzz.test" "$folder"
	for target in $(cd "$folder" && "$work/fuzz.test" -test.list '^Fuzz' | grep -E "${TARGET:-.}"); do
		echo "$folder $target"
		(cd "$folder" && "$work/fuzz.test" -test.run '^$' -test.fuzz "^$target\$" -test.fuzztime "${FUZZTIME:-30s}" \
			-test.fuzzcachedir "$(go env GOCACHE)/fuzz/$module/$folder" -test.timeout 0)
	done
done
