package sched

import "time"

// Hold stops handing out batches until Release; those that fly may land.
func (s *Scheduler[T]) Hold() { s.mode.hold = true }

// Release ends Hold.
func (s *Scheduler[T]) Release() { s.mode.hold = false }

// Drain stops waiting for lanes and batches to fill.
func (s *Scheduler[T]) Drain(now time.Duration) {
	s.mode.drain = true
	s.Ripen(now)
}

// Ripen makes all lanes that wait to fill ready.
func (s *Scheduler[T]) Ripen(now time.Duration) {
	for t := s.lingering.next(1<<63 - 1); t != nil; t = s.lingering.next(1<<63 - 1) {
		s.makeReady(t.lane, now)
	}
}

// Each yields every entry, in the order in which Relane asks for their lanes.
func (s *Scheduler[T]) Each(yield func(*Entry[T]) bool) {
	for l := range s.lanes.all() {
		for e := l.head; e != nil; e = e.next {
			if !yield(e) {
				return
			}
		}
	}
}

// Relane puts every entry into the lane and group that laneOf gives it, under
// new limits, and forgets all failures: the sink behind the queue is another.
// Nothing may fly. Entries of one lane stay in their order, so what has the same
// key, and therefore was in the same lane, does.
func (s *Scheduler[T]) Relane(limits Limits, laneOf func(*Entry[T]) (lane, group uint64), now time.Duration) {
	old := s.lanes
	*s = Scheduler[T]{
		limits: limits, groups: make(map[uint64]*group[T]), freeLanes: s.freeLanes,
		fresh: s.fresh, returned: s.returned, shares: s.shares, held: s.held, mode: s.mode,
	}
	for l := range old.all() {
		for e := l.head; e != nil; {
			next := e.next
			e.next = nil
			id, groupID := laneOf(e)
			to := s.lanes.get(id)
			if to == nil {
				to = s.newLane(id, groupID)
			}
			s.push(to, e)
			e = next
		}
	}
	for l := range s.lanes.all() {
		s.schedule(l, now)
	}
}

// Abandon takes out all entries that do not fly, and hands each to yield.
func (s *Scheduler[T]) Abandon(yield func(*Entry[T])) {
	for e := s.first(); e != nil; e = s.first() {
		s.unlink(e)
		yield(e)
	}
}
