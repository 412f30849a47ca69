package bridge

import (
	"context"
	"log/slog"
	"time"
	"unsafe"
)

// worker evaluates rules for a feed.
type worker struct {
	p       *Pipeline
	feed    *feed
	env     *environment
	id      int // index of its cells
	msgs    []Message
	saved   Message // the message at hand, if there are several rules for it
	several bool
	tally   ruleTally
	out     Out
	entries []entry // of out.records, in the same order
	bytes   int     // the sizes of the rules' records in out
	queues  []*queue
	ended   []ended
	table   *table
	routes  routes
	tracers []*tracerEntry
	trace   messageTrace // of the message at hand

	failures []failure // of the message at hand
	discards bool      // some records are for sinks that are switched off
}

const (
	// maxHeld is how many bytes of records a worker collects before it hands
	// them to the queues, where they have a limit. A rule can make millions of
	// bytes of one message, and a batch has hundreds of messages.
	maxHeld = 8 << 20
	// maxKept is for how many records a worker keeps the memory of its lists.
	maxKept = 8192

	recordSize = int(unsafe.Sizeof(Record{}) + unsafe.Sizeof(entry{}))
	attrSize   = int(unsafe.Sizeof(Attr{}))
)

// entry is what the pipeline knows of a record beside the record.
type entry struct {
	queue    *queue
	rule     *ruleEntry
	msg      int
	delivery Delivery
	trace    *recordTrace // nil for nearly all
	dead     bool         // a message that a rule failed on
	fate     fate
	lane     uint64
	group    uint64
}

// fate is how far a record has come in worker.add.
type fate uint8

const (
	pending fate = iota
	discarded
	queued
)

// ruleTally counts for one rule what is not in its counters yet, since an atomic
// addition for each message costs more than the rest of counting.
type ruleTally struct {
	rule                                          *ruleEntry
	matched, passed, exception, noResult, actions uint64
}

// flush adds to the rule's counters, in the cell with that number.
func (t *ruleTally) flush(cell int) {
	if t.rule == nil {
		return
	}
	c := &t.rule.cells[cell]
	c.matched.Add(t.matched)
	c.passed.Add(t.passed)
	c.exception.Add(t.exception)
	c.noResult.Add(t.noResult)
	c.actions.Add(t.actions)
	*t = ruleTally{}
}

// run works until the source has ended or ctx is done.
func (w *worker) run(ctx context.Context) {
	for {
		n, ticket, table, ok := w.feed.read(ctx, w.p, w.msgs)
		if n > 0 {
			w.table = table
			w.prepare()
			for from := 0; from < n; {
				to := w.evaluate(from, n)
				if from == 0 && !w.feed.await(ticket) {
					w.abandon(to, n)
					return
				}
				w.queue(from, to)
				from = to
			}
			w.feed.pass()
		}
		if !ok {
			return
		}
	}
}

// abandon gives up the records of messages that were read too late, or behind
// others whose rules do not return, and the messages from index from up to n, for
// which no rule was asked yet.
func (w *worker) abandon(from, n int) {
	for i := range w.entries {
		e := &w.entries[i]
		w.env.settleOne(&content{delivery: e.delivery, extra: &extra{trace: e.trace}}, Abandoned, ErrDrainTimeout)
	}
	for i := range w.msgs[from:n] {
		w.env.settleOne(&content{delivery: w.msgs[from+i].Delivery}, Abandoned, ErrDrainTimeout)
	}
}

// prepare prepares for the messages of a batch.
func (w *worker) prepare() {
	w.routes.use(w.table, w.feed.names)
	w.tracers = nil
	if t := w.p.tracers.Load(); t != nil {
		w.tracers = *t
	}
}

