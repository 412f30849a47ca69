// Package trace follows messages through a pipeline live, for people: from their
// receipt through each clause of each rule to the fate of each record.
package trace

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluiceio/sluice/bridge"
)

// What a trace holds at most, for who follows slowly, and shows of a message.
const (
	maxEvents  = 1000
	maxRecords = 20
)

// Messages follows messages from their receipt to the fate of each record: the
// input, what each rule's clauses gave, the rendered templates, the writes and how
// it ended. It begins at once and ends when ctx is done or the loop over the
// events is left. A reader that is too slow misses some events; that delays
// nothing else. A pipeline that nobody traces does nothing for it. The error is
// ErrClosed for a pipeline that has ended.
func Messages(ctx context.Context, p *bridge.Pipeline, filter Filter) (iter.Seq[Event], error) {
	c, err := filter.compile()
	if err != nil {
		return nil, err
	}
	select {
	case <-p.Done():
		return nil, bridge.ErrClosed
	default:
	}
	if _, ok := p.Stats().Rules[filter.Rule]; filter.Rule != "" && !ok {
		return nil, &bridge.FieldError{Path: "Rule", Err: fmt.Errorf("there is no rule %q", filter.Rule)}
	}
	f := &follower{filter: c, events: make(chan Event, maxEvents)}
	stop := p.Trace(f)
	onDone := context.AfterFunc(ctx, stop)
	return func(yield func(Event) bool) {
		defer func() {
			onDone()
			stop()
		}()
		for {
			select {
			case e := <-f.events:
				if !yield(e) {
					return
				}
			case <-ctx.Done():
				return
			case <-p.Done():
				f.rest(yield)
				return
			}
		}
	}, nil
}

// follower is a call of Messages.
type follower struct {
	filter compiled
	events chan Event
	missed atomic.Uint64

	mu     sync.Mutex
	second time.Time // that left speaks of
	left   int       // messages that may be followed in it
	last   uint64    // message followed
}

// rest shows the events that are left.
func (f *follower) rest(yield func(Event) bool) {
	for {
		select {
		case e := <-f.events:
			if !yield(e) {
				return
			}
		default:
			return
		}
	}
}

// admit gives the message a number, or counts it if there were too many in this
// second.
func (f *follower) admit(now time.Time) (id uint64, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now.Sub(f.second) >= time.Second {
		f.second, f.left = now, f.filter.Rate
	}
	if f.left == 0 {
		f.missed.Add(1)
		return 0, false
	}
	f.left--
	f.last++
	return f.last, true
}

// Trace implements bridge.Tracer.
func (f *follower) Trace(m *bridge.Message, rules []string) bridge.Trace {
	if !f.filter.fits(m, rules) {
		return nil
	}
	now := time.Now()
	id, ok := f.admit(now)
	if !ok {
		return nil
	}
	t := &followed{follower: f, id: id}
	t.tell(Event{Time: now, Message: f.message(m, rules)})
	return t
}

func (f *follower) message(m *bridge.Message, rules []string) *Message {
	out := &Message{
		Source: m.Source, Seq: m.Seq, Topic: m.Topic, Event: m.Event,
		ClientID: m.ClientID, Username: m.Username, PeerName: m.PeerName,
		QoS: m.QoS, Retain: m.Retain, Dup: m.Dup, Received: m.Received,
		Payload: excerpt(m.Payload, f.filter.MaxText), Rules: []string{},
	}
	if out.PeerName == "" {
		out.PeerName = m.PeerHost
	}
	if m.Props != nil {
		for _, u := range m.Props.User {
			out.UserProperties = append(out.UserProperties, Attr{u.Key, excerpt([]byte(u.Value), f.filter.MaxText)})
		}
	}
	for _, r := range rules {
		if f.filter.Rule == "" || r == f.filter.Rule {
			out.Rules = append(out.Rules, r)
		}
	}
	return out
}

// followed is a message that a follower follows. It implements bridge.Trace.
type followed struct {
	*follower
	id      uint64
	made    int       // records that rules told of
	queued  int       // records that Record told of
	began   time.Time // when the rule at hand did
	steps   []Step    // of the rule at hand
	records []followedRecord
}

func (t *followed) tell(e Event) {
	e.ID, e.Missed = t.id, t.missed.Swap(0)
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	select {
	case t.events <- e:
	default:
		t.missed.Add(e.Missed + 1)
	}
}

// wants reports whether a rule is of interest.
func (t *followed) wants(rule string) bool { return t.filter.Rule == "" || t.filter.Rule == rule }

// Rule implements bridge.Trace.
func (t *followed) Rule(name string) (see func(step, text, result string)) {
	t.began, t.steps = time.Now(), nil
	if !t.wants(name) {
		return nil
	}
	return func(step, text, result string) {
		t.steps = append(t.steps, Step{step, text, excerpt([]byte(result), t.filter.MaxText).Text})
	}
}

// RuleDone implements bridge.Trace.
func (t *followed) RuleDone(name string, records []bridge.Record, err error) {
	first := t.made
	t.made += len(records)
	if !t.wants(name) {
		return
	}
	limit := t.filter.MaxText
	out := &Rule{Rule: name, Duration: time.Since(t.began), Steps: t.steps, Error: textOf(err), Records: []Record{}}
	shown := min(len(records), maxRecords)
	out.More = len(records) - shown
	for i := range records[:shown] {
		rec := &records[i]
		shown := Record{
			Record: first + i + 1, Sink: rec.Sink, Dest: rec.Dest, HashKey: string(rec.HashKey), Optional: rec.Optional,
			Key: excerpt(rec.Key, limit), Data: excerpt(rec.Data, limit),
		}
		for _, a := range rec.Attrs {
			shown.Attrs = append(shown.Attrs, Attr{a.Name, excerpt(a.Value, limit)})
		}
		t.records = append(t.records, followedRecord{t, first + i + 1})
		out.Records = append(out.Records, shown)
	}
	t.tell(Event{Rule: out})
}

// Record implements bridge.Trace.
func (t *followed) Record(*bridge.Record) bridge.RecordTrace {
	t.queued++
	i, ok := slices.BinarySearchFunc(t.records, t.queued, func(r followedRecord, n int) int { return r.number - n })
	if !ok {
		return nil
	}
	return t.records[i]
}

// Settled implements bridge.Trace.
func (t *followed) Settled(o bridge.Outcome, err error) {
	t.tell(Event{Settled: &Settled{o, textOf(err)}})
}

// followedRecord is a record of a followed message. It implements
// bridge.RecordTrace.
type followedRecord struct {
	*followed
	number int
}

// Write implements bridge.RecordTrace.
func (r followedRecord) Write(sink string, attempt int, queued, start, end time.Time, err error) {
	w := &Write{Record: r.number, Sink: sink, Attempt: attempt, Duration: end.Sub(start), Error: textOf(err)}
	if attempt == 1 {
		w.Wait = start.Sub(queued)
	}
	r.tell(Event{Write: w})
}

// Fallback implements bridge.RecordTrace.
func (r followedRecord) Fallback(sink string, err error) {
	r.tell(Event{Write: &Write{Record: r.number, Fallback: sink, Error: textOf(err)}})
}

// End implements bridge.RecordTrace.
func (r followedRecord) End(o bridge.Outcome, err error) {
	r.tell(Event{End: &End{r.number, o, textOf(err)}})
}

func textOf(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
