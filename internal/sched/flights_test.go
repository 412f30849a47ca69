package sched

import (
	"fmt"
	"slices"
	"time"
)

// next asks for a batch, and reports whether there was one.
func (h *history) next() bool {
	due, isDue := h.s.Due(h.now)
	h.require(!isDue || due >= h.now, "due at %v, which was before %v", due, h.now)
	b := new(Batch[int])
	if !h.s.Next(b, h.now) {
		h.log = append(h.log, "next: none")
		due, isDue = h.s.Due(h.now)
		h.require(!isDue || due > h.now, "Due says now, Next has nothing")
		return false
	}
	h.require(isDue && due == h.now, "Next has a batch, Due said %v, %v", due, isDue)
	h.log = append(h.log, fmt.Sprintf("next: %v pass=%v", values(b), b.Pass))
	h.follow()
	h.checkBatch(b)
	h.m.flights = append(h.m.flights, b)
	h.m.flyingCost += batchCost(b)
	return true
}

func values(b *Batch[int]) (v []int) {
	for _, e := range b.Entries {
		v = append(v, e.Value)
	}
	return v
}

func batchCost(b *Batch[int]) (cost int) {
	for _, e := range b.Entries {
		cost += int(e.Cost)
	}
	return cost
}

func (h *history) checkBatch(b *Batch[int]) {
	m, limits := h.m, h.m.limits
	h.require(!m.hold, "a batch in spite of Hold")
	h.require(len(m.flights) < limits.Flights, "too many flights")
	h.require(len(m.flights) == 0 || limits.FlightBytes == 0 || m.flyingCost < limits.FlightBytes, "too many bytes fly")
	h.require(m.failures == 0 || len(m.flights) == 0 && h.now >= m.until, "more than a probe, or too early")
	h.require(b.Sent == h.now && len(b.Entries) > 0, "sent %v with %d entries", b.Sent, len(b.Entries))
	h.require(limits.Records == 0 || len(b.Entries) <= limits.Records, "too many records")
	bytes, lanes, end := 0, 0, 0
	for first, next := range b.Lanes {
		h.require(first == end && next > first, "lanes are not side by side")
		end = next
		lanes++
		bytes += h.checkRun(b, b.Lane(first), b.Entries[first:next], bytes)
	}
	h.require(end == len(b.Entries) && bytes == b.Bytes, "%d of %d entries in lanes; %d bytes, counted are %d", end, len(b.Entries), bytes, b.Bytes)
	h.require(limits.Lanes == 0 || lanes <= limits.Lanes, "too many lanes")
	h.require(limits.Bytes == 0 || len(b.Entries) == 1 || bytes <= limits.Bytes, "too many bytes")
}

// checkRun checks what a batch holds of a lane, behind so many bytes of others.
func (h *history) checkRun(b *Batch[int], id uint64, entries []*Entry[int], before int) (bytes int) {
	m, limits := h.m, h.m.limits
	l := m.lanes[id]
	h.require(l != nil && l.flying == 0, "lane %d flies already", id)
	h.require(len(entries) <= len(l.entries) && slices.Equal(entries, l.entries[:len(entries)]), "the batch does not hold the head of lane %d", id)
	h.require(h.now >= l.notBefore, "lane %d is to wait until %v", id, l.notBefore)
	g := m.group(l.group)
	h.require(h.now >= g.until, "group %d is parked until %v", l.group, g.until)
	h.require(!g.probing || g.flying == 0, "group %d is probed by more than one lane", l.group)
	for _, e := range entries {
		bytes += int(e.Size) + limits.Overhead
		h.require(h.mustPass(e) == b.Pass, "entry %d in a batch with Pass %v", e.Value, b.Pass)
		h.passing[e.Value] = b.Pass
	}
	h.require(limits.LaneRecords == 0 || len(entries) <= limits.LaneRecords, "too many records of a lane")
	h.require(limits.LaneBytes == 0 || len(entries) == 1 || bytes <= limits.LaneBytes, "too many bytes of a lane")
	if len(entries) < len(l.entries) {
		e := l.entries[len(entries)]
		more := bytes + int(e.Size) + limits.Overhead
		h.require(h.mustPass(e) != b.Pass || len(entries) == limits.LaneRecords || limits.LaneBytes > 0 && more > limits.LaneBytes ||
			limits.Bytes > 0 && before+more > limits.Bytes || limits.Records > 0 && len(b.Entries) == limits.Records,
			"the batch could hold more of lane %d", id)
	}
	l.flying = len(entries)
	g.flying++
	return bytes
}

