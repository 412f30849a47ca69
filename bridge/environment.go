package bridge

import (
	"context"
	"log/slog"
	"time"

	"github.com/sluiceio/sluice/internal/repeat"
)

// environment is what the parts of a pipeline share.
type environment struct {
	start   time.Time
	ctx     context.Context // of Sink.Write; cancelled when the drain times out
	hooks   *Hooks
	log     *slog.Logger
	repeats repeat.Lines
	// payload is how many bytes of a payload may be logged.
	payload int
}

// now is the pipeline's clock: the time since its start.
func (e *environment) now() time.Duration { return time.Since(e.start) }

// warn logs that something went wrong n times with a part, such as a rule, unless
// it was logged lately. More makes further attributes.
func (e *environment) warn(level slog.Level, kind, name, text string, err error, n int, more ...slog.Attr) {
	count, ok := e.repeats.Admit(name, text, n)
	if !ok {
		return
	}
	attrs := append([]slog.Attr{slog.String(kind, name), slog.Int("count", count), slog.String("error", errorText(err))}, more...)
	e.log.LogAttrs(context.Background(), level, text, attrs...)
}

// excerpt is an attribute with the beginning of a payload or of a record's data, if
// such may be logged, and an empty one otherwise.
func (e *environment) excerpt(key string, b []byte) slog.Attr {
	if e.payload <= 0 {
		return slog.Attr{}
	}
	x := excerpt(b, e.payload)
	if x.Base64 {
		x.Text = "base64:" + x.Text
	}
	if x.Size > e.payload {
		x.Text += "…"
	}
	return slog.String(key, x.Text)
}
