package bridge

import "maps"

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
		out.Rules[name] = e.rule
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
