package bridge

import (
	"context"
	"hash/maphash"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluiceio/sluice/internal/sched"
)

// A queue stands in front of a sink. It lives as long as the sink's name does:
// its lanes, bounds, counters and health go on when the sink is exchanged (see
// exchange.go). What is written when is for the scheduler to decide; the queue
// gives it a lock, a clock, writers (writer.go) and the door to the sink.
//
// A record goes one of these ways, each of which ends in settle:
//
//	worker ── add ──► scheduler ──► writer ──► Sink.Write ── stored ──► Stored
//	            │ full, by policy        │        │ retry: back to the head of its lane
//	            ▼                        │        ▼ permanent
//	       Dropped, or passed on ◄───────┴── Expired, Refused: passed on to the
//	                            fallback, by add there: DeadLettered
type queue struct {
	env      *environment
	named    atomic.Pointer[string]
	gone     chan struct{}           // closed when it has ended after its removal
	service  atomic.Pointer[service] // replaced under mu
	disabled atomic.Bool             // its records are discarded
	tickets  bool                    // its records are a Producer's; never changes

	mu       sync.Mutex // guards what follows
	work     sync.Cond  // a writer may have something to do
	space    space      // there may be room
	sched    *sched.Scheduler[content]
	pool     nodePool
	cfg      QueueConfig
	fallback *queue
	phase    phase
	count    counters
	health   Health
	progress time.Duration // when something last left, or came into the empty queue
	writers  writers
	moving   bool // records get new lanes; nobody may add or take any
	alarm    alarm
	quiet    []quiet
}

// service is a sink while it is in service, with its options. It is replaced, not
// changed: other options for the same sink make another service, too.
type service struct {
	sink    Sink
	options QueueConfig // as they were given; see queue.cfg
	limits  Limits
	laneOf  func(*Record) (lane, group uint64)
	ctx     context.Context // of its Writes
	cancel  context.CancelFunc

	checking atomic.Bool // a Check has not returned yet
}

// space is where callers wait for room.
type space struct {
	sync.Cond
	waiting int
}

// phase is how far the end of a queue has come.
type phase uint8

const (
	open      phase = iota
	abandoned       // what it holds and what still comes is given up
	closed          // and the writers end
)

// writers counts a queue's writers. Those whose Write was given up are in none of
// the figures.
type writers struct {
	all, idle int
	settling  int       // that have landed, and are settling messages
	flying    []*writer // whose batch is in a Write
}

// alarm wakes the queue when the scheduler has said that it is due.
type alarm struct {
	timer *time.Timer
	at    time.Duration
	set   bool
}

// quiet is a waiter for a condition, which is checked after each batch has landed.
type quiet struct {
	holds func(*queue) bool // called with q.mu held
	ch    chan struct{}     // closed when it does
}

func newQueue(name string, env *environment, s Sink, cfg QueueConfig, sources int) (*queue, error) {
	q := &queue{env: env, gone: make(chan struct{}), health: Health{State: Connecting, Since: time.Now()}}
	q.named.Store(&name)
	q.work.L, q.space.L = &q.mu, &q.mu
	v, err := env.serve(name, s, cfg)
	if err != nil {
		return nil, err
	}
	q.service.Store(v)
	q.configure(v)
	q.sched = sched.New[content](q.limits(v, sources))
	return q, nil
}

// name is that of the sink, which may be renamed.
func (q *queue) name() string { return *q.named.Load() }

// configure takes the options of a service into use, with the defaults that its
// sink asks for.
func (q *queue) configure(v *service) {
	q.cfg = v.options.withDefaults(v.limits)
	q.pool.limit = min(64<<20, q.cfg.MaxBytes/4)
}

// serve prepares a sink for service in the queue of that name.
func (e *environment) serve(name string, s Sink, options QueueConfig) (*service, error) {
	v := &service{sink: s, options: options}
	if l, ok := s.(Limiter); ok {
		if err := e.door.guard("sink", name, "Limits", func() { v.limits = l.Limits() }); err != nil {
			return nil, err
		}
	}
	v.laneOf = hashLanes()
	if l, ok := s.(Laner); ok {
		v.laneOf = l.Lane
	}
	v.ctx, v.cancel = context.WithCancel(context.Background())
	return v, nil
}

// with returns a service of the same sink with other options. It has a context of
// its own: that of v ends if one of v's Writes does not.
func (v *service) with(options QueueConfig) *service {
	next := &service{sink: v.sink, options: options, limits: v.limits, laneOf: v.laneOf}
	next.ctx, next.cancel = context.WithCancel(context.Background())
	return next
}

