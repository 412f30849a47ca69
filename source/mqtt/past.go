package mqtt

// past is what a window remembers of earlier connections of its session.
//
// When a connection is lost, the messages that were handed out and not acknowledged are
// still on their way through the pipeline. If the broker has kept the session, it must
// send them again, with their packet identifiers and the DUP flag (MQTT 5.0, section 4.4;
// 3.1.1 the same). Handing them out again would make duplicates of all of them at every
// reconnect, so a message that comes again is joined with the one that is known, by
// packet identifier and fingerprint: it takes its place in the order of the new
// connection, and is acknowledged there when the known one is settled.
//
// What can happen to a message A, in the order of events:
//
//   - Settled, then the connection dies with the acknowledgement unwritten, because one
//     received before A is not settled. A is remembered as settled; when it comes again
//     it is acknowledged in its turn and not handed out.
//   - The connection dies, then A is settled, then it comes again: the same. Settling it
//     meanwhile acknowledges nothing, as there is nothing that it could be said on.
//   - The connection dies, A comes again and is joined, then it is settled: settling
//     finds A's new place.
//   - The connection dies twice, and the second one before A came again: A stays
//     remembered. If it came again on the second one, it is unacknowledged there, and
//     remembered with its first number, which is the one that its Delivery knows.
//   - QoS 1, PUBACK was written and lost with the connection. What comes with A's packet
//     identifier and fingerprint is either A, or an equal message N that got the
//     identifier after PUBACK did arrive, and whose first sending was lost. It has to be
//     handed out. Only where a message B is known that was received after A and is not
//     acknowledged does the order of sending tell them apart: the broker sends again in
//     that order, A before B, and N behind B, since N was sent after everything that
//     arrived. So what comes before B is A, and is acknowledged once more. Handed out, it
//     would be stored behind B, which is joined and does not follow it a second time.
//   - QoS 1, PUBACK has arrived and the broker gives the packet identifier to another
//     message: that comes without DUP, or with another fingerprint, and is new.
//   - QoS 2: the packet identifier is A's until PUBREL, so that A is recognized whether
//     PUBREC was written or not.
//   - A is settled with an error: it is forgotten, and with it what was received behind
//     it with QoS 1, so that the broker's sending them again hands them out in order.
//   - The broker has no session any more, or does not send A again (it has given A to
//     another member of a shared subscription, or A has expired): settling A does
//     nothing. It is forgotten when the session is gone, when its packet identifier is
//     used for something else, when a whole window of new messages has come since, or
//     when more are remembered than a window holds.
type past struct {
	unsettled map[uint64]*entry // by number: handed out on an earlier connection
	lost      map[uint16]*entry // by packet identifier: not yet sent again by the broker
	joined    map[uint64]*entry // by place in the ring: sent again on this connection
	acked     map[uint16]uint64 // QoS 1: fingerprints of what was acknowledged last; nil when it tells nothing
	fresh     int               // new messages since the connection was made
}

// entry is a message of an earlier connection.
type entry struct {
	seq    uint64 // the number that its Delivery knows
	place  uint64 // in the ring, once it has come again; 0 before
	hash   uint64
	weight uint32
	id     uint16
	qos2   bool
	done   bool // settled without an error
}

func newPast() past {
	return past{unsettled: map[uint64]*entry{}, lost: map[uint16]*entry{}, joined: map[uint64]*entry{}}
}

// suspend ends the window of a connection: nothing can be acknowledged until the next.
func (w *window) suspend() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.suspendLocked()
}

func (w *window) suspendLocked() {
	if w.out == nil {
		return
	}
	w.out = nil
	if len(w.past.lost)+int(w.tail-w.head) > w.limit {
		clear(w.past.lost) // more than any broker can have under way
	}
	failed := false
	for seq := w.head; seq != w.tail; seq++ {
		s := w.at(seq)
		if failed = failed || s.state == slotFailed; s.state == slotFailed {
			w.memory.release(int64(s.weight))
			continue
		}
		e := w.remember(seq, s)
		if !failed || e.qos2 {
			w.past.lost[e.id] = e
		}
	}
	w.rememberAcked()
	clear(w.past.joined)
	w.base, w.head = w.tail, w.tail
	w.pending, w.failed, w.past.fresh = 0, 0, 0
	w.inRing = idSet{}
	w.held.Store(int64(len(w.past.lost) + len(w.completing)))
	if w.room != nil {
		close(w.room)
		w.room = nil
	}
}

