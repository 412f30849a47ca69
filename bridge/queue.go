package bridge

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"
)

// A queue stands in front of one sink. It holds the records in lanes, hands
// them to the sink in batches that several writers put together, and settles
// their messages. Everything below mu is guarded by it.
//
// A lane with records is in exactly one place: on the timers (waiting for more
// records or for the end of a backoff), in its group's list of ready lanes, or
// in the hands of a writer. A group with a ready lane that may fly is in the
// ring, from which writers take lanes in turn.
type queue struct {
	name     string
	sink     Sink
	cfg      QueueConfig
	limits   Limits
	fallback *queue
	laneOf   func(*Record) uint64
	groupOf  func(*Record) uint64
	env      *environment
	disabled atomic.Bool // its records are discarded

	mu                 sync.Mutex
	work               sync.Cond // a writer may have something to do
	space              sync.Cond // there may be room
	lanes              laneTable
	groups             map[uint64]*group
	freeLanes          *lane
	pool               nodePool
	ringHead, ringTail *group
	timers             timers
	oldest             ages // kept for DropOldest only
	stats              SinkStats
	health             Health
	lastError          *lastError // of a Write
	records, bytes     int        // queued and in flight; bytes are memory
	ready              int        // records that ready lanes offer
	readySince         time.Duration
	nextSeq            uint64
	blocked            int // callers waiting for room

	writers, idle, writing int
	settling               int           // writers that are settling messages
	failures               int           // writes in a row that failed as a whole
	unavailable            int           // groups that are
	holdUntil              time.Duration // no write before, after such a failure
	alarm                  *time.Timer
	alarmAt                time.Duration
	alarmSet               bool

	paused    bool            // until its predecessor has drained
	turn      <-chan struct{} // the predecessor's gone; nil without one
	gone      chan struct{}   // closed when this queue is, after it was replaced or removed
	successor *queue          // set once this queue takes nothing more
	draining  bool            // do not wait for batches to fill
	aborted   bool            // give up everything
	closed    bool            // writers end
	done      sync.WaitGroup
	empty     chan struct{} // closed when there is nothing left to do; nil if nobody waits
}

func newQueue(name string, sink Sink, cfg QueueConfig, env *environment) *queue {
	q := &queue{
		name:   name,
		sink:   sink,
		env:    env,
		groups: make(map[uint64]*group),
		gone:   make(chan struct{}),
		health: Health{State: Connecting, Since: time.Now()},
	}
	if l, ok := sink.(Limiter); ok {
		q.limits = l.Limits()
	}
	q.cfg = cfg.withDefaults(q.limits)
	q.pool.limit = min(64<<20, q.cfg.MaxBytes)
	q.work.L, q.space.L = &q.mu, &q.mu
	if l, ok := sink.(Laner); ok {
		q.laneOf = l.Lane
	} else {
		q.laneOf = hashLanes()
	}
	if g, ok := sink.(Grouper); ok {
		q.groupOf = g.Group
	} else {
		q.groupOf = func(*Record) uint64 { return 0 }
	}
	return q
}

// hashLanes makes a lane of every Dest and Key, up to collisions of 64 bits.
func hashLanes() func(*Record) uint64 {
	seed := maphash.MakeSeed()
	return func(r *Record) uint64 {
		h := maphash.Bytes(seed, r.Key)
		if r.Dest != "" {
			h ^= maphash.String(seed, r.Dest) * 31
		}
		return h
	}
}

// item is a record on its way into a queue.
type item struct {
	rec      *Record
	payload  []byte // of the message
	delivery Delivery
	rule     *ruleEntry
	trace    RecordTrace
	received time.Duration
	now      time.Duration
	dead     bool
}

