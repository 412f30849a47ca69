package bridge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// A feed reads one source. Its workers take turns to read a batch, evaluate the
// rules side by side, and queue the records in the order in which the batches
// were read: so rules run in parallel and order is that of receipt.
type feed struct {
	name   string
	names  []string // that rules know it by
	source Source

	// reading is held by who calls Read, and guards what follows. It is a
	// channel rather than a mutex because it is held while nothing happens,
	// which testing/synctest understands of channels only.
	reading chan struct{}
	tickets uint64 // of the next batch
	seq     uint64 // of the last message
	ended   bool
	err     error // why it ended

	turn   sync.Mutex
	passed sync.Cond
	next   uint64 // the batch whose turn it is; guarded by turn

	received, bytes, unmatched atomic.Uint64

	healthMu sync.Mutex
	health   Health
}

func newFeed(name string, s Source) *feed {
	f := &feed{name: name, source: s, reading: make(chan struct{}, 1), health: Health{State: Connecting, Since: time.Now()}}
	f.passed.L = &f.turn
	f.names = []string{"$sources/" + name, "$bridges/" + name}
	if t, ok := s.(Typer); ok {
		f.names = append(f.names, "$sources/"+t.Type()+":"+name, "$bridges/"+t.Type()+":"+name)
	}
	return f
}

// worker evaluates rules for a feed.
type worker struct {
	p       *Pipeline
	feed    *feed
	id      int // index of its cells
	msgs    []Message
	out     Batch
	entries []entry // of out.Records, in the same order
	queues  []*queue
	failed  []failure
	table   *table
	routes  routes
	env     *environment

	// The place where evaluation stands; kept here so that it can go on
	// behind a rule that panicked.
	count, msg, rule int
	first            int // record of the message

	tracing   *tracing     // nil when nobody follows messages
	trace     messageTrace // of the message
	ruleTrace RuleTrace    // of the rule, if the message is followed
}

// entry is what the pipeline knows of a record beside the record.
type entry struct {
	queue    *queue
	rule     *ruleEntry
	msg      int
	delivery Delivery
	trace    RecordTrace // nil for nearly all
}

// run works until the source has ended or ctx is done.
func (w *worker) run(ctx context.Context) {
	for {
		n, ticket, ok := w.read(ctx)
		if n > 0 {
			w.routes.use(w.table, w.feed.names)
			w.evaluate(n)
		}
		w.feed.await(ticket)
		if n > 0 {
			w.queue()
			w.p.release(w.table)
		}
		w.feed.pass()
		if !ok {
			return
		}
	}
}

// read takes the next batch from the source, and its ticket and table.
func (w *worker) read(ctx context.Context) (n int, ticket uint64, ok bool) {
	f := w.feed
	f.reading <- struct{}{}
	defer func() { <-f.reading }()
	if !f.ended {
		var err error
		n, err = f.source.Read(ctx, w.msgs)
		for i := range w.msgs[:n] {
			f.seq++
			w.msgs[i].Seq, w.msgs[i].Source = f.seq, f.name
		}
		switch {
		case err == nil:
		case errors.Is(err, io.EOF), ctx.Err() != nil:
			f.ended = true
		default:
			f.ended, f.err = true, fmt.Errorf("source %q: %w", f.name, err)
		}
	}
	if n > 0 {
		// Now, so that no batch has an earlier table than the one before it:
		// its records would overtake those that wait for a sink's successor.
		w.table = w.p.acquire()
	}
	ticket = f.tickets
	f.tickets++
	return n, ticket, !f.ended
}

// await returns when it is the turn of the batch with the ticket.
func (f *feed) await(ticket uint64) {
	f.turn.Lock()
	for f.next != ticket {
		f.passed.Wait()
	}
	f.turn.Unlock()
}

func (f *feed) pass() {
	f.turn.Lock()
	f.next++
	f.turn.Unlock()
	f.passed.Broadcast()
}

// evaluate applies the rules to the first n messages.
func (w *worker) evaluate(n int) {
	w.count, w.msg, w.rule, w.first = n, 0, 0, 0
	w.tracing = w.p.tracing.Load()
	for w.msg < n {
		w.applyRules()
	}
	w.feed.received.Add(uint64(n))
	size := 0
	for i := range w.msgs[:n] {
		size += len(w.msgs[i].Payload)
	}
	w.feed.bytes.Add(uint64(size))
}

// applyRules goes on where evaluation stands. It ends early when a rule panics:
// rules are other people's code, and one that fails must not stop the rest.
func (w *worker) applyRules() {
	before := len(w.out.Records)
	defer func() {
		if p := recover(); p != nil {
			rules := w.routes.rules(&w.msgs[w.msg])
			if w.rule >= len(rules) {
				panic(p) // not a rule's
			}
			r := rules[w.rule]
			w.discard(before)
			err := fmt.Errorf("rule %q panicked: %v", r.name, p)
			w.ruleFailed(r, err, debug.Stack())
			if w.trace != nil {
				w.ruleTraced(before, err)
			}
			w.rule++
		}
	}()
	for ; w.msg < w.count; w.msg++ {
		m := &w.msgs[w.msg]
		rules := w.routes.rules(m)
		if len(rules) == 0 {
			w.feed.unmatched.Add(1)
		}
		if w.tracing != nil && w.rule == 0 {
			w.trace = w.tracing.trace(m, rules)
		}
		for ; w.rule < len(rules); w.rule++ {
			before = len(w.out.Records)
			w.apply(rules[w.rule], m, before)
		}
		w.address(m)
		w.rule, w.first = 0, len(w.out.Records)
	}
}

