package bridge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A Pipeline moves messages from sources through rules to sinks. Make one with
// New, then call Run once. All methods may be called concurrently, before, while
// and after it runs.
type Pipeline struct {
	cfg   Config // the parts are those that New was given
	env   *environment
	feeds []*feed
	cells int // of a rule's counters: one for each worker

	table   atomic.Pointer[table]
	tracers atomic.Pointer[[]*tracerEntry] // nil when nobody follows messages

	changing chan struct{} // held while somebody changes the pipeline; guards fallbacks
	opened   bool          // the sinks in service are; guarded by changing
	ready    chan struct{} // closed when reading begins
	done     chan struct{} // closed when everything has ended

	mu      sync.Mutex
	state   runState
	since   time.Time // of state
	leaving []*queue  // that were removed, until they have ended
	lost    uint64    // records that those have given up
}

type runState uint8

const (
	created runState = iota
	running
	stopped
)

// New makes a pipeline. An error reports every mistake in cfg. Nothing is opened or
// started before Run. After New succeeds, the pipeline owns the sources and sinks
// and closes them.
func New(cfg Config) (*Pipeline, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return newPipeline(cfg.withDefaults())
}

func newPipeline(cfg Config) (*Pipeline, error) {
	p := &Pipeline{cfg: cfg, changing: make(chan struct{}, 1), ready: make(chan struct{}), done: make(chan struct{}), since: time.Now()}
	p.env = &environment{start: time.Now(), hooks: &p.cfg.Hooks, door: door{log: cfg.Logger}, payload: cfg.LogPayload}
	for i, name := range sortedKeys(cfg.Sources) {
		f, err := newFeed(p.env, i, name, cfg.Sources[name])
		if err != nil {
			return nil, err
		}
		p.feeds = append(p.feeds, f)
	}
	p.cells = cfg.Workers * len(p.feeds)
	p.table.Store(new(table))
	change := Change{Rules: cfg.Rules, Sinks: cfg.Sinks, Queues: make(map[string]QueueConfig, len(cfg.Sinks))}
	for name := range cfg.Sinks {
		change.Queues[name] = cfg.queue(name)
	}
	change.RuleFallbacks = make(map[string]string, len(cfg.Rules))
	for name := range cfg.Rules {
		change.RuleFallbacks[name] = ruleFallback(cfg, name)
	}
	plan, err := p.plan(change)
	if err != nil {
		return nil, err
	}
	p.commit(plan)
	return p, nil
}

// Ready returns a channel that is closed when all parts are open and messages are
// being read. It is never closed if Run fails first.
func (p *Pipeline) Ready() <-chan struct{} { return p.ready }

// Done returns a channel that is closed when Run has stopped everything.
func (p *Pipeline) Done() <-chan struct{} { return p.done }

// Run moves messages until ctx is canceled, every source has ended, or one has
// failed. Then it drains: it stops reading, writes what the queues hold within
// Config.DrainTimeout (counted from the cancellation), and closes sinks and
// sources. Messages that are not settled by then stay unacknowledged. When Run
// returns, everything that it started has ended, except calls of parts that do
// not return; those are logged.
//
// Run returns nil after a clean drain, ErrDrainTimeout if messages were left, and
// the errors of the parts, with their names, otherwise.
func (p *Pipeline) Run(ctx context.Context) error {
	if !p.enter(created, running) {
		return ErrClosed
	}
	defer close(p.done)
	defer p.env.door.teller.flush()
	if err := p.open(ctx); err != nil {
		if ctx.Err() != nil && (errors.Is(err, ctx.Err()) || errors.Is(err, context.Cause(ctx))) {
			err = nil // stopped before anything was read: a clean end
		}
		return errors.Join(err, p.shutdown())
	}
	readCtx, stopReading := context.WithCancel(ctx)
	defer stopReading()
	drainCtx, giveUp := context.WithCancelCause(context.Background())
	defer giveUp(nil)
	defer context.AfterFunc(ctx, func() { p.startDrainTimer(drainCtx, giveUp) })()
	defer context.AfterFunc(drainCtx, p.abandon)()

	var watching sync.WaitGroup
	p.startChecks(readCtx, &watching)
	watching.Go(func() { p.watch(drainCtx) })
	close(p.ready)
	err := p.work(readCtx, drainCtx, stopReading)
	if err != nil { // a source failed; do not wait for sinks for ever
		p.startDrainTimer(drainCtx, giveUp)
	}
	drained := p.drain(drainCtx)
	stopReading()
	giveUp(nil)
	watching.Wait()
	closed := p.shutdown()
	return errors.Join(err, p.leftover(drained), closed)
}

