package config

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/sluiceio/sluice/bridge"
)

// asker is implemented by definitions that can tell whether the part would work now,
// without being, or changing, what a running pipeline has.
type asker interface {
	ask(context.Context, Context) error
}

// CheckConnections asks brokers and services whether they would take the bridge now,
// and writes nothing: brokers with a client id of their own and a session that ends at
// once, so that a running bridge keeps its session and its messages; sinks by what
// they can read. Files are not made. Sources of type broker are not tried: their ports
// may be those of the bridge that runs.
func (def *Definition) CheckConnections(ctx context.Context, log *slog.Logger) error {
	if log == nil {
		log = slog.Default()
	}
	var errs []error
	note := func(path string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", path, err))
		}
	}
	for _, name := range sortedKeys(def.sources) {
		if a, ok := def.sources[name].def.(asker); ok {
			note(def.sources[name].path, a.ask(ctx, def.context(name, log)))
		}
	}
	for _, name := range sortedKeys(def.sinks) {
		p := def.sinks[name]
		if a, ok := p.def.(asker); ok {
			note(p.path, a.ask(ctx, def.context(name, log)))
		} else {
			s, err := p.def.Sink(def.context(name, log))
			if err == nil {
				err = errors.Join(checkSink(ctx, s), s.Close(ctx))
			}
			note(p.path, err)
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