func (w *worker) apply(r *ruleEntry, m *Message, before int) {
	c := &r.cells[w.id]
	c.matched.Add(1)
	var err error
	if w.trace == nil {
		err = r.rule.Apply(&w.out, m)
	} else {
		err = w.applyTraced(r, m)
	}
	if err == nil {
		err = w.enter(r, before)
	}
	made := len(w.out.Records) - before
	switch {
	case err != nil:
		w.discard(before)
		w.ruleFailed(r, err, nil)
	case made == 0:
		c.noResult.Add(1)
	default:
		c.passed.Add(1)
		c.actions.Add(uint64(made))
	}
	if w.trace != nil {
		w.ruleTraced(before, err)
	}
}

// enter notes whose the records from index first on are and where they go.
func (w *worker) enter(r *ruleEntry, first int) error {
	m := &w.msgs[w.msg]
	name := m.Event
	if name == "" {
		name = m.Topic
	}
	for i := first; i < len(w.out.Records); i++ {
		rec := &w.out.Records[i]
		q, err := w.table.sink(rec.Sink)
		if err != nil {
			return err
		}
		if rec.Topic == "" {
			rec.Topic = name
		}
		if rec.Rule == "" {
			rec.Rule = r.name
		}
		w.entries = append(w.entries, entry{queue: q, rule: r, msg: w.msg})
	}
	return nil
}

// discard takes back the records from index first on.
func (w *worker) discard(first int) {
	clear(w.out.Records[first:])
	w.out.Records = w.out.Records[:first]
	w.entries = w.entries[:min(first, len(w.entries))]
}

func (w *worker) ruleFailed(r *ruleEntry, err error, stack []byte) {
	r.cells[w.id].exception.Add(1)
	r.last.Store(r.last.Load().next(err))
	m := &w.msgs[w.msg]
	topic := m.Event
	if topic == "" {
		topic = m.Topic
	}
	if w.env.hooks.OnRuleError != nil {
		w.env.hooks.OnRuleError(RuleErrorEvent{r.name, topic, err})
	}
	more := []slog.Attr{slog.String("topic", topic), w.env.excerpt("payload", m.Payload)}
	if stack != nil {
		more = append(more, slog.String("stack", string(stack)))
	}
	w.env.warn(slog.LevelWarn, "rule", r.name, "rule failed", err, 1, more...)
}

// address shares the message's delivery among the records made from it.
func (w *worker) address(m *Message) {
	if w.trace != nil {
		w.recordsTraced(m)
	}
	needed := 0
	for i := w.first; i < len(w.out.Records); i++ {
		if !w.out.Records[i].Optional {
			needed++
		}
	}
	d := m.Delivery.Split(needed)
	for i := w.first; i < len(w.out.Records); i++ {
		if !w.out.Records[i].Optional {
			w.entries[i].delivery = d
		}
	}
}

// queue hands the records to their sinks' queues, in order.
func (w *worker) queue() {
	for i := range w.entries {
		if q := w.entries[i].queue; !contains(w.queues, q) {
			w.queues = append(w.queues, q)
		}
	}
	now := w.env.now()
	it := item{now: now}
	for _, q := range w.queues {
		q.mu.Lock()
		for i := range w.entries {
			e := &w.entries[i]
			if e.queue != q {
				continue
			}
			if q.disabled.Load() {
				e.rule.discarded.Add(1)
				if e.trace != nil {
					e.trace.End(Discarded, nil)
				}
				e.delivery.Done(nil)
				continue
			}
			m := &w.msgs[e.msg]
			// Field by field: a literal is made elsewhere and copied, and
			// the processor stalls on reading what it has just written.
			it.rec, it.payload, it.delivery, it.rule = &w.out.Records[i], m.Payload, e.delivery, e.rule
			it.trace = e.trace
			it.received = now
			if !m.Received.IsZero() {
				it.received = m.Received.Sub(w.env.start)
			}
			w.failed = q.add(&it, w.failed)
		}
		q.wake()
		q.mu.Unlock()
		if len(w.failed) > 0 {
			q.fail(w.failed)
			q.recycle(w.failed)
			clear(w.failed)
			w.failed = w.failed[:0]
		}
	}
	clear(w.entries)
	w.entries, w.queues = w.entries[:0], w.queues[:0]
	w.out.Reset()
	clear(w.msgs[:w.count])
}

func contains(list []*queue, q *queue) bool {
	for _, x := range list {
		if x == q {
			return true
		}
	}
	return false
}
