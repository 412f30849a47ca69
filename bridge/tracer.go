package bridge

import (
	"errors"
	"fmt"
	"time"
)

// Tracer chooses messages and follows them through a pipeline. Package
// bridge/tracing has one that makes spans of OpenTelemetry; Pipeline.TraceMessages
// follows messages without one.
type Tracer interface {
	// Trace returns what follows m, or nil. It is called for every message
	// before the rules see it, concurrently, and must decide quickly. It must
	// not keep m.
	Trace(m *Message) Trace
}

// Trace is told what becomes of one message. Rule and Record are called in the
// order of what happens. None of the methods may block or call the pipeline.
type Trace interface {
	// Rule is called after each rule that the message was given to. It must not
	// keep what it is given.
	Rule(t *RuleTrace)
	// Record is called for every record that the message was turned into, after
	// all rules and before the record is queued. It may add to the record's
	// Attrs and replace its Data, in memory that nobody else changes. It returns
	// what follows the record, or nil. It must not keep r.
	Record(r *Record) RecordTrace
	// Settled is called last of all but the records that are Optional: the
	// message may be forgotten upstream or, with an error, must not be.
	Settled(err error)
}

// RecordTrace is told what becomes of one record, one call at a time but from any
// goroutine.
type RecordTrace interface {
	// Write is called after a Sink.Write with the record.
	Write(w WriteTrace)
	// Fallback is called when the record goes to the sink of that name because
	// its own did not store it.
	Fallback(sink string, err error)
	// End is called once, when nothing more will happen to the record; the error
	// says why it is not stored.
	End(o Outcome, err error)
}

// RuleTrace is what a rule did with a message.
type RuleTrace struct {
	Rule     string
	Start    time.Time
	Duration time.Duration
	// Records are those that it made, Err is its error, which leaves none.
	Records []Record
	Err     error
	// Steps are how it came to them, for rules that are a Stepper, while
	// somebody follows the message with TraceMessages.
	Steps []Step
}

// WriteTrace is a call of Sink.Write as one record sees it.
type WriteTrace struct {
	Sink     string
	Start    time.Time
	Duration time.Duration
	// Wait is how long the record was in the sink's queue before its first
	// write; 0 for further ones.
	Wait time.Duration
	// Attempt counts the writes of the record to this sink from 1.
	Attempt int
	// Err is why the record was not stored by it.
	Err error
}

// Stepper is implemented by rules that can tell how they come to a result.
// ApplySteps is Apply, and calls see after each step.
type Stepper interface {
	ApplySteps(out *Batch, m *Message, see func(Step)) error
}

// Step is a part of what a rule did with a message, in words for people.
type Step struct {
	// Name says which part it is, such as "WHERE".
	Name string `json:"name"`
	// Text is the part as the user wrote it, Result what came of it.
	Text   string `json:"text,omitempty"`
	Result string `json:"result"`
}

// Outcome is how a record ended.
type Outcome uint8

const (
	// Stored means that a sink has it.
	Stored Outcome = iota
	// Failed means that the sink refused it for good.
	Failed
	// Dropped means that it expired, or found the queue full.
	Dropped
	// Discarded means that its sink is disabled.
	Discarded
	// Abandoned means that the pipeline was stopped before; its message is not
	// acknowledged.
	Abandoned
)

// String returns the outcome in lower case.
func (o Outcome) String() string {
	switch o {
	case Stored:
		return "stored"
	case Failed:
		return "failed"
	case Dropped:
		return "dropped"
	case Discarded:
		return "discarded"
	default:
		return "abandoned"
	}
}

// MarshalText returns the outcome's name.
func (o Outcome) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// UnmarshalText reads an outcome's name.
func (o *Outcome) UnmarshalText(text []byte) error {
	for x := Stored; x <= Abandoned; x++ {
		if x.String() == string(text) {
			*o = x
			return nil
		}
	}
	return fmt.Errorf("unknown outcome %q", text)
}

// outcomeOf tells how a record ended that was given up for the reason err.
func outcomeOf(err error) Outcome {
	if errors.Is(err, ErrExpired) || errors.Is(err, ErrQueueFull) {
		return Dropped
	}
	return Failed
}

