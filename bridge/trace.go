package bridge

import (
	"time"

	"github.com/sluiceio/sluice/internal/sched"
)

// Tracer chooses messages and follows them through a pipeline; see
// Pipeline.Trace. Package bridge/trace has one for people and package
// bridge/tracing one that makes spans of OpenTelemetry.
type Tracer interface {
	// Trace returns what follows m, or nil. It is called for every message
	// before the rules of those names see it, concurrently, and must decide
	// quickly. It must not keep or change m or rules.
	Trace(m *Message, rules []string) Trace
}

// Trace is told what becomes of one message, in the order of what happens. None
// of the methods may block or call the pipeline. A Trace that panics is told
// nothing more.
type Trace interface {
	// Rule is called before a rule sees the message. If it returns a function
	// and the rule is a Stepper, that is called with each step.
	Rule(name string) (see func(step, text, result string))
	// RuleDone is called after the rule with the records that it has made, or
	// its error, which leaves none. It must not keep the records.
	RuleDone(name string, records []Record, err error)
	// Record is called for every record that the message was turned into, after
	// all rules and before the record is queued. It may add to the record's
	// Attrs and replace its Data, in memory that nobody else changes. It returns
	// what follows the record, or nil. It must not keep r.
	Record(r *Record) RecordTrace
	// Settled is called last of all but the records that are Optional.
	Settled(o Outcome, err error)
}

// RecordTrace is told what becomes of one record, one call at a time but from any
// goroutine.
type RecordTrace interface {
	// Write is called after a Sink.Write with the record. Attempt counts its
	// writes to this sink from 1; the error is why it was not stored.
	Write(sink string, attempt int, queued, start, end time.Time, err error)
	// Fallback is called when the record goes to the sink of that name because
	// its own did not store it.
	Fallback(sink string, err error)
	// End is called once, when nothing more will happen to the record; the error
	// says why it is not stored.
	End(o Outcome, err error)
}

// messageTrace are all that follow one message. The zero value is nobody.
type messageTrace struct {
	env    *environment
	traces []Trace
}

// follow asks the tracers whether they want to follow a message.
func (t *messageTrace) follow(tracers []*tracerEntry, m *Message, rules []string) {
	for _, x := range tracers {
		_ = t.env.door.guard("tracer", "", "Trace", func() {
			if y := x.Trace(m, rules); y != nil {
				t.traces = append(t.traces, y)
			}
		})
	}
}

func (t *messageTrace) empty() bool { return len(t.traces) == 0 }

func (t *messageTrace) each(verb string, f func(Trace)) {
	t.traces = eachTrace(t.env, t.traces, verb, f)
}

// eachTrace calls f for every trace through the door, and returns those that did
// not panic.
func eachTrace[T any](env *environment, traces []T, verb string, f func(T)) []T {
	kept := traces[:0]
	for _, x := range traces {
		if env.door.guard("tracer", "", verb, func() { f(x) }) == nil {
			kept = append(kept, x)
		}
	}
	clear(traces[len(kept):])
	return kept
}

// rule returns a function for the tracers that want to see the steps of a rule.
func (t *messageTrace) rule(name string) (see func(step, text, result string)) {
	var all []func(step, text, result string)
	t.each("Rule", func(x Trace) {
		if f := x.Rule(name); f != nil {
			all = append(all, f)
		}
	})
	if all == nil {
		return nil
	}
	return func(step, text, result string) {
		for i, f := range all {
			if f != nil && t.env.door.guard("tracer", "", "Rule", func() { f(step, text, result) }) != nil {
				all[i] = nil
			}
		}
	}
}

func (t *messageTrace) record(r *Record) *recordTrace {
	var all []RecordTrace
	t.each("Record", func(x Trace) {
		if y := x.Record(r); y != nil {
			all = append(all, y)
		}
	})
	if all == nil {
		return nil
	}
	return &recordTrace{env: t.env, traces: all}
}

// settling is the delivery of a followed message.
type settling struct {
	trace    messageTrace
	delivery Delivery
}

// Done implements Acker.
func (s *settling) Done(_ uint64, o Outcome, err error) {
	s.delivery.Done(o, err)
	s.trace.each("Settled", func(x Trace) { x.Settled(o, err) })
}

// recordTrace are all that follow one record.
type recordTrace struct {
	env    *environment
	traces []RecordTrace
	passed bool // Fallback was called
}

func (t *recordTrace) each(verb string, f func(RecordTrace)) {
	if t == nil {
		return
	}
	t.traces = eachTrace(t.env, t.traces, verb, f)
}

func (t *recordTrace) end(o Outcome, err error) {
	t.each("End", func(x RecordTrace) { x.End(o, err) })
}

func (t *recordTrace) fallback(sink string, err error) {
	if t == nil || t.passed {
		return
	}
	t.passed = true
	t.each("Fallback", func(x RecordTrace) { x.Fallback(sink, err) })
}

// writeTraced tells those who follow records of the batch what the write did.
func (q *queue) writeTraced(w *writer) {
	end := time.Now()
	for i, n := range w.flight.Entries {
		t := n.Value.trace()
		if t == nil {
			continue
		}
		attempt, err := int(n.Value.attempt)+1, error(nil)
		if len(w.flight.Verdicts) > 0 && w.flight.Verdicts[i].Fate != sched.Stored {
			attempt, err = attempt-1, n.Value.extra.err // verdict has counted it
		}
		t.each("Write", func(x RecordTrace) {
			x.Write(q.name(), attempt, q.env.start.Add(n.Added()), w.began, end, err)
		})
	}
}
