package bridge

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// startChecks asks every part that can tell for its health, now and then. Sinks
// that are set later are asked as well.
func (p *Pipeline) startChecks(ctx context.Context, wg *sync.WaitGroup) {
	for _, f := range p.feeds {
		c, ok := f.source.(Checker)
		if !ok {
			f.setHealth(Connected, "")
			continue
		}
		wg.Go(func() {
			var checking atomic.Bool
			p.checkRegularly(ctx, func() {
				ok, err := p.check(ctx, "source", f.name, c, &checking)
				switch {
				case !ok || ctx.Err() != nil:
				case err != nil:
					f.setHealth(Disconnected, err.Error())
				default:
					f.setHealth(Connected, f.heldBack())
				}
			})
		})
	}
	wg.Go(func() {
		p.checkRegularly(ctx, func() {
			var sinks sync.WaitGroup
			for _, q := range p.queues() {
				v := q.service.Load()
				if c, ok := v.sink.(Checker); ok {
					sinks.Go(func() {
						ok, err := p.check(ctx, "sink", q.name(), c, &v.checking)
						if ok && ctx.Err() == nil && q.service.Load() == v { // one that was cut short says nothing
							q.checked(err)
						}
					})
				}
			}
			sinks.Wait()
		})
	})
}

// checkTimeout is how long a Check may take, if it is asked more often than that.
const checkTimeout = 15 * time.Second

// check asks a part for its health; ok is false, and it is not asked, if its last
// Check has not returned.
func (p *Pipeline) check(ctx context.Context, kind, name string, c Checker, checking *atomic.Bool) (ok bool, err error) {
	if !checking.CompareAndSwap(false, true) {
		return false, nil
	}
	bounded, cancel := context.WithTimeout(ctx, max(p.cfg.CheckInterval, checkTimeout))
	defer cancel()
	return true, p.env.door.call(bounded, kind, name, "Check", func(ctx context.Context) error {
		defer checking.Store(false)
		return c.Check(ctx)
	})
}

