package console

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
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
	// HoldsUp reports whether the sources wait for it.
	HoldsUp bool `json:"holds_up,omitempty"`
}

// problems lists what wants attention, the worst and oldest first.
func (s *sampler) problems(now time.Time, snap *Snapshot) []Problem {
	list := []Problem{}
	for _, name := range slices.Sorted(maps.Keys(snap.Sources)) {
		f := snap.Sources[name]
		silent := f.Health.State != bridge.Connecting || f.Received == 0 // one that is not asked may work
		if h := f.Health; h.State != bridge.Connected && !h.Since.IsZero() && silent {
			list = append(list, Problem{
				Severity: Blocked, Kind: "source", Name: name, Title: "is " + h.State.String(),
				Reason: h.Reason, Effect: "No messages arrive from it.", Since: h.Since,
			})
		} else if h.State == bridge.Connected && h.Reason != "" {
			list = append(list, s.begun(now, Problem{
				Severity: Blocked, Kind: "source", Name: name, Title: "is held back",
				Reason: h.Reason, Effect: "It hands out no more messages until some are settled.",
			}))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(snap.Sinks)) {
		list = append(list, s.sinkProblems(now, name, snap.Sinks[name])...)
	}
	for _, name := range slices.Sorted(maps.Keys(snap.Rules)) {
		if r := snap.Rules[name]; r.ExceptionRate > 0 {
			list = append(list, s.begun(now, Problem{
				Severity: Warning, Kind: "rule", Name: name, Title: "fails on messages",
				Reason: r.LastError,
				Effect: short(r.ExceptionRate) + s.failedEffect(name),
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
	queue, full := s.parts.Queues[name], !f.FullSince.IsZero()
	p := Problem{Severity: Blocked, Kind: "sink", Name: name, Effect: waiting(f, queue.OnFull)}
	p.HoldsUp = full && queue.OnFull == bridge.Block
	switch h := f.Health; {
	case (h.State == bridge.Disconnected || h.State == bridge.Inconsistent) && f.Enabled:
		p.Title, p.Reason, p.Since = "is "+h.State.String(), h.Reason, h.Since
		if h.State == bridge.Inconsistent && !full {
			p.Severity = Warning
		}
		list = append(list, p)
	case full:
		p.Title, p.Since = "cannot keep up", f.FullSince
		p.Reason = fmt.Sprintf("It stores %s records per second.", short(f.StoredRate))
		list = append(list, p)
	case !f.Oldest.IsZero() && now.Sub(f.Oldest) > max(late, 2*queue.BatchTime):
		p.Severity, p.Title, p.Since = Warning, "is behind", f.Oldest
		p.Reason = fmt.Sprintf("A record has waited for %v; %s records per second are stored.", now.Sub(f.Oldest).Round(time.Second), short(f.StoredRate))
		if f.LastErrorAt.After(f.Oldest) {
			p.Reason += " The last error: " + f.LastError
		}
		list = append(list, p)
	}
	if f.FailedRate > 0 {
		effect := " records per second are lost: the sink has no fallback."
		if queue.Fallback != "" {
			effect = fmt.Sprintf(" records per second go to %q.", queue.Fallback)
		}
		reason := f.LastError
		if reason == "" {
			reason = "They are refused for good, too old, or dropped from a full queue."
		}
		list = append(list, s.begun(now, Problem{
			Severity: Warning, Kind: "sink", Name: name, Title: "gives up records",
			Reason: reason, Effect: short(f.FailedRate) + effect,
		}))
	}
	return list
}

// late is how long a record may wait before that is a problem.
const late = 5 * time.Second

// failedEffect says what becomes of the messages that a rule fails on.
func (s *sampler) failedEffect(rule string) string {
	switch to := s.parts.RuleFallbacks[rule]; {
	case to != "":
		return fmt.Sprintf(" messages per second go to %q.", to)
	case s.parts.KeepFailed:
		return " messages per second stay unacknowledged and fill the source's window."
	default:
		return " messages per second make no records and are lost: the rule has no fallback."
	}
}

// waiting reports what a sink's trouble means for its records.
func waiting(f SinkFigures, onFull bridge.FullPolicy) string {
	n := f.Queuing + f.Inflight
	switch {
	case !f.FullSince.IsZero():
		return fmt.Sprintf("The queue is full with %s records. ", grouped(n)) + fullEffect(onFull)
	case n == 1:
		return "1 record waits."
	default:
		return grouped(n) + " records wait."
	}
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

// grouped writes a count with a comma before each three digits.
func grouped(n int) string {
	text := strconv.Itoa(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

func short(rate float64) string {
	if rate < 10 {
		return fmt.Sprintf("%.1f", rate)
	}
	return grouped(int(math.Round(rate)))
}
