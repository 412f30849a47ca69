package sched

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

const ms = time.Millisecond

// Random histories agree with a naive model. Choices are uniform here, and
// biased to the ends in TestShrunkHistories, where a failure is made simple.
func TestHistories(t *testing.T) {
	t.Parallel()
	for seed := range uint64(150) {
		random := rand.New(rand.NewPCG(seed, 0))
		steps := 500
		h := &history{t: t, choose: random.IntN, fail: func(format string, args ...any) {
			t.Fatalf("seed %d: "+format, append([]any{seed}, args...)...)
		}}
		h.run(func() bool { steps--; return steps >= 0 })
	}
}

func TestShrunkHistories(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		steps := rapid.IntRange(0, 300).Draw(r, "steps")
		h := &history{t: t, fail: r.Fatalf, choose: func(n int) int { return rapid.IntRange(0, n-1).Draw(r, "") }}
		h.run(func() bool { steps--; return steps >= 0 })
	})
}

// FuzzScheduler makes a history of bytes.
func FuzzScheduler(f *testing.F) {
	for _, seed := range []string{
		"", "add\x00next\x00land",
		"\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x30\x40\x00\x00\x50",
	} {
		f.Add([]byte(seed))
	}
	for seed := range byte(16) { // longer ones, that do a bit of everything
		long := make([]byte, 2000)
		x := uint32(seed) + 1
		for i := range long {
			x ^= x << 13
			x ^= x >> 17
			x ^= x << 5
			long[i] = byte(x)
		}
		f.Add(long)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		h := &history{t: t, fail: t.Fatalf, choose: func(n int) int {
			if len(data) == 0 {
				return 0
			}
			k := int(data[0]) % n
			data = data[1:]
			return k
		}}
		h.run(func() bool { return len(data) > 0 })
	})
}

// history runs random operations on a scheduler and on the model. All choices
// are made by choose, which returns a number below n.
type history struct {
	t      *testing.T
	fail   func(format string, args ...any)
	choose func(n int) int

	s       *Scheduler[int]
	m       *model
	now     time.Duration
	added   int // entries, which are numbered
	left    []bool
	passing []bool // by entry: it will not be written
	lanes   int    // different ids
	log     []string
}

func (h *history) require(ok bool, format string, args ...any) {
	if !ok {
		h.fail("%s\nafter %v", fmt.Sprintf(format, args...), h.log)
	}
}

func (h *history) chance(percent int) bool { return h.choose(100) < percent }

// oneOf chooses among values; the first is the simplest.
func oneOf[V any](h *history, values ...V) V { return values[h.choose(len(values))] }

func (h *history) chooseLimits() Limits {
	return Limits{
		MaxRecords: oneOf(h, 1000, 20, 5, 1), MaxCost: oneOf(h, 1<<20, 2000, 100), OnFull: oneOf(h, Block, DropOldest, DropNewest),
		Sources: 2 - h.choose(2), TTL: oneOf(h, 0, 0, 50*ms),
		Records: oneOf(h, 5, 0, 1, 20), Bytes: oneOf(h, 0, 100, 500), Lanes: oneOf(h, 0, 0, 1, 2), Overhead: oneOf(h, 0, 10),
		LaneRecords: oneOf(h, 0, 0, 1, 3), LaneBytes: oneOf(h, 0, 100), LaneFill: oneOf(h, 0, 0, 100),
		Linger: oneOf(h, 0, 8*ms, 40*ms), Flights: oneOf(h, 3, 1, 2), FlightBytes: oneOf(h, 0, 100),
		Backoff: backoff, Resume: 100 * ms,
	}
}

func backoff(failures int) time.Duration { return min(10*ms<<(failures-1), 200*ms) }

func (h *history) run(steps func() bool) {
	h.lanes = oneOf(h, 3, 1, 10)
	limits := h.chooseLimits()
	h.s, h.m = New[int](limits), newModel(limits)
	for steps() {
		h.step()
		h.compare()
	}
	h.finish()
}

