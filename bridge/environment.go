package bridge

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// environment is what the parts of a pipeline share.
type environment struct {
	start   time.Time
	ctx     context.Context // of Sink.Write; cancelled when the drain times out
	hooks   *Hooks
	log     *slog.Logger
	repeats repeats
}

// now is the pipeline's clock: the time since its start.
func (e *environment) now() time.Duration { return time.Since(e.start) }

// repeats holds back log lines that say the same again and again: one line per
// text and interval, with the number of those that were left out.
type repeats struct {
	mu   sync.Mutex
	seen map[string]*repeat
}

type repeat struct {
	next time.Time
	left int
}

const (
	repeatInterval = 10 * time.Second
	repeatTexts    = 256 // remembered at once
)

// log writes a line about count things that went wrong for the reason err. The
// text is what tells repeats apart, with the name that the logger or attrs give.
func (r *repeats) log(l *slog.Logger, level slog.Level, name, text string, err error, count int) {
	key, now := name+"\x00"+text, time.Now()
	r.mu.Lock()
	if r.seen == nil || len(r.seen) >= repeatTexts {
		r.seen = make(map[string]*repeat)
	}
	seen := r.seen[key]
	if seen == nil {
		seen = new(repeat)
		r.seen[key] = seen
	}
	seen.left += count
	if now.Before(seen.next) {
		r.mu.Unlock()
		return
	}
	count, seen.left, seen.next = seen.left, 0, now.Add(repeatInterval)
	r.mu.Unlock()
	l.LogAttrs(context.Background(), level, text,
		slog.String("name", name), slog.Int("count", count), slog.Any("error", err))
}
