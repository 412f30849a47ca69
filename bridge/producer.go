package bridge

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// A Producer is a queue in front of a sink for programs that have records of
// their own: no sources, no rules. It batches, retries, keeps the order of each
// key and paces itself exactly as a pipeline does. Make one with NewProducer. All
// methods may be called concurrently.
//
// Records of a key are stored in the order in which Put and Go have queued them. A
// caller that needs an order makes these calls one after the other.
type Producer struct {
	p      *Pipeline // without sources and rules
	q      *queue
	policy FullPolicy
	stop   context.CancelFunc // ends checks and watching
	tasks  sync.WaitGroup
	calls  callbacks
	ids    ids
	// tickets are free ones; they have channels, which only their bubble of
	// testing/synctest may use, so they are not shared by Producers.
	tickets sync.Pool
	offers  sync.Pool

	// Guarded by q.mu.
	closed bool
	epoch  *epoch   // of the records that are queued now
	past   []*epoch // earlier ones, some of whose records have not ended
}

// ProducerConfig holds the options of a Producer. The zero value is a good choice.
type ProducerConfig struct {
	// Name is the sink's in statistics, logs and errors. Default "sink".
	Name string
	// Queue holds the options of the queue. With OnFull Block, Put and Go wait
	// for room until their context ends; with DropNewest they fail at once with
	// ErrFull. Fallback must be empty: see DeadLetters.
	Queue QueueConfig
	// DeadLetters gets the records that the sink refuses, and those that were
	// dropped or have expired, with the reason in their attributes; see
	// QueueConfig.Fallback. The Producer closes it. Its name is "dead letters".
	DeadLetters      Sink
	DeadLettersQueue QueueConfig

	// IDs gives each record without one the attribute IDAttr: 12 or more bytes of
	// text that no record of any other Producer has. The sink has to store it, as
	// package sink/kinesis can.
	IDs bool

	// CheckInterval, Hooks and Logger are those of Config.
	CheckInterval time.Duration
	Hooks         Hooks
	Logger        *slog.Logger
}

const deadLetters = "dead letters"

// NewProducer opens the sink, which belongs to the Producer from then on, and
// returns a Producer that is ready for records. An error reports everything that
// is wrong with cfg, or why the sink did not open; the sinks are closed then.
func NewProducer(ctx context.Context, s Sink, cfg ProducerConfig) (*Producer, error) {
	if cfg.Name == "" {
		cfg.Name = "sink"
	}
	err := cfg.validate(s)
	if err != nil {
		return nil, errors.Join(err, cfg.closeSinks(ctx, s))
	}
	all := Config{
		Sinks: map[string]Sink{cfg.Name: s}, Queues: map[string]QueueConfig{cfg.Name: cfg.Queue},
		CheckInterval: cfg.CheckInterval, Hooks: cfg.Hooks, Logger: cfg.Logger,
	}
	if cfg.DeadLetters != nil {
		all.Sinks[deadLetters], all.Queues[deadLetters] = cfg.DeadLetters, cfg.DeadLettersQueue
		cfg.Queue.Fallback = deadLetters
		all.Queues[cfg.Name] = cfg.Queue
	}
	p, err := newPipeline(all.withDefaults())
	if err != nil {
		return nil, errors.Join(err, cfg.closeSinks(ctx, s))
	}
	q := p.table.Load().sinks[cfg.Name]
	r := &Producer{p: p, q: q, policy: q.cfg.OnFull, epoch: newEpoch()}
	if cfg.IDs {
		r.ids.prefix = rand.Text()[:10]
	}
	r.calls.env, r.calls.limit, r.calls.room.L = p.env, q.cfg.MaxRecords, &r.calls.mu
	for _, q := range p.queues() {
		q.tickets = true
	}
	p.enter(created, running)
	if err := p.open(ctx); err != nil {
		return nil, errors.Join(err, p.shutdown())
	}
	watching, stop := context.WithCancel(context.Background())
	r.stop = stop
	p.startChecks(watching, &r.tasks)
	r.tasks.Go(func() { p.watch(watching) })
	return r, nil
}

func (c ProducerConfig) validate(s Sink) error {
	var bad mistakes
	if isNil(s) {
		bad.add("Sink", "is nil")
	}
	if c.Name == deadLetters {
		bad.add("Name", "is that of DeadLetters")
	}
	if c.Queue.Fallback != "" {
		bad.add("Queue.Fallback", "names no sink of a Producer; set DeadLetters")
	}
	if c.DeadLetters != nil && (isNil(c.DeadLetters) || !isNil(s) && same(s, c.DeadLetters)) {
		bad.add("DeadLetters", "is nil, or the sink itself")
	}
	if c.DeadLettersQueue.Fallback != "" {
		bad.add("DeadLettersQueue.Fallback", "dead letters that fail go nowhere else")
	}
	bad.within("Queue", c.Queue.Validate())
	bad.within("DeadLettersQueue", c.DeadLettersQueue.Validate())
	return bad.err()
}

