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
	// Disconnected: it does not; Health.Reason says why.
	Disconnected
	// Inconsistent: a part of it does not, such as one stream of several.
	Inconsistent
)

// String returns the state's name in lower case.
func (s State) String() string {
	switch s {
	case Connected:
		return "connected"
	case Disconnected:
		return "disconnected"
	case Inconsistent:
		return "inconsistent"
	default:
		return "connecting"
	}
}

// MarshalText returns the state's name.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads a state's name.
func (s *State) UnmarshalText(text []byte) error {
	for _, x := range []State{Connecting, Connected, Disconnected, Inconsistent} {
		if x.String() == string(text) {
			*s = x
			return nil
		}
	}
	return fmt.Errorf("unknown state %q", text)
}

// Health is the condition of a source or sink, since when it has been so, and
// the reason unless it is connected.
type Health struct {
	State  State     `json:"state"`
	Reason string    `json:"reason,omitempty"`
	Since  time.Time `json:"since"`
}

// set changes the condition and reports whether the state is a new one.
func (h *Health) set(s State, reason string) bool {
	h.Reason = reason
	if h.State == s {
		return false
	}
	h.State, h.Since = s, time.Now()
	return true
}

// setHealth changes the sink's condition. The caller holds q.mu.
func (q *queue) setHealth(s State, reason string) {
	if q.health.State == s && s == Connected {
		return
	}
	if !q.health.set(s, reason) {
		return
	}
	q.env.stateChanged("sink", q.name, q.health)
}

// stateChanged logs a change and tells the hook.
func (e *environment) stateChanged(kind, name string, h Health) {
	level := slog.LevelInfo
	if h.State != Connected {
		level = slog.LevelWarn
	}
	attrs := []slog.Attr{slog.String(kind, name)}
	if h.Reason != "" {
		attrs = append(attrs, slog.String("reason", h.Reason))
	}
	e.log.LogAttrs(e.ctx, level, kind+" is "+h.State.String(), attrs...)
	if e.hooks.OnState != nil {
		e.hooks.OnState(StateEvent{Kind: kind, Name: name, Health: h})
	}
}
