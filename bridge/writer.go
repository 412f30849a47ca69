package bridge

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
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
	traced bool // somebody follows one of the records
}

// run is what a batch holds of one lane: records first to first+count-1. The
// count is 0 when all that were taken had expired.
type run struct {
	lane         *lane
	group        *group // the lane's; the lane may end before the run does
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
		if w.traced {
			q.wrote(w, sent)
		}
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
	r := run{lane: l, group: l.group, first: len(w.nodes)}
	bytes := 0
	for n := l.head; n != nil; n = n.next {
		size := q.size(n)
		if r.count > 0 && (q.limits.LaneRecords > 0 && r.count >= q.limits.LaneRecords ||
			q.limits.LaneBytes > 0 && bytes+size > q.limits.LaneBytes) || !q.fitsRecord(w, n) {
			break
		}
		w.traced = w.traced || n.trace() != nil
		if n.attempt == 0 {
			q.stats.QueueWait.add(now - n.queued)
		}
		w.nodes = append(w.nodes, n)
		w.batch.Records = append(w.batch.Records, Record{})
		n.record(&w.batch.Records[len(w.nodes)-1], l.id)
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
			q.env.warn(slog.LevelError, "sink", q.name, "sink panicked; the batch will be written again", err, 1,
				slog.String("stack", string(debug.Stack())))
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
		w.nodes[i].attempt++
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
	if err != nil {
		q.stats.WritesFailed++
		q.lastError = q.lastError.next(err)
	}
	stored := false
	for _, r := range w.runs {
		stored = q.land(w, r, whole, now) || stored
	}
	for _, r := range w.runs {
		q.adapt(r.group, sent, now)
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
	if !q.stats.FullSince.IsZero() {
		q.notFull()
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
