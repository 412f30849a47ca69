package bridge

import (
	"fmt"
	"log/slog"
	"time"
)

// State is the condition of a source or a sink.
type State uint8

// The states, named as EMQX names those of its resources.
const (
	// Connecting: nothing is known yet.
	Connecting State = iota
	// Connected: it does its work.
	Connected
	// Inconsistent: a part of it does not, such as one stream of several.
	Inconsistent
	// Disconnected: it does not; Health.Reason says why.
	Disconnected
)

var stateNames = [...]string{"connecting", "connected", "inconsistent", "disconnected"}

// String returns the state's name in lower case.
func (s State) String() string {
	if int(s) >= len(stateNames) {
		return fmt.Sprintf("state(%d)", uint8(s))
	}
	return stateNames[s]
}

// MarshalText returns the state's name.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads a state's name.
func (s *State) UnmarshalText(text []byte) error {
	for i, name := range stateNames {
		if name == string(text) {
			*s = State(i)
			return nil
		}
	}
	return fmt.Errorf("unknown state %q", text)
}

// Health is the condition of a source, a sink or a pipeline, and since when it has
// been so. Reason says what is wrong; in the health of a source that is Connected
// it says what holds the source back.
type Health struct {
	State  State
	Reason string
	Since  time.Time
}

// set changes the condition and reports whether there is something new to tell:
// another state, or a reason where there was none, or none any more.
func (h *Health) set(s State, reason string) bool {
	news := h.State != s || (h.Reason == "") != (reason == "")
	h.Reason = reason
	if h.State != s {
		h.State, h.Since = s, time.Now()
	}
	return news
}

// healthChanged logs a change and tells the hook.
func (e *environment) healthChanged(kind, name string, h Health) {
	level, text := slog.LevelInfo, kind+" is "+h.State.String()
	if h.State > Connected || h.Reason != "" {
		level = slog.LevelWarn
	}
	attrs := []slog.Attr{slog.String(kind, name)}
	if h.Reason != "" {
		attrs = append(attrs, slog.String("reason", h.Reason))
	}
	e.door.logLine(level, text, attrs)
	if e.hooks.OnHealth != nil {
		e.door.teller.tell(func() { e.hooks.OnHealth(kind, name, h) })
	}
}
