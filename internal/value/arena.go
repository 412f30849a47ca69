package value

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// keep is the largest chunk that an Arena keeps for the next evaluation.
const keep = 1 << 20

// Arena is the memory of one evaluation: strings, lists and maps that are made on
// the way. Reset makes it empty again and keeps its memory, so that evaluations
// of a rule do not allocate once the arena has the size that they need. A nil
// Arena works and takes everything from the heap. An Arena is not safe for
// concurrent use.
type Arena struct {
	// Limit is how many bytes one evaluation may make, default DefaultLimit.
	Limit int
	// Time is how long one evaluation may work, default DefaultTime.
	Time time.Duration

	bytes []byte
	vals  []Value
	pairs []Pair
	// What the chunks were too small for since the last Reset.
	lostBytes, lostVals, lostPairs int
	used                           int

	work, tick int // bytes worked on, and when to look at the clock
	started    time.Time
	late       bool
}

// Reset empties the arena; every Value made in it becomes invalid.
func (a *Arena) Reset() {
	a.bytes = renew(a.bytes, a.lostBytes, keep)
	clear(a.vals)
	a.vals = renew(a.vals, a.lostVals, keep/24)
	clear(a.pairs)
	a.pairs = renew(a.pairs, a.lostPairs, keep/40)
	a.lostBytes, a.lostVals, a.lostPairs, a.used = 0, 0, 0, 0
	a.work, a.tick, a.started, a.late = 0, tick, time.Time{}, false
}

// renew empties a chunk, or makes one that would have been large enough.
func renew[T any](chunk []T, lost, most int) []T {
	if lost == 0 {
		return chunk[:0]
	}
	return make([]T, 0, min(2*(len(chunk)+lost), most))
}

// Buffer returns an empty buffer with room for n bytes to append to. Nothing else
// may be taken from the arena's byte memory until its result has been given to
// Keep, or dropped.
func (a *Arena) Buffer(n int) []byte {
	if a == nil {
		return make([]byte, 0, n)
	}
	if free := a.bytes[len(a.bytes):cap(a.bytes)]; len(free) >= n {
		return free[:0]
	}
	a.lostBytes += len(a.bytes) + n
	a.bytes = make([]byte, 0, max(1024, n))
	return a.bytes
}

// Keep makes what was appended to a Buffer part of the arena and returns it as a
// string that is valid until Reset.
func (a *Arena) Keep(b []byte) string {
	if a == nil || len(b) == 0 {
		return view(b)
	}
	a.used += len(b)
	free := a.bytes[len(a.bytes):cap(a.bytes)]
	if len(free) > 0 && &free[0] == &b[0] {
		a.bytes = a.bytes[:len(a.bytes)+len(b)]
	} else { // it outgrew the chunk
		a.lostBytes += len(b)
	}
	return view(b)
}

// Values returns n undefined values, for List.
func (a *Arena) Values(n int) []Value {
	if a == nil {
		return make([]Value, n)
	}
	a.used += 24 * n
	if cap(a.vals)-len(a.vals) < n {
		a.lostVals += len(a.vals) + n
		a.vals = make([]Value, 0, max(32, n))
	}
	at := len(a.vals)
	a.vals = a.vals[:at+n]
	return a.vals[at : at+n : at+n]
}

// Pairs returns n empty pairs, for Map.
func (a *Arena) Pairs(n int) []Pair {
	if a == nil {
		return make([]Pair, n)
	}
	a.used += 40 * n
	if cap(a.pairs)-len(a.pairs) < n {
		a.lostPairs += len(a.pairs) + n
		a.pairs = make([]Pair, 0, max(16, n))
	}
	at := len(a.pairs)
	a.pairs = a.pairs[:at+n]
	return a.pairs[at : at+n : at+n]
}

// String returns a string that is a copy of s in the arena.
func (a *Arena) String(s string) Value { return String(a.Keep(append(a.Buffer(len(s)), s...))) }

// sortManyPairs is sortPairs for long input.
func sortManyPairs(p []Pair) []Pair {
	slices.SortStableFunc(p, func(a, b Pair) int { return cmp.Compare(a.Key, b.Key) })
	out := p[:0]
	for i, x := range p {
		if i+1 == len(p) || p[i+1].Key != x.Key {
			out = append(out, x)
		}
	}
	return out
}

// Put returns the map m with the member key set to v; m itself stays as it is.
func (a *Arena) Put(m Value, key string, v Value) Value {
	old := m.Pairs(a)
	i, found := slices.BinarySearchFunc(old, key, func(p Pair, k string) int { return strings.Compare(p.Key, k) })
	n := len(old)
	if !found {
		n++
	}
	out := a.Pairs(n)
	copy(out, old[:i])
	out[i] = Pair{key, v}
	if found {
		copy(out[i+1:], old[i+1:])
	} else {
		copy(out[i+1:], old[i:])
	}
	return sortedMap(out)
}

// PutAll returns the map m with members, which are sorted and have different keys,
// set; m itself stays as it is, and what is no map counts as an empty one.
func (a *Arena) PutAll(m Value, members []Pair) Value {
	old := m.Pairs(a)
	if len(old) == 0 {
		return sortedMap(members)
	}
	out := a.Pairs(len(old) + len(members))[:0]
	for _, p := range old {
		for len(members) > 0 && members[0].Key < p.Key {
			out, members = append(out, members[0]), members[1:]
		}
		if len(members) > 0 && members[0].Key == p.Key {
			p, members = members[0], members[1:]
		}
		out = append(out, p)
	}
	return sortedMap(append(out, members...))
}
