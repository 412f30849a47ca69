package mqtt

import (
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/sluiceio/sluice/bridge"
)

// budget accounts for the memory of what a source has received. It is soft: what has
// been received is taken in, and who has received it waits before reading on.
type budget struct {
	limit   int64
	used    atomic.Int64
	waiting atomic.Bool

	mu   sync.Mutex
	room chan struct{} // closed when used falls below limit; nil when nobody waits
}

func newBudget(limit int) *budget { return &budget{limit: int64(limit)} }

func (b *budget) take(n int64) { b.used.Add(n) }

func (b *budget) full() bool { return b.used.Load() >= b.limit }

// release gives back what was taken, and wakes those who wait for it.
func (b *budget) release(n int64) {
	if n == 0 || b.used.Add(-n) >= b.limit || !b.waiting.Load() {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.wake()
}

// wait returns what to wait for before taking more; nil when there is room.
func (b *budget) wait() <-chan struct{} {
	if !b.full() {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.room == nil {
		b.room = make(chan struct{})
		b.waiting.Store(true)
	}
	room := b.room
	if !b.full() { // released before it could see that somebody waits
		b.wake()
	}
	return room
}

// wake wakes everyone who waits; mu is held.
func (b *budget) wake() {
	if b.room != nil {
		close(b.room)
		b.room = nil
		b.waiting.Store(false)
	}
}

// What a message costs beside its topic and payload: its places in the inbox and the
// window, and its properties when decoded.
const (
	messageBytes      = int64(unsafe.Sizeof(item{}) + unsafe.Sizeof(slot{}))
	propertiesBytes   = int64(unsafe.Sizeof(bridge.Properties{}))
	userPropertyBytes = int64(unsafe.Sizeof(bridge.UserProperty{})) + 5 // on the wire, where the texts are
)

// weight returns the memory that a message takes up. A broker may send properties that
// take several times the bytes in memory that they take on the wire.
func (p *publish) weight() int64 {
	n := messageBytes + int64(len(p.topic)+len(p.payload))
	if q := p.props; q != nil {
		n += propertiesBytes + int64(len(q.ContentType)+len(q.ResponseTopic)+len(q.CorrelationData)+8*cap(q.SubscriptionIDs))
		n += userPropertyBytes * int64(cap(q.User))
		for i := range q.User {
			n += int64(len(q.User[i].Key) + len(q.User[i].Value))
		}
	}
	return n
}
