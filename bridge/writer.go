package bridge

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"strconv"
	"time"
)

// writer is the state of one goroutine that puts batches together and hands
// them to the sink.
type writer struct {
	batch  Batch
	nodes  []*node // of batch.Records, in the same order
	runs   []run
	errs   []error // of nodes; nil when all were stored
	failed []failure
	settle []settlement
	bytes  int
}

// run is what a batch holds of one lane: records first to first+count-1. The
// count is 0 when all that were taken had expired.
type run struct {
	lane         *lane
	first, count int
}

// failure is a record that will not be written (again) and why.
type failure struct {
	node *node
	err  error
}

type settlement struct {
	delivery Delivery
	err      error
}

// write is the life of a writer.
func (q *queue) write() {
	w := new(writer)
	q.mu.Lock()
	defer q.mu.Unlock()
	for {
		for !q.collect(w) {
			if q.closed {
				q.writers--
				return
			}
			q.idle++
			q.work.Wait()
			q.idle--
		}
		q.writing++
		q.wake() // there may be enough for another writer
		q.mu.Unlock()

		q.fail(w.failed) // the expired ones, while their lanes stand still
		sent := q.env.now()
		err := q.send(w)
		permanent := q.classify(w, err)
		q.fail(permanent)

		q.mu.Lock()
		q.finish(w, err, sent)
		q.writing--
		q.settling++
		q.mu.Unlock()
		settle(w.settle)
		w.settle = w.settle[:0]
		q.mu.Lock()
		q.settling--
		q.checkEmpty()
	}
}

// collect fills the writer's batch, taking turns among groups and lanes.
func (q *queue) collect(w *writer) bool {
	now := q.env.now()
	q.expireTimers(now)
	if !q.mayWrite() {
		return false
	}
	w.batch.Reset()
	w.nodes, w.runs, w.failed = w.nodes[:0], w.runs[:0], w.failed[:0]
	w.bytes = 0
	for q.ringHead != nil {
		g := q.nextGroup()
		if !g.open() {
			continue // it was parked since
		}
		if !q.fits(w, g.head) {
			q.activate(g)
			break
		}
		l := g.popReady()
		q.ready -= q.offer(l)
		if l.records == 0 {
			q.freeLane(l) // everything in it was dropped meanwhile
		} else {
			g.flying++
			q.take(w, l, now)
		}
		q.activate(g)
	}
	q.readySince = now
	q.stats.Inflight += len(w.nodes)
	return len(w.runs) > 0
}

// fits tells whether the batch has room for the first record of a lane.
func (q *queue) fits(w *writer, l *lane) bool {
	if len(w.runs) == 0 || l.head == nil {
		return true
	}
	if q.limits.Lanes > 0 && len(w.runs) >= q.cfg.BatchSize {
		return false
	}
	return q.fitsRecord(w, l.head)
}

func (q *queue) fitsRecord(w *writer, n *node) bool {
	if len(w.nodes) == 0 {
		return true
	}
	records := q.limits.Records
	if q.limits.Lanes == 0 {
		records = q.cfg.BatchSize
	}
	return (records == 0 || len(w.nodes) < records) && w.bytes+q.size(n) <= q.cfg.BatchBytes
}

// take moves the first records of a lane into the batch. They stay in the lane
// until they are settled.
func (q *queue) take(w *writer, l *lane, now time.Duration) {
	l.state = laneFlying
	for q.cfg.RecordTTL > 0 && l.head != nil && now-l.head.queued > q.cfg.RecordTTL {
		n := l.head
		l.dropAfterFlying()
		l.bytes -= q.size(n)
		q.forget(n)
		q.stats.Dropped.Expired++
		w.failed = append(w.failed, failure{n, ErrExpired})
	}
	r := run{lane: l, first: len(w.nodes)}
	bytes := 0
	for n := l.head; n != nil; n = n.next {
		size := q.size(n)
		if r.count > 0 && (q.limits.LaneRecords > 0 && r.count >= q.limits.LaneRecords ||
			q.limits.LaneBytes > 0 && bytes+size > q.limits.LaneBytes) || !q.fitsRecord(w, n) {
			break
		}
		w.nodes = append(w.nodes, n)
		w.batch.Records = append(w.batch.Records, n.rec)
		w.bytes += size
		bytes += size
		r.count++
		l.lastFlying = n
	}
	l.flying = r.count
	w.runs = append(w.runs, r)
}

