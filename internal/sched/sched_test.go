package sched

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// However many lanes hold a record now and then, they cause at most four batches
// in the time for which each lingers.
func TestLingeringLanesShareBatches(t *testing.T) {
	t.Parallel()
	for _, lanes := range []int{10, 1000, 100_000} {
		t.Run(fmt.Sprint(lanes), func(t *testing.T) {
			t.Parallel()
			s := New[int](Limits{
				MaxRecords: 1 << 20, MaxCost: 1 << 30, Flights: 100, LaneFill: 1 << 20, Linger: 40 * ms, Backoff: backoff,
			})
			const latency = 20 * ms
			var flights []*Batch[int]
			batches, stored, longest := 0, 0, time.Duration(0)
			x := uint64(1)
			const records = 20_000 // one each 0.1 ms
			now := time.Duration(0)
			for i := range records {
				now = time.Duration(i) * ms / 10
				x = x*6364136223846793005 + 1442695040888963407
				s.Add(&Entry[int]{Size: 10, Cost: 10}, x>>32%uint64(lanes), 0, now)
				for len(flights) > 0 && flights[0].Sent+latency <= now {
					stored += len(flights[0].Entries)
					s.Land(flights[0], now)
					flights = flights[1:]
				}
				if b := new(Batch[int]); s.Next(b, now) {
					batches++
					flights = append(flights, b)
					longest = max(longest, now-b.oldest)
				}
			}
			require.Greater(t, stored, records*9/10)
			require.LessOrEqual(t, batches, int(now/(10*ms))+1)
			require.LessOrEqual(t, longest, 41*ms+latency+10*ms)
		})
	}
}

// A group of which every lane is refused is asked now and then, at the pace of
// its window, while another one flies; when it takes records again, so does it.
func TestThrottledGroupIsPaced(t *testing.T) {
	t.Parallel()
	const lanes, latency = 100, 10 * ms
	s := New[int](Limits{
		MaxRecords: 1 << 20, MaxCost: 1 << 30, Flights: 4, Records: 50, Linger: 10 * ms, Backoff: backoff,
	})
	now := time.Duration(0)
	add := func(group uint64) {
		for key := range uint64(lanes) {
			s.Add(&Entry[int]{Value: int(group)}, group<<32|key, group, now)
		}
	}
	// runFor lands every batch, and counts what was stored and refused by group.
	var flights []*Batch[int]
	runFor := func(d time.Duration, refuses bool) (stored, refused [2]int) {
		for end := now + d; now < end; now += ms {
			for len(flights) > 0 && flights[0].Sent+latency <= now {
				b := flights[0]
				flights = flights[1:]
				for _, e := range b.Entries {
					v := Verdict{}
					if refuses && e.Value == 1 {
						v.Fate = Throttled
						refused[e.Value]++
					} else {
						stored[e.Value]++
					}
					b.Verdicts = append(b.Verdicts, v)
				}
				s.Land(b, now)
			}
			for {
				b := new(Batch[int])
				if !s.Next(b, now) {
					break
				}
				flights = append(flights, b)
			}
			require.NoError(t, s.check(now))
			if all, flying := s.Len(); all > flying && len(flights) == 0 {
				_, ok := s.Due(now)
				require.True(t, ok)
			}
		}
		return stored, refused
	}
	add(1)
	_, refused := runFor(5*time.Second, true)
	require.Greater(t, refused[1], lanes)
	for range 5 {
		add(0)
		stored, refused := runFor(time.Second, true)
		require.Equal(t, lanes, stored[0])
		require.LessOrEqual(t, refused[1], 5)
	}
	stored, _ := runFor(20*time.Second, false)
	require.Equal(t, lanes, stored[1])
}

// When everything becomes slower, nothing is slow: no group stays apart.
func TestNobodyIsSlowWhenAllAre(t *testing.T) {
	t.Parallel()
	s := New[int](Limits{MaxRecords: 1000, MaxCost: 1000, Flights: 4, Backoff: backoff})
	now := time.Duration(0)
	fly := func(latency time.Duration) (groups int) {
		for group := range uint64(3) {
			s.Add(new(Entry[int]), group, group, now)
		}
		for {
			b := new(Batch[int])
			if !s.Next(b, now) {
				return groups
			}
			groups = max(groups, len(b.runs))
			now += latency
			s.Land(b, now)
		}
	}
	require.Equal(t, 3, fly(10*ms))
	fly(100 * ms)
	require.Equal(t, 1, fly(100*ms), "each flies alone once, to find who is slow")
	for range 1000 {
		fly(100 * ms)
	}
	require.Equal(t, 3, fly(100*ms))
	fly(10 * ms)
	require.Equal(t, 3, fly(10*ms))
}

// Groups without lanes are forgotten where there are many.
func TestGroupsAreForgotten(t *testing.T) {
	t.Parallel()
	s := New[int](Limits{MaxRecords: 1000, MaxCost: 1000, Flights: 1, Backoff: backoff})
	var b Batch[int]
	for group := range uint64(3 * manyGroups) {
		s.Add(new(Entry[int]), group, group, 0)
		require.True(t, s.Next(&b, 0))
		s.Land(&b, 0)
	}
	require.LessOrEqual(t, len(s.groups), manyGroups+1)
	require.Zero(t, s.Lanes())
}

// A key that is used once does not outlive its record, though nothing is sent.
func TestLanesAreForgotten(t *testing.T) {
	t.Parallel()
	s := New[int](Limits{MaxRecords: 10, MaxCost: 10, OnFull: DropOldest, Flights: 1, Backoff: backoff})
	s.Hold()
	for key := range uint64(10_000) {
		e := new(Entry[int])
		for a := Dropped; a == Dropped; {
			a, _ = s.Add(e, key, 0, 0)
		}
	}
	require.Equal(t, 10, s.Lanes())
	require.NoError(t, s.check(0))
}

// An entry that has left may be used again.
func TestEntriesAreUsedAgain(t *testing.T) {
	t.Parallel()
	s := New[int](Limits{MaxRecords: 10, MaxCost: 10, Flights: 1, TTL: time.Second, Backoff: backoff})
	var e Entry[int]
	var b Batch[int]
	s.Add(&e, 1, 0, 0)
	require.True(t, s.Next(&b, 2*time.Second))
	require.True(t, b.Pass)
	require.True(t, e.Expired)
	b.Verdicts = append(b.Verdicts, Verdict{Fate: Ended})
	s.Land(&b, 2*time.Second)

	s.Add(&e, 1, 0, 2*time.Second)
	require.True(t, s.Next(&b, 2*time.Second))
	require.False(t, b.Pass)
	require.False(t, e.Expired)
}
