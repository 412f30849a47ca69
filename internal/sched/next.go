package sched

import (
	"slices"
	"time"
)

// Batch is a list of entries that are written, or passed on, together.
type Batch[T any] struct {
	// Entries are those of each lane together, oldest first.
	Entries []*Entry[T]
	// Pass says that the entries will not be written: they are Expired or were
	// Refused, and are to be passed on to wherever such records go.
	Pass bool
	// Bytes is the sum of the entries' sizes, with their overhead.
	Bytes int
	// Sent is when Next made the batch.
	Sent time.Duration

	// Verdicts say what became of each entry; the caller sets them before
	// Land. None at all means that everything was stored. Whole says that the
	// batch failed as a whole, with the same verdict for all entries.
	Verdicts []Verdict
	Whole    bool

	runs   []run[T]
	alone  bool          // holds one group only, because that flies apart
	oldest time.Duration // when its oldest entry was added
	cost   int
}

// run is what a batch holds of one lane.
type run[T any] struct {
	lane         *lane[T]
	group        *group[T] // the lane's; the lane may end before the run does
	first, count int
}

// Lanes calls yield with the range of indexes of each lane's entries.
func (b *Batch[T]) Lanes(yield func(first, end int) bool) {
	for _, r := range b.runs {
		if !yield(r.first, r.first+r.count) {
			return
		}
	}
}

// Lane returns the id of the lane of the entry with that index.
func (b *Batch[T]) Lane(i int) uint64 { return b.Entries[i].lane.id }

func (b *Batch[T]) reset(now time.Duration) {
	clear(b.Entries)
	clear(b.runs)
	*b = Batch[T]{Entries: b.Entries[:0], Verdicts: b.Verdicts[:0], runs: b.runs[:0], Sent: now, oldest: now}
}

// Next fills b with what is to be written now, and reports whether there is
// anything. If not, Due says when to ask again. Every batch must come back by
// Land or Revert.
func (s *Scheduler[T]) Next(b *Batch[T], now time.Duration) bool {
	if s.mode.hold {
		return false
	}
	s.expireTimers(now)
	if at, ok := s.mayFly(now); !ok || at > now {
		return false
	}
	s.ripen(now)
	b.reset(now)
	var skipped ring[T] // groups that keep their turn for another batch
	for full := false; !full && s.ring.head != nil; {
		g := s.ring.pop()
		switch {
		case !s.open(g, now): // parked, or its window closed, since it was pushed
		case !s.mixes(b, g):
			skipped.push(g)
		case !s.fits(b, g.head, now):
			skipped.push(g)
			full = true
		default:
			s.board(b, g, now)
			s.activate(g, now) // its next lane comes after the other groups' turn
		}
	}
	s.ring.prepend(skipped)
	s.readySince = now
	if len(b.runs) == 0 {
		s.trouble.stuck = s.ring.head != nil
		return false
	}
	s.flights = append(s.flights, b)
	s.flying.records += len(b.Entries)
	s.flying.cost += b.cost
	if b.alone {
		s.pace.apart++
	}
	return true
}

// board takes the next lane of a group into the batch.
func (s *Scheduler[T]) board(b *Batch[T], g *group[T], now time.Duration) {
	l := g.head
	g.removeReady(l)
	s.ready -= s.offer(l)
	if len(b.runs) == 0 {
		b.Pass, b.alone = s.passes(l.head, now), s.apart(g)
	}
	g.flying++
	if !b.Pass {
		g.window.Fly()
	}
	s.take(b, l, now)
}

// mixes reports whether a lane of g may be in the batch, as far as the groups are
// concerned.
func (s *Scheduler[T]) mixes(b *Batch[T], g *group[T]) bool {
	if len(b.runs) == 0 {
		// Slow groups must not take all flights.
		return !s.apart(g) || s.pace.apart < max(1, s.limits.Flights/2)
	}
	if b.alone {
		return g == b.runs[0].group
	}
	return !s.apart(g)
}

// apart reports whether a group flies alone: because it is slow, or to find out.
func (s *Scheduler[T]) apart(g *group[T]) bool {
	return g.apart || g.measured < s.pace.suspect && len(s.groups) > 1 && len(s.groups) <= maxSuspects
}

// passes reports whether an entry is to be passed on.
func (s *Scheduler[T]) passes(e *Entry[T], now time.Duration) bool {
	return e.passing || s.limits.TTL > 0 && now-e.added > s.limits.TTL
}

