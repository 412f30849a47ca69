package sched

// lane is an order domain: a list of entries, oldest first, of which the first
// ones may be in a batch.
type lane[T any] struct {
	id         uint64
	group      *group[T]
	home       uint64 // the group that its last entry was for; it moves there when it is ready again
	head, tail *Entry[T]
	lastFlying *Entry[T] // the last entry in a batch; nil when none is
	records    int
	bytes      int // of all entries, with their overhead
	state      laneState
	failures   int      // batches in a row after which its first record stayed
	prev, next *lane[T] // in its group's list of ready lanes; next in the free list
	timed[T]
}

type laneState uint8

const (
	laneNew laneState = iota // in no list
	laneLingering
	laneDelayed
	laneReady
	laneFlying
)

func (l *lane[T]) push(e *Entry[T]) {
	if l.tail == nil {
		l.head = e
	} else {
		l.tail.next = e
	}
	l.tail = e
	e.lane = l
	l.records++
}

// waiting returns the oldest entry that is not in a batch.
func (l *lane[T]) waiting() *Entry[T] {
	if l.lastFlying != nil {
		return l.lastFlying.next
	}
	return l.head
}

// dropWaiting takes that entry out of the lane.
func (l *lane[T]) dropWaiting() {
	e := l.waiting()
	if l.lastFlying != nil {
		l.lastFlying.next = e.next
	} else {
		l.head = e.next
	}
	if l.tail == e {
		l.tail = l.lastFlying
	}
	l.records--
	e.next, e.lane = nil, nil
}