// hashLanes makes a lane of every Dest and Key, up to collisions of 64 bits.
func hashLanes() func(*Record) (lane, group uint64) {
	seed := maphash.MakeSeed()
	return func(r *Record) (lane, group uint64) {
		h := maphash.Bytes(seed, r.Key)
		if r.Dest != "" {
			h ^= maphash.String(seed, r.Dest) * 31
		}
		return h, 0
	}
}

// limits are those of the scheduler for a sink, with the queue's options.
func (q *queue) limits(v *service, sources int) sched.Limits {
	l := sched.Limits{
		MaxRecords: q.cfg.MaxRecords, MaxCost: q.cfg.MaxBytes, OnFull: sched.Policy(q.cfg.OnFull), Sources: sources, TTL: q.cfg.RecordTTL,
		Records: q.cfg.BatchSize, Bytes: q.cfg.BatchBytes, Overhead: v.limits.Overhead,
		LaneRecords: v.limits.LaneRecords, LaneBytes: v.limits.LaneBytes, LaneFill: v.limits.LaneFill, Linger: q.cfg.BatchTime,
		Flights: q.cfg.InFlight, FlightBytes: q.cfg.InFlightBytes, Backoff: q.backoff, Resume: q.cfg.ResumeInterval,
	}
	if v.limits.Lanes > 0 {
		l.Lanes, l.Records = q.cfg.BatchSize, v.limits.Records
	}
	return l
}

// add queues a record, waiting for room if that is the policy. It returns false
// if the sink was exchanged while it waited: then the lane is another. The caller
// holds q.mu, calls wake when it has added all it has, and hands what ended to
// q.giveUp without the lock.
func (q *queue) add(it *item, now time.Duration, ended []ended) ([]ended, bool) {
	n := q.pool.get(it, q.fallback != nil && !it.dead)
	v := q.service.Load()
	for ; ; now = q.env.now() {
		if q.phase != open && it.try {
			q.pool.put(n) // it stays where it is
			return ended, false
		}
		if q.phase != open {
			q.count.matched++
			return append(ended, q.end(n, Abandoned, ErrDrainTimeout)), true
		}
		if q.moving {
			if it.try {
				q.pool.put(n)
				return ended, false
			}
			q.await()
			if q.service.Load() != v {
				q.pool.put(n)
				return ended, false
			}
			continue
		}
		if all, _ := q.sched.Len(); all == 0 {
			q.progress = now
		}
		admission, victim := q.sched.Add(n, it.lane, it.group, now)
		switch {
		case admission == sched.Added:
			q.count.matched++ // only now: a record that waits for room is in no other counter
			return ended, true
		case admission == sched.Dropped:
			q.full()
			ended = append(ended, q.end(victim, Dropped, ErrFull))
			if victim == n {
				q.count.matched++
				return ended, true
			}
			continue
		}
		q.full()
		if it.try {
			q.pool.put(n)
			return ended, false
		}
		q.wake()
		q.await()
		if q.service.Load() != v {
			q.pool.put(n)
			return ended, false
		}
	}
}

// await waits until something has left the queue, or all is different.
func (q *queue) await() {
	q.space.waiting++
	q.space.Wait()
	q.space.waiting--
}

// full notes that a record has found no room.
func (q *queue) full() {
	if q.count.fullSince.IsZero() {
		q.count.fullSince = time.Now()
	}
}

// notFull notes that the queue is full no longer, once a quarter of it is free.
func (q *queue) notFull() {
	all, _ := q.sched.Len()
	if q.space.waiting == 0 && all <= q.cfg.MaxRecords/4*3 && q.sched.Cost() <= q.cfg.MaxBytes/4*3 {
		q.count.fullSince = time.Time{}
	}
}

// ended is a record that has left the queue without being stored.
type ended struct {
	node    *node
	outcome Outcome
	err     error
}

// end counts a record that has left the scheduler, or was never let in, and will
// not be stored here. The caller holds q.mu.
func (q *queue) end(n *node, o Outcome, err error) ended {
	q.count.ended[o]++
	if n.Value.rule != nil && o != Abandoned {
		n.Value.rule.failed.Add(1)
	}
	return ended{n, o, err}
}

// refuse ends a record that cannot be queued at all.
func (q *queue) refuse(it *item, err error) {
	q.mu.Lock()
	n := q.pool.get(it, q.fallback != nil && !it.dead)
	q.count.matched++
	list := []ended{q.end(n, Refused, err)}
	q.mu.Unlock()
	q.giveUp(list, false)
}

