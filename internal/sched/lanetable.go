package sched

import "iter"

// laneTable finds lanes by id: a hash table with open addressing, linear probing
// and deletion by shifting back. A lane is looked up, added and removed once per
// record when keys are many, which with Go's map is a fifth of the engine's cost.
// Ids are spread by a multiplication, so that small numbers do as well.
type laneTable[T any] struct {
	slots []laneSlot[T] // a power of two, at most half full
	shift uint          // 64 - log2(len(slots))
	len   int
}

type laneSlot[T any] struct {
	id   uint64
	lane *lane[T] // nil: free
}

const (
	minLaneTable  = 64
	idleLaneTable = 4096 // a table of up to 64 KiB is not made smaller
)

func (t *laneTable[T]) home(id uint64) int {
	return int(id * 0x9e3779b97f4a7c15 >> t.shift) // Knuth's multiplier, 2^64/phi
}

func (t *laneTable[T]) get(id uint64) *lane[T] {
	if t.len == 0 {
		return nil
	}
	for i := t.home(id); ; i = (i + 1) & (len(t.slots) - 1) {
		if s := &t.slots[i]; s.lane == nil || s.id == id {
			return s.lane
		}
	}
}

// add puts a lane whose id is not in the table into it.
func (t *laneTable[T]) add(l *lane[T]) {
	if 2*(t.len+1) > len(t.slots) {
		t.resize(max(minLaneTable, 2*len(t.slots)))
	}
	t.len++
	t.place(l)
}

func (t *laneTable[T]) place(l *lane[T]) {
	i := t.home(l.id)
	for t.slots[i].lane != nil {
		i = (i + 1) & (len(t.slots) - 1)
	}
	t.slots[i] = laneSlot[T]{l.id, l}
}

func (t *laneTable[T]) remove(id uint64) {
	mask := len(t.slots) - 1
	i := t.home(id)
	for t.slots[i].id != id || t.slots[i].lane == nil {
		i = (i + 1) & mask
	}
	// Move back what was pushed away from its home by the removed slot.
	for j := (i + 1) & mask; t.slots[j].lane != nil; j = (j + 1) & mask {
		if home := t.home(t.slots[j].id); (j-home)&mask >= (j-i)&mask {
			t.slots[i] = t.slots[j]
			i = j
		}
	}
	t.slots[i] = laneSlot[T]{}
	t.len--
	if len(t.slots) > idleLaneTable && 16*t.len < len(t.slots) {
		t.resize(len(t.slots) / 4)
	}
}

func (t *laneTable[T]) resize(size int) {
	old := t.slots
	t.slots = make([]laneSlot[T], size)
	t.shift = 64
	for n := size; n > 1; n >>= 1 {
		t.shift--
	}
	for _, s := range old {
		if s.lane != nil {
			t.place(s.lane)
		}
	}
}

// all yields the lanes; the table must not change meanwhile.
func (t *laneTable[T]) all() iter.Seq[*lane[T]] {
	return func(yield func(*lane[T]) bool) {
		for _, s := range t.slots {
			if s.lane != nil && !yield(s.lane) {
				return
			}
		}
	}
}
