package kinesis

import (
	"cmp"
	"hash/maphash"
	"math/bits"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/internal/kpl"
)

// slots divides the hash space evenly. All records of a slot carry the slot's
// hash key, so that they land in one shard together, whichever it is.
type slots struct {
	bits     int      // log2 of their number
	hashKeys [][]byte // decimal
	hashes   []hash
}

func newSlots(n int) slots {
	s := slots{bits: bits.Len(uint(n)) - 1, hashKeys: make([][]byte, n), hashes: make([]hash, n)}
	for i := range n {
		// The middle of the slot: where a shard's border cuts through a slot,
		// the slot goes to the shard that has more of it.
		s.hashes[i] = hash{hi: uint64(i)<<(64-s.bits) | 1<<(63-s.bits)}
		s.hashKeys[i] = s.hashes[i].append(nil)
	}
	return s
}

// of is the slot that h falls into.
func (s slots) of(h hash) int { return int(h.hi >> (64 - s.bits)) }

// Lane returns the record's order domain, its stream and key or, when aggregating,
// its stream and hash slot; and as its group the shard that it will go to, as far
// as that is known, and else a 256th of the hashes.
func (s *Sink) Lane(r *bridge.Record) (lane, group uint64) {
	lane = maphash.String(s.seed, s.dest(r))
	h := hashOfRecord(r)
	if s.cfg.Aggregate {
		slot := s.slots.of(h)
		h = s.slots.hashes[slot]
		lane = lane&^uint64(s.cfg.Slots-1) | uint64(slot)
	} else {
		lane = bits.RotateLeft64(lane, 1) ^ maphash.Bytes(s.seed, r.Key)
	}
	return lane, s.group(r.Dest, h)
}

// dest is the stream that a record is for, which it need not name.
func (s *Sink) dest(r *bridge.Record) string { return cmp.Or(r.Dest, s.cfg.Stream) }

// group is what a hash of a stream shares with others: its shard, by the list of
// shards. Credentials that may only put do not get that. Then it is the shard that
// lately took a record from the same 256th of the hashes, by the replies.
func (s *Sink) group(dest string, h hash) uint64 {
	st, err := s.streams.get(dest)
	if err != nil {
		return 0
	}
	group := h.hi >> 56 << 56
	if m := st.shards.Load(); m == nil {
		group = cmp.Or(st.landed[h.hi>>56].Load(), group)
	} else if sh := m.find(h); sh != nil {
		group = sh.start.hi
	}
	return maphash.String(s.seed, st.dest) ^ group
}

// note notes where the entries of p from a on have landed.
func (p *put) note(a int, results []types.PutRecordsResultEntry) {
	s := p.write.sink
	for i := range results {
		if r := &results[i]; isStored(r) && r.ShardId != nil {
			p.stream.landed[s.hashOfEntry(p, a+i).hi>>56].Store(maphash.String(s.seed, *r.ShardId))
		}
	}
}

// hashOfEntry is where Kinesis puts an entry.
func (s *Sink) hashOfEntry(p *put, i int) hash {
	h := hashOfRecord(&p.write.records[p.entries[i].from])
	if s.cfg.Aggregate {
		h = s.slots.hashes[s.slots.of(h)]
	}
	return h
}

// hashOfRecord is where Kinesis would put the record by itself.
func hashOfRecord(r *bridge.Record) hash {
	if len(r.HashKey) > 0 {
		if h, ok := parseHash(r.HashKey); ok {
			return h
		}
	}
	return hashOf(r.Key)
}

// Limits tells the pipeline what fits into a request, and that a lane has one
// Kinesis record in flight when order is strict.
func (s *Sink) Limits() bridge.Limits {
	l := bridge.Limits{Requires: bridge.Target{Key: true, Dest: s.cfg.Stream == ""}, Bytes: s.cfg.MaxRequestBytes}
	// Each record is counted with the most it can add to an aggregate, so that
	// what the pipeline gives of a lane fits into one, which has to be a Kinesis
	// record that the stream takes.
	size := s.cfg.AggregateBytes
	if s.cfg.MaxRecordBytes > 0 {
		size = min(size, s.cfg.MaxRecordBytes)
	}
	switch {
	case s.cfg.Aggregate:
		l.Lanes = MaxEntries
		l.Overhead = kpl.MaxOverhead
		l.LaneFill = max(1, size-kpl.FixedOverhead-containerKeyBytes)
		l.BatchTime = aggregateTime
		l.Bytes -= MaxEntries * (kpl.FixedOverhead + containerKeyBytes)
	case s.cfg.Pack == Lines:
		l.Lanes = MaxEntries
		l.Overhead = len("\n")
		l.LaneFill = size
		l.BatchTime = aggregateTime
	case s.cfg.Ordering == Strict:
		l.Records, l.LaneRecords = MaxEntries, 1
	default:
		l.Records = MaxEntries
	}
	if s.cfg.Ordering == Strict {
		l.LaneBytes = l.LaneFill
	}
	return l
}

// aggregateTime is how long records wait for others of their slot unless the
// pipeline says otherwise: what the Kinesis Producer Library waits by default.
const aggregateTime = 100 * time.Millisecond

// containerKeyBytes is what is kept free in an aggregate for the partition key
// of its container, which is that of its first record and counts as well.
const containerKeyBytes = 64