// evaluate applies the rules to the messages from index from up to n, and returns
// the index of the first that it has left for later, because the records of those
// before it are large.
func (w *worker) evaluate(from, n int) (to int) {
	size := 0
	for to = from; to < n && w.held() < maxHeld; to++ {
		size += len(w.msgs[to].Payload)
		w.applyRules(to)
	}
	w.tally.flush(w.id)
	w.feed.received.Add(uint64(to - from))
	w.feed.bytes.Add(uint64(size))
	return to
}

// held is how many bytes the records at hand take.
func (w *worker) held() int {
	return w.bytes + len(w.out.records)*recordSize + len(w.out.attrs)*attrSize
}

// applyRules gives a message to its rules, without the delivery. What a rule does
// to the message's fields is undone after it, so that it reaches neither the next
// rule nor a dead letter.
func (w *worker) applyRules(i int) {
	m := &w.msgs[i]
	delivery := m.Delivery
	m.Delivery = Delivery{}
	first := len(w.entries)
	rules := w.routes.rules(m)
	if len(rules) == 0 {
		w.feed.unmatched.Add(1)
		if q := w.table.unmatched; q != nil {
			w.letter(q, i, "", nil)
		}
	}
	if len(w.tracers) > 0 {
		w.follow(m, rules)
	}
	w.failures = w.failures[:0]
	if w.several = len(rules) > 1; w.several {
		w.saved = *m
	}
	for _, r := range rules {
		before := len(w.entries)
		w.begin()
		if err := w.apply(r, i); err != nil {
			w.out.Truncate(0)
			w.entries = w.entries[:before]
			w.ruleFailed(r, i, err)
		}
	}
	w.begin()
	m.Delivery = delivery
	w.address(m, first)
}

// begin makes what is added to the Out from now on another's. Records that are
// nobody's are taken out of it: somebody has kept it, and added to it where no rule
// was asked.
func (w *worker) begin() {
	w.out.first = len(w.entries)
	w.out.records = w.out.records[:w.out.first]
}

// apply gives a message to a rule, and notes whose the records are.
func (w *worker) apply(r *ruleEntry, i int) error {
	if w.tally.rule != r {
		w.tally.flush(w.id)
		w.tally.rule = r
	}
	w.tally.matched++
	m := &w.msgs[i]
	topic, event, payload := m.Topic, m.Event, m.Payload
	var see func(step, text, result string)
	if !w.trace.empty() {
		see = w.trace.rule(r.name)
	}
	var err error
	panicked := w.env.door.guard("rule", r.name, "Apply", func() {
		if s, ok := r.rule.(Stepper); ok && see != nil {
			err = s.ApplySteps(&w.out, m, see)
		} else {
			err = r.rule.Apply(&w.out, m)
		}
	})
	if w.several {
		*m = w.saved
	} else { // all that is still asked of it
		m.Topic, m.Event, m.Payload = topic, event, payload
	}
	switch {
	case panicked != nil:
		err = panicked
	case err != nil:
		_, err = w.env.door.readable("rule", r.name, "Apply", err)
	default:
		err = w.enterAll(r, i)
	}
	if !w.trace.empty() {
		w.trace.each("RuleDone", func(x Trace) {
			if err != nil {
				x.RuleDone(r.name, nil, err)
			} else {
				x.RuleDone(r.name, w.out.Records(), nil)
			}
		})
	}
	made := len(w.entries) - w.out.first
	switch {
	case err != nil:
		w.tally.exception++
	case made == 0:
		w.tally.noResult++
	default:
		w.tally.passed++
		w.tally.actions += uint64(made)
	}
	return err
}

// enterAll notes whose the records of the rule at hand are and where they go.
func (w *worker) enterAll(r *ruleEntry, msg int) error {
	m := &w.msgs[msg]
	records := w.out.Records()
	carryHops(&w.out, m)
	for i := range records {
		rec := &records[i]
		q, err := w.table.sink(rec.Sink)
		if err != nil {
			return err
		}
		if rec.Topic == "" {
			rec.Topic = m.name()
		}
		if rec.Rule == "" {
			rec.Rule = r.name
		}
		w.entries = append(w.entries, entry{queue: q, rule: r, msg: msg})
		w.bytes += rec.Size()
	}
	return nil
}

