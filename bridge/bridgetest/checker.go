package bridgetest

import (
	"fmt"
	"maps"
	"slices"
	"sync"
)

// Checker compares what arrived with what was sent: losses, duplicates, and the
// order of first occurrences per key. The zero value is ready; it is safe for
// concurrent use.
type Checker struct {
	mu   sync.Mutex
	keys map[string]*history
}

type history struct {
	sent []uint64
	rank map[uint64]int // position in sent
	got  map[uint64]int // how often

	last      int // one more than the highest rank that arrived
	reordered int
	unknown   int
}

// Report is the result of a check.
type Report struct {
	Keys, Sent int
	Lost       int
	// Duplicates counts arrivals beyond the first.
	Duplicates int
	// Reordered counts first arrivals that came after one that was sent later
	// with the same key.
	Reordered int
	// Unknown counts arrivals of what was never sent.
	Unknown int
	// Examples tell the first things that are wrong.
	Examples []string
}

// OK reports whether nothing was lost, reordered or made up. Duplicates are
// allowed.
func (r Report) OK() bool { return r.Lost == 0 && r.Reordered == 0 && r.Unknown == 0 }

// String says what was found in one line.
func (r Report) String() string {
	return fmt.Sprintf("%d sent with %d keys: %d lost, %d reordered, %d unknown, %d duplicates %v",
		r.Sent, r.Keys, r.Lost, r.Reordered, r.Unknown, r.Duplicates, r.Examples)
}

// Sent notes that number seq was sent with a key. The order of the calls for a
// key is the order that must be kept.
func (c *Checker) Sent(key string, seq uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.history(key)
	h.rank[seq] = len(h.sent)
	h.sent = append(h.sent, seq)
}

// Got notes that number seq has arrived with a key.
func (c *Checker) Got(key string, seq uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.history(key)
	rank, ok := h.rank[seq]
	if !ok {
		h.unknown++
		return
	}
	h.got[seq]++
	if h.got[seq] > 1 {
		return
	}
	if rank+1 < h.last {
		h.reordered++
	}
	h.last = max(h.last, rank+1)
}

func (c *Checker) history(key string) *history {
	h := c.keys[key]
	if h == nil {
		h = &history{got: make(map[uint64]int), rank: make(map[uint64]int)}
		if c.keys == nil {
			c.keys = make(map[string]*history)
		}
		c.keys[key] = h
	}
	return h
}

// Report returns what was found so far.
func (c *Checker) Report() Report {
	c.mu.Lock()
	defer c.mu.Unlock()
	var r Report
	for _, key := range slices.Sorted(maps.Keys(c.keys)) {
		r.add(key, c.keys[key])
	}
	return r
}

func (r *Report) add(key string, h *history) {
	r.Keys++
	r.Sent += len(h.sent)
	r.Reordered += h.reordered
	r.Unknown += h.unknown
	if h.reordered > 0 {
		r.note("key %q: %d out of order", key, h.reordered)
	}
	if h.unknown > 0 {
		r.note("key %q: %d never sent", key, h.unknown)
	}
	for _, seq := range h.sent {
		n := h.got[seq]
		if n == 0 {
			r.Lost++
			r.note("key %q: %d is lost", key, seq)
		}
		r.Duplicates += max(n-1, 0)
	}
}

func (r *Report) note(format string, args ...any) {
	if len(r.Examples) < 5 {
		r.Examples = append(r.Examples, fmt.Sprintf(format, args...))
	}
}
