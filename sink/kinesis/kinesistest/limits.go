package kinesistest

import (
	"cmp"
	"time"
)

// Limits chooses what the server throttles. The zero value throttles nothing.
// Buckets fill by Config.Now, so with a clock under control what is throttled
// is exact. Limits that are data rates count partition keys and data.
type Limits struct {
	// Throughput enforces what a shard takes, 1,000 records and 1 MiB per
	// second, and what it gives, 5 calls and 2 MiB per second; and for
	// on-demand streams also what the stream takes: 4 MiB/s and 4,000 records
	// per second at first, later twice the peak it has seen, reached by
	// splitting shards.
	Throughput bool

	// ControlPlane enforces the call rates of the other operations, such as
	// 20 DescribeStreamSummary per second and account.
	ControlPlane bool

	// ShardRecords replaces the 1,000 records per second, and their burst.
	ShardRecords int

	// ShardBytes replaces the 1,048,576 bytes per second.
	ShardBytes int64

	// BurstBytes is what an idle shard takes at once. Default: one second's
	// worth or the stream's maximum record, whichever is more. The service
	// does not document its number.
	BurstBytes int64
}

const (
	shardRecordsPerSecond = 1000
	shardBytesPerSecond   = 1 << 20
	shardReadsPerSecond   = 5
	shardReadBytes        = 2 << 20
)

func (l Limits) writeThroughput(maxRecordKiB int32) *throughput {
	if !l.Throughput {
		return nil
	}
	records := float64(cmp.Or(l.ShardRecords, shardRecordsPerSecond))
	rate := cmp.Or(l.ShardBytes, shardBytesPerSecond)
	burst := cmp.Or(l.BurstBytes, max(rate, int64(maxRecordKiB)<<10))
	return &throughput{calls: newBucket(records, records), bytes: newBucket(float64(rate), float64(burst))}
}

func (l Limits) readThroughput() *throughput {
	if !l.Throughput {
		return nil
	}
	return &throughput{
		calls: newBucket(shardReadsPerSecond, shardReadsPerSecond),
		bytes: newBucket(shardReadBytes, shardReadBytes),
	}
}

// throughput limits a number of things and their bytes together.
type throughput struct{ calls, bytes bucket }

// has reports whether one thing of so many bytes could be taken.
func (t *throughput) has(now time.Time, bytes int64) bool {
	t.calls.fill(now)
	t.bytes.fill(now)
	return t.calls.level >= 1 && t.bytes.level >= float64(bytes)
}

// take takes one thing of so many bytes, or nothing.
func (t *throughput) take(now time.Time, bytes int64) bool {
	if !t.has(now, bytes) {
		return false
	}
	t.calls.level--
	t.bytes.level -= float64(bytes)
	return true
}

// bucket is a token bucket. It is full at first.
type bucket struct {
	rate, burst, level float64
	at                 time.Time
}

func newBucket(rate, burst float64) bucket { return bucket{rate: rate, burst: burst, level: burst} }

func (b *bucket) fill(now time.Time) {
	if !b.at.IsZero() && now.After(b.at) {
		b.level = min(b.burst, b.level+b.rate*now.Sub(b.at).Seconds())
	}
	b.at = now
}

func (b *bucket) take(now time.Time, n float64) bool {
	b.fill(now)
	if b.level < n {
		return false
	}
	b.level -= n
	return true
}

// accountRates are calls per second and account.
var accountRates = map[string]float64{
	"CreateStream": 5, "DeleteStream": 5, "DescribeLimits": 1, "DescribeStream": 10,
	"DescribeStreamSummary": 20, "ListStreams": 5, "ListTagsForResource": 5, "ListTagsForStream": 5,
	"AddTagsToStream": 5, "RemoveTagsFromStream": 5, "TagResource": 5, "UntagResource": 5,
	"MergeShards": 5, "SplitShard": 5, "UpdateMaxRecordSize": 5, "UpdateStreamMode": 5,
	"UpdateStreamRecordDistributionStrategy": 5, "UpdateStreamWarmThroughput": 5,
	"IncreaseStreamRetentionPeriod": 5, "DecreaseStreamRetentionPeriod": 5,
	"StartStreamEncryption": 5, "StopStreamEncryption": 5,
	"EnableEnhancedMonitoring": 5, "DisableEnhancedMonitoring": 5,
}

const (
	listShardsPerSecond        = 1000 // per stream
	shardIteratorsPerSecond    = 5    // per shard
	updateShardCountsPerPeriod = 10   // per stream
	updateShardCountPeriod     = 24 * time.Hour
)

// callLimits are buckets by operation; the zero value is full.
type callLimits struct{ buckets map[string]*bucket }

func (l *callLimits) take(now time.Time, name string, rate, burst float64) bool {
	b := l.buckets[name]
	if b == nil {
		if l.buckets == nil {
			l.buckets = map[string]*bucket{}
		}
		b = new(newBucket(rate, burst))
		l.buckets[name] = b
	}
	return b.take(now, 1)
}

// limitAccount throttles a call of which the account may make so many.
func (s *Server) limitAccount(c *call) error {
	rate := accountRates[c.op]
	if !s.config.Limits.ControlPlane || rate == 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.calls.take(s.now(), c.op, rate, rate) {
		return nil
	}
	return clientError(CodeLimitExceeded, "%s", s.usualMessage(CodeLimitExceeded, c, ""))
}

// limitStream throttles a call of which a stream takes so many.
func (st *stream) limitStream(now time.Time, c *call, rate, burst float64) error {
	if !st.config.Limits.ControlPlane || st.calls.take(now, c.op, rate, burst) {
		return nil
	}
	return clientError(CodeLimitExceeded, "Rate exceeded for stream %s under account %s.", st.name, st.config.AccountID)
}

// throttled is the error of a shard that is asked for too much.
func (st *stream) throttled(sh *shard) *Error {
	return clientError(CodeThroughputExceeded, "Rate exceeded for shard %s in stream %s under account %s.", sh.id, st.name, st.config.AccountID)
}
