package mqtt

import (
	"sync"
	"time"

	"github.com/sluiceio/sluice/bridge"
)

// item is a received message on its way to Read.
type item struct {
	publish
	received time.Time
	server   string
	weight   int64        // memory that it takes up
	hash     uint64       // fingerprint, 0 with QoS 0
	via      *arrival     // nil when it came by no subscription that overlaps with others
	acker    bridge.Acker // nil with QoS 0
	seq      uint64
}

// inbox holds what the connections have received until Read takes it. Two
// slices change places: connections append to the one while Read empties the
// other, so that they meet for a moment per batch only.
//
// It is bounded: QoS 1 and 2 by the connections' windows, QoS 0 by a number,
// beyond which it is dropped, and all of it by the memory that the source may hold, at
// which connections wait and QoS 0 is dropped. The memory of QoS 1 and 2 messages is
// given back by their windows.
type inbox struct {
	memory  *budget
	maxQoS0 int

	clientID, username Origin

	reading sync.Mutex // held by Read
	out     []item
	pos     int // of the first item of out that Read has not taken

	mu    sync.Mutex
	in    []item
	bytes int // payload bytes in in and out
	qos0  int // QoS 0 messages in in and out
	total int

	ready chan struct{} // capacity 1: in is not empty
}

func newInbox(memory *budget, maxQoS0 int) *inbox {
	return &inbox{memory: memory, maxQoS0: maxQoS0, ready: make(chan struct{}, 1)}
}

// push adds a batch and returns how many QoS 0 messages it dropped.
func (b *inbox) push(items []item) (dropped int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range items {
		it := &items[i]
		if it.qos == 0 {
			if b.qos0 >= b.maxQoS0 || b.memory.full() {
				dropped++
				continue
			}
			b.qos0++
		}
		b.memory.take(it.weight)
		b.bytes += len(it.payload)
		b.total++
		b.in = append(b.in, *it)
	}
	b.signal()
	return dropped
}

func (b *inbox) signal() {
	if len(b.in) > 0 {
		select {
		case b.ready <- struct{}{}:
		default:
		}
	}
}

// take fills dst and returns how many messages it stored; 0 when there is none.
func (b *inbox) take(dst []bridge.Message) int {
	b.reading.Lock()
	defer b.reading.Unlock()
	if b.pos == len(b.out) {
		b.swap()
	}
	items := b.out[b.pos:min(len(b.out), b.pos+len(dst))]
	var bytes, qos0 int
	var memory int64
	for i := range items {
		it := &items[i]
		m := bridge.Message{
			Topic: it.topic, Payload: it.payload, Props: it.props,
			QoS: it.qos, Retain: it.retain, Dup: it.dup, Received: it.received, Server: it.server,
			ClientID: b.clientID.of(&it.publish), Username: b.username.of(&it.publish),
		}
		if it.acker != nil {
			m.Delivery = bridge.NewDelivery(it.acker, it.seq)
		} else {
			qos0++
			memory += it.weight
		}
		bytes += len(it.payload)
		dst[i] = m
	}
	clear(items)
	b.pos += len(items)
	b.mu.Lock()
	b.total -= len(items)
	b.bytes -= bytes
	b.qos0 -= qos0
	b.mu.Unlock()
	b.memory.release(memory)
	return len(items)
}

// swap makes what the connections have appended Read's; reading is held.
func (b *inbox) swap() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.out, b.in = b.in, b.out[:0]
	b.pos = 0
}

// held returns how many messages and payload bytes wait for Read.
func (b *inbox) held() (messages, bytes int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.total, b.bytes
}