// failure is a rule's that nobody has the message of.
type failure struct {
	outcome Outcome
	err     error
}

// ruleFailed counts a failure of a rule and sends the message to the rule's
// fallback, if it has one.
func (w *worker) ruleFailed(r *ruleEntry, msg int, err error) {
	r.last.Store(r.last.Load().next(err))
	m := &w.msgs[msg]
	w.env.ruleError(r.name, m.name(), err)
	w.env.warn("rule", r.name, "rule failed", err, 1, slog.String("topic", m.name()), w.env.excerpt("payload", m.Payload))
	if q := w.table.sinks[r.fallback]; q != nil {
		w.letter(q, msg, r.name, err)
		return
	}
	o := Failed
	if w.p.cfg.KeepFailed {
		o = Abandoned
	}
	w.failures = append(w.failures, failure{o, err})
}

// letter addresses a message itself to a sink, with what is known of it.
func (w *worker) letter(q *queue, msg int, rule string, reason error) {
	m := &w.msgs[msg]
	key := m.ClientID
	if key == "" {
		key = m.name()
	}
	attrs := []Attr{
		{"topic", []byte(m.name())},
		{"source", []byte(m.Source)},
		{"clientid", []byte(m.ClientID)},
		{"qos", []byte{'0' + m.QoS}},
		{"received", m.Received.UTC().AppendFormat(nil, time.RFC3339Nano)},
	}
	if rule != "" {
		attrs = append(attrs, Attr{"rule", []byte(rule)}, Attr{"error", []byte(errorText(reason))})
	}
	w.begin()
	w.out.Add(Record{Sink: q.name(), Key: []byte(key), Data: m.Payload, Attrs: attrs, Topic: m.name(), Rule: rule})
	w.entries = append(w.entries, entry{queue: q, msg: msg, dead: true})
}

// follow asks the tracers whether they want to follow a message.
func (w *worker) follow(m *Message, rules []*ruleEntry) {
	names := make([]string, len(rules))
	for i, r := range rules {
		names[i] = r.name
	}
	w.trace = messageTrace{env: w.env}
	w.trace.follow(w.tracers, m, names)
}

// address shares the message's delivery among the records made from it, from
// index first on.
func (w *worker) address(m *Message, first int) {
	if !w.trace.empty() {
		for i := first; i < len(w.entries); i++ {
			r, e := &w.out.records[i], &w.entries[i]
			r.Sink = e.queue.name() // tracers want to know
			e.trace = w.trace.record(r)
		}
		m.Delivery = NewDelivery(&settling{w.trace, m.Delivery}, 0)
		w.trace = messageTrace{}
	}
	needed := len(w.failures)
	for i := first; i < len(w.entries); i++ {
		if !w.out.records[i].Optional {
			needed++
		}
	}
	if needed == 0 || len(w.failures) > 0 {
		_ = w.env.door.guard("source", m.Source, "Acker.Done", func() { m.Delivery = m.Delivery.Split(needed) })
	} else {
		m.Delivery = m.Delivery.Split(needed)
	}
	for i := first; i < len(w.entries); i++ {
		if !w.out.records[i].Optional {
			w.entries[i].delivery = m.Delivery
		}
	}
	for _, f := range w.failures {
		_ = w.env.door.guard("source", m.Source, "Acker.Done", func() { m.Delivery.Done(f.outcome, f.err) })
	}
}

