package kinesis

import (
	"crypto/sha256"
	"encoding/binary"
	"iter"
)

// Dedup recognizes records that were stored twice, by their IDs, among the last
// Window different ones. It is for one consumer: of a shard, or of all shards if
// those may split. With a window of at least the records that can be stored
// between two writes of the same one, what comes out of it is exactly once and in
// order; see docs/producer.md for how many those are.
//
// It takes 14 bytes for each record of the window. Of an ID it keeps 64 bits of its
// SHA-256 hash: two different IDs are taken for one with a probability of Window in
// 1.8e19. The zero Dedup is ready for use, with a window of 100,000. It is not safe
// for concurrent use.
type Dedup struct {
	// Window is how many IDs are remembered, up to 1<<31. It must not change.
	// Default 100,000.
	Window int

	ring  []uint64 // hashes, in the order in which they came
	next  int      // where in ring the next one goes
	full  bool     // ring has one at next, which leaves
	table []uint32 // open addressing: 1 + index into ring, 0 free
}

// dedupWindow is the default of Dedup.Window.
const dedupWindow = 100_000

// Seen reports whether the ID is among the remembered ones, and remembers it. An
// empty ID is never seen.
func (d *Dedup) Seen(id string) bool {
	if id == "" {
		return false
	}
	if d.ring == nil {
		if d.Window <= 0 {
			d.Window = dedupWindow
		}
		d.ring = make([]uint64, d.Window)
		d.table = make([]uint32, d.Window+d.Window/2+1)
	}
	sum := sha256.Sum256([]byte(id))
	h := binary.BigEndian.Uint64(sum[:])
	if d.table[d.find(h)] != 0 {
		return true
	}
	if d.full {
		d.remove(d.find(d.ring[d.next]))
	}
	d.ring[d.next] = h
	d.table[d.find(h)] = uint32(d.next) + 1
	if d.next++; d.next == len(d.ring) {
		d.next, d.full = 0, true
	}
	return false
}

// home is where in the table a hash is looked for first.
func (d *Dedup) home(h uint64) int { return int(h % uint64(len(d.table))) }

// find returns where in the table a hash is, or the free place where it goes.
func (d *Dedup) find(h uint64) int {
	i := d.home(h)
	for d.table[i] != 0 && d.ring[d.table[i]-1] != h {
		if i++; i == len(d.table) {
			i = 0
		}
	}
	return i
}

// remove frees a place of the table, and moves up those behind it that are looked
// for there.
func (d *Dedup) remove(free int) {
	d.table[free] = 0
	for i := free; ; {
		if i++; i == len(d.table) {
			i = 0
		}
		if d.table[i] == 0 {
			return
		}
		home := d.home(d.ring[d.table[i]-1])
		// It may move to the free place unless its home lies behind that.
		if distance(home, i, len(d.table)) >= distance(free, i, len(d.table)) {
			d.table[free], d.table[i] = d.table[i], 0
			free = i
		}
	}
}

// distance is the way from one place of a ring of n to another.
func distance(from, to, n int) int {
	if to < from {
		to += n
	}
	return to - from
}

// First yields the records that were not seen before, and those without an ID.
func (d *Dedup) First(records iter.Seq[UserRecord]) iter.Seq[UserRecord] {
	return func(yield func(UserRecord) bool) {
		for r := range records {
			if !d.Seen(r.ID) && !yield(r) {
				return
			}
		}
	}
}
