package mqtt

import (
	"net"
	"sync"
	"sync/atomic"
)

// window holds the QoS 1 and 2 messages of one network connection between
// receipt and acknowledgement, in order of receipt. Settling a message costs a
// constant time however many are held: a message's number is its place in the
// ring, and acknowledgements leave from the ring's head.
//
// A window ends with its connection: after close, settling is a no-op, because
// a packet identifier means nothing on another connection; the broker sends the
// message again.
type window struct {
	limit  int     // receive maximum
	out    *outbox // takes the acknowledgement packets
	stuck  func()  // told when only failed messages and what waits for them are left
	counts *counters

	mu         sync.Mutex
	open       bool
	ring       []slot              // length is a power of two
	head, tail uint64              // numbers of the oldest message held, and of the next
	pending    int                 // not settled
	failed     int                 // settled with an error
	completing map[uint16]struct{} // QoS 2: PUBREC sent, PUBREL awaited
	room       chan struct{}       // closed when the head moves; nil when nobody waits
	held       atomic.Int64        // messages that count against limit, for readers without mu
}

type slot struct {
	id    uint16
	state slotState
	qos2  bool
}

type slotState uint8

const (
	slotPending slotState = iota
	slotDone
	slotFailed
)

// Types of the acknowledgement packets. Without reason code and properties they
// are four bytes: type, length 2, packet identifier (MQTT 5.0, 3.4.2, 3.5.2,
// 3.7.2).
const (
	pubackByte  = 0x40
	pubrecByte  = 0x50
	pubcompByte = 0x70
)

const minRing = 64

func newWindow(limit int, counts *counters, out *outbox, stuck func()) *window {
	return &window{
		limit: limit, counts: counts, out: out, stuck: stuck,
		open: true, ring: make([]slot, minRing), completing: map[uint16]struct{}{},
	}
}

// add takes in a message and returns its number. When as many are held as the
// broker may send it returns a channel instead, to wait for before trying again:
// a broker that ignores the receive maximum (Mosquitto 2.0 does after a reconnect,
// when it is told not to limit itself) has to wait, which is kinder than the
// disconnecting that MQTT suggests. QoS 2 messages that only wait for PUBREL do
// not count, since it is behind what would have to wait for it.
func (w *window) add(id uint16, qos2 bool) (seq uint64, full <-chan struct{}, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.addLocked(id, qos2)
}

func (w *window) addLocked(id uint16, qos2 bool) (seq uint64, full <-chan struct{}, err error) {
	n := int(w.tail - w.head)
	if !w.open {
		return 0, nil, net.ErrClosed
	}
	if n >= w.limit {
		if w.room == nil {
			w.room = make(chan struct{})
		}
		return 0, w.room, nil
	}
	if n == len(w.ring) {
		w.grow()
	}
	seq = w.tail
	w.ring[seq&uint64(len(w.ring)-1)] = slot{id: id, qos2: qos2}
	w.tail++
	w.pending++
	w.held.Add(1)
	return seq, nil, nil
}

func (w *window) grow() {
	ring := make([]slot, 2*len(w.ring))
	for s := w.head; s != w.tail; s++ {
		ring[s&uint64(len(ring)-1)] = w.ring[s&uint64(len(w.ring)-1)]
	}
	w.ring = ring
}

// Done settles message seq: with a nil error it is acknowledged as soon as
// everything received before it is. After an error it is held back, together
// with the acknowledgements behind it, since MQTT wants them in order; the
// broker sends all of them again on the next connection. Done implements
// bridge.Acker.
func (w *window) Done(seq uint64, err error) {
	w.mu.Lock()
	stuck := w.done(seq, err)
	w.mu.Unlock()
	if stuck {
		w.stuck()
	}
}

func (w *window) done(seq uint64, err error) (stuck bool) {
	if !w.open || seq < w.head || seq >= w.tail {
		return false
	}
	s := &w.ring[seq&uint64(len(w.ring)-1)]
	if s.state != slotPending {
		return false
	}
	w.pending--
	if err != nil {
		s.state = slotFailed
		w.failed++
		w.counts.failed.Add(1)
	} else {
		s.state = slotDone
		if seq == w.head {
			w.release()
		}
	}
	return w.failed > 0 && w.pending == 0
}

// release acknowledges the settled messages at the head.
func (w *window) release() {
	if w.room != nil {
		close(w.room)
		w.room = nil
	}
	w.out.Lock()
	defer w.out.Unlock()
	for ; w.head != w.tail; w.head++ {
		s := w.ring[w.head&uint64(len(w.ring)-1)]
		if s.state != slotDone {
			return
		}
		kind := byte(pubackByte)
		if s.qos2 {
			kind = pubrecByte
			w.completing[s.id] = struct{}{}
		} else {
			w.held.Add(-1)
		}
		w.out.append4(kind, 2, byte(s.id>>8), byte(s.id))
		w.counts.acked.Add(1)
	}
}

// complete answers PUBREL: the exchange of a QoS 2 message is over.
func (w *window) complete(id uint16) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.open {
		return
	}
	if _, ok := w.completing[id]; ok {
		delete(w.completing, id)
		w.held.Add(-1)
	}
	w.out.Lock()
	w.out.append4(pubcompByte, 2, byte(id>>8), byte(id))
	w.out.Unlock()
}

// close ends the window with its connection.
func (w *window) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.open = false
	w.held.Store(0)
	w.ring, w.completing = nil, nil
}

// isStuck reports whether nothing but failed messages, and what waits for them,
// is left.
func (w *window) isStuck() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.open && w.failed > 0 && w.pending == 0
}
