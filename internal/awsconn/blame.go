package awsconn

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// MaxRefusals is how many requests are refused in a row, for a reason that nobody
	// knows, before it is taken for a reason that concerns them all. To find the first
	// record of 500 entries of 500 records takes 18.
	MaxRefusals = 24
	// Certain is how often a record is refused by itself before it is to blame. An
	// endpoint that refuses one request of ten at random refuses a record that often
	// once in a million; with the pauses of the pipeline it takes about 1.5 s.
	Certain = 6
	// maxDoubts bounds the memory of records that were refused.
	maxDoubts = 1 << 16
)

// Blame decides whether a record is to blame that was refused by itself, for a reason
// that nobody knows. It is when that happens again and again while other records are
// accepted. Otherwise it may be anything, such as a permission of a new kind, or
// something on the way that refuses now and then, and giving up the record, and then
// each that follows, would lose them. The zero value is ready.
type Blame struct {
	accepted atomic.Int64 // the last time, Unix nanoseconds
	requests atomic.Int64 // how many were accepted

	mu     sync.Mutex
	doubts map[uint64]doubt // by what a record holds
}

// doubt is a record that was refused.
type doubt struct {
	attempt  int   // of the last refusal
	refusals int   // with a request accepted before each but the first
	requests int64 // accepted until the last of them
}

var seed = maphash.MakeSeed()

// Accept notes that a request was accepted, in whole or in part.
func (b *Blame) Accept() {
	b.accepted.Store(time.Now().UnixNano())
	b.requests.Add(1)
}

// Accepted is when a request was last accepted, the Unix epoch for never.
func (b *Blame) Accepted() time.Time { return time.Unix(0, b.accepted.Load()) }

// IsRecord notes that a record was refused by itself, and reports whether it is to
// blame. The attempt grows with each write of a record; one that does not is that of
// another record, which holds the same.
func (b *Blame) IsRecord(key, data []byte, attempt int) bool {
	var h maphash.Hash
	h.SetSeed(seed)
	_, _ = h.Write(key)
	_ = h.WriteByte(0)
	_, _ = h.Write(data)
	id, requests := h.Sum64(), b.requests.Load()

	b.mu.Lock()
	defer b.mu.Unlock()
	d, known := b.doubts[id]
	switch {
	case !known || attempt <= d.attempt:
		d = doubt{refusals: 1, requests: requests}
	case requests > d.requests:
		d.refusals++
		d.requests = requests
	}
	d.attempt = attempt
	if d.refusals >= Certain {
		delete(b.doubts, id)
		return true
	}
	if b.doubts == nil || !known && len(b.doubts) >= maxDoubts {
		b.doubts = make(map[uint64]doubt) // those that are refused still come back
	}
	b.doubts[id] = d
	return false
}