// queue hands the records of the messages with these indexes to their sinks'
// queues, in order.
func (w *worker) queue(from, to int) {
	for i := range w.entries {
		if q := w.entries[i].queue; !contains(w.queues, q) {
			w.queues = append(w.queues, q)
		}
	}
	now := w.env.now()
	for _, q := range w.queues {
		w.add(q, now)
	}
	if most := max(maxKept, 4*len(w.msgs)); cap(w.out.records) > most || cap(w.entries) > most || cap(w.out.attrs) > most {
		w.out, w.entries = Out{}, nil
	}
	clear(w.entries)
	w.entries, w.queues, w.bytes = w.entries[:0], w.queues[:0], 0
	w.out.first = 0
	w.out.Reset()
	clear(w.msgs[from:to])
}

// add queues the records for a queue. The sink is asked for their lanes before the
// queue is locked; if it is exchanged in between, or while the queue is full, it is
// asked again for what is left.
func (w *worker) add(q *queue, now time.Duration) {
	for next := 0; next < len(w.entries); {
		v := q.service.Load()
		w.lanes(q, v, next)
		it := item{source: w.feed.number}
		q.mu.Lock()
		for ; next < len(w.entries) && q.service.Load() == v; next++ {
			if e := &w.entries[next]; e.queue != q || !w.addOne(q, e, next, &it, now) {
				continue
			}
			break // it has waited, and the sink is another now
		}
		q.wake()
		q.mu.Unlock()
		w.giveUp(q)
	}
}

// addOne queues the record with that index, and reports whether it must be tried
// again.
func (w *worker) addOne(q *queue, e *entry, i int, it *item, now time.Duration) (again bool) {
	if e.fate != pending {
		return false
	}
	if q.disabled.Load() {
		if e.rule != nil {
			e.rule.discarded.Add(1)
		}
		e.fate = discarded
		w.discards = true
		return false
	}
	m := &w.msgs[e.msg]
	// Field by field: a literal is made elsewhere and copied, and the processor
	// stalls on reading what it has just written.
	it.rec, it.payload, it.delivery, it.rule = &w.out.records[i], m.Payload, e.delivery, e.rule
	it.trace, it.dead, it.lane, it.group = e.trace, e.dead, e.lane, e.group
	it.received = now
	if !m.Received.IsZero() {
		it.received = m.Received.Sub(w.env.start)
	}
	var ok bool
	w.ended, ok = q.add(it, now, w.ended)
	if ok {
		e.fate = queued
	}
	return !ok
}

// giveUp settles, without a lock, what add could not queue.
func (w *worker) giveUp(q *queue) {
	if w.discards {
		w.discards = false
		for i := range w.entries {
			if e := &w.entries[i]; e.fate == discarded {
				e.fate = queued
				w.env.settleOne(&content{delivery: e.delivery, extra: &extra{trace: e.trace}}, Discarded, nil)
			}
		}
	}
	if len(w.ended) > 0 {
		q.giveUp(w.ended, false)
		clear(w.ended)
		w.ended = w.ended[:0]
	}
}

// lanes asks the sink for the lanes of its records, from index next on. Those on
// which it panics are refused.
func (w *worker) lanes(q *queue, v *service, next int) {
	for i := next; i < len(w.entries); {
		err := w.env.door.guard("sink", q.name(), "Lane", func() {
			for ; i < len(w.entries); i++ {
				if e := &w.entries[i]; e.queue == q && e.fate == pending {
					e.lane, e.group = v.laneOf(&w.out.records[i])
				}
			}
		})
		if err != nil {
			w.refuse(q, i, err)
			i++
		}
	}
}

// refuse ends a record that the sink cannot even be asked about.
func (w *worker) refuse(q *queue, i int, err error) {
	e := &w.entries[i]
	e.fate = queued
	q.refuse(&item{
		rec: &w.out.records[i], payload: w.msgs[e.msg].Payload, delivery: e.delivery, rule: e.rule, trace: e.trace,
		source: w.feed.number, dead: e.dead,
	}, err)
}

func contains(list []*queue, q *queue) bool {
	for _, x := range list {
		if x == q {
			return true
		}
	}
	return false
}
