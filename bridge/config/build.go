package config

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/sluiceio/sluice/bridge"
)

// Build makes the sources, sinks and rules of the definition. The result can be
// changed before it goes to bridge.New. Rules that are not enabled are left out.
func (def *Definition) Build(log *slog.Logger) (bridge.Config, error) {
	if log == nil {
		log = slog.Default()
	}
	cfg := bridge.Config{
		Sources:       map[string]bridge.Source{},
		Rules:         map[string]bridge.Rule{},
		Sinks:         map[string]bridge.Sink{},
		Queues:        map[string]bridge.QueueConfig{},
		DrainTimeout:  time.Duration(def.options.DrainTimeout),
		CheckInterval: time.Duration(def.options.CheckInterval),
		Workers:       def.options.Workers,
		Logger:        log,
	}
	var errs []error
	for _, name := range sortedKeys(def.rules) {
		if r := def.rules[name]; r.def.enabled() {
			cfg.Rules[name] = r.def.rule
		}
	}
	for _, name := range sortedKeys(def.sources) {
		s, err := def.sources[name].def.Source(def.context(name, log))
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", def.sources[name].path, err))
			continue
		}
		cfg.Sources[name] = s
	}
	for _, name := range sortedKeys(def.sinks) {
		s, err := def.sinks[name].def.Sink(def.context(name, log))
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", def.sinks[name].path, err))
			continue
		}
		cfg.Sinks[name] = s
		cfg.Queues[name] = def.sinks[name].queue()
	}
	if len(errs) > 0 {
		closeAll(cfg)
	}
	return cfg, errors.Join(errs...)
}

// closeAll gives up parts that will not be used.
func closeAll(cfg bridge.Config) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	for _, s := range cfg.Sources {
		_ = s.Close(ctx)
	}
	for _, s := range cfg.Sinks {
		_ = s.Close(ctx)
	}
}

func (def *Definition) context(name string, log *slog.Logger) Context {
	var all []string
	for _, r := range def.rules {
		all = append(all, r.def.rule.Filters()...)
	}
	slices.Sort(all)
	topics, events := split(slices.Compact(all))
	return Context{Name: name, Logger: log, Filters: topics, Events: events}
}

// Rules returns the names of the rules, sorted.
func (def *Definition) Rules() []string { return sortedKeys(def.rules) }
