package sink

import (
	"context"

	"github.com/sluiceio/sluice/bridge"
)

// Wrap returns a sink that calls write in place of s.Write and is like s
// otherwise. The function is bound to the contract of bridge.Sink.Write; it
// usually calls s.Write once.
func Wrap(s bridge.Sink, write func(ctx context.Context, b *bridge.Batch) error) bridge.Sink {
	var limits bridge.Limits
	if l, ok := s.(bridge.Limiter); ok {
		limits = l.Limits()
	}
	return wrap(s, limits, write)
}

func wrap(s bridge.Sink, limits bridge.Limits, write func(context.Context, *bridge.Batch) error) bridge.Sink {
	w := &wrapper{Sink: s, limits: limits, write: write}
	laner, lanes := s.(bridge.Laner)
	checker, checks := s.(bridge.Checker)
	switch {
	case lanes && checks:
		return struct {
			*wrapper
			bridge.Laner
			bridge.Checker
		}{w, laner, checker}
	case lanes:
		return struct {
			*wrapper
			bridge.Laner
		}{w, laner}
	case checks:
		return struct {
			*wrapper
			bridge.Checker
		}{w, checker}
	default:
		return w
	}
}

// wrapper implements the optional interfaces for which doing nothing is the same
// as not implementing them.
type wrapper struct {
	bridge.Sink
	limits bridge.Limits
	write  func(context.Context, *bridge.Batch) error
}

var (
	_ bridge.Counter = (*wrapper)(nil)
	_ bridge.Opener  = (*wrapper)(nil)
	_ bridge.Limiter = (*wrapper)(nil)
	_ Sharder        = (*wrapper)(nil)
)

func (w *wrapper) Write(ctx context.Context, b *bridge.Batch) error { return w.write(ctx, b) }

func (w *wrapper) Open(ctx context.Context) error {
	if o, ok := w.Sink.(bridge.Opener); ok {
		return o.Open(ctx)
	}
	return nil
}

func (w *wrapper) Shards() []ShardLoad {
	if s, ok := w.Sink.(Sharder); ok {
		return s.Shards()
	}
	return nil
}

func (w *wrapper) Counts() map[string]uint64 {
	if c, ok := w.Sink.(bridge.Counter); ok {
		return c.Counts()
	}
	return nil
}

func (w *wrapper) Limits() bridge.Limits { return w.limits }
