package kinesis

import (
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// shardMap reports which shard a hash falls into. It may be out of date: it serves
// the slowing down of single shards, statistics and hints, never order.
type shardMap struct {
	shards []shard // by start, open ones only
	byID   map[string]int
}

type shard struct {
	id         string
	start, end hash // both inclusive
}

func newShardMap(list []types.Shard) *shardMap {
	m := &shardMap{byID: make(map[string]int, len(list))}
	for _, s := range list {
		if s.ShardId == nil || s.HashKeyRange == nil || s.HashKeyRange.StartingHashKey == nil ||
			s.HashKeyRange.EndingHashKey == nil {
			continue
		}
		if s.SequenceNumberRange != nil && s.SequenceNumberRange.EndingSequenceNumber != nil {
			continue // closed; some emulators list these, too
		}
		start, ok1 := parseHash(*s.HashKeyRange.StartingHashKey)
		end, ok2 := parseHash(*s.HashKeyRange.EndingHashKey)
		if ok1 && ok2 {
			m.shards = append(m.shards, shard{*s.ShardId, start, end})
		}
	}
	slices.SortFunc(m.shards, func(a, b shard) int {
		switch {
		case a.start.less(b.start):
			return -1
		case b.start.less(a.start):
			return 1
		}
		return strings.Compare(a.id, b.id)
	})
	for i := range m.shards {
		m.byID[m.shards[i].id] = i
	}
	return m
}

func (m *shardMap) same(o *shardMap) bool { return slices.Equal(m.shards, o.shards) }

// find returns the shard that h falls into, nil when the map has a hole there.
func (m *shardMap) find(h hash) *shard {
	low, high := 0, len(m.shards)
	for low < high { // the first shard that starts behind h
		if mid := (low + high) / 2; h.less(m.shards[mid].start) {
			high = mid
		} else {
			low = mid + 1
		}
	}
	if low == 0 || m.shards[low-1].end.less(h) {
		return nil
	}
	return &m.shards[low-1]
}
