package kinesistest

import (
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// shard is a range of hash keys and the records that were put while it was
// open. Its stream's lock guards it.
type shard struct {
	id       string
	number   uint32
	from, to hashKey // both inclusive
	parent   string
	adjacent string // second parent, after a merge
	created  int64  // for sequence numbers: later than the parents'
	opened   time.Time
	closed   time.Time // zero while open
	log      recordLog
	stats    ShardStats
	write    *throughput // nil unless limits are enforced
	read     *throughput
}

func shardID(number uint32) string { return fmt.Sprintf("shardId-%012d", number) }

func (sh *shard) isOpen() bool { return sh.closed.IsZero() }

func (sh *shard) contains(h hashKey) bool {
	return sh.from.compare(h) <= 0 && h.compare(sh.to) <= 0
}

// sequence is the number of the record at index, stored at Unix second at.
func (sh *shard) sequence(index uint64, at int64) sequence {
	return sequence{created: sh.created, index: index, at: max(at, sh.created), shard: sh.number}
}

// put stores r and returns its sequence number.
func (sh *shard) put(r stored) sequence {
	if sh.log.len() > 0 {
		r.arrival = max(r.arrival, sh.log.at(sh.log.next-1).arrival)
	}
	sh.stats.add(&r)
	return sh.sequence(sh.log.append(r), r.arrival/1000)
}

// describe is the shard as the API shows it.
func (sh *shard) describe() types.Shard {
	out := types.Shard{
		HashKeyRange: sh.hashRange(),
		SequenceNumberRange: &types.SequenceNumberRange{
			StartingSequenceNumber: new(sh.sequence(0, sh.created).String()),
		},
		ShardId: &sh.id,
	}
	if !sh.isOpen() {
		end := sh.sequence(lastIndex, sh.closed.Unix()).String()
		out.SequenceNumberRange.EndingSequenceNumber = &end
	}
	if sh.parent != "" {
		out.ParentShardId = &sh.parent
	}
	if sh.adjacent != "" {
		out.AdjacentParentShardId = &sh.adjacent
	}
	return out
}

func (sh *shard) hashRange() *types.HashKeyRange {
	return &types.HashKeyRange{StartingHashKey: new(sh.from.String()), EndingHashKey: new(sh.to.String())}
}
