package bridge

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/sluiceio/sluice/internal/topic"
)

// This file changes rules and sinks while messages flow. Each change makes a new
// table; a worker uses one table for a whole batch.

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

// build completes a table whose rules and sinks are set.
func (t *table) build() *table {
	t.gone = make(chan struct{})
	if t.index == nil {
		t.index = topic.NewIndex(func(yield func(string, *ruleEntry) bool) {
			for _, name := range sortedKeys(t.rules) {
				for _, f := range t.rules[name].filters {
					if !yield(f, t.rules[name]) {
						return
					}
				}
			}
		})
	}
	if len(t.sinks) == 1 {
		for _, q := range t.sinks {
			t.only = q
		}
	}
	return t
}

// acquire returns the current table and keeps it in use until release.
func (p *Pipeline) acquire() *table {
	for {
		t := p.table.Load()
		t.users.Add(1)
		if p.table.Load() == t {
			return t
		}
		p.release(t) // replaced in between; nobody may have seen the use
	}
}

func (p *Pipeline) release(t *table) {
	if t.users.Add(-1) == 0 && p.table.Load() != t {
		p.leave(t)
	}
}

// leave tells that nobody uses a replaced table any more, nor one before it.
func (p *Pipeline) leave(t *table) {
	t.once.Do(func() {
		close(t.gone)
		p.release(t.next)
	})
}

// replace puts t into service and returns the table before it. The caller holds
// p.mu.
func (p *Pipeline) replace(t *table) *table {
	t.build()
	t.users.Add(1) // the table before it: what that has is older, and must be gone first
	old := p.table.Load()
	old.next = t
	p.table.Store(t)
	if old.users.Load() == 0 {
		p.leave(old)
	}
	return old
}

func (p *Pipeline) newRule(name string, r Rule, counters *ruleCounters) *ruleEntry {
	if counters == nil {
		counters = &ruleCounters{cells: make([]cell, p.workers)}
	}
	return &ruleEntry{name: name, rule: r, enabled: true, filters: slices.Clone(r.Filters()), ruleCounters: counters}
}

// with returns a table in which the rule name is e, or gone if e is nil.
func (t *table) with(name string, e *ruleEntry) *table {
	rules := maps.Clone(t.rules)
	index := t.index
	if old := rules[name]; old != nil {
		delete(rules, name)
		if old.enabled {
			for _, f := range old.filters {
				index = index.Without(f, old)
			}
		}
	}
	if e != nil {
		rules[name] = e
		if e.enabled {
			for _, f := range e.filters {
				index = index.With(f, e)
			}
		}
	}
	return &table{rules: rules, index: index, sinks: t.sinks}
}

