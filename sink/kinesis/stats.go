package kinesis

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/sluiceio/sluice/internal/awsconn"
	"github.com/sluiceio/sluice/sink"
)

// Stats are figures since the Sink was made; those of queues, retries and
// latencies are the pipeline's.
type Stats struct {
	// Requests is the number of PutRecords requests, and FailedRequests that
	// of requests which failed as a whole.
	Requests, FailedRequests uint64
	// Streams are the figures of the streams that were written to lately, at
	// most 1,000, by name.
	Streams []StreamStats
}

// StreamStats are the figures of a stream.
type StreamStats struct {
	// Stream is its name or ARN, as the records give it.
	Stream string
	// Records is the number of records stored, in Entries Kinesis records,
	// with Bytes of data and keys, charged as PayloadUnits on provisioned
	// streams.
	Records, Entries, Bytes, PayloadUnits uint64
	// Throttled, Ambiguous and Rejected count Kinesis records, each time that
	// they failed for want of capacity, with an outcome that is not known,
	// or for good. Failed counts all failures.
	Throttled, Ambiguous, Rejected, Failed uint64
	// OpenShards is the number of shards; 0 while it is not known.
	OpenShards int
	// Shards are the figures by shard.
	Shards []ShardStats
}

// ShardStats are the figures of a shard.
type ShardStats struct {
	// Shard is its id.
	Shard string
	// Share is the part of Kinesis records that it gets, 0 to 1, by the
	// replies that were decoded. A share far above the others' is a hot shard.
	Share float64
	// Throttled counts Kinesis records that it refused for want of capacity.
	Throttled uint64
}

// totals are the counters of a Sink.
type totals struct{ requests, failedRequests atomic.Uint64 }

// streamCounters are the counters of a stream.
type streamCounters struct {
	records, entries, bytes, units         atomic.Uint64
	throttled, ambiguous, rejected, failed atomic.Uint64

	mu     sync.Mutex
	shards map[string]*shardCounters
}

type shardCounters struct{ seen, throttled uint64 }

// maxShardCounters bounds the figures by shard; resharding makes new ids all
// the time.
const maxShardCounters = 10_000

// count counts stored entries.
func (c *streamCounters) count(entries []entry, records int) {
	var bytes, units uint64
	for _, e := range entries {
		bytes += uint64(e.bytes)
		units += uint64((e.bytes + PayloadUnit - 1) / PayloadUnit)
	}
	c.records.Add(uint64(records))
	c.entries.Add(uint64(len(entries)))
	c.bytes.Add(bytes)
	c.units.Add(units)
}

// fail counts entries that failed.
func (c *streamCounters) fail(why awsconn.Class, shard string, entries int) {
	n := uint64(entries)
	c.failed.Add(n)
	switch why {
	case awsconn.Throttled:
		c.throttled.Add(n)
		if shard != "" {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.shard(shard).throttled += n
		}
	case awsconn.Ambiguous:
		c.ambiguous.Add(n)
	case awsconn.Rejected:
		c.rejected.Add(n)
	}
}

// sample counts where the records of a decoded reply went.
func (c *streamCounters) sample(results []types.PutRecordsResultEntry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range results {
		if id := results[i].ShardId; id != nil {
			c.shard(*id).seen++
		}
	}
}

func (c *streamCounters) forgetShares() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.shards {
		s.seen = 0
	}
}

// shard returns the counters of a shard; c.mu must be held.
func (c *streamCounters) shard(id string) *shardCounters {
	s := c.shards[id]
	if s == nil {
		if c.shards == nil || len(c.shards) >= maxShardCounters {
			c.shards = make(map[string]*shardCounters)
		}
		s = new(shardCounters)
		c.shards[id] = s
	}
	return s
}

// Stats returns the figures of the moment.
func (s *Sink) Stats() Stats {
	out := Stats{Requests: s.total.requests.Load(), FailedRequests: s.total.failedRequests.Load()}
	for _, st := range s.streams.all() {
		out.Streams = append(out.Streams, st.stats())
	}
	slices.SortFunc(out.Streams, func(a, b StreamStats) int { return cmp.Compare(a.Stream, b.Stream) })
	return out
}

func (st *stream) stats() StreamStats {
	c := &st.counters
	out := StreamStats{
		Stream: st.dest, Records: c.records.Load(), Entries: c.entries.Load(),
		Bytes: c.bytes.Load(), PayloadUnits: c.units.Load(), Throttled: c.throttled.Load(),
		Ambiguous: c.ambiguous.Load(), Rejected: c.rejected.Load(), Failed: c.failed.Load(),
	}
	if m := st.shards.Load(); m != nil {
		out.OpenShards = len(m.shards)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var seen uint64
	for _, n := range c.shards {
		seen += n.seen
	}
	for id, n := range c.shards {
		out.Shards = append(out.Shards, ShardStats{
			Shard: id, Share: float64(n.seen) / float64(max(seen, 1)), Throttled: n.throttled,
		})
	}
	slices.SortFunc(out.Shards, func(a, b ShardStats) int { return cmp.Compare(a.Shard, b.Shard) })
	return out
}

// Shards reports how the load is spread over the shards; see sink.Sharder.
func (s *Sink) Shards() (list []sink.ShardLoad) {
	for _, st := range s.Stats().Streams {
		for _, sh := range st.Shards {
			list = append(list, sink.ShardLoad{Dest: st.Stream, Shard: sh.Shard, Share: sh.Share, Throttled: sh.Throttled})
		}
	}
	return list
}