// remember makes an entry of a message in the ring, or finds the one that it has.
func (w *window) remember(seq uint64, s *slot) *entry {
	e := w.past.joined[seq]
	if e == nil {
		e = &entry{seq: seq, id: s.id, hash: s.hash, weight: s.weight, qos2: s.qos2}
	}
	e.place = 0
	if s.state == slotDone {
		w.memory.release(int64(e.weight))
		e.done, e.weight = true, 0
	} else {
		w.past.unsettled[e.seq] = e
	}
	return e
}

// rememberAcked collects what the ring still has of the messages that it acknowledged.
func (w *window) rememberAcked() {
	w.past.acked = nil
	if w.head == w.tail { // nothing to tell the order of sending by
		return
	}
	w.past.acked = map[uint16]uint64{}
	for seq := max(w.base, w.tail-min(w.tail, uint64(len(w.ring)))); seq < w.head; seq++ {
		if s := w.at(seq); s.id != 0 && !s.qos2 { // 0: not copied when the ring grew
			w.past.acked[s.id] = s.hash
		}
	}
}

// resume begins the window of a new connection, of a session that the broker has kept
// or not, and returns the connection's number.
func (w *window) resume(out *outbox, present bool, stuck func()) (epoch uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.suspendLocked()
	if !present {
		clear(w.past.lost)
		clear(w.completing)
		w.past.acked = nil
		w.copies.reset()
	}
	w.out, w.stuck = out, stuck
	w.epoch++
	w.held.Store(int64(len(w.completing)))
	return w.epoch
}

// retransmitted reports whether a message with the DUP flag is in the ring: brokers of
// MQTT 3.1.1 may send again what is not acknowledged, without a new connection.
func (w *window) retransmitted(p *item) bool {
	for seq := w.head; w.inRing.has(p.id) && seq != w.tail; seq++ {
		if s := w.at(seq); s.id == p.id && s.hash == p.hash && s.qos2 == (p.qos == 2) {
			return true
		}
	}
	return false
}

// rejoin finds the message that one with the DUP flag is, and gives it its place in the
// ring; false means that it is a new one.
func (w *window) rejoin(p *item) bool {
	s := slot{id: p.id, hash: p.hash, qos2: p.qos == 2, state: slotDone}
	done, ok := w.past.acked[p.id]
	sent, exchange := w.completing[p.id]
	switch e := w.past.lost[p.id]; {
	case e != nil && e.hash == p.hash && e.qos2 == s.qos2:
		delete(w.past.lost, p.id)
		w.past.acked = nil
		e.place = w.tail
		w.past.joined[w.tail] = e
		if !e.done {
			s.state, s.weight = slotPending, e.weight
			w.pending++
		}
	case s.qos2 && exchange && sent == p.hash:
		w.forget(p.id) // until PUBREC is sent again
	case !s.qos2 && e == nil && ok && done == p.hash:
	default:
		return false
	}
	seq := w.push(s)
	if s.state == slotDone && seq == w.head {
		w.release()
	}
	return true
}

// supersede forgets what a new message is proof against.
func (w *window) supersede(p *item) {
	w.past.acked = nil
	if len(w.past.lost) > 0 {
		delete(w.past.lost, p.id)
		if w.past.fresh++; w.past.fresh > w.limit {
			clear(w.past.lost)
		}
	}
	if p.qos == 2 {
		w.forget(p.id)
	}
}

// settlePast settles a message of an earlier connection. It returns its place in the
// ring, or 0 when it has none.
func (w *window) settlePast(seq uint64, err error) (place uint64) {
	e := w.past.unsettled[seq]
	if e == nil {
		return 0
	}
	delete(w.past.unsettled, seq)
	if e.place != 0 {
		return e.place
	}
	w.memory.release(int64(e.weight))
	e.done, e.weight = true, 0
	if err != nil {
		w.counts.failed.Add(1)
		w.unlearn(e)
	}
	return 0
}

// unlearn forgets a message that failed and, so that they are handed out in order when
// the broker sends them again, those of QoS 1 that were received behind it.
func (w *window) unlearn(failed *entry) {
	for id, e := range w.past.lost {
		if e == failed || !e.qos2 && e.seq > failed.seq {
			delete(w.past.lost, id)
		}
	}
}