// add queues a record, waiting for room if that is the policy. The caller holds
// q.mu, calls wake when it has added all it has, and then hands the failures
// to q.fail without the lock.
func (q *queue) add(it *item, failed []failure) []failure {
	it.rec.Lane = q.laneOf(it.rec)
	n := q.pool.get(it.rec, it.payload, q.fallback != nil && !it.dead)
	n.delivery, n.rule, n.dead = it.delivery, it.rule, it.dead
	n.received, n.queued = it.received, it.now
	if it.trace != nil {
		n.setTrace(it.trace)
	}
	failed, ok := q.makeRoom(n, failed)
	q.stats.Matched++ // only now: a record that waits for room is in no other counter
	if !ok {
		return failed
	}
	q.nextSeq++
	n.seq = q.nextSeq
	l := q.lanes.get(it.rec.Lane)
	if l == nil {
		l = q.newLane(it.rec)
	}
	l.push(n)
	l.bytes += q.size(n)
	q.records++
	q.bytes += n.cost()
	if q.cfg.OnFull == DropOldest {
		q.oldest.add(n, l, q.records)
	}
	switch l.state {
	case laneNew:
		q.schedule(l, it.now)
	case laneWaiting:
		if q.full(l) {
			q.timers.remove(&l.timed)
			q.makeReady(l, it.now)
		}
	case laneReady:
		if q.limits.LaneRecords == 0 || l.records <= q.limits.LaneRecords {
			q.ready++
		}
	}
	return failed
}

// makeRoom waits or drops until there is room for n. If it returns false, n
// itself was dropped.
func (q *queue) makeRoom(n *node, failed []failure) ([]failure, bool) {
	cost := n.cost()
	for q.records > 0 && (q.records >= q.cfg.MaxRecords || q.bytes+cost > q.cfg.MaxBytes) && !q.aborted {
		if q.stats.FullSince.IsZero() {
			q.stats.FullSince = time.Now()
		}
		policy := q.cfg.OnFull
		if n.optional && policy == Block {
			policy = DropNewest
		}
		switch policy {
		case DropOldest:
			if f, ok := q.dropOldest(); ok {
				failed = append(failed, f)
				continue
			}
		case DropNewest:
			q.stats.Dropped.QueueFull++
			return append(failed, failure{n, ErrQueueFull}), false
		}
		q.wake()
		q.blocked++
		q.space.Wait()
		q.blocked--
	}
	if q.aborted {
		q.stats.Dropped.Stopped++
		return append(failed, failure{n, ErrDrainTimeout}), false
	}
	return failed, true
}

// notFull notes that the queue is full no longer, once a quarter of it is free.
func (q *queue) notFull() {
	if q.blocked == 0 && q.records <= q.cfg.MaxRecords/4*3 && q.bytes <= q.cfg.MaxBytes/4*3 {
		q.stats.FullSince = time.Time{}
	}
}

// dropOldest takes out the record that has waited longest and is not in a Write.
func (q *queue) dropOldest() (failure, bool) {
	a, ok := q.oldest.take()
	if !ok {
		return failure{}, false
	}
	q.unlink(a.lane, a.node)
	q.stats.Dropped.QueueFull++
	return failure{a.node, ErrQueueFull}, true
}

// unlink takes the oldest record that does not fly out of its lane.
func (q *queue) unlink(l *lane, n *node) {
	offered := q.offer(l)
	l.dropAfterFlying()
	l.bytes -= q.size(n)
	q.forget(n)
	if l.state == laneReady {
		q.ready -= offered - q.offer(l)
	}
	// An empty lane may stay where it is: whoever takes it finds it empty.
}

// forget takes the record out of the queue's bounds.
func (q *queue) forget(n *node) {
	n.seq = 0
	q.records--
	q.bytes -= n.cost()
}

func (q *queue) size(n *node) int { return n.size() + q.limits.Overhead }

// full tells whether a lane need not wait for more records.
func (q *queue) full(l *lane) bool {
	return l.bytes >= q.limits.LaneFill ||
		q.limits.LaneRecords > 0 && l.records >= q.limits.LaneRecords
}

// offer is how many records of a ready lane the next batch may take.
func (q *queue) offer(l *lane) int {
	if q.limits.LaneRecords > 0 {
		return min(l.records, q.limits.LaneRecords)
	}
	return l.records
}

func (q *queue) newLane(r *Record) *lane {
	l := q.freeLanes
	if l == nil {
		l = new(lane)
		l.timed.lane = l
	} else {
		q.freeLanes, l.next = l.next, nil
	}
	l.id = r.Lane
	id := q.groupOf(r)
	g := q.groups[id]
	if g == nil {
		g = &group{id: id}
		g.timed.group = g
		q.groups[id] = g
	}
	g.lanes++
	l.group = g
	q.lanes.add(l)
	return l
}

