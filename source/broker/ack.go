package broker

import (
	"sync"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/sluiceio/sluice/bridge"
)

// ackWindow holds the messages of one connection that are not acknowledged yet,
// in order of receipt. Acknowledgements leave in that order (MQTT 5.0, section
// 4.6), whatever the order of settlement.
//
// Once the connection is closed, settling does nothing: the client sends again
// what was not acknowledged.
type ackWindow struct {
	c *conn

	mu       sync.Mutex
	room     sync.Cond  // there is room, or the window is closed
	entries  []ackEntry // from head on
	head     int
	first    uint64 // sequence number of entries[head]
	out      []byte // encoded acknowledgements that are to be written
	outCount int
	spare    []byte
	flushing bool
	closed   bool
}

type ackEntry struct {
	id     uint16
	qos    byte
	reason byte
	done   bool
	cost   int // that settling gives back to the publisher; 0 if that is not ours to do
}

// open readies the window for use.
func (w *ackWindow) open(c *conn) {
	w.c = c
	w.room.L = &w.mu
}

// add enters a message. With wait set it first waits for the window to have
// fewer than limit messages; else it returns false when it has not. A cost is given
// back to the publisher when the message is settled, on an open connection or not.
func (w *ackWindow) add(id uint16, qos byte, cost, limit int, wait bool) (seq uint64, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.entries)-w.head >= limit && !w.closed {
		if !wait {
			return 0, false
		}
		w.c.src.counters.windowFull.Add(1)
		w.room.Wait()
		w.c.src.counters.windowFull.Add(-1)
	}
	w.entries = append(w.entries, ackEntry{id: id, qos: qos, cost: cost})
	return w.first + uint64(len(w.entries)-w.head) - 1, true
}

// Done implements bridge.Acker. A message that was not settled closes the
// connection, so that the client sends it again.
func (w *ackWindow) Done(seq uint64, o bridge.Outcome, _ error) {
	if cost := w.takeCost(seq); cost > 0 {
		w.c.publisher.settle(cost)
	}
	if o.Settled() {
		w.settle(seq, packets.CodeSuccess.Code)
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.closed {
		w.closed = true
		w.c.src.tasks.Go(func() { _ = w.c.Close() })
	}
}

// takeCost returns a message's cost, once.
func (w *ackWindow) takeCost(seq uint64) (cost int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if seq < w.first || seq-w.first >= uint64(len(w.entries)-w.head) {
		return 0
	}
	e := &w.entries[w.head+int(seq-w.first)]
	cost, e.cost = e.cost, 0
	return cost
}

// settle acknowledges a message with a reason code once those before it are.
func (w *ackWindow) settle(seq uint64, reason byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || seq < w.first {
		return
	}
	open := w.entries[w.head:]
	open[seq-w.first].done, open[seq-w.first].reason = true, reason
	n := 0
	for n < len(open) && open[n].done {
		w.out = open[n].encode(w.out, w.c.client.ProtocolVersion)
		if open[n].reason == packets.CodeSuccess.Code {
			w.c.src.counters.acknowledged.Add(1)
		}
		n++
	}
	if n == 0 {
		return
	}
	w.outCount += n
	w.remove(n)
	w.room.Broadcast()
	w.flush()
}

// remove drops the n oldest messages. Each message is moved at most once for each
// one that was removed before it. The memory of a burst is let go. w.mu must be
// held.
func (w *ackWindow) remove(n int) {
	const keep = 256
	w.first += uint64(n)
	w.head += n
	switch left := len(w.entries) - w.head; {
	case left == 0 && cap(w.entries) > keep:
		w.entries, w.head = nil, 0
	case left <= w.head:
		copy(w.entries, w.entries[w.head:])
		w.entries, w.head = w.entries[:left], 0
	}
}

// flush starts writing what is in out, unless somebody is at it already. w.mu
// must be held.
func (w *ackWindow) flush() {
	if w.flushing || len(w.out) == 0 {
		return
	}
	w.flushing = true
	w.c.src.tasks.Go(w.write)
}

// write writes acknowledgements until there are none. While one write is under
// way the next acknowledgements gather, so that many share a write.
func (w *ackWindow) write() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.out) > 0 {
		batch, n := w.out, w.outCount
		w.out, w.outCount = w.spare[:0], 0
		w.mu.Unlock()
		err := w.c.write(batch, n)
		w.mu.Lock()
		w.spare = batch
		if err != nil { // the connection is closed
			break
		}
	}
	w.out, w.flushing = nil, false
}

// close makes settling a no-op and wakes all waiters. What is encoded already
// is still written.
func (w *ackWindow) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	w.room.Broadcast()
}

// encode appends the PUBACK or PUBREC packet.
func (e *ackEntry) encode(dst []byte, version byte) []byte {
	kind := packets.Puback
	if e.qos == 2 {
		kind = packets.Pubrec
	}
	return appendAck(dst, kind, e.id, e.reason, version)
}

// appendAck appends a PUBACK, PUBREC, PUBREL or PUBCOMP packet.
func appendAck(dst []byte, kind byte, id uint16, reason, version byte) []byte {
	header := kind << 4
	if kind == packets.Pubrel {
		header |= 2 // MQTT 5.0, section 3.6.1
	}
	if reason == packets.CodeSuccess.Code || version < 5 {
		return append(dst, header, 2, byte(id>>8), byte(id))
	}
	return append(dst, header, 3, byte(id>>8), byte(id), reason)
}
