package bridge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sluiceio/sluice/internal/sched"
)

// writer is the state of one goroutine that takes batches from the scheduler,
// hands them to the sink, and settles what became of them.
type writer struct {
	flight   sched.Batch[content]
	service  *service // that the batch is written to
	began    time.Time
	batch    Batch
	outcomes []Outcome // of the entries that leave; those of the others mean nothing
	passed   []bool    // the fallback has the record
	givenUp  []ended
	stored   []settlement // of entries that were stored, and have nothing else to tell
	traced   bool         // somebody follows one of the records
	tally    tally

	// Guarded by queue.mu. A Write that does not return is lost: somebody else
	// has taken the batch back. One that has returned will land soon.
	lost, returned bool
}

// settlement is a delivery and how it ended.
type settlement struct {
	delivery Delivery
	outcome  Outcome
}

// tally is what the errors of a write say, found out without a lock.
type tally struct {
	ambiguous, throttled uint64
	text                 string // of the first error
	unavailable          string // the text of the first Unavailable error
}

// write is the life of a writer: a batch is taken under the lock, written, passed
// on and settled without, and landed under it.
func (q *queue) write() {
	w := new(writer)
	q.mu.Lock()
	defer q.mu.Unlock()
	for {
		for !q.sched.Next(&w.flight, q.env.now()) {
			if q.phase == closed {
				q.writers.all--
				return
			}
			q.wake() // for the alarm
			q.writers.idle++
			q.work.Wait()
			q.writers.idle--
		}
		q.depart(w)
		q.wake() // there may be enough for another writer
		q.mu.Unlock()

		var err error
		if !w.flight.Pass {
			err = q.send(w)
		}

		q.mu.Lock()
		if w.lost {
			return // the records are others' now, and nobody counts this writer
		}
		w.returned = true
		q.mu.Unlock()

		q.judge(w, err)
		q.passOn(w)

		q.mu.Lock()
		q.land(w)
		q.mu.Unlock()

		q.settle(w)

		q.mu.Lock()
		q.recycle(w)
		q.writers.settling--
		q.checkQuiet()
	}
}

// depart prepares a batch for its flight. The caller holds q.mu.
func (q *queue) depart(w *writer) {
	w.service, w.began, w.traced, w.lost, w.returned = q.service.Load(), time.Now(), false, false, w.flight.Pass
	w.tally = tally{}
	q.writers.flying = append(q.writers.flying, w)
	w.batch.reset()
	if w.flight.Pass {
		return
	}
	records := slices.Grow(w.batch.Records, len(w.flight.Entries))[:len(w.flight.Entries)]
	w.batch.Records = records
	name := q.name()
	for i, n := range w.flight.Entries {
		n.Value.record(&records[i], name)
		records[i].Lane = w.flight.Lane(i)
		records[i].place = w.batch.result.placeOf(i)
		w.traced = w.traced || n.Value.trace() != nil
		if q.tickets {
			w.batch.result.wants = w.batch.result.wants || ticketOf(n.Value.delivery).wants
		}
		if n.Value.attempt == 0 {
			q.count.queueWait.add(w.flight.Sent - n.Added())
		}
	}
	w.batch.result.numbered = len(records)
}

// send calls the sink.
func (q *queue) send(w *writer) (err error) {
	d := &q.env.door
	panicked := d.guard("sink", q.name(), "Write", func() { err = w.service.sink.Write(w.service.ctx, &w.batch) })
	if panicked != nil {
		err = Ambiguous(panicked) // what was stored before is not known
	}
	if ok, readable := d.readable("sink", q.name(), "Write", err); !ok {
		err = Ambiguous(readable)
	}
	if wrong := w.wrong(); wrong != nil {
		err = Ambiguous(fmt.Errorf("sink %q: Write %w; all of the batch will be written again", q.name(), wrong))
		q.env.warn("sink", q.name(), "sink breaks the contract of Sink.Write", err, 1)
		w.batch.result.errs, w.batch.result.failed = nil, 0
	}
	told := err
	if told == nil && w.batch.Failed() > 0 {
		told = &partError{w.batch.Failed(), w.firstError()}
	}
	q.env.wrote(q.name(), len(w.flight.Entries), w.flight.Bytes, time.Since(w.began), told)
	return err
}

// partError says that some records of a batch failed.
type partError struct {
	failed int
	first  error
}

func (e *partError) Error() string {
	return fmt.Sprintf("%d records failed, the first with: %v", e.failed, e.first)
}
func (e *partError) Unwrap() error { return e.first }

