package bridge

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// startCheckers asks every part that can tell for its health, now and then.
// Sinks that are set later are asked as well.
func (p *Pipeline) startCheckers(ctx context.Context, wg *sync.WaitGroup) {
	for _, f := range p.feeds {
		c, ok := f.source.(Checker)
		if !ok {
			f.setHealth(p.env, Connected, "")
			continue
		}
		wg.Go(func() {
			p.checkRegularly(ctx, func() { f.report(ctx, p.env, c.Check(ctx)) })
		})
	}
	if p.cfg.CheckInterval < 0 {
		return
	}
	wg.Go(func() {
		p.checkRegularly(ctx, func() {
			var sinks sync.WaitGroup
			for _, q := range p.queues() {
				if c, ok := q.sink.(Checker); ok {
					sinks.Go(func() { q.report(ctx, c.Check(ctx)) })
				}
			}
			sinks.Wait()
		})
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

// report takes the result of a check. What writes have found out weighs more: a
// check that succeeds does not make a sink that refuses records connected.
// An error of a check that was cut short says nothing.
func (q *queue) report(ctx context.Context, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.closed, ctx.Err() != nil:
	case err != nil:
		q.setHealth(Disconnected, err.Error())
	case q.failures == 0 && q.unavailable == 0:
		q.setHealth(Connected, "")
	}
}

func (f *feed) report(ctx context.Context, env *environment, err error) {
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		f.setHealth(env, Disconnected, err.Error())
	} else {
		f.setHealth(env, Connected, "")
	}
}

func (f *feed) setHealth(env *environment, s State, reason string) {
	f.healthMu.Lock()
	changed := f.health.set(s, reason)
	h := f.health
	f.healthMu.Unlock()
	if changed {
		env.stateChanged("source", f.name, h)
	}
}
