package broker

import (
	"context"
	"io"
	"sync"

	"github.com/sluiceio/sluice/bridge"
)

// queue hands messages from the clients' goroutines to Read. It is bounded by
// number and by payload bytes; a push into a full queue waits.
type queue struct {
	maxLen, maxBytes int

	mu      sync.Mutex
	room    sync.Cond
	waiting int // pushes that wait for room
	ring    []bridge.Message
	head, n int
	bytes   int
	closed  bool

	ready chan struct{} // capacity 1: there is something, or the queue is closed
}

func newQueue(maxLen, maxBytes int) *queue {
	q := &queue{maxLen: maxLen, maxBytes: maxBytes, ready: make(chan struct{}, 1)}
	q.room.L = &q.mu
	return q
}

// push appends m, after waiting for room if there is none. It returns false when
// the queue is closed. A message that is larger than the queue is taken when it
// is empty.
func (q *queue) push(m *bridge.Message) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for !q.closed && q.n > 0 && (q.n >= q.maxLen || q.bytes+len(m.Payload) > q.maxBytes) {
		q.waiting++
		q.room.Wait()
		q.waiting--
	}
	if q.closed {
		return false
	}
	q.add(m)
	return true
}

// What force may use beyond the bounds of the queue: as much again, and at least
// this.
const (
	reserveLen   = 1000
	reserveBytes = 4 << 20
)

// force appends m without waiting, beyond the queue's bounds: those that read the
// queue may be the ones that must not wait.
func (q *queue) force(m *bridge.Message) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	full := q.n >= q.maxLen+max(q.maxLen, reserveLen) || q.bytes+len(m.Payload) > q.maxBytes+max(q.maxBytes, reserveBytes)
	if q.closed || full && q.n > 0 {
		return false
	}
	q.add(m)
	return true
}

// add appends m. q.mu must be held.
func (q *queue) add(m *bridge.Message) {
	if q.n == len(q.ring) {
		q.grow()
	}
	q.ring[(q.head+q.n)%len(q.ring)] = *m
	q.n++
	q.bytes += len(m.Payload)
	if q.n == 1 {
		q.signal()
	}
}

func (q *queue) grow() {
	ring := make([]bridge.Message, max(64, 2*len(q.ring)))
	k := copy(ring, q.ring[q.head:])
	copy(ring[k:], q.ring[:q.head])
	q.ring, q.head = ring, 0
}

func (q *queue) signal() {
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

// read fills dst with the oldest messages, waiting for the first. A closed and
// empty queue is io.EOF.
func (q *queue) read(ctx context.Context, dst []bridge.Message) (int, error) {
	for {
		n, closed := q.take(dst)
		switch {
		case n > 0 || len(dst) == 0:
			return n, nil
		case closed:
			return 0, io.EOF
		}
		select {
		case <-q.ready:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

func (q *queue) take(dst []bridge.Message) (n int, closed bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for n < len(dst) && q.n > 0 {
		m := &q.ring[q.head]
		dst[n] = *m
		q.bytes -= len(m.Payload)
		*m = bridge.Message{}
		q.head = (q.head + 1) % len(q.ring)
		q.n--
		n++
	}
	if q.n > 0 {
		q.signal()
	}
	for range min(n, q.waiting) {
		q.room.Signal()
	}
	return n, q.closed
}

// close lets no more messages in, wakes everybody up and returns what was left.
func (q *queue) close() (left int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.room.Broadcast()
	q.signal()
	return q.n
}

func (q *queue) size() (n, bytes int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.n, q.bytes
}
