package sched

import (
	"fmt"
	"time"
)

// check returns what is inconsistent in the scheduler's own structures, or nil.
func (s *Scheduler[T]) check(now time.Duration) error {
	c := checker[T]{s: s, seen: make(map[*Entry[T]]string)}
	c.flights()
	c.lanes()
	c.list("fresh", &s.fresh)
	c.list("returned", &s.returned)
	c.heap("timers", s.timers)
	c.heap("lingering", s.lingering)
	c.groups(now)
	return c.err
}

type checker[T any] struct {
	s    *Scheduler[T]
	seen map[*Entry[T]]string // where each entry is that does not fly, or "flying"
	err  error

	flying map[*lane[T]]*Entry[T] // the last entry that flies of each lane
}

func (c *checker[T]) assert(ok bool, format string, args ...any) {
	if !ok && c.err == nil {
		c.err = fmt.Errorf(format, args...)
	}
}

func (c *checker[T]) flights() {
	c.flying = make(map[*lane[T]]*Entry[T])
	var all share
	apart := 0
	for _, b := range c.s.flights {
		for _, e := range b.Entries {
			c.assert(c.seen[e] == "", "an entry of lane %d flies twice", e.lane.id)
			c.assert(e.listed == nil, "an entry of lane %d flies and is in a list", e.lane.id)
			c.seen[e] = "flying"
			all.add(e.Cost)
		}
		for _, r := range b.runs {
			c.assert(c.flying[r.lane] == nil, "lane %d is in two batches", r.lane.id)
			c.assert(r.lane.state == laneFlying, "lane %d flies, its state is %d", r.lane.id, r.lane.state)
			c.flying[r.lane] = b.Entries[r.first+r.count-1]
		}
		if b.alone {
			apart++
		}
	}
	c.assert(all == c.s.flying, "%+v flies, counted are %+v", all, c.s.flying)
	c.assert(apart == c.s.pace.apart, "%d batches fly apart, counted are %d", apart, c.s.pace.apart)
}

func (c *checker[T]) lanes() {
	s := c.s
	lanes, ready := 0, 0
	var held share
	shares := make([]share, len(s.shares))
	for l := range s.lanes.all() {
		lanes++
		c.assert(s.lanes.get(l.id) == l, "lane %d is not found", l.id)
		c.assert(s.groups[l.group.id] == l.group, "the group of lane %d is not found", l.id)
		c.assert(l.state != laneNew, "lane %d is in no list", l.id)
		c.assert(l.lastFlying == c.flying[l], "the mark of lane %d between what flies and what waits is wrong", l.id)
		records, bytes, flies := 0, 0, l.lastFlying != nil
		var last *Entry[T]
		for e := l.head; e != nil; last, e = e, e.next {
			records++
			bytes += s.size(e)
			held.add(e.Cost)
			shares[e.Source].add(e.Cost)
			c.assert(e.lane == l, "an entry of lane %d has another lane", l.id)
			c.assert((c.seen[e] == "flying") == flies, "what flies of lane %d is not at its head", l.id)
			if !flies {
				c.assert(e.listed != nil, "an entry of lane %d is in no list", l.id)
				c.seen[e] = "waiting"
			}
			flies = flies && e != l.lastFlying
		}
		c.assert(records > 0, "lane %d is empty", l.id)
		c.assert(l.tail == last, "the tail of lane %d is wrong", l.id)
		c.assert(l.records == records && l.bytes == bytes, "lane %d holds %d records and %d bytes, counted are %d and %d",
			l.id, records, bytes, l.records, l.bytes)
		if l.state == laneReady {
			ready += s.offer(l)
		}
		timed := l.state == laneLingering || l.state == laneDelayed
		c.assert(l.pending() == timed, "the timer of lane %d does not fit state %d", l.id, l.state)
	}
	c.assert(lanes == s.lanes.len, "there are %d lanes, counted are %d", lanes, s.lanes.len)
	c.assert(ready == s.ready, "%d records are ready, counted are %d", ready, s.ready)
	c.assert(held == s.held, "%+v is held, counted are %+v", held, s.held)
	for i := range shares {
		c.assert(shares[i] == s.shares[i], "source %d holds %+v, counted are %+v", i, shares[i], s.shares[i])
	}
	c.assert(s.hog == nil || s.lanes.get(s.hog.id) == s.hog, "the hog is not a lane")
}

