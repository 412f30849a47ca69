package broker

import (
	"cmp"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

// outgoing is a publication for one subscriber.
type outgoing struct {
	*publication
	number   int64 // in the order of the session's messages
	qos      byte
	retain   bool
	ids      []int  // subscription identifiers
	id       uint16 // 0 until it is sent with QoS 1 or 2
	dup      bool   // it has been written to an earlier connection
	released bool   // QoS 2: the subscriber has it; what is sent is PUBREL
	counted  bool   // it takes a place of the connection's window
}

// place is what it takes beside the publication.
func (m *outgoing) place() int { return outgoingCost + 8*len(m.ids) }

// size is what it counts in its outbox.
func (m *outgoing) size() int { return m.place() + m.cost() }

// outbox holds what a session's client is to get. Messages are sent in order of
// their arrival; those with QoS 1 and 2 stay until they are acknowledged, and are
// sent again on the next connection.
//
// While as many QoS 1 and 2 messages as the client's receive maximum are not
// acknowledged (MQTT 5.0, section 4.9), everything behind them waits.
//
// The retained messages that a new subscription brings come from a scan, a few when
// there is nothing before them to send. They are not queued, so that they are not
// dropped for want of room.
type outbox struct {
	limits   *Limits
	of       *session // stores its messages
	pool     *pool
	retained *retained

	mu       sync.Mutex
	c        *conn       // nil while the client is not connected
	waiting  []*outgoing // in order; from head on
	head     int
	inflight map[uint16]*outgoing // sent with QoS 1 or 2 and not acknowledged
	kept     int                  // QoS 1 and 2 messages, waiting or in flight
	fleeting int                  // QoS 0 messages waiting
	bytes    int                  // memory of both
	used     int                  // places of the window
	lastID   uint16
	last     int64 // number of the newest message
	sending  bool  // a goroutine sends for c
	over     bool  // the session has ended

	held int64                    // messages from this number on wait for a SUBACK; 0 for none
	due  map[string]*subscription // that the next scan is for, by filter
	scan *scan                    // under way; nil for none
}

// Reasons for which a message is not delivered, as EMQX names them.
const (
	queueFull = "queue_full"
	expired   = "expired"
	noLocal   = "no_local"
	tooLarge  = "too_large"

	// Not ones of EMQX's.
	sessionEnded = "session_ended"
	notAllowed   = "not_authorized"
)

// put adds a message, unless there is no room: then it returns why.
func (o *outbox) put(m *outgoing) (dropped string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if m.qos == 0 && o.c == nil {
		return "" // nobody expects them to wait
	}
	size := m.size()
	switch {
	case o.over:
		return sessionEnded
	case o.bytes > 0 && o.bytes+size > o.limits.SubscriberBytes,
		!o.pool.fits(m, o.limits.SubscribersBytes),
		m.qos == 0 && o.fleeting >= o.limits.SubscriberQueue,
		m.qos > 0 && o.kept >= o.limits.SubscriberInflight:
		return queueFull
	}
	o.last++
	m.number = o.last
	o.enterLocked(m)
	o.waiting = append(o.waiting, m)
	o.startLocked()
	return ""
}

// enterLocked counts a message that is to wait, and stores it.
func (o *outbox) enterLocked(m *outgoing) {
	if m.qos == 0 {
		o.fleeting++
	} else {
		o.kept++
	}
	o.bytes += m.size()
	o.pool.add(m)
	o.of.saveOutgoing(m)
}

// leaveLocked undoes enterLocked.
func (o *outbox) leaveLocked(m *outgoing) {
	if m.qos == 0 {
		o.fleeting--
	} else {
		o.kept--
		o.of.forgetOutgoing(m)
	}
	o.bytes -= m.size()
	o.pool.remove(m)
}

// attach makes c the connection that messages are sent on. Those that an earlier
// one has sent and that are not acknowledged come first.
func (o *outbox) attach(c *conn) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.detachLocked()
	o.c, o.sending = c, false
}

// start begins to send on c, which has got its CONNACK.
func (o *outbox) start(c *conn) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.c == c {
		c.established = true
		o.startLocked()
	}
}

// detach tells that c has ended.
func (o *outbox) detach(c *conn) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.c == c {
		o.detachLocked()
	}
}

func (o *outbox) detachLocked() {
	again := make([]*outgoing, 0, len(o.inflight)+len(o.waiting)-o.head)
	for _, m := range o.inflight {
		m.dup, m.counted = true, false
		again = append(again, m)
	}
	for _, m := range o.waiting[o.head:] {
		switch {
		case m.qos == 0:
			o.leaveLocked(m)
		case m.id == 0: // others are in flight, too
			again = append(again, m)
		}
	}
	slices.SortFunc(again, func(a, b *outgoing) int { return cmp.Compare(a.number, b.number) })
	o.waiting, o.head = again, 0
	o.c, o.used, o.fleeting, o.held = nil, 0, 0, 0
}

// startLocked starts a goroutine that sends, if there is something to send.
func (o *outbox) startLocked() {
	if o.sending || o.c == nil || !o.c.established || !o.scanLocked() && !o.readyLocked() {
		return
	}
	o.sending = true
	c := o.c
	c.src.senders.Go(func() { o.send(c) })
}