// enter moves the pipeline from one state to another, and reports whether it was
// in the first.
func (p *Pipeline) enter(from, to runState) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state != from {
		return false
	}
	p.state, p.since = to, time.Now()
	return true
}

// startDrainTimer gives up draining after the timeout.
func (p *Pipeline) startDrainTimer(ctx context.Context, giveUp context.CancelCauseFunc) {
	t := time.AfterFunc(p.cfg.DrainTimeout, func() { giveUp(ErrDrainTimeout) })
	context.AfterFunc(ctx, func() { t.Stop() })
}

// open opens the sinks, then the sources. Nobody can exchange a sink meanwhile.
func (p *Pipeline) open(ctx context.Context) error {
	if err := p.lockChanges(ctx); err != nil {
		return err
	}
	defer p.unlockChanges()
	t := p.table.Load()
	for _, name := range sortedKeys(t.sinks) {
		if err := p.env.openPart(ctx, "sink", name, t.sinks[name].service.Load().sink); err != nil {
			return err
		}
	}
	p.opened = true
	for _, f := range p.feeds {
		if err := p.env.openPart(ctx, "source", f.name, f.source); err != nil {
			return err
		}
	}
	return nil
}

// openPart opens a source or a sink, if there is anything to open.
func (e *environment) openPart(ctx context.Context, kind, name string, part any) error {
	o, ok := part.(Opener)
	if !ok {
		return nil
	}
	if err := e.door.call(ctx, kind, name, "Open", o.Open); err != nil {
		return fmt.Errorf("%s: %w", partName(kind, name), err)
	}
	return nil
}

// work runs the workers of all sources until they have ended. A source that
// fails stops the others. A Read that does not return after the end is left
// behind, and so is a rule that has not returned when the drain is over.
func (p *Pipeline) work(ctx, drain context.Context, stop context.CancelFunc) error {
	var all sync.WaitGroup
	for i, f := range p.feeds {
		for j := range p.cfg.Workers {
			w := &worker{p: p, feed: f, env: p.env, id: i*p.cfg.Workers + j, msgs: make([]Message, p.cfg.ReadBatch)}
			all.Go(func() {
				w.run(ctx)
				if f.failed() != nil {
					stop()
				}
			})
		}
	}
	done := make(chan struct{})
	go func() {
		all.Wait()
		close(done)
	}()
	p.awaitWorkers(ctx, drain, done)
	var errs []error
	for _, f := range p.feeds {
		if left := f.end(); left {
			errs = append(errs, fmt.Errorf("source %q: %w: a rule has not returned; its message and those behind it stay unacknowledged", f.name, ErrDrainTimeout))
		}
		errs = append(errs, f.failed())
	}
	return errors.Join(errs...)
}

// awaitWorkers waits for the workers; after the end of ctx only for those that
// are not in a Read, and after the end of drain for none.
func (p *Pipeline) awaitWorkers(ctx, drain context.Context, done <-chan struct{}) {
	select {
	case <-done:
		return
	case <-ctx.Done():
	}
	for {
		late := time.NewTimer(grace)
		select {
		case <-done:
			late.Stop()
			return
		case <-drain.Done(): // those that wait for room continue now
			select {
			case <-done:
			case <-late.C:
				p.env.door.hangs("rule", "", "Apply")
			}
			late.Stop()
			return
		case <-late.C:
		}
		busy := false
		for _, f := range p.feeds {
			busy = f.busy() || busy
		}
		if !busy {
			for _, f := range p.feeds {
				if f.inRead.Load() {
					p.env.door.hangs("source", f.name, "Read")
				}
			}
			return
		}
	}
}

// drain waits until all queues are empty. It takes two passes in a row that find
// nothing anywhere.
//
// Sequence: a pass sees the empty queue of a fallback; then another queue passes a
// dead letter on to it and is empty, too, when the pass comes there. The letter is
// found by the next pass. It goes nowhere else, so two are enough.
func (p *Pipeline) drain(ctx context.Context) error {
	for idle := 0; ; idle++ {
		busy := false
		for _, q := range p.queues() {
			q.mu.Lock()
			busy = !q.isEmpty() || busy
			q.mu.Unlock()
			if err := q.drain(ctx); err != nil {
				p.abandon() // may be under way already; then this does nothing
				return err
			}
		}
		if busy {
			idle = -1
		}
		if idle == 1 {
			return nil
		}
	}
}

// leftover turns what was given up into an error, once everything has ended; err is
// that of the drain.
func (p *Pipeline) leftover(err error) error {
	e := &DrainError{Left: make(map[string]uint64)}
	p.mu.Lock()
	if p.lost > 0 {
		e.Left[""] = p.lost
	}
	p.mu.Unlock()
	for _, q := range p.queues() {
		if n := q.snapshot().Ended[Abandoned]; n > 0 {
			e.Left[q.name()] += n
		}
	}
	if len(e.Left) == 0 {
		return err
	}
	return e
}