func (q *queue) freeLane(l *lane) {
	g := l.group
	g.lanes--
	if g.lanes == 0 {
		q.available(g)
	}
	if g.lanes == 0 && g.window == 0 && !g.pending() && !g.queued {
		delete(q.groups, g.id)
	}
	q.lanes.remove(l.id)
	*l = lane{next: q.freeLanes}
	l.timed.lane = l
	q.freeLanes = l
}

// schedule puts a lane that is in no list where it belongs.
func (q *queue) schedule(l *lane, now time.Duration) {
	switch {
	case l.records == 0:
		q.freeLane(l)
	case q.limits.LaneFill > 0 && !q.draining && !q.full(l):
		// Deadlines are rounded so that lanes become ready together and
		// share requests.
		due := l.head.queued + q.cfg.BatchTime
		if step := q.cfg.BatchTime / 8; step > 0 {
			due -= due % step
		}
		if due <= now {
			q.makeReady(l, now)
			return
		}
		l.state = laneWaiting
		q.delay(&l.timed, due)
	default:
		q.makeReady(l, now)
	}
}

func (q *queue) makeReady(l *lane, now time.Duration) {
	l.state = laneReady
	if q.ready == 0 {
		q.readySince = now
	}
	q.ready += q.offer(l)
	l.group.pushReady(l)
	q.activate(l.group)
}

// activate puts a group that may send into the ring.
func (q *queue) activate(g *group) {
	if g.queued || !g.open() {
		return
	}
	g.queued, g.next = true, nil
	if q.ringTail == nil {
		q.ringHead = g
	} else {
		q.ringTail.next = g
	}
	q.ringTail = g
}

func (q *queue) nextGroup() *group {
	g := q.ringHead
	q.ringHead, g.next = g.next, nil
	if q.ringHead == nil {
		q.ringTail = nil
	}
	g.queued = false
	return g
}

// delay puts a lane or a group on the timers.
func (q *queue) delay(t *timed, due time.Duration) {
	t.due = due
	q.timers.add(t)
	q.setAlarm(due)
}

func (q *queue) setAlarm(at time.Duration) {
	if q.alarmSet && q.alarmAt <= at {
		return
	}
	q.alarmSet, q.alarmAt = true, at
	wait := max(at-q.env.now(), 0)
	if q.alarm == nil {
		q.alarm = time.AfterFunc(wait, q.tick)
	} else {
		q.alarm.Reset(wait)
	}
}

func (q *queue) tick() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.alarmSet = false
	if q.closed {
		return
	}
	q.expireTimers(q.env.now())
	q.wake()
}

// expireTimers makes ready what has waited long enough.
func (q *queue) expireTimers(now time.Duration) {
	for len(q.timers) > 0 {
		t := q.timers[0]
		if t.due > now && !(q.draining && t.lane != nil && t.lane.state == laneWaiting) {
			q.setAlarm(t.due)
			return
		}
		q.timers.remove(t)
		if t.lane != nil {
			q.makeReady(t.lane, now)
		} else {
			q.activate(t.group)
		}
	}
}

// mayWrite tells whether a writer should send now; if not, but later, it sets
// the alarm.
func (q *queue) mayWrite() bool {
	if q.ringHead == nil || q.paused || q.aborted {
		return false
	}
	now := q.env.now()
	if q.failures > 0 {
		if q.writing > 0 {
			return false // one probe at a time
		}
		if now < q.holdUntil {
			q.setAlarm(q.holdUntil)
			return false
		}
		return true
	}
	if q.writing == 0 || q.draining || q.limits.LaneFill > 0 || q.ready >= q.cfg.BatchSize {
		return true
	}
	if at := q.readySince + q.cfg.BatchTime; now < at {
		q.setAlarm(at)
		return false
	}
	return true
}

// wake gets a writer going if there is something to send.
func (q *queue) wake() {
	if q.closed || !q.mayWrite() {
		return
	}
	if q.idle > 0 {
		q.work.Signal()
	} else if q.writers < q.cfg.InFlight {
		q.writers++
		q.done.Go(q.write)
	}
}
