package mqtt

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"

	"github.com/sluiceio/sluice/bridge"
)

// window holds the QoS 1 and 2 messages of a session between receipt and
// acknowledgement. Those of the current connection are in a ring, in order of receipt:
// settling a message costs a constant time however many are held, since a message's
// number is its place in the ring, and acknowledgements leave from the ring's head. What
// is left of earlier connections is in past.
type window struct {
	limit  int // receive maximum
	counts *counters
	memory *budget

	mu         sync.Mutex
	out        *outbox           // takes the acknowledgement packets; nil between connections
	epoch      uint64            // number of the connection, from 1
	stuck      func()            // told when only failed messages and what waits for them are left
	ring       []slot            // length is a power of two
	base       uint64            // number of the connection's first message
	head, tail uint64            // numbers of the oldest message held, and of the next
	pending    int               // in the ring and not settled
	failed     int               // in the ring and settled with an error
	completing map[uint16]uint64 // QoS 2: PUBREC sent, PUBREL awaited; fingerprints by packet identifier
	room       chan struct{}     // closed when the head moves; nil when nobody waits
	inRing     idSet
	past       past
	copies     copies
	followers  map[uint64][]uint64 // by number of a message: copies of it that wait for it
	held       atomic.Int64        // messages that count against limit, for readers without mu
}

// idSet is a set of packet identifiers.
type idSet [1 << 16 / 64]uint64

func (s *idSet) add(id uint16)      { s[id/64] |= 1 << (id % 64) }
func (s *idSet) remove(id uint16)   { s[id/64] &^= 1 << (id % 64) }
func (s *idSet) has(id uint16) bool { return s[id/64]&(1<<(id%64)) != 0 }

type slot struct {
	hash   uint64 // fingerprint
	weight uint32 // memory that the message takes up: less than 9 times the largest packet
	id     uint16
	state  slotState
	qos2   bool
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

func newWindow(limit int, counts *counters, memory *budget) *window {
	return &window{
		limit: limit, counts: counts, memory: memory,
		base: 1, head: 1, tail: 1, // so that 0 is no message's number
		ring: make([]slot, minRing), completing: map[uint16]uint64{}, past: newPast(),
		copies: newCopies(limit), followers: map[uint64][]uint64{},
	}
}

// admission is what becomes of a message that was received.
type admission struct {
	seq    uint64          // the number of a new message
	known  bool            // it is not new, and has been seen to
	copied bool            // it is another copy of a message
	full   <-chan struct{} // wait for this and try again
	err    error           // the connection is not the current one
}

// admit takes in a message of connection epoch. When as many are held as the
// broker may send it has to be tried again later: a broker that ignores the receive
// maximum (Mosquitto 2.0 does after a reconnect, when it is told not to limit itself)
// has to wait, which is kinder than the disconnecting that MQTT suggests. QoS 2
// messages that only wait for PUBREL do not count, since it is behind what would have
// to wait for it. mu is held.
func (w *window) admit(epoch uint64, p *item) admission {
	switch {
	case w.out == nil || w.epoch != epoch:
		return admission{err: net.ErrClosed}
	case p.dup && w.retransmitted(p):
		return admission{known: true}
	case int(w.tail-w.head) >= w.limit:
		if w.room == nil {
			w.room = make(chan struct{})
		}
		return admission{full: w.room}
	case p.dup && w.rejoin(p):
		return admission{known: true}
	}
	if h := w.copies.of(p); h != nil {
		w.admitCopy(p, h)
		return admission{known: true, copied: true}
	}
	w.supersede(p)
	w.pending++
	return admission{seq: w.push(slot{id: p.id, hash: p.hash, weight: uint32(p.weight), qos2: p.qos == 2})}
}

// push adds a message to the ring and returns its number.
func (w *window) push(s slot) uint64 {
	if int(w.tail-w.head) == len(w.ring) {
		w.grow()
	}
	seq := w.tail
	*w.at(seq) = s
	w.tail++
	w.inRing.add(s.id)
	w.held.Add(1)
	return seq
}

func (w *window) at(seq uint64) *slot { return &w.ring[seq&uint64(len(w.ring)-1)] }

func (w *window) grow() {
	ring := make([]slot, 2*len(w.ring))
	for s := w.head; s != w.tail; s++ {
		ring[s&uint64(len(ring)-1)] = *w.at(s)
	}
	w.ring = ring
}

// Done settles message seq: with a nil error it is acknowledged as soon as
// everything received before it is. After an error it is held back, together
// with the acknowledgements behind it, since MQTT wants them in order; the
// broker sends all of them again on the next connection. Done implements
// bridge.Acker.
func (w *window) Done(seq uint64, o bridge.Outcome, err error) {
	switch {
	case o.Settled():
		err = nil
	case err == nil:
		err = errNotSettled
	}
	w.mu.Lock()
	stuck := w.settle(seq, err)
	stuck = w.settleFollowers(seq, err) || stuck
	told := w.stuck
	w.mu.Unlock()
	if stuck {
		told()
	}
}

var errNotSettled = errors.New("the message was not settled")

func (w *window) settle(seq uint64, err error) (stuck bool) {
	if seq < w.base {
		if seq = w.settlePast(seq, err); seq == 0 {
			return false
		}
	}
	if seq < w.head || seq >= w.tail {
		return false
	}
	s := w.at(seq)
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

// release acknowledges the settled messages at the head. Their memory is given back only
// now, not when they are settled: the payloads of neighbours are parts of the same read
// buffer, which lives as long as the last of them.
func (w *window) release() {
	if w.room != nil {
		close(w.room)
		w.room = nil
	}
	var weight int64
	w.out.Lock()
	for ; w.head != w.tail; w.head++ {
		s := w.at(w.head)
		if s.state != slotDone {
			break
		}
		kind := byte(pubackByte)
		if s.qos2 {
			kind = pubrecByte
			w.completing[s.id] = s.hash
		} else {
			w.held.Add(-1)
		}
		weight += int64(s.weight)
		w.inRing.remove(s.id)
		w.out.append4(kind, 2, byte(s.id>>8), byte(s.id))
		w.counts.acked.Add(1)
	}
	w.out.Unlock()
	w.memory.release(weight)
}

// complete answers PUBREL: the exchange of a QoS 2 message is over, and its packet
// identifier free.
func (w *window) complete(id uint16) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.out == nil {
		return
	}
	w.forget(id)
	w.out.Lock()
	w.out.append4(pubcompByte, 2, byte(id>>8), byte(id))
	w.out.Unlock()
}

// forget ends the exchange of a QoS 2 message, if there is one.
func (w *window) forget(id uint16) {
	if _, ok := w.completing[id]; ok {
		delete(w.completing, id)
		w.held.Add(-1)
	}
	if e := w.past.lost[id]; e != nil && e.qos2 {
		delete(w.past.lost, id)
	}
}

// isStuck reports whether nothing but failed messages, and what waits for them,
// is left.
func (w *window) isStuck() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.failed > 0 && w.pending == 0
}
