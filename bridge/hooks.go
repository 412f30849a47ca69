package bridge

import "time"

// Hooks are called when something happens: once per batch, never per message. Calls
// are made one at a time and in order, on a separate goroutine, and may call the
// pipeline. A slow hook delays only other hooks and the log. While 1,000 events
// wait, further ones are dropped and counted (Stats.Untold). Nil functions are
// skipped.
type Hooks struct {
	// OnWrite is called after every Sink.Write.
	OnWrite func(sink string, records, bytes int, d time.Duration, err error)
	// OnGiveUp is called when records end with an outcome other than Stored,
	// Discarded or Abandoned. The outcome and reason are those of the first.
	OnGiveUp func(sink string, records int, o Outcome, err error)
	// OnRuleError is called when a rule returned an error or panicked.
	OnRuleError func(rule, topic string, err error)
	// OnHealth is called when the health of a source or a sink changes; kind
	// is "source" or "sink".
	OnHealth func(kind, name string, h Health)
}

func (e *environment) wrote(sink string, records, bytes int, d time.Duration, err error) {
	if e.hooks.OnWrite != nil {
		e.door.teller.tell(func() { e.hooks.OnWrite(sink, records, bytes, d, err) })
	}
}

func (e *environment) gaveUp(sink string, records int, o Outcome, err error) {
	if e.hooks.OnGiveUp != nil {
		e.door.teller.tell(func() { e.hooks.OnGiveUp(sink, records, o, err) })
	}
}

func (e *environment) ruleError(rule, topic string, err error) {
	if e.hooks.OnRuleError != nil {
		e.door.teller.tell(func() { e.hooks.OnRuleError(rule, topic, err) })
	}
}
