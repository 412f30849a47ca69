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
	acker    bridge.Acker // nil with QoS 0
	seq      uint64
}

// inbox holds what the connections have received until Read takes it. Two
// slices change places: connections append to the one while Read empties the
// other, so that they meet for a moment per batch only.
//
// It is bounded: QoS 1 and 2 by the connections' windows, QoS 0 by a number,
// beyond which it is dropped, and all of it by a number of bytes, at which
// connections wait and QoS 0 is dropped.
type inbox struct {
	maxBytes int
	maxQoS0  int

	reading sync.Mutex // held by Read and by purge
	out     []item
	pos     int // of the first item of out that Read has not taken

	mu    sync.Mutex
	in    []item
	bytes int // payload bytes in in and out
	qos0  int // QoS 0 messages in in and out
	total int
	room  chan struct{} // closed when bytes falls below the bound; nil when nobody waits

	ready chan struct{} // capacity 1: in is not empty
}

func newInbox(maxBytes, maxQoS0 int) *inbox {
	return &inbox{maxBytes: maxBytes, maxQoS0: maxQoS0, ready: make(chan struct{}, 1)}
}

// push adds a batch and returns how many QoS 0 messages it dropped. When the
// inbox is full the caller must wait for the returned channel, if it is not nil,
// before it pushes again.
func (b *inbox) push(items []item) (dropped int, wait <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range items {
		it := &items[i]
		if it.qos == 0 {
			if b.qos0 >= b.maxQoS0 || b.bytes >= b.maxBytes {
				dropped++
				continue
			}
			b.qos0++
		}
		b.bytes += len(it.payload)
		b.total++
		b.in = append(b.in, *it)
	}
	b.signal()
	if b.bytes < b.maxBytes {
		return dropped, nil
	}
	if b.room == nil {
		b.room = make(chan struct{})
	}
	return dropped, b.room
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
	for i := range items {
		it := &items[i]
		m := bridge.Message{
			Topic: it.topic, Payload: it.payload, Props: it.props,
			QoS: it.qos, Retain: it.retain, Dup: it.dup, Received: it.received, Server: it.server,
		}
		if it.acker != nil {
			m.Delivery = bridge.NewDelivery(it.acker, it.seq)
		} else {
			qos0++
		}
		bytes += len(it.payload)
		dst[i] = m
	}
	clear(items)
	b.pos += len(items)
	b.mu.Lock()
	b.took(len(items), bytes, qos0)
	b.mu.Unlock()
	return len(items)
}

// swap makes what the connections have appended Read's; reading is held.
func (b *inbox) swap() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.out, b.in = b.in, b.out[:0]
	b.pos = 0
}

// took accounts for items that have left; mu is held.
func (b *inbox) took(n, bytes, qos0 int) {
	b.total -= n
	b.bytes -= bytes
	b.qos0 -= qos0
	if b.room != nil && b.bytes < b.maxBytes {
		close(b.room)
		b.room = nil
	}
}

// purge removes the messages of an acker and returns how many they were.
func (b *inbox) purge(a bridge.Acker) int {
	b.reading.Lock()
	defer b.reading.Unlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	n, bytes := 0, 0
	keep := func(items []item) []item {
		kept := items[:0]
		for _, it := range items {
			if it.acker == a {
				n++
				bytes += len(it.payload)
				continue
			}
			kept = append(kept, it)
		}
		clear(items[len(kept):])
		return kept
	}
	b.out = b.out[:b.pos+len(keep(b.out[b.pos:]))]
	b.in = keep(b.in)
	b.took(n, bytes, 0)
	return n
}

// held returns how many messages and payload bytes wait for Read.
func (b *inbox) held() (messages, bytes int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.total, b.bytes
}
