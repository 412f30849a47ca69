package bridge

import "strconv"

// hasFallback reports whether a record that will not be stored here goes on to
// another sink. Dead letters that fail go nowhere.
func (q *queue) hasFallback(n *node) bool {
	if n.Value.dead {
		return false
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.fallback != nil
}

// pass queues a record for the fallback, with its history and its delivery, and
// reports whether it did: there is no fallback, or no room in it and the caller
// only tries, as writers do, which must never wait for another queue. It is
// called without a lock.
func (q *queue) pass(n *node, reason error, try bool) bool {
	v := &n.Value
	q.mu.Lock()
	f := q.fallback
	q.mu.Unlock()
	if f == nil || v.dead {
		return false
	}
	var rec Record
	v.record(&rec, f.name())
	dest := rec.Dest
	rec.Dest, rec.HashKey = "", nil
	rec.Attrs = append(rec.Attrs[:len(rec.Attrs):len(rec.Attrs)],
		Attr{"sink", []byte(q.name())},
		Attr{"dest", []byte(dest)},
		Attr{"topic", []byte(rec.Topic)},
		Attr{"rule", []byte(rec.Rule)},
		Attr{"error", []byte(errorText(reason))},
		Attr{"attempts", strconv.AppendInt(nil, int64(v.attempt), 10)},
		Attr{"payload", v.payload()},
	)
	rec.Attempt = 0
	it := item{
		rec: &rec, payload: v.payload(), delivery: v.delivery, received: v.received,
		source: n.Source, dead: true, try: try, trace: v.trace(),
	}
	// Once it is accepted others tell the trace of it, so it is told before, and
	// not again if there is no room yet.
	it.trace.fallback(f.name(), reason)
	if q.tickets {
		ticketOf(v.delivery).reason = reason
	}
	if !f.accept(&it) {
		return false
	}
	v.delivery = Delivery{}
	if v.extra != nil {
		v.extra.trace = nil
	}
	return true
}

// accept queues one dead letter, finding its lane first, and reports whether it did.
// One that the sink cannot be asked about ends here.
func (q *queue) accept(it *item) bool {
	for {
		v := q.service.Load()
		if err := q.lane(v, it); err != nil {
			q.refuse(it, err) // waiting would not help
			return true
		}
		q.mu.Lock()
		if q.service.Load() != v {
			q.mu.Unlock()
			continue
		}
		list, ok := q.add(it, q.env.now(), nil)
		moved := q.service.Load() != v
		q.wake()
		q.mu.Unlock()
		q.giveUp(list, it.try)
		if ok || !moved {
			return ok
		}
	}
}

// lane asks the sink for the lane of a record.
func (q *queue) lane(v *service, it *item) error {
	return q.env.door.guard("sink", q.name(), "Lane", func() { it.lane, it.group = v.laneOf(it.rec) })
}
