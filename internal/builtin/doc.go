// Package builtin holds the functions of the rule language. Each has one entry in
// a table, a [Function], from which come the checks when a statement is compiled,
// the tests of the examples, and the reference page docs/functions.md. The files
// are named after the families that the page has.
//
// Meaning and names follow EMQX. Where its rule engine raises an error or returns
// bytes that are no text only because of how it is made, the function does the
// obvious thing instead, and its doc says so.
package builtin

//go:generate go test -run ^TestReference$ -args -update
