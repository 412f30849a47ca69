package sched

import (
	"time"

	"github.com/sluiceio/sluice/internal/window"
)

// group is a set of lanes that share a bottleneck.
//
// Its window says at what pace its lanes may fly while the bottleneck refuses
// records; between them the group rests on the timers. A group that is
// unavailable is parked there; when its time has come one lane probes it, and it
// is parked again or opens.
//
// A group that answers clearly slower than others flies apart, in batches of its
// own: otherwise each of its records would hold up those of every other group in
// the same batch.
type group[T any] struct {
	id         uint64
	lanes      int // that exist
	flying     int
	head, tail *lane[T] // ready lanes
	queued     bool     // in the ring
	next       *group[T]
	window     window.Window
	parked     bool // unavailable at its last flight

	landed, refused int // lanes of the batch that is being landed

	apart    bool
	measured time.Duration // when it last flew alone
	timed[T]
}

func (g *group[T]) pushReady(l *lane[T]) {
	l.prev, l.next = g.tail, nil
	if g.tail == nil {
		g.head = l
	} else {
		g.tail.next = l
	}
	g.tail = l
}

func (g *group[T]) removeReady(l *lane[T]) {
	if l.prev == nil {
		g.head = l.next
	} else {
		l.prev.next = l.next
	}
	if l.next == nil {
		g.tail = l.prev
	} else {
		l.next.prev = l.prev
	}
	l.prev, l.next = nil, nil
}

// ring is a queue of groups.
type ring[T any] struct{ head, tail *group[T] }

func (r *ring[T]) push(g *group[T]) {
	g.queued, g.next = true, nil
	if r.tail == nil {
		r.head = g
	} else {
		r.tail.next = g
	}
	r.tail = g
}

func (r *ring[T]) pop() *group[T] {
	g := r.head
	r.head, g.next = g.next, nil
	if r.head == nil {
		r.tail = nil
	}
	g.queued = false
	return g
}

// prepend puts the groups of another ring before its own.
func (r *ring[T]) prepend(other ring[T]) {
	if other.head == nil {
		return
	}
	other.tail.next = r.head
	r.head = other.head
	if r.tail == nil {
		r.tail = other.tail
	}
}

// pace knows how long batches take, to find the groups that make them slow.
//
// Sequence: a batch of several groups takes much longer than usual, or is the first
// of all. Any of them may be slow, so each group is suspect until it has flown
// alone once more; the slow ones then stay apart, and are measured with each
// flight.
type pace struct {
	usual   time.Duration // slowly rising minimum
	suspect time.Duration // when it was last unclear who is slow; 0: never
	apart   int           // batches in flight of groups that fly alone
}

const (
	// slowFactor and slowMargin say how much longer than usual is slow.
	slowFactor = 2
	slowMargin = 5 * time.Millisecond
	// suspectInterval is how often all groups may be made to fly alone.
	suspectInterval = 5 * time.Second
	// maxSuspects is how many groups may be made to fly alone. To measure more
	// takes longer than a slow group costs.
	maxSuspects = 256
)

func (p *pace) slow(d time.Duration) bool {
	return p.usual > 0 && d > slowFactor*p.usual+slowMargin
}

// landed notes how long a batch took.
func (p *pace) landed(d time.Duration, alone bool, now time.Duration) {
	slow := p.slow(d)
	if !alone && (p.usual == 0 || slow && now-p.suspect >= suspectInterval) {
		p.suspect = now
	}
	switch {
	case p.usual == 0 || d < p.usual:
		p.usual = max(d, 1)
	case alone && slow:
		p.usual += (d - p.usual) / 1024 // not usual, unless there is nothing else
	default:
		p.usual += (d - p.usual) / 64
	}
}