// fits reports whether the batch has room for the first record of a lane.
func (s *Scheduler[T]) fits(b *Batch[T], l *lane[T], now time.Duration) bool {
	if len(b.runs) == 0 {
		return true
	}
	if s.limits.Lanes > 0 && len(b.runs) >= s.limits.Lanes || s.passes(l.head, now) != b.Pass {
		return false
	}
	return s.fitsEntry(b, l.head)
}

func (s *Scheduler[T]) fitsEntry(b *Batch[T], e *Entry[T]) bool {
	if len(b.Entries) == 0 {
		return true
	}
	return (s.limits.Records == 0 || len(b.Entries) < s.limits.Records) &&
		(s.limits.Bytes == 0 || b.Bytes+s.size(e) <= s.limits.Bytes)
}

// take moves the first records of a lane into the batch. They stay in the lane
// until they have landed.
func (s *Scheduler[T]) take(b *Batch[T], l *lane[T], now time.Duration) {
	l.state = laneFlying
	r := run[T]{lane: l, group: l.group, first: len(b.Entries)}
	bytes := 0
	for e := l.head; e != nil; e = e.next {
		if s.passes(e, now) != b.Pass {
			break
		}
		size := s.size(e)
		if r.count > 0 && (s.limits.LaneRecords > 0 && r.count >= s.limits.LaneRecords ||
			s.limits.LaneBytes > 0 && bytes+size > s.limits.LaneBytes) || !s.fitsEntry(b, e) {
			break
		}
		if b.Pass && !e.passing {
			e.Expired, e.passing = true, true
		}
		b.Entries = append(b.Entries, e)
		b.Bytes += size
		b.cost += int(e.Cost)
		b.oldest = min(b.oldest, e.added)
		bytes += size
		r.count++
		e.listed.remove(e)
		l.lastFlying = e
	}
	b.runs = append(b.runs, r)
}

// ripen makes ready the lanes that have lingered for their time, or nearly so.
func (s *Scheduler[T]) ripen(now time.Duration) {
	by := now + s.company()
	for t := s.lingering.next(by); t != nil; t = s.lingering.next(by) {
		s.makeReady(t.lane, now)
	}
}

// expireTimers makes ready what has waited long enough.
func (s *Scheduler[T]) expireTimers(now time.Duration) {
	for t := s.timers.next(now); t != nil; t = s.timers.next(now) {
		if t.lane != nil {
			s.makeReady(t.lane, now)
		} else {
			s.activate(t.group, now)
		}
	}
	if len(s.lingering) > 0 && s.lingering[0].due <= now {
		s.ripen(now)
	}
}

// mayFly returns from when on a ready lane may fly; false if not before some
// batch has landed.
func (s *Scheduler[T]) mayFly(now time.Duration) (at time.Duration, ok bool) {
	flights := len(s.flights)
	if s.ring.head == nil || s.trouble.stuck || flights >= s.limits.Flights ||
		flights > 0 && s.limits.FlightBytes > 0 && s.flying.cost >= s.limits.FlightBytes {
		return 0, false
	}
	if s.trouble.failures > 0 {
		return max(s.trouble.until, now), flights == 0 // one probe at a time
	}
	if flights == 0 || s.mode.drain || s.limits.LaneFill > 0 || s.limits.Records > 0 && s.ready >= s.limits.Records {
		return now, true
	}
	return max(s.readySince+s.limits.Linger, now), true
}

// Due returns when Next will have a batch if nothing else happens: now, or a
// later time; false if never.
func (s *Scheduler[T]) Due(now time.Duration) (at time.Duration, ok bool) {
	if s.mode.hold {
		return 0, false
	}
	at, ok = s.mayFly(now)
	see := func(t time.Duration) {
		if t = max(t, now); !ok || t < at {
			at, ok = t, true
		}
	}
	if len(s.timers) > 0 {
		see(s.timers[0].due)
	}
	if len(s.lingering) > 0 {
		see(s.lingering[0].due)
	}
	return at, ok
}

// landed takes a batch out of the flights.
func (s *Scheduler[T]) landed(b *Batch[T]) {
	i := slices.Index(s.flights, b)
	last := len(s.flights) - 1
	s.flights[i] = s.flights[last]
	s.flights[last] = nil
	s.flights = s.flights[:last]
	s.flying.records -= len(b.Entries)
	s.flying.cost -= b.cost
	if b.alone {
		s.pace.apart--
	}
	s.trouble.stuck = false
}
