package kinesistest

import (
	"errors"
	"fmt"
	"path"
	"time"
)

// Plan says what goes wrong. It is plain data: write it as a Go value, or read
// it from JSON. The zero Plan is a service without faults.
type Plan struct {
	// Faults are looked at in order, for each call and each record. All Slow
	// and SplitShard faults that hit take effect; of the others, only the first.
	Faults []Fault

	// Seed makes random faults repeatable: with one Seed and one order of
	// calls the same ones fail.
	Seed uint64
}

// Fault is one thing that goes wrong, where, and how often. Kind and the
// fields behind it say what happens, Op to Key what it happens to, Skip to
// Rate which of those are hit. A field with its zero value restricts nothing.
type Fault struct {
	Kind Kind

	// Code of the error. Default: InternalFailure. See the Code constants.
	Code string

	// Message of the error. Default: what the service says with the code.
	Message string

	// Status is the HTTP status of FailCall. Default: what goes with the code.
	Status int

	// Delay is how long Slow waits. Default 1 s.
	Delay time.Duration

	// Op is a pattern of operations, as of path.Match: "PutRecords", "Put*".
	Op string

	// Stream is a pattern of stream names, as of path.Match.
	Stream string

	// Shard is a shard id. A put is hit when one of its records belongs there.
	Shard string

	// Key is a partition key. A put is hit when one of its records has it.
	Key string

	// Skip lets so many pass that would be hit.
	Skip int

	// Times hits so many after those. 0 means all.
	Times int

	// Rate hits each only with this probability, above 0 to 1. 0 means 1.
	Rate float64
}

// Kind is what a Fault does.
type Kind string

// The kinds of faults. The calls that ResetAfter, HangAfter, FailCallAfter and
// Truncate hit have been carried out although they seem to have failed: a
// client that repeats them writes duplicates.
const (
	FailCall      Kind = "fail-call"       // answer with Code, do nothing
	FailCallAfter Kind = "fail-call-after" // do it, then answer with Code
	FailRecord    Kind = "fail-record"     // fail single records of PutRecords with Code; of PutRecord the call
	SplitShard    Kind = "split-shard"     // split the record's shard in halves just before it is stored
	Slow          Kind = "slow"            // wait for Delay, then go on
	Hang          Kind = "hang"            // do nothing and never answer
	HangAfter     Kind = "hang-after"      // do it and never answer
	ResetBefore   Kind = "reset-before"    // reset the connection, do nothing
	ResetAfter    Kind = "reset-after"     // do it, then reset the connection
	Truncate      Kind = "truncate"        // do it, then break off in the middle of the reply
	DropResults   Kind = "drop-results"    // do it, but leave the last result out of the reply of PutRecords
)

const defaultSlow = time.Second

// onRecord reports whether a fault hits records rather than calls.
func (k Kind) onRecord() bool { return k == FailRecord || k == SplitShard }

// Validate reports everything that is wrong with p.
func (p Plan) Validate() error {
	var errs []error
	for i, f := range p.Faults {
		bad := func(field, format string, args ...any) {
			errs = append(errs, fmt.Errorf("Faults[%d].%s: "+format, append([]any{i, field}, args...)...))
		}
		switch f.Kind {
		case FailCall, FailCallAfter, FailRecord, SplitShard, Slow, Hang, HangAfter, ResetBefore, ResetAfter, Truncate, DropResults:
		default:
			bad("Kind", "%q is unknown", f.Kind)
		}
		if _, err := path.Match(f.Op, ""); err != nil {
			bad("Op", "%q: %w", f.Op, err)
		}
		if _, err := path.Match(f.Stream, ""); err != nil {
			bad("Stream", "%q: %w", f.Stream, err)
		}
		if f.Rate < 0 || f.Rate > 1 {
			bad("Rate", "%v is not in 0 to 1", f.Rate)
		}
		if f.Skip < 0 || f.Times < 0 || f.Delay < 0 {
			bad("Skip, Times, Delay", "must not be negative")
		}
	}
	return errors.Join(errs...)
}