// firstError returns the error of the first record that failed by itself.
func (w *writer) firstError() error {
	for _, err := range w.batch.result.errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// wrong returns what is impossible in the answer of the sink, or nil.
func (w *writer) wrong() error {
	res := w.batch.result
	if res.wrong != nil {
		return res.wrong
	}
	if res.failed == 0 {
		return nil
	}
	for i := len(w.flight.Entries); i < len(res.errs); i++ {
		if res.errs[i] != nil { // the sink has added it itself
			return errNotInBatch
		}
	}
	for first, end := range w.flight.Lanes {
		failed := false
		for i := first; i < end; i++ {
			switch err := res.errs[i]; {
			case err == nil && failed:
				return errors.New("stored a record behind a failed one of the same lane, so that their order is lost")
			case err != nil && !errors.Is(err, ErrPermanent):
				failed = true
			}
		}
	}
	return nil
}

// judge sets the verdict and the outcome of every entry after a write.
func (q *queue) judge(w *writer, whole error) {
	f := &w.flight
	w.outcomes = append(w.outcomes[:0], make([]Outcome, len(f.Entries))...)
	w.passed = append(w.passed[:0], make([]bool, len(f.Entries))...)
	f.Verdicts, f.Whole = f.Verdicts[:0], false
	if f.Pass {
		for _, n := range f.Entries {
			if n.Expired {
				n.Value.more().err = errExpired
			}
			f.Verdicts = append(f.Verdicts, sched.Verdict{Fate: sched.Refused})
		}
		return
	}
	errs := w.batch.result.errs
	if whole != nil || errs != nil {
		f.Whole = whole != nil && !errors.Is(whole, ErrPermanent) && w.batch.Failed() == 0
		for i, n := range f.Entries {
			err := whole
			if i < len(errs) && errs[i] != nil {
				var ok bool
				if ok, err = q.env.door.readable("sink", q.name(), "Batch.Fail", errs[i]); !ok {
					err = Ambiguous(err)
				}
			}
			f.Verdicts = append(f.Verdicts, w.verdict(n, err))
		}
	} // else all are stored, which is what no verdicts mean
	if w.traced {
		q.writeTraced(w)
	}
}

// verdict notes why a record has failed, and returns what that means for it.
func (w *writer) verdict(n *node, err error) sched.Verdict {
	if err == nil {
		return sched.Verdict{}
	}
	n.Value.attempt++
	n.Value.more().err = err
	v := verdict(err)
	if errors.Is(err, ErrAmbiguous) {
		w.tally.ambiguous++
		n.Value.ambiguous = true
	}
	if v.Fate == sched.Throttled {
		w.tally.throttled++
	}
	if w.tally.text == "" {
		w.tally.text = errorText(err)
	}
	if v.Fate == sched.Unavailable && w.tally.unavailable == "" {
		w.tally.unavailable = errorText(err)
	}
	return v
}

// verdict is what an error means for its record.
func verdict(err error) sched.Verdict {
	m, _ := errors.AsType[*marked](err)
	switch {
	case err == nil:
		return sched.Verdict{Fate: sched.Stored}
	case errors.Is(err, ErrPermanent):
		return sched.Verdict{Fate: sched.Refused}
	case errors.Is(err, ErrUnavailable):
		return sched.Verdict{Fate: sched.Unavailable}
	case errors.Is(err, ErrThrottled):
		v := sched.Verdict{Fate: sched.Throttled}
		if m != nil {
			v.After = m.after
		}
		return v
	default:
		return sched.Verdict{Fate: sched.Retry}
	}
}

// passOn hands the entries that will not be written to the fallback. If it has no
// room for one, that and those behind it in its lane wait.
func (q *queue) passOn(w *writer) {
	w.givenUp = w.givenUp[:0]
	if len(w.flight.Verdicts) == 0 {
		return
	}
	for first, end := range w.flight.Lanes {
		for i := first; i < end; i++ {
			v, n := &w.flight.Verdicts[i], w.flight.Entries[i]
			if v.Fate != sched.Refused {
				continue
			}
			if w.outcomes[i] = Refused; n.Expired {
				w.outcomes[i] = Expired
			}
			if q.hasFallback(n) {
				if !q.pass(n, n.Value.extra.err, true) {
					break
				}
				w.passed[i] = true
			}
			v.Fate = sched.Ended
			w.givenUp = append(w.givenUp, ended{n, w.outcomes[i], n.Value.extra.err})
		}
	}
	if len(w.givenUp) > 0 {
		q.tellGivenUp(w.givenUp)
	}
}

// land takes the batch back and counts what became of it. The caller holds q.mu.
func (q *queue) land(w *writer) {
	now := q.env.now()
	f := &w.flight
	q.writers.flying = slices.DeleteFunc(q.writers.flying, func(x *writer) bool { return x == w })
	q.writers.settling++
	q.countWrite(w, now)
	q.sched.Land(f, now)
	stored := false
	var rule *ruleEntry // of the records at hand; counting each by itself would cost more
	successes := uint64(0)
	for i, n := range f.Entries {
		fate := sched.Stored
		if len(f.Verdicts) > 0 {
			fate = f.Verdicts[i].Fate
		}
		switch fate {
		case sched.Stored:
			stored = true
			if q.tickets {
				w.answer(i, Stored)
			}
			q.countStored(n, now)
			if n.Value.rule != rule {
				rule.succeeded(successes)
				rule, successes = n.Value.rule, 0
			}
			successes++
			if v := &n.Value; v.extra == nil || v.extra.trace == nil {
				if v.delivery.acker != nil {
					w.stored = append(w.stored, v.storedDelivery())
				}
				q.pool.put(n)
				f.Entries[i] = nil // nothing more to do with it than to settle
			}
		case sched.Ended:
			o := w.outcomes[i]
			if w.passed[i] {
				o = DeadLettered
			}
			q.end(n, o, nil)
			if q.tickets && !w.passed[i] {
				w.answer(i, o)
			}
			if n.Value.attempt > 1 {
				q.count.retriedRefused++
			}
			q.progress = now
		default:
			f.Entries[i] = nil // it stays
		}
	}
	rule.succeeded(successes)
	q.noteHealth(w, stored, now)
	if q.phase != open {
		w.givenUp = q.abandonQueued(w.givenUp[:0])
	} else {
		w.givenUp = w.givenUp[:0]
	}
	if q.space.waiting > 0 {
		q.space.Broadcast()
	}
	if !q.count.fullSince.IsZero() {
		q.notFull()
	}
	q.checkQuiet()
}

// answer tells a Producer how a record has ended, and where it is stored. It is
// called with the queue's lock held, so that the records of a lane are told of in
// their order:
//
//	A lands and frees its lane ─► B takes the lane's next batch, writes, lands and
//	settles ─► A settles
func (w *writer) answer(i int, o Outcome) {
	v := &w.flight.Entries[i].Value
	t := ticketOf(v.delivery)
	if s, followed := v.delivery.acker.(*settling); followed {
		s.delivery = Delivery{} // what follows the record is told later
	} else {
		v.delivery = Delivery{}
	}
	var err error
	switch {
	case o != Stored:
		err = v.extra.err
	case v.dead:
		o = DeadLettered
	default:
		if i < len(w.batch.result.receipts) {
			t.receipt = w.batch.result.receipts[i]
		}
		t.receipt.Attempts, t.receipt.Duplicate = int(v.attempt)+1, v.ambiguous
	}
	t.Done(0, o, err)
}

// noteHealth changes the sink's health after a batch.
func (q *queue) noteHealth(w *writer, stored bool, now time.Duration) {
	if w.flight.Pass {
		return
	}
	if stored {
		q.progress = now
	}
	switch {
	case w.flight.Whole:
		q.setHealth(Disconnected, w.tally.text)
	case w.tally.unavailable != "" && !stored:
		q.setHealth(Disconnected, w.tally.unavailable)
	case w.tally.unavailable != "":
		q.setHealth(Inconsistent, w.tally.unavailable)
	case stored && q.sched.Parked() > 0:
		q.setHealth(Inconsistent, q.health.Reason)
	case stored:
		q.setHealth(Connected, "")
	}
}

// settle tells the sources what became of the entries that have left. It is
// called without the lock.
func (q *queue) settle(w *writer) {
	for i := 0; i < len(w.stored); {
		// One guard for all of them; behind one that panics it goes on.
		_ = q.env.door.guard("source", "", "Acker.Done", func() {
			for i < len(w.stored) {
				s := &w.stored[i]
				i++
				s.delivery.Done(s.outcome, nil)
			}
		})
	}
	clear(w.stored)
	w.stored = w.stored[:0]
	for i := 0; i < len(w.flight.Entries); {
		_ = q.env.door.guard("source", "", "Acker.Done", func() {
			for i < len(w.flight.Entries) {
				n := w.flight.Entries[i]
				o := w.outcomes[i]
				i++
				if n == nil || w.passed[i-1] {
					continue
				}
				var err error
				if o != Stored {
					err = n.Value.extra.err
				}
				q.env.settle(&n.Value, o, err)
			}
		})
	}
	for _, e := range w.givenUp {
		q.env.settleOne(&e.node.Value, e.outcome, e.err)
	}
}

// recycle takes back the nodes of entries that are settled. The caller holds q.mu.
func (q *queue) recycle(w *writer) {
	for _, n := range w.flight.Entries {
		if n != nil {
			q.pool.put(n)
		}
	}
	for _, e := range w.givenUp {
		q.pool.put(e.node)
	}
}

// strand takes back the batches of Writes that do not return: what became of them
// is not known, and their writers are counted no longer. The sink may still read
// the records' bytes, so those are not used again. The caller holds q.mu.
func (q *queue) strand() {
	now := q.env.now()
	var landing []*writer
	for _, w := range q.writers.flying {
		if w.returned {
			landing = append(landing, w)
			continue
		}
		w.lost = true
		q.writers.all--
		q.count.ambiguous += uint64(len(w.flight.Entries))
		for _, n := range w.flight.Entries {
			n.Value.lent, n.Value.ambiguous = true, true
			n.Value.attempt++
		}
		q.sched.Revert(&w.flight, now)
		w.service.cancel()
		q.env.door.hangs("sink", q.name(), "Write")
	}
	q.writers.flying = landing
	q.checkQuiet()
}

// abandonQueued gives up what is not in a Write. The caller holds q.mu, and then
// settles the list without it.
func (q *queue) abandonQueued(list []ended) []ended {
	if q.moving {
		return list // commit does it
	}
	q.count.fullSince = time.Time{} // nothing is let in any more
	q.sched.Abandon(func(n *node) { list = append(list, q.end(n, Abandoned, ErrDrainTimeout)) })
	q.checkQuiet()
	return list
}

// abandon gives up everything: what waits now, what is in a Write when that
// returns, and whoever waits for room.
func (q *queue) abandon() {
	q.mu.Lock()
	if q.phase == open {
		q.phase = abandoned
	}
	list := q.abandonQueued(nil)
	q.space.Broadcast()
	q.service.Load().cancel()
	q.checkQuiet()
	q.mu.Unlock()
	q.giveUp(list, false)
}

// drain makes the queue write everything without waiting for batches to fill,
// and returns when nothing is left to do or ctx is done.
func (q *queue) drain(ctx context.Context) error {
	q.mu.Lock()
	q.sched.Drain(q.env.now())
	q.wake()
	empty := q.until((*queue).isEmpty)
	q.mu.Unlock()
	return wait(ctx, empty)
}

// wait waits for a channel to be closed; nil is none.
func wait(ctx context.Context, ch <-chan struct{}) error {
	if ch == nil {
		return nil
	}
	select {
	case <-ch:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// halt returns when no batch is in a Write any more. Those that go on have their
// context cancelled, and if that does not end them soon they are stranded. Nobody
// may take another batch meanwhile.
func (q *queue) halt() {
	q.mu.Lock()
	still := q.until((*queue).isStill)
	if still != nil {
		q.service.Load().cancel()
	}
	q.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	if wait(ctx, still) == nil {
		return
	}
	q.mu.Lock()
	q.strand()
	still = q.until((*queue).isStill)
	q.mu.Unlock()
	_ = wait(context.Background(), still) // what has returned lands soon
}

// stop ends the writers, and the Writes that go on. The queue must be empty or
// abandoned.
func (q *queue) stop() {
	q.mu.Lock()
	q.phase = max(q.phase, abandoned)
	q.sched.Hold()
	q.mu.Unlock()
	q.halt()
	q.mu.Lock()
	q.phase = closed
	list := q.abandonQueued(nil)
	q.work.Broadcast()
	q.space.Broadcast()
	if q.alarm.timer != nil {
		q.alarm.timer.Stop()
	}
	q.service.Load().cancel()
	q.mu.Unlock()
	q.giveUp(list, false)
}

// closeSink closes a sink that is out of service.
func (e *environment) closeSink(ctx context.Context, name string, v *service) error {
	v.cancel()
	return e.door.call(ctx, "sink", name, "Close", v.sink.Close)
}
