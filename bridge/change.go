package bridge

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"sync"
)

// Change is a set of changes that happen at one point in the stream of messages,
// or not at all; see Pipeline.Apply.
type Change struct {
	// Rules are added, replaced, or removed if the value is nil. A replaced rule
	// keeps its counters, and stays off if it was switched off.
	Rules map[string]Rule
	// RuleFallbacks are those of rules in Rules; see Config. An empty one is
	// none. A rule without one here keeps its own, or gets Config.RuleFallback.
	RuleFallbacks map[string]string
	// Sinks are added, replaced, or removed if the value is nil. The queue of a
	// replaced sink stays: the new sink writes what it holds.
	Sinks map[string]Sink
	// Queues are the options of sinks in Sinks and, with the same sink, of
	// others. A replaced sink without options here keeps those it has.
	Queues map[string]QueueConfig
	// Renamed gives sinks in Sinks the queue of a sink of another name, which
	// is gone then: the key is the new name, the value the old one.
	Renamed map[string]string
}

// plan is a change that has been checked and can be applied.
type plan struct {
	table     *table
	exchanges []*exchange
	added     []*queue
	removed   []*queue
	renamed   map[*queue]string
	fallbacks map[*queue]*queue
}

// lockChanges gives the caller the sole right to change the pipeline.
func (p *Pipeline) lockChanges(ctx context.Context) error {
	select {
	case p.changing <- struct{}{}:
		return nil // whatever ctx says
	default:
	}
	select {
	case p.changing <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("another change is under way: %w", context.Cause(ctx))
	}
}

func (p *Pipeline) unlockChanges() { <-p.changing }

// Apply makes a change. It checks, opens and pauses everything before the first part
// of the change takes effect, so an error means that nothing has changed and new
// sinks are closed. There is one exception: if a removed sink does not write what
// its queue holds before ctx ends or Config.DrainTimeout has passed, the change
// stays, the rest is given up with its messages unacknowledged, and the error
// matches ErrDrainTimeout.
//
// A replaced sink gets no more batches. Its Writes in flight have five seconds to
// return; those that do not are given up as Ambiguous. If ctx ends first, the change
// is given up. Then the new sink continues where the old one stopped, in the same
// order, and the old one is closed.
//
// Before Run, sinks are opened by Run and not by Apply.
func (p *Pipeline) Apply(ctx context.Context, c Change) error {
	if err := p.beginChange(ctx, c); err != nil {
		return errors.Join(err, p.closeNew(ctx, c))
	}
	pl, err := p.prepare(ctx, c)
	if err != nil {
		p.unlockChanges()
		return err
	}
	p.commit(pl)
	p.unlockChanges()
	return p.retire(ctx, pl)
}

// prepare does everything that can fail.
func (p *Pipeline) prepare(ctx context.Context, c Change) (*plan, error) {
	if p.stopping() {
		return nil, errors.Join(ErrClosed, p.closeNew(ctx, c))
	}
	pl, err := p.plan(c)
	if err != nil {
		return nil, errors.Join(err, p.closeNew(ctx, c))
	}
	if p.opened {
		for _, name := range sortedKeys(c.Sinks) {
			if s := c.Sinks[name]; s != nil && p.isNew(s) {
				if err := p.env.openPart(ctx, "sink", name, s); err != nil {
					return nil, errors.Join(err, p.closeNew(ctx, c))
				}
			}
		}
	}
	errs := make([]error, len(pl.exchanges))
	var all sync.WaitGroup
	for i, x := range pl.exchanges {
		all.Go(func() { errs[i] = x.prepare(ctx) })
	}
	all.Wait()
	err = errors.Join(errs...)
	if p.stopping() { // the queues are about to end; the sinks in them stay
		err = ErrClosed
	}
	if err != nil {
		for _, x := range pl.exchanges {
			x.cancel()
		}
		return nil, errors.Join(err, p.closeNew(ctx, c))
	}
	return pl, nil
}

func (p *Pipeline) stopping() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state == stopped
}

// isNew reports whether a sink is not in service yet.
func (p *Pipeline) isNew(s Sink) bool {
	for _, q := range p.queues() {
		if same(q.service.Load().sink, s) {
			return false
		}
	}
	return true
}

// same reports whether two parts are one, as far as that can be known.
func same(a, b any) bool {
	t := reflect.TypeOf(a)
	return t == reflect.TypeOf(b) && t.Kind() == reflect.Pointer && a == b
}

