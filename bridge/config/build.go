package config

import (
	"cmp"
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
// A sink NAME with a buffer on disk comes with a sink NAME.buffer, and with a source
// and a rule NAME.buffered.
func (def *Definition) Build(log *slog.Logger) (bridge.Config, error) {
	if log == nil {
		log = slog.Default()
	}
	cfg := def.pipeline(log)
	var errs []error
	for name, r := range def.compiled {
		cfg.Rules[name] = r
		if f := def.rules[name].def.Fallback; f != "" {
			cfg.RuleFallbacks[name] = def.entrance(f)
		}
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
		RuleFallback:  def.entrance(def.options.RuleFallback),
		RuleFallbacks: map[string]string{},
		KeepFailed:    def.options.KeepFailed,
		Unmatched:     def.entrance(def.options.Unmatched),
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
	buffered := bufferedName(name)
	cfg.Sources[buffered], cfg.Rules[buffered] = buffer.Source(), buffer.Forward(name)
	name = bufferName(name)
	cfg.Sinks[name] = buffer.Sink()
	return nil
}

// queue returns the options of a sink's queue.
func (def *Definition) queue(name string) bridge.QueueConfig {
	q := def.sinks[name].queue()
	q.Fallback = def.entrance(q.Fallback)
	return q
}

// entrance is where records for a sink go: into its buffer, if it has one.
func (def *Definition) entrance(sink string) string {
	if def.Buffered(sink) {
		return bufferName(sink)
	}
	return sink
}

// ruleFallback is where the messages go on which a rule fails; empty for nowhere.
func (def *Definition) ruleFallback(rule string) string {
	return def.entrance(cmp.Or(def.rules[rule].def.Fallback, def.options.RuleFallback))
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
