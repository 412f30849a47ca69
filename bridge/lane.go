package bridge

import "time"

// A lane is an order domain of a sink: a list of records, oldest first, of which
// the first ones (flying) may be in a Write. It exists only while it holds
// records.
type lane struct {
	id         uint64
	group      *group
	head, tail *node
	lastFlying *node // the last of the flying records, nil when none fly
	records    int
	bytes      int // of all records, as Record.Size plus overhead
	flying     int
	state      laneState
	failures   int   // writes in a row in which its first record failed
	next       *lane // in its group's list of ready lanes, or in the free list
	timed
}

type laneState uint8

const (
	laneNew     laneState = iota // in no list
	laneWaiting                  // on the timers, until it is full enough
	laneDelayed                  // on the timers, after a failure
	laneReady                    // in its group's ready list
	laneFlying                   // its first records are in a Write
)

func (l *lane) push(n *node) {
	if l.tail == nil {
		l.head = n
	} else {
		l.tail.next = n
	}
	l.tail = n
	l.records++
}

// afterFlying returns the oldest record that is not in a Write.
func (l *lane) afterFlying() *node {
	if l.lastFlying != nil {
		return l.lastFlying.next
	}
	return l.head
}

// dropAfterFlying takes that record out of the lane.
func (l *lane) dropAfterFlying() {
	n := l.afterFlying()
	if l.lastFlying != nil {
		l.lastFlying.next = n.next
	} else {
		l.head = n.next
	}
	if l.tail == n {
		l.tail = l.lastFlying
	}
	l.records--
	n.next = nil
}

// A group is a set of lanes that share a bottleneck. While it is throttled its
// window says how many lanes of it may fly at once. A write of which a share was
// refused cuts it by up to a half, once per round trip; successes grow it by one
// per round trip; and it is given up once it is clearly larger than what is
// needed. The cut depends on the share, so that a service that refuses a few
// percent at random does not look like one that is full.
//
// A window below one is a share of time: after each flight the group rests, so
// that 0.5 means in flight half of the time.
type group struct {
	id         uint64
	lanes      int // that exist
	flying     int
	head, tail *lane // ready lanes
	queued     bool  // in the queue's ring of active groups
	next       *group

	window      float64 // 0: unlimited
	cut         time.Duration
	landed      int  // lanes that came back from the write just ended
	refused     int  // those of them that were throttled
	unavailable bool // its last write ended with an Unavailable error
	timed
}

const (
	minWindow = 1.0 / 16
	maxWindow = 4096 // more lanes than any sink has in flight: no limit at all
)

func (g *group) pushReady(l *lane) {
	l.next = nil
	if g.tail == nil {
		g.head = l
	} else {
		g.tail.next = l
	}
	g.tail = l
}

func (g *group) popReady() *lane {
	l := g.head
	g.head, l.next = l.next, nil
	if g.head == nil {
		g.tail = nil
	}
	return l
}

// open tells whether another lane may fly.
func (g *group) open() bool {
	return g.head != nil && !g.pending() && (g.window == 0 || float64(g.flying) < max(g.window, 1))
}

// adapt changes the window after a write that was sent at the time sent.
func (g *group) adapt(sent, now time.Duration) {
	landed, refused := float64(g.landed), float64(g.refused)
	g.landed, g.refused = 0, 0
	if g.window == 0 && refused == 0 {
		return
	}
	if g.window == 0 {
		g.window = float64(g.flying) + landed
	}
	// What was already under way at the last cut tells nothing new.
	if share := refused / landed; refused > 0 && sent >= g.cut {
		if g.window > 1 {
			g.window = max(1, g.window*(1-cut(share)))
		} else {
			g.window = max(minWindow, g.window*(1-0.3*share))
		}
		g.cut = now
	}
	if g.window < 1 {
		g.window = min(1, g.window*(1+0.1*(landed-refused)))
	} else if g.window += (landed - refused) / g.window; g.window > maxWindow {
		g.window = 0
	}
}

// cut is by how much a window shrinks when a share of its lanes was refused.
func cut(share float64) float64 {
	if share <= 0.1 {
		return share / 2
	}
	return min(2*share, 0.5)
}

// rest is how long the group must not fly after a flight that took so long.
func (g *group) rest(flight time.Duration) time.Duration {
	if g.window == 0 || g.window >= 1 {
		return 0
	}
	return time.Duration(float64(flight) * (1/g.window - 1))
}

// timed is an entry of the timer heap.
type timed struct {
	due   time.Duration
	index int // in the heap plus one; 0: not in it
	lane  *lane
	group *group
}

func (t *timed) pending() bool { return t.index > 0 }

// timers is a binary heap by due time.
type timers []*timed

func (h *timers) add(t *timed) {
	*h = append(*h, t)
	t.index = len(*h)
	h.up(t.index - 1)
}

func (h *timers) remove(t *timed) {
	i, last := t.index-1, len(*h)-1
	t.index = 0
	moved := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	if i == last {
		return
	}
	h.set(i, moved)
	h.down(i)
	h.up(moved.index - 1)
}

func (h timers) set(i int, t *timed) {
	h[i] = t
	t.index = i + 1
}

func (h timers) up(i int) {
	t := h[i]
	for i > 0 {
		parent := (i - 1) / 2
		if h[parent].due <= t.due {
			break
		}
		h.set(i, h[parent])
		i = parent
	}
	h.set(i, t)
}

func (h timers) down(i int) {
	t := h[i]
	for {
		child := 2*i + 1
		if child >= len(h) {
			break
		}
		if child+1 < len(h) && h[child+1].due < h[child].due {
			child++
		}
		if h[child].due >= t.due {
			break
		}
		h.set(i, h[child])
		i = child
	}
	h.set(i, t)
}
