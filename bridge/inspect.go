package bridge

import (
	"maps"
	"slices"
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

// TraceRule calls see for every message that the rule is applied to, with the
// records that it made or the error, until stop is called or the rule is
// replaced or removed. See is called concurrently, holds up the messages, and
// must not keep what it is given. A rule that nobody traces costs nothing more.
func (p *Pipeline) TraceRule(name string, see func(m *Message, made []Record, err error)) (stop func(), err error) {
	mine := &trace{see: see}
	err = p.changeRule(name, func(e *ruleEntry) *ruleEntry {
		changed := *e
		changed.rule = withTrace(e.rule, mine)
		return &changed
	})
	if err != nil {
		return nil, err
	}
	return func() {
		mine.off.Store(true)
		_ = p.changeRule(name, func(e *ruleEntry) *ruleEntry { // it may be gone
			changed := *e
			changed.rule = withoutTrace(e.rule, mine)
			return &changed
		})
	}, nil
}

// tracedRule is a rule that somebody watches. It is replaced, not changed, when
// a trace begins or ends.
type tracedRule struct {
	Rule
	traces []*trace
}

type trace struct {
	see func(*Message, []Record, error)
	off atomic.Bool // ended, while a worker still uses the traced rule
}

// Apply implements Rule.
func (r *tracedRule) Apply(out *Batch, m *Message) error {
	before := len(out.Records)
	err := r.Rule.Apply(out, m)
	var made []Record
	if err == nil {
		made = out.Records[before:]
	}
	for _, t := range r.traces {
		if !t.off.Load() {
			t.see(m, made, err)
		}
	}
	return err
}

func untraced(r Rule) Rule {
	if t, ok := r.(*tracedRule); ok {
		return t.Rule
	}
	return r
}

func withTrace(r Rule, mine *trace) Rule {
	traces := []*trace{mine}
	if t, ok := r.(*tracedRule); ok {
		traces = append(traces, t.traces...)
	}
	return &tracedRule{untraced(r), traces}
}

func withoutTrace(r Rule, mine *trace) Rule {
	t, ok := r.(*tracedRule)
	if !ok {
		return r // the rule was replaced
	}
	rest := slices.DeleteFunc(slices.Clone(t.traces), func(x *trace) bool { return x == mine })
	if len(rest) == 0 {
		return t.Rule
	}
	return &tracedRule{t.Rule, rest}
}
