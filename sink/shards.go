package sink

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
