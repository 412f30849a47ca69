package bridge

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluiceio/sluice/internal/topic"
)

// TraceFilter says which messages TraceMessages follows: those that fit every
// field that is set. The zero value follows all.
type TraceFilter struct {
	// Rule is the name of a rule: only messages that it is applied to, and of
	// the rules only this one.
	Rule string
	// Source is the name of a source.
	Source string
	// Topic is a topic filter; it is matched with the topic of a published
	// message and with the event topic of another event.
	Topic string
	// ClientID is that of the publisher, or of the client that an event is
	// about. A source that is itself a client of a broker does not know it.
	ClientID string
	// Address is the publisher's IP address, with or without a port, or a prefix
	// such as "10.1.0.0/16". A source that is itself a client of a broker does
	// not know it.
	Address string

	// Rate bounds the messages followed per second. Default 20.
	Rate int
	// MaxText bounds the bytes shown of a payload, a key, an attribute, a record's
	// data or the result of a step. Default 4096.
	MaxText int
}

// Validate reports everything that is wrong with the filter, each with the
// field's name.
func (f TraceFilter) Validate() error {
	_, err := newFollower(f)
	return err
}

// What a trace holds at most, for who follows slowly, and shows of a message.
const (
	traceEvents  = 1000
	traceRecords = 20
)

// TraceMessages follows messages from their receipt to the fate of each record:
// the input, what each rule's clauses gave, the rendered templates, the writes
// and how it ended. It begins at once and ends when ctx or the pipeline is done or
// the loop over the events is left. Who does not take the events quickly misses
// some, which holds up nobody. A pipeline that nobody traces does nothing for it.
func (p *Pipeline) TraceMessages(ctx context.Context, filter TraceFilter) (iter.Seq[TraceEvent], error) {
	f, err := newFollower(filter)
	if err != nil {
		return nil, err
	}
	if err := p.changeFollowers(filter.Rule, func(list []*follower) []*follower { return append(list, f) }); err != nil {
		return nil, err
	}
	end := func() {
		_ = p.changeFollowers("", func(list []*follower) []*follower {
			return slices.DeleteFunc(list, func(x *follower) bool { return x == f })
		})
	}
	onDone := context.AfterFunc(ctx, end)
	return func(yield func(TraceEvent) bool) {
		defer func() {
			onDone()
			end()
		}()
		for {
			select {
			case e := <-f.events:
				if !yield(e) {
					return
				}
			case <-ctx.Done():
				return
			case <-p.env.ctx.Done():
				f.rest(yield)
				return
			}
		}
	}, nil
}

// changeFollowers replaces the list of those who follow messages. With a rule, it
// must exist.
func (p *Pipeline) changeFollowers(rule string, change func([]*follower) []*follower) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state == stopped {
		return ErrClosed
	}
	if rule != "" && p.table.Load().rules[rule] == nil {
		return fmt.Errorf("there is no rule %q", rule)
	}
	var t tracing
	if old := p.tracing.Load(); old != nil {
		t = tracing{old.tracer, slices.Clone(old.followers)}
	}
	if t.followers = change(t.followers); t.tracer == nil && len(t.followers) == 0 {
		p.tracing.Store(nil)
	} else {
		p.tracing.Store(&t)
	}
	return nil
}

// follower is a call of TraceMessages.
type follower struct {
	filter TraceFilter
	prefix netip.Prefix // of the address
	port   uint16       // of the address; 0 for any
	events chan TraceEvent
	missed atomic.Uint64

	mu     sync.Mutex
	second time.Time // that left speaks of
	left   int       // messages that may be followed in it
	last   uint64    // message followed
}

func newFollower(filter TraceFilter) (*follower, error) {
	f := &follower{filter: filter, events: make(chan TraceEvent, traceEvents)}
	var errs []error
	bad := func(field string, err error) { errs = append(errs, fmt.Errorf("field %s: %w", field, err)) }
	if filter.Topic != "" {
		if err := topic.ValidateFilter(filter.Topic); err != nil {
			bad("Topic", err)
		}
	}
	if filter.Address != "" && !f.setAddress(filter.Address) {
		bad("Address", fmt.Errorf("%q is no IP address, with or without a port, and no prefix such as 10.1.0.0/16", filter.Address))
	}
	if filter.Rate < 0 {
		bad("Rate", fmt.Errorf("%d is negative", filter.Rate))
	}
	if filter.MaxText < 0 {
		bad("MaxText", fmt.Errorf("%d is negative", filter.MaxText))
	}
	if filter.Rate == 0 {
		f.filter.Rate = 20
	}
	if filter.MaxText == 0 {
		f.filter.MaxText = 4096
	}
	return f, errors.Join(errs...)
}

func (f *follower) setAddress(text string) (ok bool) {
	if p, err := netip.ParsePrefix(text); err == nil {
		f.prefix = p.Masked()
		return true
	}
	addr, err := netip.ParseAddr(text)
	if err != nil {
		with, err := netip.ParseAddrPort(text)
		if err != nil {
			return false
		}
		addr, f.port = with.Addr(), with.Port()
	}
	addr = addr.WithZone("").Unmap()
	f.prefix = netip.PrefixFrom(addr, addr.BitLen())
	return true
}