func (h *history) mustPass(e *Entry[int]) bool {
	return h.passing[e.Value] || h.m.limits.TTL > 0 && h.now-e.Added() > h.m.limits.TTL
}

// wait goes on until there is a batch, as a caller does with a timer.
func (h *history) wait() {
	for range 1000 {
		due, ok := h.s.Due(h.now)
		if !ok {
			h.require(len(h.m.flights) > 0 || h.m.hold || h.m.waiting() == 0, "entries wait, and nobody will ask for them")
			return
		}
		h.now = due
		if h.next() {
			return
		}
	}
	h.require(false, "Due has given 1000 times without a batch")
}

// takeFlight chooses a batch that flies, and takes it out of the model's flights.
func (h *history) takeFlight() *Batch[int] {
	if len(h.m.flights) == 0 {
		return nil
	}
	i := h.choose(len(h.m.flights))
	b := h.m.flights[i]
	h.m.flights = slices.Delete(h.m.flights, i, i+1)
	h.m.flyingCost -= batchCost(b)
	return b
}

func (h *history) land() {
	b := h.takeFlight()
	if b == nil {
		return
	}
	h.now += time.Duration(h.choose(3)) * 10 * ms
	if whole := !b.Pass && h.chance(15); whole {
		b.Whole = true
		h.m.failures++
		v := Verdict{Fate: oneOf(h, Retry, Unavailable, Throttled)}
		wait := backoff(h.m.failures)
		if v.Fate == Unavailable {
			wait = h.m.limits.Resume
		}
		h.m.until = h.now + wait
		for range b.Entries {
			b.Verdicts = append(b.Verdicts, v)
		}
	} else {
		if !b.Pass {
			h.m.failures = 0
		}
		if b.Pass || h.chance(60) {
			h.chooseVerdicts(b)
		}
	}
	h.landed(b, true)
	h.log = append(h.log, fmt.Sprintf("land %v: whole=%v %v at %v", values(b), b.Whole, b.Verdicts, h.now))
	h.s.Land(b, h.now)
}

// chooseVerdicts makes the first of each lane leave, and the rest stay or end.
func (h *history) chooseVerdicts(b *Batch[int]) {
	for first, end := range b.Lanes {
		failed := false
		for range end - first {
			v := Verdict{Fate: oneOf(h, Stored, Ended, Retry, Throttled, Unavailable, Refused)}
			switch {
			case b.Pass:
				v.Fate = oneOf(h, Ended, Refused)
			case failed && v.Fate == Stored:
				v.Fate = Retry
			case v.Fate == Throttled:
				v.After = time.Duration(h.choose(3)) * 20 * ms
			}
			failed = failed || !v.Fate.leaves()
			b.Verdicts = append(b.Verdicts, v)
		}
	}
}

// landed takes out of the model what has left, and notes what has to wait.
func (h *history) landed(b *Batch[int], known bool) {
	m := h.m
	for first, end := range b.Lanes {
		l := m.lanes[b.Lane(first)]
		g := m.group(l.group)
		l.flying = 0
		g.flying--
		var stays *Verdict
		stored := false
		for i, at := first, 0; i < end; i++ {
			var v Verdict
			if len(b.Verdicts) > 0 {
				v = b.Verdicts[i]
			}
			if known && v.Fate.leaves() {
				stored = stored || v.Fate == Stored
				h.leave(b.Entries[i])
				m.remove(l, at)
				continue
			}
			at++
			if known && v.Fate == Refused {
				h.passing[b.Entries[i].Value] = true
			}
			if known && stays == nil {
				stays = &v
			}
		}
		if stored {
			g.probing = false
		}
		if stays != nil && !b.Whole {
			h.failed(l, g, *stays)
		}
	}
}

func (h *history) failed(l *modelLane, g *modelGroup, v Verdict) {
	switch v.Fate {
	case Throttled:
		l.notBefore = h.now + v.After
	case Unavailable:
		g.until, g.probing = h.now+h.m.limits.Resume, true
	default:
		l.notBefore = h.now + backoff(1)
	}
}

func (h *history) revert() {
	if b := h.takeFlight(); b != nil {
		h.log = append(h.log, fmt.Sprint("revert ", values(b)))
		h.landed(b, false)
		h.s.Revert(b, h.now)
	}
}
