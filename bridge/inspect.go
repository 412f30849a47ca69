package bridge

import (
	"maps"
	"sync/atomic"
)

// Topology is what a pipeline is made of at one moment, by name. Its maps are
// copies; the parts are the ones in service and must only be looked at.
type Topology struct {
	Sources map[string]Source
	Rules   map[string]Rule
	Sinks   map[string]Sink
	// Queues are the options of the sinks' queues, with the defaults filled in.
	Queues map[string]QueueConfig

	table *table
}

// Same tells whether nothing was added, replaced, removed or switched on or off
// between the two.
func (t Topology) Same(other Topology) bool { return t.table != nil && t.table == other.table }

// Topology returns what the pipeline is made of.
func (p *Pipeline) Topology() Topology {
	t := p.table.Load()
	out := Topology{
		Sources: maps.Clone(p.cfg.Sources),
		Rules:   make(map[string]Rule, len(t.rules)),
		Sinks:   make(map[string]Sink, len(t.sinks)),
		Queues:  make(map[string]QueueConfig, len(t.sinks)),
		table:   t,
	}
	for name, e := range t.rules {
		out.Rules[name] = untraced(e.rule)
	}
	for name, q := range t.sinks {
		out.Sinks[name], out.Queues[name] = q.sink, q.cfg
	}
	return out
}

// ShardLoad is how much of a sink's load goes to one of its parts, such as a
// shard.
type ShardLoad struct {
	// Dest is the place that has the shards, such as a stream, and Shard the
	// name of the one.
	Dest  string `json:"dest"`
	Shard string `json:"shard"`
	// Share is its part of the load of Dest, 0 to 1.
	Share float64 `json:"share"`
	// Throttled counts its refusals.
	Throttled uint64 `json:"throttled"`
}

// Sharder is implemented by sinks that can tell how their load is spread. Shards
// is called about once a second while somebody looks.
type Sharder interface {
	Shards() []ShardLoad
}

// TraceRule calls trace for every message that the rule is applied to, with the
// records that it made or the error, until stop is called or the rule is
// replaced or removed. Trace is called concurrently, holds up the messages, and
// must not keep what it is given. A rule that nobody traces costs nothing.
func (p *Pipeline) TraceRule(name string, trace func(m *Message, made []Record, err error)) (stop func(), err error) {
	var mine *tracedRule
	err = p.changeRule(name, func(e *ruleEntry) *ruleEntry {
		changed := *e
		mine = &tracedRule{Rule: e.rule, trace: trace}
		changed.rule = mine
		return &changed
	})
	if err != nil {
		return nil, err
	}
	return func() {
		mine.off.Store(true)
		_ = p.changeRule(name, func(e *ruleEntry) *ruleEntry { // it may be gone
			changed := *e
			changed.rule = withoutEnded(e.rule)
			return &changed
		})
	}, nil
}

// tracedRule is a rule with somebody watching.
type tracedRule struct {
	Rule
	trace func(*Message, []Record, error)
	off   atomic.Bool
}

// Apply implements Rule.
func (r *tracedRule) Apply(out *Batch, m *Message) error {
	before := len(out.Records)
	err := r.Rule.Apply(out, m)
	if r.off.Load() {
		return err
	}
	var made []Record
	if err == nil {
		made = out.Records[before:]
	}
	r.trace(m, made, err)
	return err
}

// untraced returns the rule below all traces.
func untraced(r Rule) Rule {
	for {
		t, ok := r.(*tracedRule)
		if !ok {
			return r
		}
		r = t.Rule
	}
}

// withoutEnded takes away the traces that have ended; others may go on above and
// below them.
func withoutEnded(r Rule) Rule {
	t, ok := r.(*tracedRule)
	if !ok {
		return r
	}
	below := withoutEnded(t.Rule)
	switch {
	case t.off.Load():
		return below
	case below == t.Rule:
		return t
	}
	kept := &tracedRule{Rule: below, trace: t.trace}
	return kept
}