// abandon gives up what is queued and ends the calls of Sink.Write.
func (p *Pipeline) abandon() {
	for _, q := range p.queues() {
		q.abandon()
	}
}

// shutdown closes the sinks, then the sources, which pass on acknowledgements.
func (p *Pipeline) shutdown() error {
	ctx, cancel := context.WithTimeout(context.Background(), p.cfg.DrainTimeout+3*grace)
	defer cancel()
	p.enter(running, stopped)
	// A change that is under way ends: it sees the state, or its queues stop. Only
	// one whose new sink does not open goes on; it sees the state after that.
	for _, q := range p.queues() {
		q.abandon()
	}
	changes, cancelChanges := context.WithTimeout(ctx, 3*grace)
	defer cancelChanges()
	if p.lockChanges(changes) == nil {
		defer p.unlockChanges()
	}
	var errs []error
	for _, q := range p.leavingQueues() {
		_ = wait(ctx, q.gone) // its remover closes it
	}
	t := p.table.Load()
	for _, name := range sortedKeys(t.sinks) {
		q := t.sinks[name]
		q.stop()
		if err := p.env.closeSink(ctx, q.name(), q.service.Load()); err != nil {
			errs = append(errs, fmt.Errorf("sink %q: close: %w", q.name(), err))
		}
	}
	for _, f := range p.feeds {
		if err := p.env.door.call(ctx, "source", f.name, "Close", f.source.Close); err != nil {
			errs = append(errs, fmt.Errorf("source %q: close: %w", f.name, err))
		}
	}
	return errors.Join(errs...)
}

// queues returns the queues in service, by name, and those that leave it.
func (p *Pipeline) queues() []*queue {
	t := p.table.Load()
	list := make([]*queue, 0, len(t.sinks))
	for _, name := range sortedKeys(t.sinks) {
		list = append(list, t.sinks[name])
	}
	return append(list, p.leavingQueues()...)
}

func (p *Pipeline) leavingQueues() []*queue {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.leaving)
}

// Stats returns a snapshot of all counters. The figures of one sink are
// consistent with each other.
func (p *Pipeline) Stats() Stats {
	t := p.table.Load()
	s := Stats{
		Version: t.version,
		Sources: make(map[string]SourceStats, len(p.feeds)),
		Rules:   make(map[string]RuleStats, len(t.rules)),
		Sinks:   make(map[string]SinkStats, len(t.sinks)),
		Untold:  p.env.door.teller.untold(),
	}
	for _, f := range p.feeds {
		s.Sources[f.name] = f.snapshot()
	}
	for name, r := range t.rules {
		s.Rules[name] = r.snapshot()
	}
	for _, q := range p.queues() {
		s.Sinks[q.name()] = q.snapshot()
	}
	return s
}

// Config returns what the pipeline is made of now: the configuration with all
// defaults filled in, and with the rules, sinks and options of queues that are in
// service. Callers must not use or change the parts.
func (p *Pipeline) Config() Config {
	t := p.table.Load()
	cfg := p.cfg
	cfg.Rules = make(map[string]Rule, len(t.rules))
	cfg.RuleFallbacks = make(map[string]string)
	for name, e := range t.rules {
		cfg.Rules[name] = e.rule
		if e.fallback != "" {
			cfg.RuleFallbacks[name] = e.fallback
		}
	}
	cfg.Sinks = make(map[string]Sink, len(t.sinks))
	cfg.Queues = make(map[string]QueueConfig, len(t.sinks))
	for name, q := range t.sinks {
		q.mu.Lock()
		cfg.Sinks[name], cfg.Queues[name] = q.service.Load().sink, q.cfg
		q.mu.Unlock()
	}
	return cfg
}

// Trace lets t follow messages from now on, until stop is called.
func (p *Pipeline) Trace(t Tracer) (stop func()) {
	own := &tracerEntry{t}
	p.changeTracers(func(list []*tracerEntry) []*tracerEntry { return append(slices.Clone(list), own) })
	return func() {
		p.changeTracers(func(list []*tracerEntry) []*tracerEntry {
			return slices.DeleteFunc(slices.Clone(list), func(x *tracerEntry) bool { return x == own })
		})
	}
}

// tracerEntry is a Tracer that can be told from an equal one.
type tracerEntry struct{ Tracer }

func (p *Pipeline) changeTracers(change func([]*tracerEntry) []*tracerEntry) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var list []*tracerEntry
	if old := p.tracers.Load(); old != nil {
		list = *old
	}
	if list = change(list); len(list) == 0 {
		p.tracers.Store(nil)
	} else {
		p.tracers.Store(&list)
	}
}