// closeSinks closes sinks that do not come into service.
func (c ProducerConfig) closeSinks(ctx context.Context, s Sink) error {
	var errs []error
	for i, x := range []Sink{s, c.DeadLetters} {
		if isNil(x) || i > 0 && same(x, s) {
			continue
		}
		errs = append(errs, new(door).guard("sink", c.Name, "Close", func() { errs = append(errs, x.Close(ctx)) }))
	}
	return errors.Join(errs...)
}

// OutcomeError says that a record of a Producer was not stored by its sink.
type OutcomeError struct {
	// Outcome is how the record ended; DeadLettered means that DeadLetters
	// has it.
	Outcome Outcome
	// Err is the reason. It matches ErrPermanent if the sink refused the record,
	// ErrFull if there was no room, and ErrDrainTimeout if Close gave it up.
	Err error
}

// Error returns the outcome and the reason.
func (e *OutcomeError) Error() string {
	if e.Err == nil {
		return "record was " + e.Outcome.String()
	}
	return "record was " + e.Outcome.String() + ": " + e.Err.Error()
}

// Unwrap returns the reason.
func (e *OutcomeError) Unwrap() error { return e.Err }

// Put stores data under a key and returns when the sink has it. Otherwise it returns
// ctx's error, ErrClosed, ErrFull, or an *OutcomeError.
//
// If ctx ends while Put waits for room, the record is not queued. If ctx ends later,
// the record stays in the queue and may still be stored: it cannot be taken back once
// it may be on its way. The caller may reuse data when Put has returned.
func (r *Producer) Put(ctx context.Context, key string, data []byte) error {
	o := r.newOffer()
	o.key = append(o.key[:0], key...)
	o.rec = Record{Key: o.key, Data: data}
	_, err := r.put(ctx, o, false)
	return err
}

// PutRecord is Put for a record with a Dest, HashKey or Attrs, and says where it
// was stored.
func (r *Producer) PutRecord(ctx context.Context, rec Record) (Receipt, error) {
	o := r.newOffer()
	o.rec = rec
	return r.put(ctx, o, true)
}

// Go queues a record, waiting for room if there is none, and returns. The caller may
// then reuse the record's bytes. Unless done is nil, it is called exactly once, with
// the receipt or with an error like those of Put.
//
// Callbacks run one at a time. Those of one key run in the order of its records,
// except for records that go to DeadLetters. A slow callback delays the others: once
// QueueConfig.MaxRecords callbacks are waiting, Go waits for them as it does for room.
// A callback may call Put and Go, but not Flush or Close, which wait for it.
func (r *Producer) Go(ctx context.Context, rec Record, done func(Receipt, error)) {
	t := r.newTicket()
	t.wants, t.call = done != nil, done
	err := r.calls.admit(ctx, r.policy)
	if err == nil {
		o := r.newOffer()
		o.rec = rec
		err = r.add(ctx, o, t)
	}
	if err != nil {
		t.err = err
		t.tell()
	}
}

// put queues the record and waits for its end.
func (r *Producer) put(ctx context.Context, o *offer, wants bool) (Receipt, error) {
	t := r.newTicket()
	t.wants, t.waits = wants, true
	if err := r.add(ctx, o, t); err != nil {
		t.free()
		return Receipt{}, err
	}
	select {
	case <-t.ended:
	case <-ctx.Done():
		if t.leave() {
			return Receipt{}, fmt.Errorf("record was queued and may still be stored: %w", context.Cause(ctx))
		}
		<-t.ended
	}
	receipt, err := t.receipt, t.err
	t.free()
	return receipt, err
}

// offer is a record on its way into the queue, which makes a copy of it.
type offer struct {
	item
	rec   Record
	key   []byte  // memory for Put's key
	id    []byte  // memory for an ID
	attrs [1]Attr // memory for its attribute
}

func (r *Producer) newOffer() *offer {
	if o, ok := r.offers.Get().(*offer); ok {
		return o
	}
	return new(offer)
}

