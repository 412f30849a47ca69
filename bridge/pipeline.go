package bridge

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// A Pipeline moves messages from sources through rules to sinks. Make one with
// New, then call Run once. All methods may be called concurrently, before, while
// and after it runs.
type Pipeline struct {
	cfg   Config
	env   *environment
	feeds []*feed
	stop  context.CancelFunc // of env.ctx

	table   atomic.Pointer[table]
	tracing atomic.Pointer[tracing] // nil when nobody follows messages

	mu      sync.Mutex // guards changes of the table, and what follows
	state   runState
	workers int // in all, for the rules' counters

	retiring sync.WaitGroup // sinks that were replaced or removed
	leaving  []*queue       // theirs, until they are closed; guarded by mu
	lost     uint64         // records that those have given up; guarded by mu
}

type runState uint8

const (
	created runState = iota
	running
	stopped
)

// New makes a pipeline. The error reports everything that is wrong with cfg.
// Nothing is opened or started before Run; the sources and sinks belong to the
// pipeline from then on, which closes them.
func New(cfg Config) (*Pipeline, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	p := &Pipeline{cfg: cfg}
	ctx, stop := context.WithCancel(context.Background())
	p.env = &environment{start: time.Now(), ctx: ctx, hooks: &p.cfg.Hooks, log: cfg.Logger, payload: cfg.LogPayload}
	p.stop = stop
	for _, name := range sortedKeys(cfg.Sources) {
		p.feeds = append(p.feeds, newFeed(name, cfg.Sources[name]))
	}
	p.workers = cfg.Workers * len(p.feeds)
	t := &table{sinks: make(map[string]*queue, len(cfg.Sinks)), rules: make(map[string]*ruleEntry, len(cfg.Rules))}
	for name, s := range cfg.Sinks {
		t.sinks[name] = newQueue(name, s, p.queueConfig(name), p.env)
	}
	for name, q := range t.sinks {
		q.fallback = t.sinks[p.queueConfig(name).Fallback]
	}
	for name, r := range cfg.Rules {
		t.rules[name] = p.newRule(name, r, nil)
	}
	p.table.Store(t.build())
	if cfg.Tracer != nil {
		p.tracing.Store(&tracing{tracer: cfg.Tracer})
	}
	return p, nil
}

func (p *Pipeline) queueConfig(sink string) QueueConfig {
	if c, ok := p.cfg.Queues[sink]; ok {
		return c
	}
	c := p.cfg.Queue
	if c.Fallback == sink {
		c.Fallback = "" // the default names one sink for all others
	}
	return c
}

// Run moves messages until ctx is cancelled, every source has ended or one has
// failed. Then it drains: the sources are read no further, the queues are
// written within Config.DrainTimeout (counted from the cancellation), messages
// that are not settled by then stay unacknowledged, sinks and sources are
// closed, and everything that Run started has ended.
//
// It returns nil after a clean drain, ErrDrainTimeout when messages were left,
// and the errors of the parts, with their names, otherwise.
func (p *Pipeline) Run(ctx context.Context) error {
	p.mu.Lock()
	if p.state != created {
		p.mu.Unlock()
		return ErrClosed
	}
	p.state = running
	p.mu.Unlock()

	if err := p.open(ctx); err != nil {
		return errors.Join(err, p.shutdown())
	}
	readCtx, stopReading := context.WithCancel(ctx)
	defer stopReading()
	drainCtx, giveUp := context.WithCancelCause(context.Background())
	defer giveUp(nil)
	defer context.AfterFunc(ctx, func() { p.startDrainTimer(drainCtx, giveUp) })()
	defer context.AfterFunc(drainCtx, p.abort)()

	var checkers sync.WaitGroup
	p.startCheckers(readCtx, &checkers)
	err := p.work(readCtx, stopReading)
	if err != nil { // a source failed; do not wait for sinks for ever
		p.startDrainTimer(drainCtx, giveUp)
	}
	drained := p.drain(drainCtx)
	stopReading()
	checkers.Wait()
	return errors.Join(err, drained, p.shutdown())
}

// startDrainTimer gives up draining after the timeout.
func (p *Pipeline) startDrainTimer(ctx context.Context, giveUp context.CancelCauseFunc) {
	t := time.AfterFunc(p.cfg.DrainTimeout, func() { giveUp(ErrDrainTimeout) })
	context.AfterFunc(ctx, func() { t.Stop() })
}

// open opens the sinks, then the sources.
func (p *Pipeline) open(ctx context.Context) error {
	t := p.table.Load()
	for _, name := range sortedKeys(t.sinks) {
		if o, ok := t.sinks[name].sink.(Opener); ok {
			if err := o.Open(ctx); err != nil {
				return fmt.Errorf("sink %q: %w", name, err)
			}
		}
	}
	for _, f := range p.feeds {
		if o, ok := f.source.(Opener); ok {
			if err := o.Open(ctx); err != nil {
				return fmt.Errorf("source %q: %w", f.name, err)
			}
		}
	}
	return nil
}

