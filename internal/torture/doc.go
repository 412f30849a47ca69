// Package torture runs whole bridges as child processes against a broker and a
// Kinesis that misbehave, kills them again and again, and checks with an
// independent ledger that nothing is lost and order is kept. Everything random
// follows a seed. `make torture` runs it for minutes, `go test` for seconds.
package torture