// closeNew closes the sinks of a change that does not happen.
func (p *Pipeline) closeNew(ctx context.Context, c Change) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.cfg.DrainTimeout)
	defer cancel()
	var errs []error
	var closed []Sink // a mistaken change may have one twice
	for _, name := range sortedKeys(c.Sinks) {
		s := c.Sinks[name]
		if isNil(s) || slices.ContainsFunc(closed, func(x Sink) bool { return same(x, s) }) {
			continue
		}
		if closed = append(closed, s); p.isNew(s) {
			if err := p.env.door.call(ctx, "sink", name, "Close", s.Close); err != nil {
				errs = append(errs, fmt.Errorf("sink %q: close: %w", name, err))
			}
		}
	}
	return errors.Join(errs...)
}

// isNil reports whether a part is nil, or a nil pointer.
func isNil(part any) bool {
	if part == nil {
		return true
	}
	v := reflect.ValueOf(part)
	return (v.Kind() == reflect.Pointer || v.Kind() == reflect.Func) && v.IsNil()
}

// plan checks a change and works out what it comes to. The caller holds changing.
func (p *Pipeline) plan(c Change) (*plan, error) {
	old := p.table.Load()
	pl := &plan{renamed: make(map[*queue]string), fallbacks: make(map[*queue]*queue)}
	var bad mistakes
	sinks := p.planSinks(c, pl, &bad)
	rules := p.planRules(c, &bad)
	if len(bad) > 0 {
		return nil, bad.err()
	}
	pl.table = old.with(rules, sinks, p.cfg.Unmatched)
	p.checkWiring(c, pl, &bad)
	if len(bad) > 0 {
		return nil, bad.err()
	}
	return pl, nil
}

// planSinks returns the sinks after the change.
func (p *Pipeline) planSinks(c Change, pl *plan, bad *mistakes) map[string]*queue {
	sinks := maps.Clone(p.table.Load().sinks)
	if sinks == nil {
		sinks = make(map[string]*queue)
	}
	taken := make(map[string]*queue)
	for _, name := range sortedKeys(c.Renamed) {
		from := c.Renamed[name]
		q := sinks[from]
		switch {
		case q == nil:
			bad.add(fmt.Sprintf("Renamed[%q]", name), "there is no sink %q", from)
		case c.Sinks[name] == nil:
			bad.add(fmt.Sprintf("Renamed[%q]", name), "Sinks has no sink of this name")
		default:
			delete(sinks, from)
			taken[name] = q
			pl.renamed[q] = name
		}
	}
	for name := range taken {
		if sinks[name] != nil {
			bad.add(fmt.Sprintf("Renamed[%q]", name), "there is a sink of this name")
		}
	}
	names := slices.Sorted(maps.Keys(c.Sinks))
	for _, name := range sortedKeys(c.Queues) {
		if _, ok := c.Sinks[name]; !ok {
			names = append(names, name)
		}
	}
	for _, name := range names {
		s, replaced := c.Sinks[name]
		cfg, configured := c.Queues[name]
		q := taken[name]
		if q == nil {
			q = sinks[name]
		}
		switch {
		case replaced && s == nil && q == nil, !replaced && q == nil:
			bad.add(fmt.Sprintf("Sinks[%q]", name), "there is no sink of this name")
		case replaced && s == nil:
			delete(sinks, name)
			pl.removed = append(pl.removed, q)
		case replaced && isNil(s):
			bad.add(fmt.Sprintf("Sinks[%q]", name), "is nil")
		case q == nil:
			q, err := newQueue(name, p.env, s, cfg, len(p.feeds))
			if err != nil {
				bad.within(fmt.Sprintf("Sinks[%q]", name), err)
				continue
			}
			sinks[name] = q
			pl.added = append(pl.added, q)
		default:
			old := q.service.Load()
			if !configured {
				cfg = old.options
			}
			x := &exchange{q: q, sameSink: !replaced || same(s, old.sink)}
			if x.sameSink {
				x.service = old.with(cfg)
			} else if v, err := p.env.serve(name, s, cfg); err == nil {
				x.service = v
			} else {
				bad.within(fmt.Sprintf("Sinks[%q]", name), err)
				continue
			}
			sinks[name] = q
			pl.exchanges = append(pl.exchanges, x)
		}
		if s != nil && slices.ContainsFunc(p.feeds, func(f *feed) bool { return f.name == name }) {
			bad.add(fmt.Sprintf("Sinks[%q]", name), "a source has the same name")
		}
		if configured {
			bad.within(fmt.Sprintf("Queues[%q]", name), cfg.Validate())
		}
	}
	return sinks
}

