package bridge

import (
	"errors"
	"log/slog"
	"strconv"
)

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
			n.endTrace(Abandoned, f.err)
			n.delivery.Done(f.err) // unacknowledged; the broker keeps it
		case q.fallback != nil && !n.dead:
			q.deadLetter(n, f.err)
		default:
			n.endTrace(outcomeOf(f.err), f.err)
			n.delivery.Done(nil)
		}
		n.delivery = Delivery{}
	}
	if q.env.hooks.OnFail != nil {
		q.env.hooks.OnFail(FailEvent{q.name, len(failed), reason})
	}
	var first Record
	failed[0].node.record(&first, 0)
	q.env.warn(slog.LevelWarn, "sink", q.name, "sink gave up records", reason, len(failed),
		slog.String("rule", first.Rule), slog.String("topic", first.Topic), q.env.excerpt("data", first.Data))
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
	var rec Record
	n.record(&rec, 0)
	f := q.fallback
	rec.Sink, rec.Dest, rec.HashKey = f.name, "", nil
	rec.Attrs = append(rec.Attrs[:len(rec.Attrs):len(rec.Attrs)],
		Attr{"sink", []byte(q.name)},
		Attr{"dest", []byte(n.dest)},
		Attr{"topic", []byte(n.topic)},
		Attr{"rule", []byte(n.ruleName)},
		Attr{"error", []byte(err.Error())},
		Attr{"attempts", strconv.AppendInt(nil, int64(n.attempt), 10)},
		Attr{"payload", n.payload()},
	)
	rec.Attempt = 0
	it := item{rec: &rec, payload: n.payload(), delivery: n.delivery, received: n.received, now: q.env.now(), dead: true}
	if it.trace = n.trace(); it.trace != nil {
		it.trace.Fallback(f.name, err)
		n.setTrace(nil)
	}
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
