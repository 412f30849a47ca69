package config

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/sluiceio/sluice/bridge"
)

// ErrRestart is returned for changes that a running pipeline cannot make: those
// of sources and of the pipeline's own options.
var ErrRestart = errors.New("the change takes effect after a restart")

// Changes lists what differs between two definitions, by path.
type Changes struct {
	Added, Changed, Removed []string
}

// Empty tells whether nothing differs.
func (c Changes) Empty() bool { return len(c.Added)+len(c.Changed)+len(c.Removed) == 0 }

// String says what differs in one line.
func (c Changes) String() string {
	var parts []string
	for _, x := range []struct {
		verb  string
		paths []string
	}{{"added", c.Added}, {"changed", c.Changed}, {"removed", c.Removed}} {
		if len(x.paths) > 0 {
			parts = append(parts, x.verb+" "+strings.Join(x.paths, ", "))
		}
	}
	if len(parts) == 0 {
		return "nothing has changed"
	}
	return strings.Join(parts, "; ")
}

// Diff tells what has changed from old to def.
func (def *Definition) Diff(old *Definition) Changes {
	var c Changes
	compare(&c, old.sources, def.sources)
	compare(&c, old.sinks, def.sinks)
	compare(&c, old.rules, def.rules)
	if old.options != def.options {
		c.Changed = append(c.Changed, "pipeline")
	}
	return c
}

func compare[D any](c *Changes, old, now map[string]*part[D]) {
	for _, name := range sortedKeys(now) {
		switch before := old[name]; {
		case before == nil:
			c.Added = append(c.Added, now[name].path)
		case before.text != now[name].text:
			c.Changed = append(c.Changed, now[name].path)
		}
	}
	for _, name := range sortedKeys(old) {
		if now[name] == nil {
			c.Removed = append(c.Removed, old[name].path)
		}
	}
}

// Apply changes a running pipeline from old to def, without losing or reordering
// a message, and returns what it changed. Sinks are added before the rules that
// use them and removed after. If sources or the pipeline's options differ
// nothing is changed and the error is ErrRestart.
func (def *Definition) Apply(ctx context.Context, p *bridge.Pipeline, old *Definition, log *slog.Logger) (Changes, error) {
	c := def.Diff(old)
	for _, path := range slices.Concat(c.Added, c.Changed, c.Removed) {
		if path == "pipeline" || strings.HasPrefix(path, "sources.") {
			return c, fmt.Errorf("%s: %w", path, ErrRestart)
		}
	}
	var errs []error
	for _, path := range slices.Concat(c.Added, c.Changed) {
		if name, ok := strings.CutPrefix(path, "sinks."); ok {
			errs = append(errs, def.setSink(ctx, p, name, log))
		}
	}
	for _, path := range slices.Concat(c.Added, c.Changed) {
		if name, ok := strings.CutPrefix(path, "rules."); ok {
			errs = append(errs, def.setRule(p, name, old))
		}
	}
	for _, path := range c.Removed {
		if name, ok := strings.CutPrefix(path, "rules."); ok && old.rules[name].def.enabled() {
			errs = append(errs, p.RemoveRule(name))
		}
	}
	for _, path := range c.Removed {
		if name, ok := strings.CutPrefix(path, "sinks."); ok {
			errs = append(errs, p.RemoveSink(ctx, name))
		}
	}
	return c, errors.Join(errs...)
}

func (def *Definition) setSink(ctx context.Context, p *bridge.Pipeline, name string, log *slog.Logger) error {
	s, err := def.sinks[name].def.Sink(def.context(name, log))
	if err != nil {
		return fmt.Errorf("sinks.%s: %w", name, err)
	}
	return p.SetSink(ctx, name, s, def.sinks[name].queue())
}

func (def *Definition) setRule(p *bridge.Pipeline, name string, old *Definition) error {
	r := def.rules[name].def
	if r.enabled() {
		return p.SetRule(name, r.rule)
	}
	if before := old.rules[name]; before != nil && before.def.enabled() {
		return p.RemoveRule(name)
	}
	return nil
}
