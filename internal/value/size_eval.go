package value

import "math"

// Charge counts v against the arena's limit as if it had been copied there, and
// returns an error that wraps ErrLimit when that is exceeded. A list or map that
// is made of others shares their memory, but not the room that it takes when it
// is rendered: without being charged a few steps of [x, x] would make gigabytes.
func (a *Arena) Charge(v Value) error {
	if v.kind != KindList && v.kind != KindMap {
		return nil
	}
	if a != nil {
		a.used += size(v, a.limit())
	}
	return a.Err()
}

// Weight is about how many bytes v takes as text.
func (v Value) Weight() int { return size(v, math.MaxInt) }

// size is about how many bytes v takes as text; it stops counting above limit.
func size(v Value, limit int) int {
	n := 8
	switch {
	case v.kind == KindInt:
		n += v.Extent()
	case v.kind == KindString || v.form == rawJSON:
		n += int(v.n)
	case v.kind == KindList:
		for _, e := range v.list() {
			if n += size(e, limit-n); n > limit {
				return n
			}
		}
	case v.kind == KindMap:
		for _, p := range v.pairs() {
			if n += len(p.Key) + size(p.Value, limit-n); n > limit {
				return n
			}
		}
	}
	return n
}