func (h *history) step() {
	switch k := h.choose(100); {
	case k < 40:
		h.add()
	case k < 60:
		h.next()
	case k < 80:
		h.land()
	case k < 90:
		h.now += time.Duration(h.choose(50)) * ms
		h.log = append(h.log, fmt.Sprint("now ", h.now))
	case k < 94:
		h.wait()
	case k < 96:
		h.revert()
	case k < 97:
		h.abandon()
	case k < 98:
		h.s.Drain(h.now)
		h.log = append(h.log, "drain")
	default:
		h.exchange()
	}
}

func (h *history) groupOf(lane uint64) uint64 { return lane % 3 }

func (h *history) add() {
	size := oneOf(h, int32(20), 0, 99, 150)
	e := &Entry[int]{
		Value: h.added, Size: size, Cost: size + int32(h.choose(2)),
		Source: uint16(h.choose(len(h.m.shares))), Optional: h.chance(20),
	}
	h.added++
	h.left = append(h.left, false)
	h.passing = append(h.passing, false)
	lane := uint64(h.choose(h.lanes))
	group := h.groupOf(lane)
	if h.chance(10) {
		group = uint64(h.choose(3)) // the lane is to move
	}
	for {
		room := h.m.hasRoom(e)
		admission, victim := h.s.Add(e, lane, group, h.now)
		h.log = append(h.log, fmt.Sprintf("add %d to %d: %d", e.Value, lane, admission))
		h.require(room == (admission == Added), "room: %v, admission %d", room, admission)
		switch {
		case admission == Added:
			h.m.add(e, lane, group)
			return
		case admission == Full:
			everythingFlies := h.m.waiting() == 0
			h.require(h.m.limits.OnFull == Block && !e.Optional || everythingFlies, "full by policy %d", h.m.limits.OnFull)
			h.leave(e)
			return
		case victim == e:
			h.require(h.m.limits.OnFull == DropNewest || e.Optional, "dropped by policy %d", h.m.limits.OnFull)
			h.leave(e)
			return
		}
		h.require(h.m.limits.OnFull != Block || victim.Optional, "a record is dropped though the policy is to block")
		h.leave(victim)
		h.dropped(victim)
	}
}

// follow moves the model's lanes to where the scheduler has moved them: to the
// group of their last entry, and not while they fly.
func (h *history) follow() {
	for id, l := range h.m.lanes {
		now := h.s.lanes.get(id).group
		if now.id == l.group {
			continue
		}
		h.require(l.flying == 0, "lane %d is moved while it flies", id)
		h.require(now.id == l.home, "lane %d is moved to group %d, its last entry is of group %d", id, now.id, l.home)
		left := l.group
		l.group = now.id
		// Whether that was its last lane for a moment is not seen here.
		m := h.m.group(left)
		m.probing = m.probing && h.s.groups[left] != nil && h.s.groups[left].parked
	}
}

// dropped takes an entry out of the model, which must be the first of its lane
// that does not fly.
func (h *history) dropped(e *Entry[int]) {
	for id, l := range h.m.lanes {
		if i := slices.Index(l.entries, e); i >= 0 {
			h.require(i == l.flying, "entry %d of lane %d is dropped, which is number %d of which %d fly", e.Value, id, i, l.flying)
			h.m.remove(l, i)
			return
		}
	}
	h.require(false, "entry %d is dropped that is not in a lane", e.Value)
}

// leave notes that an entry is the caller's again.
func (h *history) leave(e *Entry[int]) {
	h.require(!h.left[e.Value], "entry %d leaves twice", e.Value)
	h.left[e.Value] = true
}

func (h *history) abandon() {
	h.log = append(h.log, "abandon")
	h.s.Abandon(func(e *Entry[int]) {
		h.leave(e)
		h.dropped(e)
	})
	h.require(h.m.waiting() == 0, "Abandon has left something")
}

