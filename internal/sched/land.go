package sched

import "time"

// Verdict is what became of an entry in a batch.
type Verdict struct {
	Fate Fate
	// After is how long the lane waits at least, with Throttled.
	After time.Duration
}

// Fate is the kind of a verdict; the package's documentation lists what each
// does.
type Fate uint8

// The fates. A record that is Stored or Ended leaves, all others stay.
const (
	Stored Fate = iota
	Ended       // it leaves, and was not stored
	Retry
	Throttled
	Unavailable
	Refused
)

// leaves reports whether the entry is done with.
func (f Fate) leaves() bool { return f <= Ended }

// passRetry bounds how long a lane waits for the place where its first record is
// to be passed on to.
const passRetry = 100 * time.Millisecond

// quickRefusal is how long after it was sent a throttled lane is sent again, at
// the earliest.
const quickRefusal = time.Millisecond

// Land takes back a batch. Entries whose verdict is Stored or Ended have left and
// are the caller's.
func (s *Scheduler[T]) Land(b *Batch[T], now time.Duration) {
	s.landed(b)
	switch {
	case b.Pass:
	case b.Whole:
		s.trouble.failures++
		wait := max(s.limits.Backoff(s.trouble.failures), b.Verdicts[0].After)
		if b.Verdicts[0].Fate == Unavailable {
			wait = s.limits.Resume
		}
		s.trouble.until = now + wait
	default:
		s.trouble.failures = 0
		s.measure(b, now)
	}
	for _, r := range b.runs {
		s.landRun(b, r, now)
	}
	for _, r := range b.runs {
		s.landGroup(r.group, b.Sent, now)
	}
}

// Revert takes back a batch of which nothing is known: all of it stays, and is
// sent again at once.
func (s *Scheduler[T]) Revert(b *Batch[T], now time.Duration) {
	s.landed(b)
	b.Verdicts = b.Verdicts[:0]
	for range b.Entries {
		b.Verdicts = append(b.Verdicts, Verdict{Fate: Throttled}) // the one that waits for nothing
	}
	for _, r := range b.runs {
		s.keep(b, r)
		s.makeReady(r.lane, now)
	}
	for _, r := range b.runs {
		s.activate(r.group, now)
	}
}

// measure notes how fast the batch was, and its group if it flew alone.
func (s *Scheduler[T]) measure(b *Batch[T], now time.Duration) {
	d := now - b.Sent
	if b.alone {
		g := b.runs[0].group
		g.measured, g.apart = now, s.pace.slow(d)
	}
	s.pace.landed(d, b.alone, now)
}

// keep takes the entries of a run that have left out of their lane, and leaves
// the rest at its head in the old order. It returns the first verdict of those
// that stay, if any do, and whether one was stored.
func (s *Scheduler[T]) keep(b *Batch[T], r run[T]) (first Verdict, stays, stored bool) {
	l := r.lane
	behind := l.waiting()
	var head, tail *Entry[T]
	for i := r.first; i < r.first+r.count; i++ {
		e := b.Entries[i]
		e.next = nil
		var v Verdict
		if len(b.Verdicts) > 0 {
			v = b.Verdicts[i]
		}
		if v.Fate.leaves() {
			l.records--
			l.bytes -= s.size(e)
			s.forget(e)
			stored = stored || v.Fate == Stored
			continue
		}
		if !stays {
			first, stays = v, true
		}
		e.passing = e.passing || v.Fate == Refused
		s.returned.push(e)
		if tail == nil {
			head = e
		} else {
			tail.next = e
		}
		tail = e
	}
	l.head = behind
	if tail != nil {
		tail.next = behind
		l.head = head
	}
	if behind == nil {
		l.tail = tail
	}
	l.lastFlying, l.state = nil, laneNew
	r.group.flying--
	return first, stays, stored
}

func (s *Scheduler[T]) landRun(b *Batch[T], r run[T], now time.Duration) {
	l, g := r.lane, r.group
	first, stays, stored := s.keep(b, r)
	// What a batch from before the parking has stored says nothing about now: a
	// parked group on the timers has sent nothing since.
	if stored && !(g.parked && g.pending()) {
		s.available(g)
	}
	if b.Whole {
		s.makeReady(l, now) // everything waits
		return
	}
	if stored || !stays {
		l.failures = 0
	}
	if !b.Pass && (stored || stays && first.Fate == Throttled) {
		g.landed++
	}
	if !stays {
		s.schedule(l, now)
		return
	}
	wait := time.Duration(0)
	switch first.Fate {
	case Throttled:
		g.refused++
		// A sink that refuses without taking any time must not be asked without
		// end before the window has learned the pace.
		wait = max(first.After, quickRefusal-(now-b.Sent))
	case Unavailable:
		s.park(g, now+s.limits.Resume)
	case Refused:
		l.failures++
		wait = min(s.limits.Backoff(l.failures), passRetry)
	default:
		l.failures++
		wait = s.limits.Backoff(l.failures)
		if b.Pass {
			wait = min(wait, passRetry)
		}
	}
	if wait <= 0 {
		s.makeReady(l, now)
		return
	}
	l.state = laneDelayed
	s.timers.add(&l.timed, now+wait)
}

// landGroup lets a group go on after lanes of it have landed, at the pace that
// its bottleneck accepts.
func (s *Scheduler[T]) landGroup(g *group[T], sent, now time.Duration) {
	if g.landed > 0 {
		g.window.Landed(g.landed, g.refused, sent, now)
		g.landed, g.refused = 0, 0
	}
	s.activate(g, now)
}

// park stops a group until a time.
func (s *Scheduler[T]) park(g *group[T], until time.Duration) {
	if !g.parked {
		g.parked = true
		s.trouble.parked++
	}
	if g.pending() {
		if g.due >= until {
			return
		}
		s.timers.remove(&g.timed)
	}
	s.timers.add(&g.timed, until)
}

// available notes that a group that was parked has taken something.
func (s *Scheduler[T]) available(g *group[T]) {
	if g.parked {
		g.parked = false
		s.trouble.parked--
	}
}