// send calls the sink, which is other people's code.
func (q *queue) send(w *writer) (err error) {
	if len(w.batch.Records) == 0 {
		return nil
	}
	start := time.Now()
	defer func() {
		if p := recover(); p != nil {
			// What was stored before the panic is not known.
			err = Ambiguous(fmt.Errorf("sink %q panicked: %v", q.name, p))
			q.log.Error("sink panicked; the batch will be written again",
				slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
		}
		if q.env.hooks.OnWrite != nil {
			q.env.hooks.OnWrite(WriteEvent{q.name, len(w.nodes), w.bytes, time.Since(start), err})
		}
	}()
	return q.sink.Write(q.env.ctx, &w.batch)
}

// classify sets the error of every record and returns those that will not be
// written again.
func (q *queue) classify(w *writer, err error) (permanent []failure) {
	w.errs = w.errs[:0]
	if err == nil {
		return nil
	}
	w.errs = append(w.errs, make([]error, len(w.nodes))...)
	var batch *BatchError
	if errors.As(err, &batch) {
		for _, f := range batch.Failed {
			if f.Index >= 0 && f.Index < len(w.errs) {
				w.errs[f.Index] = f.Err
			}
		}
	} else {
		for i := range w.errs {
			w.errs[i] = err
		}
	}
	for i, err := range w.errs {
		if err == nil {
			continue
		}
		w.nodes[i].rec.Attempt++
		if errors.Is(err, ErrPermanent) {
			permanent = append(permanent, failure{w.nodes[i], err})
		}
	}
	return permanent
}

// finish takes what was stored out of the lanes and schedules the rest.
func (q *queue) finish(w *writer, err error, sent time.Duration) {
	now := q.env.now()
	q.stats.Inflight -= len(w.nodes)
	var batch *BatchError
	whole := err != nil && !errors.As(err, &batch) && !errors.Is(err, ErrPermanent)
	if whole {
		q.writeFailed(err, now)
	} else if len(w.nodes) > 0 {
		q.failures = 0
	}
	if len(w.nodes) > 0 {
		q.stats.Writes++
		q.stats.RequestTime.add(now - sent)
	}
	stored := false
	for _, r := range w.runs {
		stored = q.land(w, r, whole, sent, now) || stored
	}
	if stored && q.unavailable == 0 {
		q.setHealth(Connected, "")
	} else if stored {
		q.setHealth(Inconsistent, q.health.Reason)
	}
	for _, f := range w.failed {
		q.pool.put(f.node) // the expired ones
	}
	clear(w.nodes)
	if q.blocked > 0 {
		q.space.Broadcast()
	}
	if q.aborted {
		w.settle = q.purge(w.settle)
	}
}

// checkEmpty tells those who wait that nothing is left to do.
func (q *queue) checkEmpty() {
	if q.empty != nil && q.isEmpty() {
		close(q.empty)
		q.empty = nil
	}
}

func (q *queue) isEmpty() bool { return q.records == 0 && q.writing == 0 && q.settling == 0 }

func settle(list []settlement) {
	for i, s := range list {
		s.delivery.Done(s.err)
		list[i] = settlement{}
	}
}

// writeFailed holds all writes back after one that failed as a whole.
func (q *queue) writeFailed(err error, now time.Duration) {
	q.failures++
	wait := q.backoff(q.failures)
	if errors.Is(err, ErrUnavailable) {
		wait = q.cfg.ResumeInterval
	}
	q.holdUntil = now + wait
	q.setHealth(Disconnected, err.Error())
}

// land settles the records of one run, puts the lane back where it belongs and
// reports whether anything was stored.
func (q *queue) land(w *writer, r run, whole bool, sent, now time.Duration) (stored bool) {
	l, g := r.lane, r.lane.group
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
	flying := g.flying
	g.flying--
	l.flying, l.lastFlying = 0, nil
	q.afterRun(l, trouble, stored, whole, flying, sent, now)
	q.activate(g)
	return stored
}

// afterRun schedules a lane after a write and adapts its group's window.
func (q *queue) afterRun(l *lane, trouble error, stored, whole bool, flying int, sent, now time.Duration) {
	g := l.group
	l.state = laneNew
	if stored {
		g.stored(1)
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
		g.throttled(sent, now, flying)
		if g.window == minWindow && !stored {
			g.failures++
			q.park(g, now+q.backoff(g.failures))
		}
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
	g.window = minWindow
	if !g.pending() {
		q.delay(&g.timed, until)
	}
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
		if n.rec.Attempt > 1 {
			q.stats.Retried++
			q.stats.RetriedFailed++
		}
	} else {
		q.stats.Success++
		q.stats.Bytes += uint64(n.rec.Size())
		if n.rec.Attempt > 0 {
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

// fail hands records that will not be written to the fallback, or settles them:
// they were dropped by a policy the user chose, so the message is done with. It
// is called without the lock. The nodes still belong to the caller.
func (q *queue) fail(failed []failure) {
	if len(failed) == 0 {
		return
	}
	reason := failed[0].err
	for _, f := range failed {
		n := f.node
		if n.rule != nil {
			n.rule.failed.Add(1)
		}
		switch {
		case errors.Is(f.err, ErrDrainTimeout):
			n.delivery.Done(f.err) // unacknowledged; the broker keeps it
		case q.fallback != nil && !n.dead:
			q.deadLetter(n, f.err)
		default:
			n.delivery.Done(nil)
		}
		n.delivery = Delivery{}
	}
	if q.env.hooks.OnFail != nil {
		q.env.hooks.OnFail(FailEvent{q.name, len(failed), reason})
	}
	q.env.repeats.log(q.env.log, slog.LevelWarn, q.name, "sink gave up records", reason, len(failed))
}

// recycle takes back the nodes of records that failed outside a Write.
func (q *queue) recycle(failed []failure) {
	if len(failed) == 0 {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, f := range failed {
		q.pool.put(f.node)
	}
}

// deadLetter queues a failed record for the fallback, with its history.
func (q *queue) deadLetter(n *node, err error) {
	rec := n.rec
	f := q.fallback
	rec.Sink, rec.Dest, rec.HashKey = f.name, "", nil
	rec.Attrs = append(rec.Attrs[:len(rec.Attrs):len(rec.Attrs)],
		Attr{"sink", []byte(q.name)},
		Attr{"dest", []byte(n.rec.Dest)},
		Attr{"topic", []byte(n.rec.Topic)},
		Attr{"rule", []byte(n.rec.Rule)},
		Attr{"error", []byte(err.Error())},
		Attr{"attempts", strconv.AppendInt(nil, int64(n.rec.Attempt), 10)},
		Attr{"payload", n.payload},
	)
	rec.Attempt = 0
	it := item{rec: &rec, payload: n.payload, delivery: n.delivery, received: n.received, now: q.env.now(), dead: true}
	f.mu.Lock()
	for f.successor != nil {
		next := f.successor
		f.mu.Unlock()
		f = next
		f.mu.Lock()
	}
	failed := f.add(&it, nil)
	f.wake()
	f.mu.Unlock()
	f.fail(failed)
	f.recycle(failed)
	q.mu.Lock()
	q.stats.DeadLettered++
	q.mu.Unlock()
}
