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
// of sources, except for the filters of an MQTT client, of the events of an embedded
// broker, of buffers on disk and of the pipeline's own options.
var ErrRestart = errors.New("the change takes effect with a new pipeline")

// Changes lists what differs between two definitions, by path. Changed parts are
// followed by their options that differ: "rules.hot (sql, actions)".
type Changes struct {
	Added, Changed, Removed []string
}

// Empty reports whether nothing differs.
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

// Diff returns what has changed from old to def. Values from outside count as if
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

// Apply changes a running pipeline from old to def at one point, without losing or
// reordering a message, and returns what it changed. Every new part is made, opened
// and checked before; if one of them fails, or ctx ends, nothing is changed. If a
// part of the change takes a new pipeline, nothing is changed either, and the error
// is ErrRestart. See bridge.Pipeline.Apply for the one error after which the change
// has happened.
func (def *Definition) Apply(ctx context.Context, p *bridge.Pipeline, old *Definition, log *slog.Logger) (Changes, error) {
	c := def.Diff(old)
	if why := def.restart(c, old); why != "" {
		return c, fmt.Errorf("%s: %w", why, ErrRestart)
	}
	if log == nil {
		log = slog.Default()
	}
	change, err := def.change(c, old, log)
	if err == nil {
		err = p.Apply(ctx, change)
	}
	if err == nil || errors.Is(err, bridge.ErrDrainTimeout) { // the change has happened
		if refused := def.subscribe(ctx, p, old); refused != nil {
			err = errors.Join(refused, def.back(p, old, log))
		}
	}
	return c, redact(def.values, err)
}

// change makes the new parts of a change.
func (def *Definition) change(c Changes, old *Definition, log *slog.Logger) (bridge.Change, error) {
	change := bridge.Change{
		Rules: map[string]bridge.Rule{}, Sinks: map[string]bridge.Sink{},
		RuleFallbacks: map[string]string{}, Queues: map[string]bridge.QueueConfig{}, Renamed: def.renamed(c, old),
	}
	for _, name := range slices.Concat(c.names("rules"), c.removed("rules")) {
		if r, enabled := def.compiled[name]; enabled {
			change.Rules[name], change.RuleFallbacks[name] = r, def.ruleFallback(name)
		} else if _, before := old.compiled[name]; before {
			change.Rules[name] = nil
		}
	}
	for _, name := range c.removed("sinks") {
		if !slices.Contains(slices.Collect(maps.Values(change.Renamed)), name) {
			change.Sinks[name] = nil
		}
	}
	for _, name := range c.names("sinks") {
		change.Queues[name] = def.queue(name)
		if before := old.sinks[name]; before != nil && len(differences(before.def, def.sinks[name].def)) == 0 {
			continue // only the queue's options differ
		}
		s, err := def.sinks[name].def.Sink(def.context(name, log))
		if err != nil {
			closeAll(bridge.Config{Sinks: change.Sinks})
			return bridge.Change{}, fmt.Errorf("sinks.%s: %w", name, err)
		}
		change.Sinks[name] = s
	}
	return change, nil
}

// renamed finds sinks that have only got another name, by the new one. They keep
// their queue, and with it the order of what is in it.
func (def *Definition) renamed(c Changes, old *Definition) map[string]string {
	renamed := map[string]string{}
	gone := c.removed("sinks")
	for _, name := range c.names("sinks") {
		if old.sinks[name] != nil {
			continue
		}
		for i, before := range gone {
			if samePlace(old.sinks[before].def, def.sinks[name].def) {
				renamed[name] = before
				gone = slices.Delete(gone, i, i+1)
				break
			}
		}
	}
	return renamed
}

// places are the options of this package's sinks that say where records go.
var places = []string{"endpoint", "path", "region", "servers", "stream_name", "type", "url"}

// samePlace reports whether two sinks write to the same place. Of other types of
// sinks every option may say where that is.
func samePlace(a, b SinkDefinition) bool {
	d := differences(a, b)
	switch a.(type) {
	case *fileSink, *firehoseSink, *httpSink, *kinesisSink, *mqttSink:
		return !slices.ContainsFunc(d, func(option string) bool { return slices.Contains(places, option) })
	default:
		return len(d) == 0
	}
}

// restart returns the change that a running pipeline cannot make, if there is one.
func (def *Definition) restart(c Changes, old *Definition) string {
	for _, path := range slices.Concat(c.Added, c.Changed, c.Removed) {
		name, source := strings.CutPrefix(path, "sources.")
		if strings.HasPrefix(path, "pipeline") || source && !def.onlyFilters(name) {
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
		switch def.sources[name].def.(type) {
		case *mqttSource: // it can change its subscriptions
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

// subset reports whether all of a are in b; subscriptions that are not needed any
// more do no harm.
func subset(a, b []string) bool {
	return !slices.ContainsFunc(a, func(x string) bool { return !slices.Contains(b, x) })
}
