package kinesis

import (
	"cmp"
	"hash/maphash"
	"math/bits"
	"time"

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

// Lane returns the record's order domain: its stream and key or, when
// aggregating, its stream and hash slot.
func (s *Sink) Lane(r *bridge.Record) uint64 {
	lane := maphash.String(s.seed, s.dest(r))
	if !s.cfg.Aggregate {
		return bits.RotateLeft64(lane, 1) ^ maphash.Bytes(s.seed, r.Key)
	}
	mask := uint64(s.cfg.Slots - 1)
	return lane&^mask | uint64(s.slots.of(hashOfRecord(r)))
}

// dest is the stream that a record is for, which it need not name.
func (s *Sink) dest(r *bridge.Record) string { return cmp.Or(r.Dest, s.cfg.Stream) }

// Group returns what the record's lane shares with others: the shard that it
// will go to, as far as the shards are known, and else a 256th of the hashes.
func (s *Sink) Group(r *bridge.Record) uint64 {
	h := hashOfRecord(r)
	if s.cfg.Aggregate {
		h = s.slots.hashes[s.slots.of(h)]
	}
	st, err := s.streams.get(r.Dest)
	if err != nil {
		return 0
	}
	group := h.hi >> 56 << 56
	if m := st.shards.Load(); m != nil {
		if sh := m.find(h); sh != nil {
			group = sh.start.hi
		}
	}
	return maphash.String(s.seed, st.dest) ^ group
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
	l := bridge.Limits{Bytes: s.cfg.MaxRequestBytes}
	switch {
	case s.cfg.Aggregate:
		// Each record is counted with the most it can add to an aggregate, so
		// that what the pipeline gives of a lane always fits into one.
		l.Lanes = MaxEntries
		l.Overhead = kpl.MaxOverhead
		l.LaneFill = s.cfg.AggregateBytes - kpl.FixedOverhead - containerKeyBytes
		l.BatchTime = aggregateTime
		l.Bytes -= MaxEntries * (kpl.FixedOverhead + containerKeyBytes)
		if s.cfg.Ordering == Strict {
			l.LaneBytes = l.LaneFill
		}
	case s.cfg.Ordering == Strict:
		l.Records, l.LaneRecords = MaxEntries, 1
	default:
		l.Records = MaxEntries
	}
	return l
}

// aggregateTime is how long records wait for others of their slot unless the
// pipeline says otherwise: what the Kinesis Producer Library waits by default.
const aggregateTime = 100 * time.Millisecond

// containerKeyBytes is what is kept free in an aggregate for the partition key
// of its container, which is that of its first record and counts as well.
const containerKeyBytes = 64
