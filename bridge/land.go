package bridge

import (
	"errors"
	"math/rand/v2"
	"time"
)

// This file takes the results of a write back into the lanes.

// land settles the records of one run, puts the lane back where it belongs and
// reports whether anything was stored.
func (q *queue) land(w *writer, r run, whole bool, now time.Duration) (stored bool) {
	l, g := r.lane, r.group
	var rest *node // behind the records that flew
	if l.lastFlying != nil {
		rest = l.lastFlying.next
	} else {
		rest = l.head
	}
	var keptHead, keptTail *node
	var trouble error
	for i := r.first; i < r.first+r.count; i++ {
		n := w.nodes[i]
		n.next = nil
		if len(w.errs) > 0 && w.errs[i] != nil && !errors.Is(w.errs[i], ErrPermanent) {
			if errors.Is(w.errs[i], ErrAmbiguous) {
				q.stats.Ambiguous++
			}
			if trouble == nil {
				trouble = w.errs[i]
			}
			if keptTail == nil {
				keptHead = n
			} else {
				keptTail.next = n
			}
			keptTail = n
			continue
		}
		l.records--
		l.bytes -= q.size(n)
		q.settled(w, n, len(w.errs) > 0 && w.errs[i] != nil, now)
		stored = stored || len(w.errs) == 0 || w.errs[i] == nil
	}
	l.head = rest
	if keptTail != nil {
		keptTail.next = rest
		l.head = keptHead
	}
	if rest == nil {
		l.tail = keptTail
	}
	g.flying--
	g.landed++
	l.flying, l.lastFlying = 0, nil
	q.afterRun(l, trouble, stored, whole, now)
	return stored
}

// adapt lets a group go on after lanes of it have landed, at the pace that the
// sink accepts.
func (q *queue) adapt(g *group, sent, now time.Duration) {
	if g.landed == 0 {
		return // done, with another run
	}
	g.adapt(sent, now)
	if rest := g.rest(now - sent); rest > 0 && !g.pending() {
		q.delay(&g.timed, now+rest)
	}
	q.activate(g)
}

// afterRun schedules a lane after a write.
func (q *queue) afterRun(l *lane, trouble error, stored, whole bool, now time.Duration) {
	g := l.group
	l.state = laneNew
	if stored {
		q.available(g)
	}
	if trouble == nil {
		l.failures = 0
		q.schedule(l, now)
		return
	}
	if whole {
		q.makeReady(l, now) // the queue as a whole waits
		return
	}
	l.failures++
	wait := q.backoff(l.failures)
	switch {
	case errors.Is(trouble, ErrUnavailable):
		q.setHealth(Disconnected, trouble.Error())
		if !g.unavailable {
			g.unavailable = true
			q.unavailable++
		}
		q.park(g, now+q.cfg.ResumeInterval)
		wait = 0
	case errors.Is(trouble, ErrThrottled):
		q.stats.Throttled++
		g.refused++
		if m := (*marked)(nil); errors.As(trouble, &m) {
			wait = max(wait, m.after)
		}
	}
	if wait == 0 {
		q.makeReady(l, now)
		return
	}
	l.state = laneDelayed
	q.delay(&l.timed, now+wait)
}

// park stops a group until a time and lets it start again with one lane.
func (q *queue) park(g *group, until time.Duration) {
	g.window = 1
	if g.pending() {
		if g.due >= until {
			return
		}
		q.timers.remove(&g.timed)
	}
	q.delay(&g.timed, until)
}

// available notes that a group that was unavailable is so no longer. Its window
// was closed because of that and not by throttling, so it opens at once.
func (q *queue) available(g *group) {
	if g.unavailable {
		g.unavailable, g.window = false, 0
		q.unavailable--
	}
}

// backoff returns a random wait that grows with the number of failures.
func (q *queue) backoff(failures int) time.Duration {
	d := q.cfg.BackoffMax
	if shift := failures - 1; shift < 30 {
		d = min(d, q.cfg.BackoffMin<<shift)
	}
	return d/2 + rand.N(d/2+1)
}

// settled counts a record that is done with and gives its node back.
func (q *queue) settled(w *writer, n *node, failed bool, now time.Duration) {
	q.forget(n)
	if failed {
		q.stats.Failed++
		if n.attempt > 1 {
			q.stats.Retried++
			q.stats.RetriedFailed++
		}
	} else {
		q.stats.Success++
		q.stats.Bytes += uint64(n.size())
		if n.attempt > 0 {
			q.stats.Retried++
			q.stats.RetriedSuccess++
		}
		q.stats.Latency.add(now - n.received)
		if n.rule != nil {
			n.rule.success.Add(1)
		}
		if n.delivery.acker != nil {
			w.settle = append(w.settle, settlement{n.delivery, nil})
		}
	}
	q.pool.put(n)
}