func (c *checker[T]) list(name string, l *list[T]) {
	var last *Entry[T]
	for e := l.oldest; e != nil; last, e = e, e.newer {
		c.assert(e.listed == l && e.older == last, "an entry in %s is linked wrongly", name)
		c.assert(c.seen[e] == "waiting", "an entry in %s is %q", name, c.seen[e])
		c.seen[e] = name
		if last != nil && l == &c.s.fresh {
			c.assert(last.added <= e.added, "%s is not in order of arrival", name)
		}
	}
	c.assert(l.newest == last, "the newest of %s is wrong", name)
	if l != &c.s.returned {
		return
	}
	for e, where := range c.seen {
		c.assert(where != "waiting", "an entry of lane %d is in neither list", e.lane.id)
	}
}

func (c *checker[T]) heap(name string, h timers[T]) {
	for i, t := range h {
		c.assert(t.index == i+1, "an index in %s is wrong", name)
		c.assert(i == 0 || h[(i-1)/2].due <= t.due, "%s is not in order", name)
		c.assert((t.lane == nil) != (t.group == nil), "%s holds neither a lane nor a group", name)
		if l := t.lane; l != nil {
			lingers := name == "lingering"
			c.assert(lingers == (l.state == laneLingering), "lane %d in %s has state %d", l.id, name, l.state)
		}
	}
}

func (c *checker[T]) groups(now time.Duration) {
	s := c.s
	inRing := make(map[*group[T]]bool)
	var last *group[T]
	for g := s.ring.head; g != nil; last, g = g, g.next {
		c.assert(!inRing[g], "group %d is in the ring twice", g.id)
		inRing[g] = true
	}
	c.assert(s.ring.tail == last, "the tail of the ring is wrong")

	lanes, flying := make(map[*group[T]]int), make(map[*group[T]]int)
	readyLanes := 0
	for l := range s.lanes.all() {
		lanes[l.group]++
		if l.state == laneFlying {
			flying[l.group]++
		}
		if l.state == laneReady {
			readyLanes++
		}
	}
	parked := 0
	for _, g := range s.groups {
		c.assert(g.queued == inRing[g], "group %d is wrong about being in the ring", g.id)
		c.assert(g.lanes == lanes[g] && g.flying == flying[g], "group %d has %d lanes of which %d fly, counted are %d and %d",
			g.id, lanes[g], flying[g], g.lanes, g.flying)
		c.assert(g.landed == 0 && g.refused == 0, "group %d has not finished its landing", g.id)
		if g.parked {
			parked++
		}
		var last *lane[T]
		for l := g.head; l != nil; last, l = l, l.next {
			readyLanes--
			c.assert(l.prev == last, "lane %d is linked wrongly", l.id)
			c.assert(l.state == laneReady && l.group == g, "lane %d is ready in group %d, its state is %d", l.id, g.id, l.state)
		}
		c.assert(g.tail == last, "the tail of group %d is wrong", g.id)
		// Nobody would ask again for a group that may fly and is not in the ring.
		mayFly := g.head != nil && !g.pending() && !(g.parked && g.flying > 0)
		c.assert(!mayFly || g.queued, "group %d may fly and is not in the ring at %v", g.id, now)
	}
	c.assert(readyLanes == 0, "%d ready lanes are in no group's list", readyLanes)
	c.assert(parked == s.trouble.parked, "%d groups are parked, counted are %d", parked, s.trouble.parked)
}
