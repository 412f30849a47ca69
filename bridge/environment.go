package bridge

import (
	"encoding/base64"
	"log/slog"
	"time"
	"unicode/utf8"

	"github.com/sluiceio/sluice/internal/cut"
	"github.com/sluiceio/sluice/internal/repeat"
)

// environment is what the parts of a pipeline share.
type environment struct {
	start   time.Time
	hooks   *Hooks
	door    door
	repeats repeat.Lines
	// payload is how many bytes of a payload may be logged.
	payload int
}

// now is the pipeline's clock: the time since its start.
func (e *environment) now() time.Duration { return time.Since(e.start) }

// warn logs that something went wrong n times with a part, such as a rule, unless
// it was logged lately. More makes further attributes.
func (e *environment) warn(kind, name, text string, err error, n int, more ...slog.Attr) {
	count, ok := e.repeats.Admit(name, text, n)
	if !ok {
		return
	}
	attrs := append([]slog.Attr{slog.String(kind, name), slog.Int("count", count), slog.String("error", errorText(err))}, more...)
	e.door.logLine(slog.LevelWarn, text, attrs)
}

// excerpt is an attribute with the beginning of a payload or of a record's data, if
// such may be logged, and an empty one otherwise.
func (e *environment) excerpt(key string, b []byte) slog.Attr {
	if e.payload <= 0 {
		return slog.Attr{}
	}
	shown := cut.Prefix(b, e.payload)
	text := string(shown)
	if !utf8.Valid(shown) {
		text = "base64:" + base64.StdEncoding.EncodeToString(shown)
	}
	if len(shown) < len(b) {
		text += "…"
	}
	return slog.String(key, text)
}

// lastError is the text of a recent error and when it was. The error itself is
// not kept: it may refer to the message.
type lastError struct {
	text string
	at   time.Time
}

const (
	lastErrorInterval = time.Second // between texts, because making them costs
	maxErrorText      = 1000        // bytes; an error can be about a value of the message
)

// errorText is the text of an error, cut when it is long.
func errorText(err error) string { return cutError(err.Error()) }

func cutError(text string) string { return cut.Text(text, maxErrorText) }

// next returns what to remember after err: the same, or err if it comes long
// enough after.
func (l *lastError) next(err error) *lastError {
	now := time.Now()
	if l != nil && now.Sub(l.at) < lastErrorInterval {
		return l
	}
	return &lastError{errorText(err), now}
}