// checkRegularly calls check at once and then at the interval, until ctx is done.
func (p *Pipeline) checkRegularly(ctx context.Context, check func()) {
	if p.cfg.CheckInterval < 0 {
		return
	}
	for {
		check()
		wait := p.cfg.CheckInterval + rand.N(p.cfg.CheckInterval/2+1)
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// checked takes the result of a check. What writes have found out weighs more: a
// check that succeeds does not make a sink connected that stores nothing.
func (q *queue) checked(err error) {
	text := ""
	if err != nil {
		text = errorText(err)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.phase == closed:
	case err != nil:
		q.setHealth(Disconnected, text)
	case q.sched.Failures() == 0 && q.sched.Parked() == 0 && !q.stalled():
		q.setHealth(Connected, "")
	}
}

const (
	// watchInterval is how often the pipeline looks whether there is progress.
	watchInterval = time.Second
	// stallAfter is how long a sink may have work and no success before it
	// counts as disconnected, whatever its check says.
	stallAfter = 15 * time.Second
	// slowWrite is how long a Write may take before the log says so.
	slowWrite = 30 * time.Second
)

// watch notices what makes no progress.
func (p *Pipeline) watch(ctx context.Context) {
	tick := time.NewTicker(watchInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, q := range p.queues() {
			q.watch()
		}
		for _, f := range p.feeds {
			p.watchFeed(f)
		}
	}
}

// stalled reports whether the queue has had work and no success for too long. The
// caller holds q.mu.
func (q *queue) stalled() bool {
	all, _ := q.sched.Len()
	return all > 0 && q.env.now()-q.progress > stallAfter
}

func (q *queue) watch() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, w := range q.writers.flying {
		if d := time.Since(w.began); d > slowWrite && !w.returned {
			q.env.warn("sink", q.name(), "a Write does not return", fmt.Errorf("it began %v ago", d.Round(time.Second)), 1)
		}
	}
	if q.stalled() {
		q.setHealth(Disconnected, q.stallReason())
	}
}

// stallReason says why nothing is stored.
func (q *queue) stallReason() string {
	since := (q.env.now() - q.progress).Round(time.Second)
	switch {
	case len(q.writers.flying) > 0:
		return fmt.Sprintf("nothing was stored for %v, and writes that have not returned: %d", since, len(q.writers.flying))
	case q.count.lastError != nil:
		return fmt.Sprintf("nothing was stored for %v: %s", since, q.count.lastError.text)
	default:
		return fmt.Sprintf("nothing was stored for %v", since)
	}
}

// watchFeed notices when a source can hand out no more because of a sink.
func (p *Pipeline) watchFeed(f *feed) {
	w, ok := f.source.(Windower)
	if !ok {
		return
	}
	var unsettled, limit int
	if p.env.door.guard("source", f.name, "Window", func() { unsettled, limit = w.Window() }) != nil {
		return
	}
	reason := ""
	if limit > 0 && unsettled >= limit {
		reason = fmt.Sprintf("all %d messages that may be unsettled are; %s", limit, p.holder())
	}
	f.holdBack(reason)
}

// holder says which sink holds the oldest record.
func (p *Pipeline) holder() string {
	var at *queue
	var since time.Duration
	for _, q := range p.queues() {
		q.mu.Lock()
		if added, ok := q.sched.Oldest(); ok && (at == nil || added < since) {
			at, since = q, added
		}
		q.mu.Unlock()
	}
	if at == nil {
		return "no sink holds one"
	}
	at.mu.Lock()
	h := at.health
	at.mu.Unlock()
	text := fmt.Sprintf("sink %q has held the oldest for %v", at.name(), (p.env.now() - since).Round(time.Second))
	if h.Reason != "" {
		text += ": " + h.Reason
	}
	return text
}

// heldBack is why the source can hand out no more; empty when it can.
func (f *feed) heldBack() string {
	f.healthMu.Lock()
	defer f.healthMu.Unlock()
	return f.held
}

func (f *feed) holdBack(reason string) {
	f.healthMu.Lock()
	f.held = reason
	h := f.health
	f.healthMu.Unlock()
	if h.State == Connected {
		f.setHealth(Connected, reason)
	}
}

// Health returns the condition of the pipeline: that of its worst part, with the
// reasons of all parts that have one.
func (p *Pipeline) Health() Health {
	p.mu.Lock()
	worst := Health{State: Connected, Since: p.since}
	if p.state != running {
		worst.State = Disconnected
		worst.Reason = "the pipeline does not run"
	}
	p.mu.Unlock()
	see := func(kind, name string, h Health) {
		if h.Reason != "" {
			if worst.Reason != "" {
				worst.Reason += "; "
			}
			worst.Reason += partName(kind, name) + ": " + h.Reason
		}
		if rank(h.State) > rank(worst.State) {
			worst.State, worst.Since = h.State, h.Since
		}
	}
	for _, f := range p.feeds {
		see("source", f.name, f.snapshot().Health)
	}
	for _, q := range p.queues() {
		see("sink", q.name(), q.snapshot().Health)
	}
	return worst
}

// rank orders states from good to bad.
func rank(s State) int {
	return [...]int{Connected: 0, Connecting: 1, Inconsistent: 2, Disconnected: 3}[s]
}

// Check asks the source or sink of that name whether it can do its work now. It
// returns nil for one that does not implement Checker.
func (p *Pipeline) Check(ctx context.Context, name string) error {
	if q := p.table.Load().sinks[name]; q != nil {
		return p.checkPart(ctx, "sink", name, q.service.Load().sink)
	}
	for _, f := range p.feeds {
		if f.name == name {
			return p.checkPart(ctx, "source", name, f.source)
		}
	}
	return fmt.Errorf("there is no source or sink %q", name)
}

func (p *Pipeline) checkPart(ctx context.Context, kind, name string, part any) error {
	c, ok := part.(Checker)
	if !ok {
		return nil
	}
	return p.env.door.call(ctx, kind, name, "Check", c.Check)
}