// exchange puts everything into other lanes under other limits, or only holds
// for a while.
func (h *history) exchange() {
	h.s.Hold()
	h.m.hold = true
	h.log = append(h.log, "hold")
	_, ok := h.s.Due(h.now)
	h.require(!ok && !h.next(), "a batch in spite of Hold")
	for len(h.m.flights) > 0 {
		if h.add(); h.chance(50) {
			h.land()
		} else {
			h.revert()
		}
		h.compare()
	}
	if h.chance(70) {
		h.relane()
	}
	h.s.Release()
	h.m.hold = false
	h.log = append(h.log, "release")
}

func (h *history) relane() {
	old := h.m
	sources := len(old.shares)
	limits := h.chooseLimits()
	limits.Sources = sources
	h.m = newModel(limits)
	h.m.hold = true
	stride := uint64(1 + h.choose(3))
	laneOf := func(e *Entry[int]) (lane, group uint64) {
		for id, l := range old.lanes {
			if slices.Contains(l.entries, e) {
				return id / stride, id % 2
			}
		}
		panic("an entry that is in no lane")
	}
	var asked []int
	for e := range h.s.Each {
		asked = append(asked, e.Value)
		lane, group := laneOf(e)
		if l := h.m.lanes[lane]; l != nil {
			group = l.group
		}
		h.m.add(e, lane, group)
	}
	h.s.Relane(limits, func(e *Entry[int]) (lane, group uint64) {
		h.require(e.Value == asked[0], "Relane asks for %d, Each had %d", e.Value, asked[0])
		asked = asked[1:]
		return laneOf(e)
	}, h.now)
	h.require(len(asked) == 0 && h.m.records == old.records, "Relane has lost something")
	h.log = append(h.log, "relane")
}

// compare checks that scheduler and model agree, and the scheduler with itself.
func (h *history) compare() {
	all, flying := h.s.Len()
	h.require(all == h.m.records && all-flying == h.m.waiting(), "%d entries of which %d fly, model: %d of which %d wait",
		all, flying, h.m.records, h.m.waiting())
	h.require(h.s.Cost() == h.m.cost, "cost %d, model %d", h.s.Cost(), h.m.cost)
	h.require(h.s.Failures() == h.m.failures, "%d failures, model %d", h.s.Failures(), h.m.failures)
	oldest := h.now
	for id, l := range h.m.lanes {
		h.require(h.s.lanes.get(id) != nil, "there is no lane %d", id)
		for _, e := range l.entries {
			oldest = min(oldest, e.Added())
		}
	}
	h.follow()
	h.require(h.s.Lanes() == len(h.m.lanes), "%d lanes, model %d", h.s.Lanes(), len(h.m.lanes))
	added, ok := h.s.Oldest()
	h.require(ok == (all > 0) && (!ok || added >= oldest), "oldest %v %v, model %v", added, ok, oldest)
	due, ok := h.s.Due(h.now)
	h.require(!ok || due >= h.now, "due at %v, which was before %v", due, h.now)
	h.require(ok || h.m.hold || len(h.m.flights) > 0 || h.m.waiting() == 0, "entries wait, and nobody will ask for them")
	if err := h.s.check(h.now); err != nil {
		h.require(false, "%v", err)
	}
}

// finish stores everything, and checks that each entry has left once.
func (h *history) finish() {
	for range 100_000 {
		if len(h.m.flights) == 0 {
			h.wait()
		}
		if len(h.m.flights) == 0 {
			break
		}
		b := h.m.flights[0]
		h.m.flights = h.m.flights[1:]
		h.m.flyingCost -= batchCost(b)
		if b.Pass {
			for range b.Entries {
				b.Verdicts = append(b.Verdicts, Verdict{Fate: Ended})
			}
		} else {
			h.m.failures = 0
		}
		h.now += 10 * ms
		h.landed(b, true)
		h.s.Land(b, h.now)
		h.compare()
	}
	all, _ := h.s.Len()
	h.require(all == 0 && h.s.Cost() == 0 && h.s.Lanes() == 0 && h.s.Parked() == 0,
		"at the end there are %d entries, %d bytes, %d lanes, %d parked groups", all, h.s.Cost(), h.s.Lanes(), h.s.Parked())
	require.NotContains(h.t, h.left, false, "an entry has not left")
}
