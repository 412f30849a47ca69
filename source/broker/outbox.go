package broker

import (
	"cmp"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

// publication is a message on its way to subscribers, who share it.
type publication struct {
	packets.Packet           // Origin is the client that published it, Expiry when it expires
	username       string    // of the client that published it
	received       time.Time // when it arrived
	injected       bool      // by Publish, which must not wait for the queue
}

// size is what its topic and payload take.
func (p *publication) size() int { return len(p.TopicName) + len(p.Payload) }

func (p *publication) expired(now time.Time) bool { return p.Expiry > 0 && p.Expiry <= now.Unix() }

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

// outbox holds what a session's client is to get. Messages are sent in order of
// their arrival; those with QoS 1 and 2 stay until they are acknowledged, and are
// sent again on the next connection.
//
// While as many QoS 1 and 2 messages as the client's receive maximum are not
// acknowledged (MQTT 5.0, section 4.9), everything behind them waits.
type outbox struct {
	limits *Limits
	of     *session // stores its messages

	mu       sync.Mutex
	c        *conn       // nil while the client is not connected
	waiting  []*outgoing // in order; from head on
	head     int
	inflight map[uint16]*outgoing // sent with QoS 1 or 2 and not acknowledged
	kept     int                  // QoS 1 and 2 messages, waiting or in flight
	fleeting int                  // QoS 0 messages waiting
	bytes    int                  // topics and payloads of both
	used     int                  // places of the window
	lastID   uint16
	last     int64 // number of the newest message
	sending  bool  // a goroutine sends for c
}

// Reasons for which a message is not delivered, as EMQX names them.
const (
	queueFull = "queue_full"
	expired   = "expired"
	noLocal   = "no_local"
	tooLarge  = "too_large"

	sessionEnded = "session_ended" // not one of EMQX's
)

// put adds a message, unless there is no room: then it returns why. Retained
// messages that a new subscription brings always have room, as there are no more
// of them than topics.
func (o *outbox) put(m *outgoing, bounded bool) (dropped string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if m.qos == 0 && o.c == nil {
		return "" // nobody expects them to wait
	}
	size := m.size()
	if bounded && o.bytes > 0 && o.bytes+size > o.limits.SubscriberBytes {
		return queueFull
	}
	if m.qos == 0 {
		if bounded && o.fleeting >= o.limits.SubscriberQueue {
			return queueFull
		}
		o.fleeting++
	} else {
		if bounded && o.kept >= o.limits.SubscriberInflight {
			return queueFull
		}
		o.kept++
	}
	o.bytes += size
	o.last++
	m.number = o.last
	o.waiting = append(o.waiting, m)
	o.of.saveOutgoing(m)
	o.startLocked()
	return ""
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
			o.bytes -= m.size()
		case m.id == 0: // others are in flight, too
			again = append(again, m)
		}
	}
	slices.SortFunc(again, func(a, b *outgoing) int { return cmp.Compare(a.number, b.number) })
	o.waiting, o.head = again, 0
	o.c, o.used, o.fleeting = nil, 0, 0
}

// startLocked starts a goroutine that sends, if there is something to send.
func (o *outbox) startLocked() {
	if o.sending || o.c == nil || !o.c.established || !o.readyLocked() {
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
	return m.qos == 0 || m.released || o.used < o.c.window && (m.id != 0 || len(o.inflight) < math.MaxUint16)
}

// send writes messages to c until there is none that may be sent.
func (o *outbox) send(c *conn) {
	const together = 64
	batch := make([]outgoing, 0, together)
	for {
		batch = o.take(c, batch[:0], together)
		if len(batch) == 0 {
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

// take removes up to n messages that may be sent on c, and returns copies: the
// messages themselves may change once the lock is released. With none, the sender
// is done.
func (o *outbox) take(c *conn, batch []outgoing, n int) []outgoing {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.c != c {
		return batch
	}
	for len(batch) < n && o.readyLocked() {
		m := o.waiting[o.head]
		o.waiting[o.head] = nil
		o.head++
		if m.id != 0 && o.inflight[m.id] != m {
			continue // acknowledged by now
		}
		switch {
		case m.qos == 0:
			o.fleeting--
			o.bytes -= m.size()
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
	o.sending = len(batch) > 0
	return batch
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
			o.of.forgetOutgoing(m)
			o.kept--
			o.bytes -= m.size()
			continue
		}
		left = append(left, m)
	}
	clear(o.waiting[len(left):])
	o.waiting = left
	return old
}

func (o *outbox) removeLocked(m *outgoing) {
	o.of.forgetOutgoing(m)
	delete(o.inflight, m.id)
	o.kept--
	o.bytes -= m.size()
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
	o.waiting, o.head, o.inflight, o.kept, o.bytes = nil, 0, nil, 0, 0
	return all
}

// restore adds a message that an earlier process has left behind. The oldest comes
// first.
func (o *outbox) restore(m *outgoing) {
	m.dup = true // it may have been sent
	o.waiting = append(o.waiting, m)
	o.kept++
	o.bytes += m.size()
	o.last = max(o.last, m.number)
	if m.id != 0 {
		if o.inflight == nil {
			o.inflight = make(map[uint16]*outgoing)
		}
		o.inflight[m.id] = m
	}
}