// add queues a record. An error means that it is not queued.
func (r *Producer) add(ctx context.Context, o *offer, t *ticket) error {
	defer r.offers.Put(o)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	o.rec.Attempt = 0 // it may be a record that another queue has tried
	o.item = item{rec: &o.rec, delivery: NewDelivery(t, 0), try: true, received: r.p.env.now()}
	if r.ids.prefix != "" {
		r.ids.identify(o)
	}
	r.follow(o)
	err := r.queue(ctx, o, t)
	if err != nil {
		o.unfollow(err)
	}
	o.item, o.rec = item{}, Record{} // they belong to the caller
	return err
}

// ids makes the IDs of a Producer's records: a random prefix, 50 bits, and a number.
type ids struct {
	prefix string // "" if there are none
	last   atomic.Uint64
}

func (x *ids) identify(o *offer) {
	if slices.ContainsFunc(o.rec.Attrs, func(a Attr) bool { return a.Name == IDAttr }) {
		return
	}
	o.id = strconv.AppendUint(append(append(o.id[:0], x.prefix...), '-'), x.last.Add(1), 36)
	o.rec.Attrs = append(append(o.attrs[:0], o.rec.Attrs...), Attr{IDAttr, o.id})
}

// queue hands a record to the queue, as a pipeline's worker does in its add, and
// waits for room as long as ctx allows.
func (r *Producer) queue(ctx context.Context, o *offer, t *ticket) error {
	q := r.q
	var stop func() bool // ends the waking by ctx; nil while nothing has waited
	defer func() {
		if stop != nil {
			stop()
		}
	}()
	for {
		v := q.service.Load()
		if err := q.lane(v, &o.item); err != nil {
			return err
		}
		q.mu.Lock()
		for q.service.Load() == v {
			if r.closed {
				q.mu.Unlock()
				return ErrClosed
			}
			if stop != nil && ctx.Err() != nil {
				q.mu.Unlock()
				return context.Cause(ctx)
			}
			list, ok := q.add(&o.item, r.p.env.now(), nil)
			if ok {
				t.epoch = r.epoch
				t.epoch.open.Add(1)
				q.wake()
				q.mu.Unlock()
				q.giveUp(list, true)
				return nil
			}
			if stop == nil {
				stop = context.AfterFunc(ctx, q.wakeWaiting)
			}
			q.wake()
			q.await()
		}
		q.mu.Unlock()
	}
}

// wakeWaiting makes those who wait for room look again.
func (q *queue) wakeWaiting() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.space.Broadcast()
}

// follow asks the tracers whether they want to follow the record.
func (r *Producer) follow(o *offer) {
	tracers := r.p.tracers.Load()
	if tracers == nil {
		return
	}
	m := &Message{ClientID: string(o.rec.Key), Payload: o.rec.Data, Received: time.Now(), Props: new(Properties)}
	for _, a := range o.rec.Attrs {
		m.Props.User = append(m.Props.User, UserProperty{Key: a.Name, Value: string(a.Value)})
	}
	trace := messageTrace{env: r.p.env}
	trace.follow(*tracers, m, nil)
	if trace.empty() {
		return
	}
	o.rec.Sink = r.q.name()
	o.trace = trace.record(&o.rec)
	o.delivery = NewDelivery(&settling{trace, o.delivery}, 0)
}

// unfollow ends the traces of a record that was not queued.
func (o *offer) unfollow(err error) {
	if s, ok := o.delivery.acker.(*settling); ok {
		s.delivery = Delivery{}
		if o.trace != nil {
			o.trace.end(Abandoned, err)
		}
		s.Done(0, Abandoned, err)
	}
}

// Flush returns when every record that was queued before the call has ended and its
// callback has returned, or when ctx ends, with its error. Records that wait for an
// aggregate to fill are sent.
func (r *Producer) Flush(ctx context.Context) error {
	for _, q := range r.p.queues() {
		q.mu.Lock()
		q.sched.Ripen(r.p.env.now())
		q.wake()
		q.mu.Unlock()
	}
	return r.await(ctx)
}

// await waits for the records that were queued before, and their callbacks.
func (r *Producer) await(ctx context.Context) error {
	r.q.mu.Lock()
	r.past = slices.DeleteFunc(r.past, (*epoch).over)
	r.past = append(r.past, r.epoch)
	r.epoch.leave()
	r.epoch = newEpoch()
	before := slices.Clone(r.past)
	r.q.mu.Unlock()
	for _, e := range before {
		if err := wait(ctx, e.done); err != nil {
			return err
		}
	}
	return nil
}

