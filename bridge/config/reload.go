package config

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/sluiceio/sluice/bridge"
)

// ErrRestart is returned for changes that a running pipeline cannot make: those
// of sources, of what they are subscribed to, of buffers on disk and of the
// pipeline's own options.
var ErrRestart = errors.New("the change takes effect with a new pipeline")

// Changes lists what differs between two definitions, by path. Changed parts are
// followed by their options that differ: "rules.hot (sql, actions)".
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

// names returns the names of a section's parts that were added or changed.
func (c Changes) names(section string) (names []string) {
	for _, path := range slices.Concat(c.Added, c.Changed) {
		path, _, _ = strings.Cut(path, " ")
		if name, ok := strings.CutPrefix(path, section+"."); ok {
			names = append(names, name)
		}
	}
	return names
}

// removed returns the names of a section's parts that were removed.
func (c Changes) removed(section string) []string {
	return Changes{Added: c.Removed}.names(section)
}

// Diff tells what has changed from old to def. Values from outside count as if
// they were written in the definition.
func (def *Definition) Diff(old *Definition) Changes {
	var c Changes
	compare(&c, old.sources, def.sources)
	compare(&c, old.sinks, def.sinks)
	compare(&c, old.rules, def.rules)
	if d := differences(&old.options, &def.options); len(d) > 0 {
		c.Changed = append(c.Changed, "pipeline ("+strings.Join(d, ", ")+")")
	}
	return c
}

func compare[D any](c *Changes, old, now map[string]*part[D]) {
	for _, name := range sortedKeys(now) {
		before := old[name]
		if before == nil {
			c.Added = append(c.Added, now[name].path)
			continue
		}
		d := differences(before.def, now[name].def)
		for _, option := range differences(&before.ResourceOptions, &now[name].ResourceOptions) {
			d = append(d, "resource_opts."+option)
		}
		if len(d) > 0 {
			c.Changed = append(c.Changed, now[name].path+" ("+strings.Join(d, ", ")+")")
		}
	}
	for _, name := range sortedKeys(old) {
		if now[name] == nil {
			c.Removed = append(c.Removed, old[name].path)
		}
	}
}

// differences returns the options in which two pointers to structs differ.
func differences(old, now any) (options []string) {
	a, b := reflect.ValueOf(old).Elem(), reflect.ValueOf(now).Elem()
	if a.Type() != b.Type() {
		return []string{"type"}
	}
	before, after := fieldsOf(a), fieldsOf(b)
	for _, name := range sortedKeys(after) {
		if !reflect.DeepEqual(before[name].Interface(), after[name].Interface()) {
			options = append(options, name)
		}
	}
	return options
}

// Apply changes a running pipeline from old to def, without losing or reordering
// a message, and returns what it changed. Sinks are added before the rules that
// use them and removed after. If a part of the change takes a new pipeline,
// nothing is changed and the error is ErrRestart.
func (def *Definition) Apply(ctx context.Context, p *bridge.Pipeline, old *Definition, log *slog.Logger) (Changes, error) {
	c := def.Diff(old)
	if why := def.restart(c, old); why != "" {
		return c, fmt.Errorf("%s: %w", why, ErrRestart)
	}
	if log == nil {
		log = slog.Default()
	}
	var errs []error
	for _, name := range def.fallbacksFirst(c.names("sinks")) {
		errs = append(errs, def.setSink(ctx, p, name, log))
	}
	for _, name := range c.names("rules") {
		if _, enabled := def.compiled[name]; enabled {
			errs = append(errs, p.SetRule(name, def.compiled[name]))
		} else if _, before := old.compiled[name]; before {
			errs = append(errs, p.RemoveRule(name))
		}
	}
	for _, name := range c.removed("rules") {
		if _, before := old.compiled[name]; before {
			errs = append(errs, p.RemoveRule(name))
		}
	}
	removed := old.fallbacksFirst(c.removed("sinks"))
	slices.Reverse(removed)
	for _, name := range removed {
		errs = append(errs, p.RemoveSink(ctx, name))
	}
	return c, redact(def.values, errors.Join(errs...))
}

// restart says which change a running pipeline cannot make, if there is one.
func (def *Definition) restart(c Changes, old *Definition) string {
	for _, path := range slices.Concat(c.Added, c.Changed, c.Removed) {
		if strings.HasPrefix(path, "pipeline") || strings.HasPrefix(path, "sources.") {
			return path
		}
	}
	none := &ResourceOptions{}
	for _, name := range slices.Concat(c.names("sinks"), c.removed("sinks")) {
		before, after := none, none
		if s := old.sinks[name]; s != nil {
			before = &s.ResourceOptions
		}
		if s := def.sinks[name]; s != nil {
			after = &s.ResourceOptions
		}
		if !before.sameBuffer(after) {
			return "sinks." + name + " (buffer)"
		}
	}
	before, after := old.context("", nil), def.context("", nil)
	for _, name := range sortedKeys(def.sources) {
		switch s := def.sources[name].def.(type) {
		case *mqttSource:
			if s.followsRules() && !subset(after.Filters, before.Filters) {
				return "sources." + name + " (subscriptions follow the rules)"
			}
		case *brokerSource:
			if !subset(after.Events, before.Events) {
				return "sources." + name + " (events follow the rules)"
			}
		default: // it may have looked at either
			if !subset(after.Filters, before.Filters) || !subset(after.Events, before.Events) {
				return "sources." + name + " (topics of the rules)"
			}
		}
	}
	return ""
}

// subset tells whether all of a are in b; subscriptions that are not needed any
// more do no harm.
func subset(a, b []string) bool {
	return !slices.ContainsFunc(a, func(x string) bool { return !slices.Contains(b, x) })
}

// fallbacksFirst sorts sinks so that each comes after its fallback, if that is
// among them.
func (def *Definition) fallbacksFirst(sinks []string) []string {
	wanted := maps.Collect(func(yield func(string, bool) bool) {
		for _, name := range sinks {
			if !yield(name, true) {
				return
			}
		}
	})
	var sorted []string
	var visit func(string)
	visit = func(name string) {
		if !wanted[name] {
			return
		}
		delete(wanted, name)
		visit(def.sinks[name].Fallback)
		sorted = append(sorted, name)
	}
	for _, name := range sinks {
		visit(name)
	}
	return sorted
}

func (def *Definition) setSink(ctx context.Context, p *bridge.Pipeline, name string, log *slog.Logger) error {
	s, err := def.sinks[name].def.Sink(def.context(name, log))
	if err != nil {
		return fmt.Errorf("sinks.%s: %w", name, err)
	}
	return p.SetSink(ctx, name, s, def.queue(name))
}
