package bridge

import (
	"context"
	"time"
)

// drain makes the queue send everything without waiting for batches to fill,
// and returns when nothing is left to do or ctx is done.
func (q *queue) drain(ctx context.Context) error {
	q.mu.Lock()
	q.draining = true
	now := q.env.now()
	for l := range q.lanes.all() {
		if l.state == laneWaiting {
			q.timers.remove(&l.timed)
			q.makeReady(l, now)
		}
	}
	q.wake()
	if q.isEmpty() {
		q.mu.Unlock()
		return nil
	}
	if q.empty == nil {
		q.empty = make(chan struct{})
	}
	empty := q.empty
	q.mu.Unlock()
	select {
	case <-empty:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// busy tells whether there is anything left to do.
func (q *queue) busy() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return !q.isEmpty()
}

// givenUp is how many records were left when the drain timed out.
func (q *queue) givenUp() uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.stats.Dropped.Stopped
}

// abort gives up everything that is queued: the messages are settled as not
// delivered. What is in a Write follows when that returns.
func (q *queue) abort() {
	q.mu.Lock()
	q.aborted = true
	list := q.purge(nil)
	q.space.Broadcast()
	q.mu.Unlock()
	settle(list)
}

// purge empties the lanes of all records that are not in a Write.
func (q *queue) purge(list []settlement) []settlement {
	q.stats.FullSince = time.Time{} // nothing is let in any more
	for l := range q.lanes.all() {
		for n := l.afterFlying(); n != nil; n = l.afterFlying() {
			q.unlink(l, n)
			q.stats.Dropped.Stopped++
			list = append(list, settlement{n.delivery, ErrDrainTimeout})
			n.endTrace(Abandoned, ErrDrainTimeout)
		}
	}
	return list
}

// close ends the writers and closes the sink. The queue must be empty or
// aborted, and nobody may add to it any more.
func (q *queue) close(ctx context.Context) error {
	q.mu.Lock()
	q.closed = true
	if q.alarm != nil {
		q.alarm.Stop()
	}
	q.work.Broadcast()
	q.mu.Unlock()
	q.done.Wait()
	return q.sink.Close(ctx)
}
