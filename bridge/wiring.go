package bridge

import (
	"errors"
	"fmt"
	"slices"

	"github.com/sluiceio/sluice/internal/topic"
)

// newRule makes the entry of a rule, which takes over from an old one of its name.
func (p *Pipeline) newRule(name string, r Rule, old *ruleEntry) (*ruleEntry, error) {
	e := &ruleEntry{name: name, rule: r, enabled: old == nil || old.enabled}
	err := p.env.door.guard("rule", name, "Filters", func() { e.filters = slices.Clone(r.Filters()) })
	if t, ok := r.(Targeter); ok && err == nil {
		err = p.env.door.guard("rule", name, "Targets", func() { e.targets = slices.Clone(t.Targets()) })
	}
	if err == nil {
		err = checkFilters(e.filters)
	}
	if old != nil {
		e.ruleCounters = old.ruleCounters
	} else {
		e.ruleCounters = newCounters(p.cells)
	}
	return e, err
}

func newCounters(cells int) *ruleCounters { return &ruleCounters{cells: make([]cell, cells)} }

func checkFilters(filters []string) error {
	if len(filters) == 0 {
		return errors.New("the rule has no topic filter")
	}
	for _, f := range filters {
		if err := topic.ValidateFilter(f); err != nil {
			return err
		}
	}
	return nil
}

// checkWiring checks what rules, sinks and fallbacks of a plan say of each other,
// and works out the queues' fallbacks.
func (p *Pipeline) checkWiring(c Change, pl *plan, bad *mistakes) {
	t := pl.table
	configs := make(map[string]QueueConfig, len(t.sinks))
	services := make(map[string]*service, len(t.sinks))
	for name, q := range t.sinks {
		q.mu.Lock()
		configs[name], services[name] = q.cfg, q.service.Load()
		q.mu.Unlock()
	}
	for _, x := range pl.exchanges {
		for name, q := range t.sinks {
			if q == x.q {
				configs[name], services[name] = x.service.options, x.service
			}
		}
	}
	checkFallbacks(configs, bad)
	for name, q := range t.sinks {
		pl.fallbacks[q] = t.sinks[configs[name].Fallback]
	}
	p.checkOnce(t, services, bad)
	for _, name := range sortedKeys(t.rules) {
		e := t.rules[name]
		path := fmt.Sprintf("Rules[%q]", name)
		if e.fallback != "" && t.sinks[e.fallback] == nil {
			bad.add(fmt.Sprintf("RuleFallbacks[%q]", name), "there is no sink %q", e.fallback)
		}
		for _, target := range e.targets {
			q, err := t.sink(target.Sink)
			if err != nil {
				bad.add(path, "%w", err)
				continue
			}
			for sink, other := range t.sinks {
				if other == q {
					checkTarget(path, sink, target, services[sink].limits.Requires, bad)
				}
			}
		}
	}
	if p.cfg.Unmatched != "" && t.unmatched == nil {
		bad.add("Unmatched", "there is no sink %q", p.cfg.Unmatched)
	}
}

// checkTarget checks that a rule gives its records what a sink requires.
func checkTarget(path, sink string, has, needs Target, bad *mistakes) {
	for _, part := range []struct {
		name         string
		needs, given bool
	}{
		{"Dest", needs.Dest, has.Dest},
		{"Key", needs.Key, has.Key},
		{"HashKey", needs.HashKey, has.HashKey},
		{"Data", needs.Data, has.Data},
	} {
		if part.needs && !part.given {
			bad.add(path, "records for sink %q need a %s, and the action has none", sink, part.name)
		}
	}
}

// checkFallbacks refuses fallbacks that do not exist, and cycles: in one, each sink
// would wait for the other when both refuse and both are full. Configs has the
// options of every sink.
func checkFallbacks(configs map[string]QueueConfig, bad *mistakes) {
	for _, name := range sortedKeys(configs) {
		fallback := configs[name].Fallback
		if fallback == "" {
			continue
		}
		path := fmt.Sprintf("Queues[%q].Fallback", name)
		if _, ok := configs[fallback]; !ok {
			bad.add(path, "there is no sink %q", fallback)
			continue
		}
		for at, steps := fallback, 0; at != "" && steps <= len(configs); at, steps = configs[at].Fallback, steps+1 {
			if at == name {
				bad.add(path, "the fallbacks lead back to sink %q", name)
				break
			}
		}
	}
}

// checkOnce refuses a sink that would be in service under two names, which would
// open and close it twice, and one that is in the queue of another name now, whose
// change would close it.
func (p *Pipeline) checkOnce(t *table, services map[string]*service, bad *mistakes) {
	names := sortedKeys(services)
	now := p.queues()
	for i, name := range names {
		sink := services[name].sink
		for _, other := range names[:i] {
			if same(sink, services[other].sink) {
				bad.add(fmt.Sprintf("Sinks[%q]", name), "is the same sink as Sinks[%q]", other)
			}
		}
		for _, q := range now {
			if q != t.sinks[name] && same(sink, q.service.Load().sink) {
				bad.add(fmt.Sprintf("Sinks[%q]", name), "is in service as sink %q; see Renamed", q.name())
			}
		}
	}
}

// ruleFallback is the sink for the messages on which a rule fails, by the
// configuration.
func ruleFallback(cfg Config, rule string) string {
	if f, ok := cfg.RuleFallbacks[rule]; ok {
		return f
	}
	return cfg.RuleFallback
}