// rest shows the events that are left.
func (f *follower) rest(yield func(TraceEvent) bool) {
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

// fits tells whether a message to which the rules are applied is to be followed.
func (f *follower) fits(m *Message, rules []*ruleEntry) bool {
	name := m.Event
	if name == "" {
		name = m.Topic
	}
	return (f.filter.ClientID == "" || f.filter.ClientID == m.ClientID) &&
		(f.filter.Source == "" || f.filter.Source == m.Source) &&
		(f.filter.Topic == "" || topic.Match(f.filter.Topic, name)) &&
		(f.filter.Rule == "" || slices.ContainsFunc(rules, func(r *ruleEntry) bool { return r.name == f.filter.Rule })) &&
		(f.filter.Address == "" || f.fitsAddress(m))
}

func (f *follower) fitsAddress(m *Message) bool {
	var addr netip.Addr
	with, err := netip.ParseAddrPort(m.PeerName)
	if err == nil {
		addr = with.Addr()
	} else if addr, err = netip.ParseAddr(m.PeerHost); err != nil {
		return false
	}
	return f.prefix.Contains(addr.WithZone("").Unmap()) && (f.port == 0 || f.port == with.Port())
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

// trace returns what follows m, nil if nothing does.
func (f *follower) trace(m *Message, rules []*ruleEntry) Trace {
	if !f.fits(m, rules) {
		return nil
	}
	now := time.Now()
	id, ok := f.admit(now)
	if !ok {
		return nil
	}
	t := &followed{follower: f, id: id}
	t.tell(TraceEvent{Time: now, Message: f.message(m, rules)})
	return t
}

func (f *follower) message(m *Message, rules []*ruleEntry) *TracedMessage {
	out := &TracedMessage{
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
			out.UserProperties = append(out.UserProperties, TracedAttr{u.Key, excerpt([]byte(u.Value), f.filter.MaxText)})
		}
	}
	for _, r := range rules {
		if f.filter.Rule == "" || r.name == f.filter.Rule {
			out.Rules = append(out.Rules, r.name)
		}
	}
	return out
}

// followed is a message that a follower follows. It implements Trace.
type followed struct {
	*follower
	id      uint64
	made    int // records that rules told of
	queued  int // records that Record told of
	records []followedRecord
}

func (t *followed) tell(e TraceEvent) {
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

// wants tells whether a rule is of interest.
func (t *followed) wants(rule string) bool { return t.filter.Rule == "" || t.filter.Rule == rule }

// Rule implements Trace.
func (t *followed) Rule(r *RuleTrace) {
	first := t.made
	t.made += len(r.Records)
	if !t.wants(r.Rule) {
		return
	}
	limit := t.filter.MaxText
	out := &TracedRule{Rule: r.Rule, Duration: r.Duration, Error: textOf(r.Err), Records: []TracedRecord{}}
	for _, s := range r.Steps {
		s.Result = excerpt([]byte(s.Result), limit).Text
		out.Steps = append(out.Steps, s)
	}
	shown := min(len(r.Records), traceRecords)
	out.More = len(r.Records) - shown
	for i := range r.Records[:shown] {
		rec := &r.Records[i]
		shown := TracedRecord{
			Record: first + i + 1, Sink: rec.Sink, Dest: rec.Dest, HashKey: string(rec.HashKey), Optional: rec.Optional,
			Key: excerpt(rec.Key, limit), Data: excerpt(rec.Data, limit),
		}
		for _, a := range rec.Attrs {
			shown.Attrs = append(shown.Attrs, TracedAttr{a.Name, excerpt(a.Value, limit)})
		}
		t.records = append(t.records, followedRecord{t, first + i + 1})
		out.Records = append(out.Records, shown)
	}
	t.tell(TraceEvent{Rule: out})
}

// Record implements Trace.
func (t *followed) Record(*Record) RecordTrace {
	t.queued++
	i, ok := slices.BinarySearchFunc(t.records, t.queued, func(r followedRecord, n int) int { return r.number - n })
	if !ok {
		return nil
	}
	return t.records[i]
}

// Settled implements Trace.
func (t *followed) Settled(err error) { t.tell(TraceEvent{Settled: &TracedSettled{textOf(err)}}) }

// followedRecord is a record of a followed message. It implements RecordTrace.
type followedRecord struct {
	*followed
	number int
}

// Write implements RecordTrace.
func (r followedRecord) Write(w WriteTrace) {
	r.tell(TraceEvent{Write: &TracedWrite{
		Record: r.number, Sink: w.Sink, Attempt: w.Attempt, Wait: w.Wait, Duration: w.Duration, Error: textOf(w.Err),
	}})
}

// Fallback implements RecordTrace.
func (r followedRecord) Fallback(sink string, err error) {
	r.tell(TraceEvent{Write: &TracedWrite{Record: r.number, Fallback: sink, Error: textOf(err)}})
}

// End implements RecordTrace.
func (r followedRecord) End(o Outcome, err error) {
	r.tell(TraceEvent{End: &TracedEnd{r.number, o, textOf(err)}})
}

func textOf(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
