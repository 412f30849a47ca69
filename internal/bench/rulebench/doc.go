// Package rulebench compares the rule language with other ways to do the same work
// in Go: Benthos's Bloblang and jq (gojq). It is a module of its own, so that users
// of the library do not inherit what it compares with.
//
//	go test -bench . -benchtime 1s
//
// Each workload takes a message's payload as bytes and ends with the output as
// JSON bytes; a test checks that all of them give the same output. Judge by the
// ratios within one run. (eKuiper's evaluator is not here: its module cannot be
// imported without its whole runtime.)
package rulebench