// work runs the workers of all sources until they have ended. A source that
// fails stops the others.
func (p *Pipeline) work(ctx context.Context, stop context.CancelFunc) error {
	var all sync.WaitGroup
	for i, f := range p.feeds {
		for j := range p.cfg.Workers {
			w := &worker{p: p, feed: f, env: p.env, id: i*p.cfg.Workers + j, msgs: make([]Message, p.cfg.ReadBatch)}
			all.Go(func() {
				w.run(ctx)
				f.reading <- struct{}{}
				defer func() { <-f.reading }()
				if f.err != nil {
					stop()
				}
			})
		}
	}
	all.Wait()
	var errs []error
	for _, f := range p.feeds {
		errs = append(errs, f.err)
	}
	return errors.Join(errs...)
}

// drain waits until all queues are empty. A record may move from one queue to
// another, its fallback, so it takes a pass that finds nothing anywhere.
func (p *Pipeline) drain(ctx context.Context) error {
	for {
		busy := false
		for _, q := range p.everyQueue() {
			busy = q.busy() || busy
			if err := q.drain(ctx); err != nil {
				p.abort() // may be under way already; then this waits for it
				return p.leftover(err)
			}
		}
		if !busy {
			return p.leftover(nil)
		}
	}
}

// leftover turns what was given up into an error.
func (p *Pipeline) leftover(err error) error {
	var left uint64
	for _, q := range p.everyQueue() {
		left += q.givenUp()
	}
	p.mu.Lock()
	left += p.lost
	p.mu.Unlock()
	if left == 0 {
		return err
	}
	return fmt.Errorf("%w: %d records were not stored; their messages stay unacknowledged", ErrDrainTimeout, left)
}

// abort gives up what is queued and ends the calls of Sink.Write.
func (p *Pipeline) abort() {
	if p.env.ctx.Err() != nil {
		return
	}
	p.stop()
	for _, q := range p.everyQueue() {
		q.abort()
	}
}

// shutdown closes the sinks, then the sources, which pass on acknowledgements.
func (p *Pipeline) shutdown() error {
	p.mu.Lock()
	p.state = stopped
	p.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), max(p.cfg.DrainTimeout, time.Second))
	defer cancel()
	var errs []error
	t := p.table.Load()
	for _, name := range sortedKeys(t.sinks) {
		if err := t.sinks[name].close(ctx); err != nil {
			errs = append(errs, fmt.Errorf("sink %q: close: %w", name, err))
		}
	}
	p.retiring.Wait()
	p.stop()
	for _, f := range p.feeds {
		if err := f.source.Close(ctx); err != nil {
			errs = append(errs, fmt.Errorf("source %q: close: %w", f.name, err))
		}
	}
	return errors.Join(errs...)
}

// everyQueue returns the queues in service, and those that leave it.
func (p *Pipeline) everyQueue() []*queue {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append(p.queues(), p.leaving...)
}

// queues returns the queues in service, by name.
func (p *Pipeline) queues() []*queue {
	t := p.table.Load()
	list := make([]*queue, 0, len(t.sinks))
	for _, name := range sortedKeys(t.sinks) {
		list = append(list, t.sinks[name])
	}
	return list
}

// Stats returns a snapshot of all counters. The figures of one sink are
// consistent with each other.
func (p *Pipeline) Stats() Stats {
	t := p.table.Load()
	s := Stats{
		Sources: make(map[string]SourceStats, len(p.feeds)),
		Rules:   make(map[string]RuleStats, len(t.rules)),
		Sinks:   make(map[string]SinkStats, len(t.sinks)),
	}
	for _, f := range p.feeds {
		f.healthMu.Lock()
		h := f.health
		f.healthMu.Unlock()
		s.Sources[f.name] = SourceStats{f.received.Load(), f.bytes.Load(), f.unmatched.Load(), h}
	}
	for name, r := range t.rules {
		s.Rules[name] = r.snapshot()
	}
	for name, q := range t.sinks {
		q.mu.Lock()
		s.Sinks[name] = q.snapshot()
		q.mu.Unlock()
	}
	return s
}

// Check asks the source or sink of that name whether it can do its work now. It
// returns nil for one that does not implement Checker.
func (p *Pipeline) Check(ctx context.Context, name string) error {
	var part any
	if q := p.table.Load().sinks[name]; q != nil {
		part = q.sink
	}
	for _, f := range p.feeds {
		if f.name == name && part == nil {
			part = f.source
		}
	}
	if part == nil {
		return fmt.Errorf("there is no source or sink %q", name)
	}
	if c, ok := part.(Checker); ok {
		return c.Check(ctx)
	}
	return nil
}
