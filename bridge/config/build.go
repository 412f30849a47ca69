package config

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/sink/spool"
)

// Build makes the sources, sinks and rules of the definition. The result can be
// changed before it goes to bridge.New. Rules that are not enabled are left out.
// A sink NAME with a buffer on disk comes with a sink, a source and a rule
// NAME.buffer.
func (def *Definition) Build(log *slog.Logger) (bridge.Config, error) {
	if log == nil {
		log = slog.Default()
	}
	cfg := def.pipeline(log)
	var errs []error
	for name, r := range def.compiled {
		cfg.Rules[name] = r
	}
	for _, name := range sortedKeys(def.sources) {
		s, err := def.sources[name].def.Source(def.context(name, log.With("source", name)))
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", def.sources[name].path, err))
			continue
		}
		cfg.Sources[name] = s
	}
	for _, name := range sortedKeys(def.sinks) {
		if err := def.buildSink(&cfg, name, log); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", def.sinks[name].path, err))
		}
	}
	if len(errs) > 0 {
		closeAll(cfg)
		return bridge.Config{}, redact(def.values, errors.Join(errs...))
	}
	return cfg, nil
}

// pipeline returns a configuration without parts.
func (def *Definition) pipeline(log *slog.Logger) bridge.Config {
	return bridge.Config{
		Sources:       map[string]bridge.Source{},
		Rules:         map[string]bridge.Rule{},
		Sinks:         map[string]bridge.Sink{},
		Queues:        map[string]bridge.QueueConfig{},
		DrainTimeout:  time.Duration(def.options.DrainTimeout),
		CheckInterval: orNegative(def.options.CheckInterval),
		ReadBatch:     int(def.options.ReadBatch),
		Workers:       int(def.options.Workers),
		Logger:        log,
	}
}

func (def *Definition) buildSink(cfg *bridge.Config, name string, log *slog.Logger) error {
	p := def.sinks[name]
	s, err := p.def.Sink(def.context(name, log))
	if err != nil {
		return err
	}
	cfg.Sinks[name], cfg.Queues[name] = s, def.queue(name)
	if !p.buffered() {
		return nil
	}
	buffer, err := spool.Open(p.spool(name, log))
	if err != nil {
		return err
	}
	name = bufferName(name)
	cfg.Sinks[name], cfg.Sources[name], cfg.Rules[name] = buffer.Sink(), buffer.Source(), buffer.Forward(p.path[len("sinks."):])
	return nil
}

// queue returns the options of a sink's queue; dead letters for a sink with a
// buffer go into that.
func (def *Definition) queue(name string) bridge.QueueConfig {
	q := def.sinks[name].queue()
	if f := def.sinks[q.Fallback]; f != nil && f.buffered() {
		q.Fallback = bufferName(q.Fallback)
	}
	return q
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
	for _, r := range def.compiled {
		all = append(all, r.Filters()...)
	}
	slices.Sort(all)
	topics, events := split(slices.Compact(all))
	return Context{Name: name, Logger: log, Filters: topics, Events: events}
}

// CheckSinks asks every sink that can tell whether it is able to do its work now,
// without a pipeline, and returns what they say. Sources are not asked: theirs
// may be the session of a bridge that is running; nor are sinks of type
// mqtt, which connect when they are needed.
func (def *Definition) CheckSinks(ctx context.Context, log *slog.Logger) error {
	if log == nil {
		log = slog.Default()
	}
	var errs []error
	for _, name := range sortedKeys(def.sinks) {
		p := def.sinks[name]
		if _, ok := p.def.(*mqttSink); ok {
			continue
		}
		s, err := p.def.Sink(def.context(name, log))
		if err == nil {
			err = checkSink(ctx, s)
			err = errors.Join(err, s.Close(ctx))
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", p.path, err))
		}
	}
	return redact(def.values, errors.Join(errs...))
}

func checkSink(ctx context.Context, s bridge.Sink) error {
	if o, ok := s.(bridge.Opener); ok {
		if err := o.Open(ctx); err != nil {
			return err
		}
	}
	if c, ok := s.(bridge.Checker); ok {
		return c.Check(ctx)
	}
	return nil
}
