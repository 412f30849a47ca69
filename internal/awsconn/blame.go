package awsconn

import (
	"sync/atomic"
	"time"
)

// MaxRefusals is how many requests are refused in a row, for a reason that nobody
// knows, before it is taken for a reason that concerns them all. To find the first
// record of 500 entries of 500 records takes 18.
const MaxRefusals = 24

// blameFor is how long the refusal of a record counts against the next one.
const blameFor = 10 * time.Minute

// Blame reports a record that was refused for a reason that nobody knows whether
// the reason is the record. It is when other records are accepted at the same time.
// Otherwise it may be anything, such as a permission of a new kind, and giving up
// the record, and then each that follows, would lose them.
type Blame struct {
	accepted, refused atomic.Int64 // the last time, Unix nanoseconds
}

// Accept notes that a record was accepted.
func (b *Blame) Accept() { b.accepted.Store(time.Now().UnixNano()) }

// Accepted is when a record was last accepted, the Unix epoch for never.
func (b *Blame) Accepted() time.Time { return time.Unix(0, b.accepted.Load()) }

// IsRecord notes that a record was refused by itself, and reports whether it is to
// blame: others were accepted in its request, or since the last such refusal.
func (b *Blame) IsRecord(othersAccepted bool) bool {
	now := time.Now().UnixNano()
	last := b.refused.Swap(now)
	return othersAccepted || last != 0 && now-last < int64(blameFor) && b.accepted.Load() > last
}