// SetRule adds a rule or replaces the one of that name, whose counters go on; if
// that was switched off, the new one is, too. Every message is seen by the old
// rule or by the new one.
func (p *Pipeline) SetRule(name string, r Rule) error {
	if r == nil {
		return fmt.Errorf("rule %q is nil", name)
	}
	if err := checkFilters(r); err != nil {
		return fmt.Errorf("rule %q: %w", name, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state == stopped {
		return ErrClosed
	}
	t := p.table.Load()
	var counters *ruleCounters
	old := t.rules[name]
	if old != nil {
		counters = old.ruleCounters
	}
	e := p.newRule(name, r, counters)
	e.enabled = old == nil || old.enabled
	p.replace(t.with(name, e))
	return nil
}

// RemoveRule takes a rule out of service. Records that it has made are written.
func (p *Pipeline) RemoveRule(name string) error {
	return p.changeRule(name, func(*ruleEntry) *ruleEntry { return nil })
}

// EnableRule switches a rule on or off; one that is off matches nothing and
// counts nothing.
func (p *Pipeline) EnableRule(name string, on bool) error {
	return p.changeRule(name, func(e *ruleEntry) *ruleEntry {
		changed := *e
		changed.enabled = on
		return &changed
	})
}

// ResetRule sets the counters of a rule to zero.
func (p *Pipeline) ResetRule(name string) error {
	return p.changeRule(name, func(e *ruleEntry) *ruleEntry {
		changed := *e
		changed.ruleCounters = &ruleCounters{cells: make([]cell, p.workers)}
		return &changed
	})
}

func (p *Pipeline) changeRule(name string, change func(*ruleEntry) *ruleEntry) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state == stopped {
		return ErrClosed
	}
	t := p.table.Load()
	e := t.rules[name]
	if e == nil {
		return fmt.Errorf("there is no rule %q", name)
	}
	p.replace(t.with(name, change(e)))
	return nil
}

// SetSink adds a sink or replaces the one of that name; if that was switched off,
// the new one is, too. It opens the new sink, switches over, and then returns when
// the old one has written what was queued for it and is closed; until then the new
// one waits, so that order is kept. If ctx ends before, the switch has happened and
// the rest goes on by itself.
func (p *Pipeline) SetSink(ctx context.Context, name string, s Sink, cfg QueueConfig) error {
	if s == nil {
		return fmt.Errorf("sink %q is nil", name)
	}
	p.mu.Lock()
	early := p.state == created // Run will open it
	p.mu.Unlock()
	if o, ok := s.(Opener); ok && !early {
		if err := o.Open(ctx); err != nil {
			return fmt.Errorf("sink %q: %w", name, err)
		}
	}
	return p.changeSinks(ctx, name, func(sinks map[string]*queue) error {
		has := func(n string) bool { return sinks[n] != nil || n == name }
		if err := cfg.validate(name, has); err != nil {
			return fmt.Errorf("sink %q: %w", name, err)
		}
		q := newQueue(name, s, cfg, p.env)
		q.fallback = sinks[cfg.Fallback]
		if old := sinks[name]; old != nil {
			q.disabled.Store(old.disabled.Load())
		}
		if before := p.predecessor(name); before != nil {
			q.paused, q.turn = true, before.gone
		}
		sinks[name] = q
		return nil
	})
}

// RemoveSink takes a sink out of service and returns when it has written what
// was queued for it and is closed. Rules that still address it fail with an
// exception. If ctx ends before, the rest goes on by itself, and a sink that is
// added under that name waits for it.
func (p *Pipeline) RemoveSink(ctx context.Context, name string) error {
	return p.changeSinks(ctx, name, func(sinks map[string]*queue) error {
		if sinks[name] == nil {
			return fmt.Errorf("there is no sink %q", name)
		}
		for other, q := range sinks {
			if q.cfg.Fallback == name {
				return fmt.Errorf("sink %q is the fallback of sink %q", name, other)
			}
		}
		delete(sinks, name)
		return nil
	})
}

func (p *Pipeline) changeSinks(ctx context.Context, name string, change func(map[string]*queue) error) error {
	retired, err := p.swapSink(name, change)
	if err != nil || retired == nil {
		return err
	}
	select {
	case err := <-retired:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// swapSink puts the changed sinks into service. If there was a sink of that name
// the channel gives the result of its retirement.
func (p *Pipeline) swapSink(name string, change func(map[string]*queue) error) (<-chan error, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state == stopped {
		return nil, ErrClosed
	}
	t := p.table.Load()
	sinks := maps.Clone(t.sinks)
	if err := change(sinks); err != nil {
		return nil, err
	}
	old, fresh := t.sinks[name], sinks[name]
	before := p.replace(&table{rules: t.rules, index: t.index, sinks: sinks})
	if fresh != nil && fresh.turn != nil {
		p.retiring.Go(fresh.begin)
	}
	if old == nil {
		return nil, nil
	}
	p.leaving = append(p.leaving, old)
	done := make(chan error, 1)
	p.retiring.Go(func() { done <- p.retire(before, old, fresh) })
	return done, nil
}

// predecessor returns the queue that one of that name must wait for: the one in
// service, or the last that was removed and still has records. The caller holds
// p.mu.
func (p *Pipeline) predecessor(name string) *queue {
	if q := p.table.Load().sinks[name]; q != nil {
		return q
	}
	for _, q := range slices.Backward(p.leaving) {
		if q.name == name {
			return q
		}
	}
	return nil
}

// begin lets a queue write whose predecessor is gone.
func (q *queue) begin() {
	<-q.turn
	q.mu.Lock()
	defer q.mu.Unlock()
	q.paused = false
	q.wake()
}

// retire closes a queue once nobody can add to it and it is empty.
func (p *Pipeline) retire(before *table, old, fresh *queue) error {
	<-before.gone
	if old.turn != nil {
		<-old.turn // with nothing queued it would be done before its predecessor is
	}
	old.mu.Lock()
	old.successor = fresh // dead letters of other sinks go there from now on
	old.mu.Unlock()
	err := old.drain(p.env.ctx)
	if err != nil {
		old.abort()
	}
	err = errors.Join(err, old.close(p.env.ctx))
	p.mu.Lock()
	p.leaving = slices.DeleteFunc(p.leaving, func(q *queue) bool { return q == old })
	p.lost += old.givenUp()
	p.mu.Unlock()
	close(old.gone)
	return err
}

// EnableSink switches a sink on or off. Records for one that is off are discarded
// (and counted by their rules), which settles their part of the message; what is
// queued already is written.
func (p *Pipeline) EnableSink(name string, on bool) error {
	p.mu.Lock() // SetSink must not replace it meanwhile
	defer p.mu.Unlock()
	q := p.table.Load().sinks[name]
	if q == nil {
		return fmt.Errorf("there is no sink %q", name)
	}
	q.disabled.Store(!on)
	return nil
}

func (r *ruleEntry) snapshot() RuleStats {
	s := RuleStats{Enabled: r.enabled, ActionsSuccess: r.success.Load(), ActionsFailed: r.ruleCounters.failed.Load(), ActionsDiscarded: r.discarded.Load()}
	for i := range r.cells {
		c := &r.cells[i]
		s.Matched += c.matched.Load()
		s.Passed += c.passed.Load()
		s.Exception += c.exception.Load()
		s.NoResult += c.noResult.Load()
		s.Actions += c.actions.Load()
	}
	s.Failed = s.Exception + s.NoResult
	if last := r.last.Load(); last != nil {
		s.LastError, s.LastErrorAt = last.text, last.at
	}
	return s
}
