package kinesistest

import (
	"slices"
	"sort"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// stream is a data stream. mu guards everything that can change.
type stream struct {
	name    string
	arn     string
	created time.Time
	config  *Config
	disk    *streamDir // nil unless the server persists

	mu           sync.Mutex
	status       types.StreamStatus
	gone         bool            // deleted
	until        time.Time       // when the status ends, zero for never
	then         func(time.Time) // what happens at until, may be nil
	trimmed      int64           // Unix second of the last look at the retention
	mode         types.StreamMode
	retention    time.Duration
	maxRecordKiB int32
	warmMiBps    int32
	distribution types.RecordDistributionStrategy
	encryption   types.EncryptionType
	keyID        string
	metrics      []types.MetricsName
	tags         map[string]string
	shards       []*shard // by number; closed ones stay until their records expire
	open         []*shard // by range
	nextShard    uint32
	nextAuto     int         // round robin of the AUTO distribution
	calls        callLimits  // control-plane calls of this stream
	demand       onDemand    // capacity of an on-demand stream
	stats        StreamStats // but for what the shards still there count
}

// settle lets time pass: it ends a CREATING or UPDATING state that is over and
// removes what is older than the retention period.
func (st *stream) settle(now time.Time) {
	if !st.until.IsZero() && !now.Before(st.until) {
		then, at := st.then, st.until
		st.status, st.then, st.until = types.StreamStatusActive, nil, time.Time{}
		if then != nil {
			then(at)
		}
		st.saveMeta()
	}
	if now.Unix() == st.trimmed {
		return // Once a second is enough, for there may be thousands of shards.
	}
	st.trimmed = now.Unix()
	horizon := now.Add(-st.retention)
	for _, sh := range st.shards {
		st.trim(sh, horizon)
	}
	expired := func(sh *shard) bool {
		return !sh.isOpen() && sh.log.len() == 0 && sh.closed.Before(horizon)
	}
	if slices.ContainsFunc(st.shards, expired) {
		st.shards = slices.DeleteFunc(st.shards, func(sh *shard) bool {
			if !expired(sh) {
				return false
			}
			st.stats.addAll(sh.stats)
			return true
		})
		st.saveMeta()
	}
}

// trim removes what sh holds beyond its limits, or from before the horizon.
func (st *stream) trim(sh *shard, horizon time.Time) {
	before := sh.log.base
	sh.log.trim(horizon.UnixMilli(), st.config.MaxShardRecords, st.config.MaxShardBytes)
	if st.disk != nil && sh.log.base != before {
		st.disk.drop(sh, before)
	}
}

// update puts the stream into UPDATING for the configured time, then applies
// change; at once when no time is configured.
func (st *stream) update(now time.Time, change func(time.Time)) {
	if st.config.UpdateDelay <= 0 {
		change(now)
		st.saveMeta()
		return
	}
	st.status, st.until, st.then = types.StreamStatusUpdating, now.Add(st.config.UpdateDelay), change
}

// shard finds a shard by its id, or returns nil.
func (st *stream) shard(id string) *shard {
	for _, sh := range st.shards {
		if sh.id == id {
			return sh
		}
	}
	return nil
}

// owner is the open shard that takes records of the hash.
func (st *stream) owner(h hashKey) *shard {
	return st.open[sort.Search(len(st.open), func(i int) bool { return h.compare(st.open[i].to) <= 0 })]
}

// addShard opens a shard. Its number in sequence numbers is later than those
// of its parents even when the clock has not moved since they were opened.
func (st *stream) addShard(now time.Time, from, to hashKey, parents ...*shard) *shard {
	sh := &shard{
		id: shardID(st.nextShard), number: st.nextShard, from: from, to: to,
		created: now.Unix(), opened: now, log: newRecordLog(),
		write: st.config.Limits.writeThroughput(st.maxRecordKiB), read: st.config.Limits.readThroughput(),
	}
	for i, p := range parents {
		sh.created = max(sh.created, p.created+1)
		if i == 0 {
			sh.parent = p.id
		} else {
			sh.adjacent = p.id
		}
	}
	st.nextShard++
	st.shards = append(st.shards, sh)
	at := sort.Search(len(st.open), func(i int) bool { return from.compare(st.open[i].from) < 0 })
	st.open = slices.Insert(st.open, at, sh)
	return sh
}

func (st *stream) closeShard(now time.Time, sh *shard) {
	sh.closed = now
	st.open = slices.DeleteFunc(st.open, func(o *shard) bool { return o == sh })
}

// createShards opens n shards of equal width.
func (st *stream) createShards(now time.Time, n int) {
	for i := range n {
		to := maxHashKey
		if i < n-1 {
			to = uniformStart(i+1, n).prev()
		}
		st.addShard(now, uniformStart(i, n), to)
	}
}

// split closes sh and opens two children, of which the second starts at the
// hash key.
func (st *stream) split(now time.Time, sh *shard, at hashKey) (low, high *shard) {
	st.closeShard(now, sh)
	return st.addShard(now, sh.from, at.prev(), sh), st.addShard(now, at, sh.to, sh)
}

// merge closes two neighbours, the lower first, and opens their child.
func (st *stream) merge(now time.Time, low, high *shard) *shard {
	st.closeShard(now, low)
	st.closeShard(now, high)
	return st.addShard(now, low.from, high.to, low, high)
}

// reshard brings the stream to n shards of equal width by splits and merges of
// neighbours. As with UpdateShardCount of the service that may make shards
// which are closed again at once.
func (st *stream) reshard(now time.Time, n int) {
	for i := 1; i < n; i++ {
		at := uniformStart(i, n)
		if sh := st.owner(at); sh.from != at {
			st.split(now, sh, at)
		}
	}
	for i := range n {
		low, to := st.owner(uniformStart(i, n)), maxHashKey
		if i < n-1 {
			to = uniformStart(i+1, n).prev()
		}
		for low.to != to {
			low = st.merge(now, low, st.owner(low.to.next()))
		}
	}
}

// widest is the open shard with the widest range of hash keys.
func (st *stream) widest() *shard {
	width := func(sh *shard) hashKey {
		m := sh.from.middle(sh.to)
		return hashKey{m.hi - sh.from.hi, 0}
	}
	return slices.MaxFunc(st.open, func(a, b *shard) int { return width(a).compare(width(b)) })
}

// children lists the shards that sh was split or merged into.
func (st *stream) children(sh *shard) (out []*shard) {
	for _, c := range st.shards {
		if c.parent == sh.id || c.adjacent == sh.id {
			out = append(out, c)
		}
	}
	return out
}