// giveUp passes records that have left the queue on to the fallback, waiting for
// room there unless the caller only tries, or settles their messages. It is called
// without a lock: by workers, which wait, and by writers, which never do.
func (q *queue) giveUp(list []ended, try bool) {
	if len(list) == 0 {
		return
	}
	q.tellGivenUp(list)
	for i := range list {
		e := &list[i]
		if e.outcome != Abandoned && q.pass(e.node, e.err, try) {
			q.mu.Lock()
			q.count.ended[e.outcome]--
			q.count.ended[DeadLettered]++
			q.mu.Unlock()
			continue
		}
		q.env.settleOne(&e.node.Value, e.outcome, e.err)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for i := range list {
		q.pool.put(list[i].node)
	}
}

// tellGivenUp tells hooks and the log that records are given up.
func (q *queue) tellGivenUp(list []ended) {
	first := &list[0]
	if first.outcome == Abandoned {
		return
	}
	q.env.gaveUp(q.name(), len(list), first.outcome, first.err)
	var r Record
	first.node.Value.record(&r, q.name())
	q.env.warn("sink", q.name(), "sink gave up records", first.err, len(list),
		slog.String("outcome", first.outcome.String()),
		slog.String("rule", r.Rule), slog.String("topic", r.Topic), q.env.excerpt("data", r.Data))
}

// settle tells the source, and the record's tracers, how the record ended. It
// calls the source's code, so the caller does it through the door.
func (e *environment) settle(v *content, o Outcome, err error) {
	if x := v.extra; x != nil && x.trace != nil {
		x.trace.end(o, err)
		x.trace = nil
	}
	d := v.delivery
	v.delivery = Delivery{}
	if d.acker == nil {
		return
	}
	if v.dead && o == Stored {
		o = DeadLettered
	}
	d.Done(o, err)
}

// storedDelivery is how a record that was stored settles its message.
func (v *content) storedDelivery() settlement {
	if v.dead {
		return settlement{v.delivery, DeadLettered}
	}
	return settlement{v.delivery, Stored}
}

// settleOne is settle through the door.
func (e *environment) settleOne(v *content, o Outcome, err error) {
	_ = e.door.guard("source", "", "Acker.Done", func() { e.settle(v, o, err) })
}

// setHealth changes the sink's health. The caller holds q.mu.
func (q *queue) setHealth(s State, reason string) {
	if q.health.State == s && s == Connected && reason == "" && q.health.Reason == "" {
		return
	}
	if q.health.set(s, reason) {
		q.env.healthChanged("sink", q.name(), q.health)
	}
}

// backoff returns a random wait that grows with the number of failures.
func (q *queue) backoff(failures int) time.Duration {
	d := q.cfg.BackoffMax
	if shift := failures - 1; shift < 30 {
		d = min(d, q.cfg.BackoffMin<<shift)
	}
	return d/2 + rand.N(d/2+1)
}

// wake gets a writer going if there is something to write, or sets the alarm.
func (q *queue) wake() {
	if q.phase == closed {
		return
	}
	now := q.env.now()
	at, ok := q.sched.Due(now)
	switch {
	case !ok:
	case at > now:
		q.setAlarm(at)
	case q.writers.idle > 0:
		q.work.Signal()
	case q.writers.all < q.cfg.InFlight:
		q.writers.all++
		go q.write()
	}
}

func (q *queue) setAlarm(at time.Duration) {
	if q.alarm.set && q.alarm.at <= at {
		return
	}
	q.alarm.set, q.alarm.at = true, at
	wait := max(at-q.env.now(), 0)
	if q.alarm.timer == nil {
		q.alarm.timer = time.AfterFunc(wait, q.tick)
	} else {
		q.alarm.timer.Reset(wait)
	}
}

func (q *queue) tick() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.alarm.set = false
	q.wake()
}

// until returns a channel that is closed when the condition holds; nil if it does
// already. The caller holds q.mu.
func (q *queue) until(holds func(*queue) bool) <-chan struct{} {
	if holds(q) {
		return nil
	}
	w := quiet{holds, make(chan struct{})}
	q.quiet = append(q.quiet, w)
	return w.ch
}

// checkQuiet tells those who wait that their condition holds.
func (q *queue) checkQuiet() {
	kept := q.quiet[:0]
	for _, w := range q.quiet {
		if w.holds(q) {
			close(w.ch)
		} else {
			kept = append(kept, w)
		}
	}
	clear(q.quiet[len(kept):])
	q.quiet = kept
}

// isEmpty reports whether nothing is left to do.
func (q *queue) isEmpty() bool {
	all, _ := q.sched.Len()
	return all == 0 && q.isStill() && q.writers.settling == 0
}

// isStill reports whether no batch is in a Write.
func (q *queue) isStill() bool { return len(q.writers.flying) == 0 }
