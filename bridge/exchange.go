package bridge

import (
	"context"
	"fmt"
	"time"
)

// exchangeWait is how long an exchange waits for the Writes in flight to return.
const exchangeWait = 5 * time.Second

// exchange is a sink on its way into a queue.
//
//	prepare: hold, so that no more batches leave
//	         wait until the Writes in flight have returned, but not for ever
//	halt:    end the context of what has not returned; what still does not is
//	         ambiguous: its records are at the heads of their lanes, and will be
//	         written again
//	commit:  put every record into the lane that the new sink gives it
//	         swap, release
//	after:   close the old sink, without a lock
//
// Until commit nothing has happened that cancel does not undo, and commit cannot
// fail. So several exchanges, and a change of rules with them, happen at once or
// not at all.
type exchange struct {
	q        *queue
	service  *service
	old      *service
	sameSink bool // only its options change
}

// prepare brings the queue to a halt. The error is the context's; the queue then
// goes on as before.
func (x *exchange) prepare(ctx context.Context) error {
	q := x.q
	q.mu.Lock()
	q.sched.Hold()
	still := q.until(func(q *queue) bool { return q.isStill() || q.phase != open })
	q.mu.Unlock()
	bounded, cancel := context.WithTimeout(ctx, exchangeWait)
	defer cancel()
	if err := wait(bounded, still); err != nil && ctx.Err() != nil {
		x.cancel()
		return fmt.Errorf("sink %q: its writes have not returned: %w", q.name(), context.Cause(ctx))
	}
	return nil
}

// cancel undoes prepare.
func (x *exchange) cancel() {
	x.q.mu.Lock()
	defer x.q.mu.Unlock()
	x.q.sched.Release()
	x.q.wake()
}

// commit puts the new sink into service. It cannot fail. The queue was halted.
func (x *exchange) commit(sources int) {
	q := x.q

	// The records' new lanes are asked for without the lock, while nobody can
	// add or take a record.
	q.mu.Lock()
	q.moving = true
	lanes := make([][2]uint64, 0, q.sched.Lanes())
	q.mu.Unlock()
	var rec Record
	for n := range q.sched.Each {
		n.Value.record(&rec, q.name())
		var lane, group uint64
		_ = q.env.door.guard("sink", q.name(), "Lane", func() { lane, group = x.service.laneOf(&rec) })
		lanes = append(lanes, [2]uint64{lane, group})
	}

	q.mu.Lock()
	x.old = q.service.Load()
	q.service.Store(x.service)
	q.configure(x.service)
	next := 0
	q.sched.Relane(q.limits(x.service, sources), func(*node) (lane, group uint64) {
		next++
		return lanes[next-1][0], lanes[next-1][1]
	}, q.env.now())
	q.moving = false
	q.sched.Release()
	q.progress = q.env.now()
	q.setHealth(Connecting, "")
	var given []ended
	if q.phase != open {
		given = q.abandonQueued(nil)
	}
	q.space.Broadcast() // callers that wait for room ask the new sink for a lane
	q.wake()
	q.mu.Unlock()
	q.giveUp(given, false)
}
