package bridge

import "time"

// Hooks are called when something happens, once per batch and never per message.
// Nil functions are skipped. They are called concurrently, partly with locks
// held: they must return quickly and must not call the pipeline.
type Hooks struct {
	// OnWrite is called after every Sink.Write.
	OnWrite func(WriteEvent)
	// OnFail is called when records failed for good or were dropped, with
	// the first one's reason.
	OnFail func(FailEvent)
	// OnRuleError is called when a rule returned an error or panicked.
	OnRuleError func(RuleErrorEvent)
	// OnState is called when the state of a source or sink changes.
	OnState func(StateEvent)
}

// WriteEvent describes a call of Sink.Write.
type WriteEvent struct {
	Sink     string
	Records  int
	Bytes    int
	Duration time.Duration
	Err      error
}

// FailEvent describes records that a sink will not store.
type FailEvent struct {
	Sink    string
	Records int
	Err     error
}

// RuleErrorEvent describes a message that a rule could not process.
type RuleErrorEvent struct {
	Rule  string
	Topic string
	Err   error
}

// StateEvent describes a change of state; Kind is "source" or "sink".
type StateEvent struct {
	Kind, Name string
	Health     Health
}
