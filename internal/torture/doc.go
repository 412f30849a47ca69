// Package torture runs whole bridges as child processes against a broker and a
// Kinesis that misbehave, kills them again and again, changes their rules and
// sinks while messages flow, fills their disk and turns their clock. An
// independent checker, which knows what was sent and what the rules mean, proves
// that nothing is lost, nothing is made up, every message is settled once, order
// is kept, the counters add up and memory stays bounded. Everything random
// follows a seed. `make torture` runs it for minutes, `go test` for seconds.
package torture
