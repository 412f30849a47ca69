package broker

import (
	"context"
	"log/slog"
)

// serverLog passes the server's log on, without the packets it attaches, which
// hold payloads and passwords, and one level lower: what goes wrong with a single
// client is no news for the operator of a bridge.
type serverLog struct{ to slog.Handler }

func lower(l slog.Level) slog.Level { return l - 4 }

// Enabled implements slog.Handler.
func (h serverLog) Enabled(ctx context.Context, l slog.Level) bool {
	return h.to.Enabled(ctx, lower(l))
}

// Handle implements slog.Handler.
func (h serverLog) Handle(ctx context.Context, r slog.Record) error {
	out := slog.NewRecord(r.Time, lower(r.Level), "broker: "+r.Message, 0)
	r.Attrs(func(a slog.Attr) bool {
		if a.Key != "pk" && a.Key != "packet" {
			out.AddAttrs(a)
		}
		return true
	})
	return h.to.Handle(ctx, out)
}

// WithAttrs implements slog.Handler.
func (h serverLog) WithAttrs(attrs []slog.Attr) slog.Handler { return serverLog{h.to.WithAttrs(attrs)} }

// WithGroup implements slog.Handler.
func (h serverLog) WithGroup(name string) slog.Handler { return serverLog{h.to.WithGroup(name)} }