// planRules returns the rules that change, nil being gone.
func (p *Pipeline) planRules(c Change, bad *mistakes) map[string]*ruleEntry {
	t := p.table.Load()
	for _, name := range sortedKeys(c.RuleFallbacks) {
		if c.Rules[name] == nil {
			bad.add(fmt.Sprintf("RuleFallbacks[%q]", name), "Rules has no rule of this name")
		}
	}
	rules := make(map[string]*ruleEntry, len(c.Rules))
	for _, name := range sortedKeys(c.Rules) {
		r, old := c.Rules[name], t.rules[name]
		path := fmt.Sprintf("Rules[%q]", name)
		switch {
		case r == nil && old == nil:
			bad.add(path, "there is no rule of this name")
		case r == nil:
			rules[name] = nil
		case isNil(r):
			bad.add(path, "is nil")
		default:
			e, err := p.newRule(name, r, old)
			if err != nil {
				bad.within(path, err)
				continue
			}
			if fallback, ok := c.RuleFallbacks[name]; ok {
				e.fallback = fallback
			} else if old != nil {
				e.fallback = old.fallback
			} else {
				e.fallback = p.cfg.RuleFallback
			}
			rules[name] = e
		}
	}
	return rules
}

// commit makes a change happen. It cannot fail.
//
// Sequence: rules and the table of sinks change first, in one step; a batch that
// was read before that goes by the old ones. Queues outlive their sinks, so it
// does not matter which sink is in a queue when such a batch comes to it.
//
// Queues whose sinks hang are halted side by side: each may take its time.
func (p *Pipeline) commit(pl *plan) {
	var halting sync.WaitGroup
	for _, x := range pl.exchanges {
		halting.Go(x.q.halt)
	}
	halting.Wait()
	p.mu.Lock()
	p.leaving = append(p.leaving, pl.removed...)
	p.mu.Unlock()
	for q, name := range pl.renamed {
		q.named.Store(&name)
	}
	for _, q := range pl.table.sinks {
		q.mu.Lock()
		q.fallback = pl.fallbacks[q]
		q.mu.Unlock()
	}
	p.table.Store(pl.table)
	for _, x := range pl.exchanges {
		x.commit(len(p.feeds))
	}
}