// tracing is who follows messages. It is replaced, not changed, and nil when
// there is nobody.
type tracing struct {
	tracer    Tracer // of the configuration
	followers []*follower
}

// trace asks everybody whether to follow m, to which the rules are applied.
func (t *tracing) trace(m *Message, rules []*ruleEntry) messageTrace {
	var out messageTrace
	if t.tracer != nil {
		if x := t.tracer.Trace(m); x != nil {
			out = append(out, x)
		}
	}
	for _, f := range t.followers {
		if x := f.trace(m, rules); x != nil {
			out = append(out, x)
		}
	}
	return out
}

// messageTrace are all that follow one message.
type messageTrace []Trace

// wantSteps tells whether one of them wants to know how the rule works.
func (t messageTrace) wantSteps(rule string) bool {
	for _, x := range t {
		if f, ok := x.(*followed); ok && f.wants(rule) {
			return true
		}
	}
	return false
}

func (t messageTrace) rule(r *RuleTrace) {
	for _, x := range t {
		x.Rule(r)
	}
}

func (t messageTrace) record(r *Record) RecordTrace {
	var all recordTraces
	for _, x := range t {
		if y := x.Record(r); y != nil {
			all = append(all, y)
		}
	}
	switch len(all) {
	case 0:
		return nil
	case 1:
		return all[0]
	default:
		return all
	}
}

// settling is the delivery of a followed message.
type settling struct {
	trace    messageTrace
	delivery Delivery
}

// Done implements Acker.
func (s *settling) Done(_ uint64, err error) {
	s.delivery.Done(err)
	for _, x := range s.trace {
		x.Settled(err)
	}
}

// recordTraces are several that follow one record.
type recordTraces []RecordTrace

func (t recordTraces) Write(w WriteTrace) {
	for _, x := range t {
		x.Write(w)
	}
}

func (t recordTraces) Fallback(sink string, err error) {
	for _, x := range t {
		x.Fallback(sink, err)
	}
}

func (t recordTraces) End(o Outcome, err error) {
	for _, x := range t {
		x.End(o, err)
	}
}

// applyTraced is apply for a message that is followed.
func (w *worker) applyTraced(r *ruleEntry, m *Message) error {
	w.ruleTrace = RuleTrace{Rule: r.name, Start: time.Now()}
	if s, ok := r.rule.(Stepper); ok && w.trace.wantSteps(r.name) {
		return s.ApplySteps(&w.out, m, func(s Step) { w.ruleTrace.Steps = append(w.ruleTrace.Steps, s) })
	}
	return r.rule.Apply(&w.out, m)
}

// ruleTraced tells what the rule at hand made of a message that is followed.
func (w *worker) ruleTraced(before int, err error) {
	w.ruleTrace.Duration = time.Since(w.ruleTrace.Start)
	w.ruleTrace.Err = err
	if err == nil {
		w.ruleTrace.Records = w.out.Records[before:]
	}
	w.trace.rule(&w.ruleTrace)
	w.ruleTrace = RuleTrace{}
}

// recordsTraced shows who follows the message the records made from it.
func (w *worker) recordsTraced(m *Message) {
	for i := w.first; i < len(w.out.Records); i++ {
		r, e := &w.out.Records[i], &w.entries[i]
		if r.Sink == "" {
			r.Sink = e.queue.name // who follows wants to know
		}
		e.trace = w.trace.record(r)
	}
	m.Delivery = NewDelivery(&settling{w.trace, m.Delivery}, 0)
	w.trace = nil
}

// wrote tells those who follow records of the batch what the write did that was
// sent at that time.
func (q *queue) wrote(w *writer, sent time.Duration) {
	start, duration := q.env.start.Add(sent), q.env.now()-sent
	for i, n := range w.nodes {
		follows := n.trace()
		if follows == nil {
			continue
		}
		t := WriteTrace{Sink: q.name, Start: start, Duration: duration, Attempt: int(n.attempt) + 1}
		if len(w.errs) > 0 && w.errs[i] != nil {
			t.Err, t.Attempt = w.errs[i], int(n.attempt) // classify has counted it
		}
		if t.Attempt == 1 {
			t.Wait = sent - n.queued
		}
		follows.Write(t)
		if t.Err == nil {
			n.endTrace(Stored, nil)
		}
	}
	w.traced = false
}
