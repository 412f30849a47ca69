package console

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/sluiceio/sluice/bridge"
)

// Severity is how much a problem matters.
type Severity string

// The severities.
const (
	Blocked Severity = "blocked" // nothing gets through
	Warning Severity = "warning" // something is lost, refused or late
)

// Problem is something that wants attention, in words.
type Problem struct {
	Severity Severity `json:"severity"`
	// Kind is "source", "rule" or "sink", and Name its name.
	Kind string `json:"kind"`
	Name string `json:"name"`
	// Title says what is the matter, Reason why, Effect what follows from it.
	Title  string `json:"title"`
	Reason string `json:"reason,omitempty"`
	Effect string `json:"effect,omitempty"`
	// Since is when it began; with AtLeast it may have begun before, when nobody
	// looked.
	Since   time.Time `json:"since,omitzero"`
	AtLeast bool      `json:"at_least,omitempty"`
}

// nearlyFull is how much of a queue's bound is as good as all of it: a queue that
// holds up its sources swings a little below its bound.
const nearlyFull = 0.95

// problems lists what wants attention, the worst and oldest first.
func (s *sampler) problems(now time.Time, snap *Snapshot) []Problem {
	list := []Problem{}
	for _, name := range slices.Sorted(maps.Keys(snap.Sources)) {
		if h := snap.Sources[name].Health; h.State != bridge.Connected && !h.Since.IsZero() {
			list = append(list, Problem{
				Severity: Blocked, Kind: "source", Name: name, Title: "is " + h.State.String(),
				Reason: h.Reason, Effect: "No messages arrive from it.", Since: h.Since,
			})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(snap.Sinks)) {
		list = append(list, s.sinkProblems(now, name, snap.Sinks[name])...)
	}
	for _, name := range slices.Sorted(maps.Keys(snap.Rules)) {
		if r := snap.Rules[name]; r.ExceptionRate > 0 {
			list = append(list, s.begun(now, Problem{
				Severity: Warning, Kind: "rule", Name: name, Title: "fails on messages",
				Reason: short(r.ExceptionRate) + " messages per second raise an exception.",
				Effect: "They make no records. Trace the rule to see why.",
			}))
		}
	}
	s.keep(list)
	slices.SortStableFunc(list, func(a, b Problem) int {
		return cmp.Or(strings.Compare(string(a.Severity), string(b.Severity)), a.Since.Compare(b.Since))
	})
	return list
}

func (s *sampler) sinkProblems(now time.Time, name string, f SinkFigures) (list []Problem) {
	waiting := f.Queuing + f.Inflight
	full := f.MaxRecords > 0 && float64(waiting) >= nearlyFull*float64(f.MaxRecords) ||
		f.MaxBytes > 0 && float64(f.QueuingBytes) >= nearlyFull*float64(f.MaxBytes)
	effect := fmt.Sprintf("%d records wait.", waiting)
	if waiting == 1 {
		effect = "1 record waits."
	}
	if full {
		effect = fmt.Sprintf("The queue is full with %d records. ", waiting) + fullEffect(s.parts.Queues[name].OnFull)
	}
	switch h := f.Health; {
	case (h.State == bridge.Disconnected || h.State == bridge.Inconsistent) && f.Enabled:
		p := Problem{
			Severity: Blocked, Kind: "sink", Name: name, Title: "is " + h.State.String(),
			Reason: h.Reason, Effect: effect, Since: h.Since,
		}
		if h.State == bridge.Inconsistent && !full {
			p.Severity = Warning
		}
		list = append(list, p)
	case full:
		list = append(list, s.begun(now, Problem{
			Severity: Blocked, Kind: "sink", Name: name, Title: "cannot keep up",
			Reason: fmt.Sprintf("It stores %s records per second.", short(f.StoredRate)), Effect: effect,
		}))
	}
	if f.FailedRate > 0 {
		lost := "They are lost: the sink has no fallback."
		if fallback := s.parts.Queues[name].Fallback; fallback != "" {
			lost = fmt.Sprintf("They go to %q.", fallback)
		}
		list = append(list, s.begun(now, Problem{
			Severity: Warning, Kind: "sink", Name: name, Title: "gives up records",
			Reason: short(f.FailedRate) + " records per second are refused for good or dropped.", Effect: lost,
		}))
	}
	return list
}

func fullEffect(p bridge.FullPolicy) string {
	switch p {
	case bridge.DropOldest:
		return "The oldest are dropped."
	case bridge.DropNewest:
		return "New ones are dropped."
	default:
		return "It holds up all sources."
	}
}

// begun sets since when a problem without a time of its own has been seen.
func (s *sampler) begun(now time.Time, p Problem) Problem {
	p.Since, p.AtLeast = now, true
	if since, ok := s.seen[p.key()]; ok {
		p.Since = since
	}
	return p
}

// keep remembers since when the listed problems have been seen, and no others.
func (s *sampler) keep(list []Problem) {
	clear(s.seen)
	for _, p := range list {
		if p.AtLeast {
			s.seen[p.key()] = p.Since
		}
	}
}

func (p *Problem) key() string { return p.Kind + " " + p.Name + " " + p.Title }

func short(rate float64) string {
	if rate < 10 {
		return fmt.Sprintf("%.1f", rate)
	}
	return fmt.Sprintf("%.0f", rate)
}
