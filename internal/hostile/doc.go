// Package hostile has no code, only a suite of tests: inputs that are meant to take
// the process down, by the boundary that they come in through. Each is a row with
// the time and memory that it may cost and what the answer has to say. A row runs
// in a process of its own, without a memory limit of Go's and with a hard limit on
// its address space.
//
// go test ./internal/hostile runs the short form, the rows that are marked so; make
// hostile runs all.
//
// To cover a boundary, add its name to boundaries in boundaries_test.go and give it
// rows in a file of its own: a test fails as long as a boundary has none.
package hostile