// readyLocked reports whether the oldest message may be sent.
func (o *outbox) readyLocked() bool {
	if o.head == len(o.waiting) {
		return false
	}
	m := o.waiting[o.head]
	if o.held > 0 && m.number >= o.held || o.scan != nil && m.number > o.scan.place {
		return false // the SUBACK, or what the scan finds, comes first
	}
	return m.qos == 0 || m.released || o.used < o.c.window && (m.id != 0 || len(o.inflight) < math.MaxUint16)
}

// What is taken from an outbox at once, which does not count in it any more.
const (
	together      = 64
	togetherBytes = 256 << 10
)

// send writes messages to c until there is none that may be sent.
func (o *outbox) send(c *conn) {
	batch := make([]outgoing, 0, together)
	for {
		var done []*subscription
		var more bool
		batch, done, more = o.take(c, batch[:0])
		if len(done) > 0 {
			scanned(done)
		}
		if !more {
			return
		}
		c.cork()
		for i := range batch {
			c.src.transmit(c, &batch[i])
		}
		if c.uncork() != nil {
			return // closed; the reader sees to the rest
		}
	}
}

// take removes messages that may be sent on c, and returns copies: the messages
// themselves may change once the lock is released. Without more the sender is done.
func (o *outbox) take(c *conn, batch []outgoing) (_ []outgoing, done []*subscription, more bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.c != c {
		return batch, nil, false
	}
	if o.scanLocked() {
		done = o.refillLocked(time.Now())
	}
	bytes := 0
	for len(batch) < together && bytes < togetherBytes && o.readyLocked() {
		m := o.waiting[o.head]
		o.waiting[o.head] = nil
		o.head++
		if m.id != 0 && o.inflight[m.id] != m {
			continue // acknowledged by now
		}
		bytes += m.size()
		switch {
		case m.qos == 0:
			o.leaveLocked(m)
		case !m.released:
			if m.id == 0 {
				m.id = o.nextIDLocked()
				if o.inflight == nil {
					o.inflight = make(map[uint16]*outgoing)
				}
				o.inflight[m.id] = m
				if m.qos == 2 { // whose packet identifier matters
					o.of.saveOutgoing(m)
				}
			}
			m.counted = true
			o.used++
		}
		batch = append(batch, *m)
	}
	switch { // keep what is moved small against what was sent
	case o.head == len(o.waiting):
		o.waiting, o.head = nil, 0
	case o.head > len(o.waiting)/2:
		o.waiting = append(o.waiting[:0:0], o.waiting[o.head:]...)
		o.head = 0
	}
	o.sending = len(batch) > 0 || o.scanLocked()
	return batch, done, o.sending
}

func (o *outbox) nextIDLocked() uint16 {
	for {
		o.lastID++
		if _, taken := o.inflight[o.lastID]; o.lastID != 0 && !taken {
			return o.lastID
		}
	}
}

// acknowledge handles a PUBACK, PUBREC or PUBCOMP packet: it returns a copy of the
// message that it belongs to, nil if there is none, and whether that was the last
// packet about it.
func (o *outbox) acknowledge(kind byte, id uint16, failed bool) (_ *outgoing, done bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	m := o.inflight[id]
	if m == nil || kind == packets.Puback && m.qos != 1 || kind != packets.Puback && m.qos != 2 || kind == packets.Pubcomp && !m.released {
		return nil, false
	}
	was := *m
	if kind == packets.Pubrec && !failed {
		m.released = true
		o.of.saveOutgoing(m)
		return &was, false
	}
	o.removeLocked(m)
	return &was, true
}

// remove forgets a message that was taken and will not be sent.
func (o *outbox) remove(id uint16) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if m := o.inflight[id]; m != nil {
		o.removeLocked(m)
	}
}

// prune removes and returns the messages that have expired before they were sent.
func (o *outbox) prune(now time.Time) (old []*outgoing) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.kept == len(o.inflight) {
		return nil
	}
	left := o.waiting[:o.head]
	for _, m := range o.waiting[o.head:] {
		if m.qos > 0 && m.id == 0 && m.expired(now) {
			old = append(old, m)
			o.leaveLocked(m)
			continue
		}
		left = append(left, m)
	}
	clear(o.waiting[len(left):])
	o.waiting = left
	return old
}

func (o *outbox) removeLocked(m *outgoing) {
	o.leaveLocked(m)
	delete(o.inflight, m.id)
	if m.counted {
		m.counted = false
		o.used--
	}
	o.startLocked()
}

// discard drops everything and returns it, QoS 0 messages excepted.
func (o *outbox) discard() []*outgoing {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.detachLocked()
	all := o.waiting
	for _, m := range all {
		o.leaveLocked(m)
	}
	o.waiting, o.head, o.inflight, o.due, o.scan, o.over = nil, 0, nil, nil, nil, true
	return all
}

// restore adds a message that an earlier process has left behind. The oldest comes
// first.
func (o *outbox) restore(m *outgoing) {
	m.dup = true // it may have been sent
	o.waiting = append(o.waiting, m)
	o.kept++
	o.bytes += m.size()
	o.pool.add(m)
	o.last = max(o.last, m.number)
	if m.id != 0 {
		if o.inflight == nil {
			o.inflight = make(map[uint16]*outgoing)
		}
		o.inflight[m.id] = m
	}
}