// retire closes what a change has taken out of service.
func (p *Pipeline) retire(ctx context.Context, pl *plan) error {
	bounded, cancel := context.WithTimeout(ctx, p.cfg.DrainTimeout)
	defer cancel()
	for _, x := range pl.exchanges {
		if x.sameSink {
			x.old.cancel()
			continue
		}
		if err := p.env.closeSink(bounded, x.q.name(), x.old); err != nil {
			p.env.warn("sink", x.q.name(), "the replaced sink did not close", err, 1)
		}
	}
	errs := make([]error, len(pl.removed))
	var all sync.WaitGroup
	for i, q := range pl.removed {
		all.Go(func() { errs[i] = p.retireQueue(bounded, q) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// retireQueue ends a queue that no table has any more: when the batches that were
// read before have been queued, nobody adds to it.
func (p *Pipeline) retireQueue(ctx context.Context, q *queue) error {
	var err error
	if p.isRunning() {
		for _, f := range p.feeds {
			err = errors.Join(err, f.settle(ctx))
		}
		err = errors.Join(err, q.drain(ctx))
	}
	if err != nil {
		q.abandon()
	}
	q.stop()
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.cfg.DrainTimeout)
	defer cancel()
	if err := p.env.closeSink(closing, q.name(), q.service.Load()); err != nil {
		p.env.warn("sink", q.name(), "the removed sink did not close", err, 1)
	}
	left := q.snapshot().Ended[Abandoned]
	p.mu.Lock()
	p.leaving = slices.DeleteFunc(p.leaving, func(x *queue) bool { return x == q })
	p.lost += left
	p.mu.Unlock()
	close(q.gone)
	if left > 0 {
		return fmt.Errorf("sink %q: %w: %d records were not stored; their messages stay unacknowledged", q.name(), ErrDrainTimeout, left)
	}
	return nil
}

func (p *Pipeline) isRunning() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state == running
}

// beginChange locks changes when no sink that the change adds is one that still
// leaves, whose records would be overtaken. It waits for those without the lock,
// so one may begin to leave before it has the lock; then it waits again.
func (p *Pipeline) beginChange(ctx context.Context, c Change) error {
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := p.lockChanges(ctx); err != nil {
			return err
		}
		q := p.leavingOf(c)
		if q == nil {
			return nil
		}
		p.unlockChanges()
		if err := wait(ctx, q.gone); err != nil {
			return fmt.Errorf("sink %q: the removed one still has records: %w", q.name(), err)
		}
	}
}

// leavingOf returns a queue that still leaves and whose name the change adds, or nil.
func (p *Pipeline) leavingOf(c Change) *queue {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, q := range p.leaving {
		if c.Sinks[q.name()] != nil {
			return q
		}
	}
	return nil
}

// SetRule adds a rule or replaces the one of that name, whose counters go on; if
// that was switched off, the new one is, too. Every message is seen by the old
// rule or by the new one.
func (p *Pipeline) SetRule(name string, r Rule) error {
	if isNil(r) {
		return &FieldError{fmt.Sprintf("Rules[%q]", name), errors.New("is nil")}
	}
	return p.Apply(context.Background(), Change{Rules: map[string]Rule{name: r}})
}

// RemoveRule takes a rule out of service. Records that it has made are written.
func (p *Pipeline) RemoveRule(name string) error {
	return p.Apply(context.Background(), Change{Rules: map[string]Rule{name: nil}})
}

// SetSink adds a sink or replaces the one of that name; see Apply.
func (p *Pipeline) SetSink(ctx context.Context, name string, s Sink, cfg QueueConfig) error {
	if isNil(s) {
		return &FieldError{fmt.Sprintf("Sinks[%q]", name), errors.New("is nil")}
	}
	return p.Apply(ctx, Change{Sinks: map[string]Sink{name: s}, Queues: map[string]QueueConfig{name: cfg}})
}

// RemoveSink takes a sink out of service. It returns when the sink has written what
// was queued for it and is closed; see Apply. It fails while a rule or a fallback
// names the sink.
func (p *Pipeline) RemoveSink(ctx context.Context, name string) error {
	return p.Apply(ctx, Change{Sinks: map[string]Sink{name: nil}})
}

// EnableRule switches a rule on or off. A rule that is off matches and counts
// nothing.
func (p *Pipeline) EnableRule(name string, on bool) error {
	return p.changeRule(name, func(e *ruleEntry) { e.enabled = on })
}

// ResetRule sets the counters of a rule to zero.
func (p *Pipeline) ResetRule(name string) error {
	return p.changeRule(name, func(e *ruleEntry) { e.ruleCounters = newCounters(p.cells) })
}

func (p *Pipeline) changeRule(name string, change func(*ruleEntry)) error {
	return p.changeTable(func(t *table) (*table, error) {
		old := t.rules[name]
		if old == nil {
			return nil, &FieldError{fmt.Sprintf("Rules[%q]", name), errors.New("there is no rule of this name")}
		}
		e := *old
		change(&e)
		return t.with(map[string]*ruleEntry{name: &e}, t.sinks, p.cfg.Unmatched), nil
	})
}

// EnableSink switches a sink on or off. Records for a sink that is off are discarded,
// which settles their part of the message, and counted by their rules. Records that
// are already queued are written.
func (p *Pipeline) EnableSink(name string, on bool) error {
	return p.changeTable(func(t *table) (*table, error) {
		q := t.sinks[name]
		if q == nil {
			return nil, &FieldError{fmt.Sprintf("Sinks[%q]", name), errors.New("there is no sink of this name")}
		}
		q.disabled.Store(!on)
		return t.with(nil, t.sinks, p.cfg.Unmatched), nil
	})
}

// changeTable replaces the table by one that follows from it.
func (p *Pipeline) changeTable(change func(*table) (*table, error)) error {
	if err := p.lockChanges(context.Background()); err != nil {
		return err
	}
	defer p.unlockChanges()
	if p.stopping() {
		return ErrClosed
	}
	t, err := change(p.table.Load())
	if err == nil {
		p.table.Store(t)
	}
	return err
}
