package sched

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// steady adds, sends and lands batches of 100 entries over so many lanes. It
// returns a function that does so with one batch.
func steady(lanes int, limits Limits) func() {
	const size = 100
	limits.MaxRecords, limits.MaxCost, limits.Flights, limits.Records, limits.Backoff = 1<<20, 1<<30, 4, size, backoff
	s := New[int](limits)
	entries := make([]Entry[int], max(2*lanes, 2*size))
	free := make([]*Entry[int], 0, len(entries))
	for i := range entries {
		entries[i] = Entry[int]{Size: 100, Cost: 300}
		free = append(free, &entries[i])
	}
	next, now := uint64(0), time.Duration(0)
	add := func() {
		e := free[len(free)-1]
		free = free[:len(free)-1]
		next++
		s.Add(e, next%uint64(lanes), next%uint64(lanes)%4, now)
	}
	for range max(lanes, size) {
		add()
	}
	var b Batch[int]
	return func() {
		for range size {
			if len(free) > 0 {
				add()
			}
		}
		for !s.Next(&b, now) {
			now += ms
		}
		// In turn entries stay, and go back to the head of their lanes.
		stay := next%3 == 0
		for i := range b.Entries {
			v := Verdict{}
			if stay && i%2 == 1 {
				v.Fate = Retry
			}
			b.Verdicts = append(b.Verdicts, v)
		}
		for first, end := range b.Lanes {
			for i := first + 1; i < end; i++ {
				if !b.Verdicts[i-1].Fate.leaves() {
					b.Verdicts[i] = b.Verdicts[i-1]
				}
			}
		}
		verdicts := b.Verdicts
		now += ms
		s.Land(&b, now)
		for i, e := range b.Entries {
			if verdicts[i].Fate.leaves() {
				free = append(free, e)
			}
		}
	}
}

func BenchmarkSteady(b *testing.B) {
	for _, lanes := range []int{1, 1000, 100_000} {
		b.Run(fmt.Sprint("lanes=", lanes), func(b *testing.B) {
			round := steady(lanes, Limits{})
			b.ReportAllocs()
			for b.Loop() {
				round()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100, "ns/entry")
		})
	}
}

// flooded returns a function that adds an entry to a full queue with so many
// batches of 500 in flight.
func flooded(policy Policy, flights int) func() {
	const size = 500
	s := New[int](Limits{
		MaxRecords: flights*size + 1000, MaxCost: 1 << 30, OnFull: policy, Flights: flights, Records: size, Backoff: backoff,
	})
	next := uint64(0)
	add := func(e *Entry[int]) (Admission, *Entry[int]) { return s.Add(e, next%50_000, 0, 0) }
	fill := func(n int) {
		for range n {
			next++
			add(new(Entry[int]))
		}
	}
	for range flights {
		fill(size)
		if !s.Next(new(Batch[int]), 0) {
			panic("no batch")
		}
	}
	fill(1000)
	e := new(Entry[int])
	return func() {
		next++
		if _, victim := add(e); victim != e {
			if a, _ := add(e); a != Added {
				panic("no room after a drop")
			}
			e = victim
		}
	}
}

// What is dropped is found at once, whatever flies.
func BenchmarkFull(b *testing.B) {
	for _, flights := range []int{0, 16, 64} {
		for name, policy := range map[string]Policy{"newest": DropNewest, "oldest": DropOldest} {
			b.Run(fmt.Sprintf("drop=%s/flights=%d", name, flights), func(b *testing.B) {
				add := flooded(policy, flights)
				b.ReportAllocs()
				for b.Loop() {
					add()
				}
			})
		}
	}
}

// In the steady state nothing is allocated.
func TestNoAllocations(t *testing.T) {
	for _, lanes := range []int{1, 1000, 100_000} {
		round := steady(lanes, Limits{})
		for range 2 * lanes / 100 { // until all memory is there
			round()
		}
		require.Zero(t, testing.AllocsPerRun(100, round), "%d lanes", lanes)
	}
	for _, policy := range []Policy{DropNewest, DropOldest} {
		require.Zero(t, testing.AllocsPerRun(100, flooded(policy, 64)), "policy %d", policy)
	}
}