// Close ends the Producer. Put and Go fail with ErrClosed from then on. Close writes
// what is queued until ctx ends, runs the callbacks and closes the sinks. If records
// are left, it gives them up and returns a *DrainError, which matches ErrDrainTimeout.
// A second Close returns ErrClosed.
func (r *Producer) Close(ctx context.Context) error {
	r.q.mu.Lock()
	closed := r.closed
	r.closed = true
	r.q.space.Broadcast()
	r.q.mu.Unlock()
	if closed {
		return ErrClosed
	}
	r.calls.close()
	draining, giveUp := context.WithCancelCause(context.WithoutCancel(ctx))
	defer giveUp(nil)
	defer context.AfterFunc(ctx, func() { giveUp(ErrDrainTimeout) })()
	drained := r.p.drain(draining)
	r.stop()
	r.tasks.Wait()
	down := r.p.shutdown()
	err := errors.Join(r.p.leftover(drained), down)
	// All records have ended. Callbacks have until ctx ends, but some time in any case.
	called, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(grace, cancel) })()
	if r.await(called) != nil {
		r.p.env.door.hangs("callback", "", "Go")
	}
	r.p.env.door.teller.flush()
	return err
}

// Stats returns a snapshot of the counters; Sinks has the sink's by its name.
func (r *Producer) Stats() Stats { return r.p.Stats() }

// Health returns the condition of the sink and of DeadLetters.
func (r *Producer) Health() Health {
	r.q.mu.Lock()
	closed := r.closed
	r.q.mu.Unlock()
	h := r.p.Health()
	if closed {
		h.State, h.Reason = Disconnected, "the producer is closed"
	}
	return h
}

// Check asks the sink whether it can do its work now; see Checker.
func (r *Producer) Check(ctx context.Context) error { return r.p.Check(ctx, r.q.name()) }

// Trace lets t follow records from now on, until stop is called. It sees a message
// with the record's key as its ClientID, its data as Payload, and its attributes
// as user properties, and no rules.
func (r *Producer) Trace(t Tracer) (stop func()) { return r.p.Trace(t) }

// ticket is a record's way back to the caller that has put it. It is an Acker.
//
//	Put:  newTicket ─► add ─► wait ◄─ tell         ─► free
//	                           └ ctx ends: leave    ─► freed by tell
//	Go:   newTicket ─► add          ─ tell ─► callbacks ─► free
type ticket struct {
	r       *Producer
	call    func(Receipt, error)
	ended   chan struct{} // capacity 1; for put
	epoch   *epoch        // nil if it was not queued
	receipt Receipt
	reason  error // why it became a dead letter
	err     error
	over    atomic.Bool // put or tell is done with it
	wants   bool        // a receipt
	waits   bool        // put waits for it, or has waited
}

func (r *Producer) newTicket() *ticket {
	if t, ok := r.tickets.Get().(*ticket); ok {
		return t
	}
	return &ticket{r: r, ended: make(chan struct{}, 1)}
}

// free gives the ticket back. Nobody else may know it.
func (t *ticket) free() {
	*t = ticket{r: t.r, ended: t.ended}
	t.r.tickets.Put(t)
}

// leave notes that put or tell is done with the ticket, and reports whether the
// other one is not: then that frees it.
func (t *ticket) leave() (first bool) {
	return !t.over.Swap(true)
}

// Done implements Acker.
func (t *ticket) Done(_ uint64, o Outcome, err error) {
	if o != Stored {
		if err == nil {
			err = t.reason
		}
		t.receipt, t.err = Receipt{}, &OutcomeError{o, err}
	}
	t.tell()
}

// tell tells the waiting caller how the record ended. It does not block.
func (t *ticket) tell() {
	switch {
	case t.call != nil:
		t.r.calls.add(t)
	case t.waits:
		t.leaveEpoch()
		if t.leave() {
			t.ended <- struct{}{}
		} else {
			t.free()
		}
	default: // Go without a callback
		t.leaveEpoch()
		t.free()
	}
}

// leaveEpoch notes that nothing more will happen to the record.
func (t *ticket) leaveEpoch() {
	if t.epoch != nil {
		t.epoch.leave()
	}
}

// ticketOf returns the ticket of a record, followed or not, or nil.
func ticketOf(d Delivery) *ticket {
	switch a := d.acker.(type) {
	case *ticket:
		return a
	case *settling:
		return ticketOf(a.delivery)
	default:
		return nil
	}
}

// epoch counts the records that were queued between two calls of Flush and have
// not ended.
type epoch struct {
	open atomic.Int64  // and one more while records join it
	done chan struct{} // closed when there are none
}

func newEpoch() *epoch {
	e := &epoch{done: make(chan struct{})}
	e.open.Store(1)
	return e
}

// leave notes that a record has ended.
func (e *epoch) leave() {
	if e.open.Add(-1) == 0 {
		close(e.done)
	}
}

func (e *epoch) over() bool { return e.open.Load() == 0 }
