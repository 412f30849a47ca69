package metrics

import (
	"context"
	"math"
	"sync"
	"time"

	"github.com/sluiceio/sluice/bridge"
)

// Rates computes rates from the counters of a pipeline, as EMQX shows them: of
// the last seconds, of about five minutes, and the highest so far. Make one with
// NewRates and keep Run going.
type Rates struct {
	source Source

	mu      sync.Mutex
	last    time.Time
	meters  map[meterKey]*meter
	current Snapshot
}

type meterKey struct{ kind, name string }

// meter follows one counter.
type meter struct {
	count uint64
	rate  Rate
}

// Rate is a number of messages or records per second.
type Rate struct {
	Now   float64 `json:"now"`    // over about 10 seconds
	Last5 float64 `json:"last5m"` // over about 5 minutes
	Max   float64 `json:"max"`    // the highest Now
}

// Snapshot holds the rates of all parts by name: messages received by sources
// and matched by rules, and records addressed to and stored by sinks.
type Snapshot struct {
	Sources map[string]Rate `json:"sources"`
	Rules   map[string]Rate `json:"rules"`
	Sinks   map[string]Rate `json:"sinks"`
	Stored  map[string]Rate `json:"stored"`
}

// NewRates returns rates that are zero until Run has sampled twice.
func NewRates(p Source) *Rates {
	return &Rates{source: p, meters: make(map[meterKey]*meter)}
}

// Run samples the counters once a second until ctx is done.
func (r *Rates) Run(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	r.sample(time.Now())
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			r.sample(now)
		}
	}
}

// Snapshot returns the rates as of the last sample.
func (r *Rates) Snapshot() Snapshot {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.current
}

func (r *Rates) sample(now time.Time) {
	s := r.source.Stats()
	r.mu.Lock()
	defer r.mu.Unlock()
	seconds := now.Sub(r.last).Seconds()
	if r.last.IsZero() {
		seconds = 0
	}
	r.last = now
	seen := make(map[meterKey]*meter, len(r.meters))
	var next Snapshot
	next.Sources = rates(r, seen, "source", s.Sources, seconds, func(s bridge.SourceStats) uint64 { return s.Received })
	next.Rules = rates(r, seen, "rule", s.Rules, seconds, func(s bridge.RuleStats) uint64 { return s.Matched })
	next.Sinks = rates(r, seen, "sink", s.Sinks, seconds, func(s bridge.SinkStats) uint64 { return s.Matched })
	next.Stored = rates(r, seen, "stored", s.Sinks, seconds, func(s bridge.SinkStats) uint64 { return s.Ended[bridge.Stored] })
	r.meters, r.current = seen, next // parts that are gone are forgotten
}

func rates[T any](r *Rates, seen map[meterKey]*meter, kind string, parts map[string]T, seconds float64, count func(T) uint64) map[string]Rate {
	list := make(map[string]Rate, len(parts))
	for name, stats := range parts {
		key := meterKey{kind, name}
		m := r.meters[key]
		if m == nil {
			m = &meter{count: count(stats)}
		} else {
			m.add(count(stats), seconds)
		}
		seen[key], list[name] = m, m.rate
	}
	return list
}

// add takes a new value of the counter, seconds after the one before.
func (m *meter) add(count uint64, seconds float64) {
	if count < m.count { // it was reset
		*m = meter{}
	}
	if seconds <= 0 {
		return
	}
	rate := float64(count-m.count) / seconds
	m.count = count
	m.rate.Now = smooth(m.rate.Now, rate, seconds, 10)
	m.rate.Last5 = smooth(m.rate.Last5, rate, seconds, 300)
	m.rate.Max = max(m.rate.Max, m.rate.Now)
}

// smooth is an exponentially weighted mean whose memory is window seconds.
func smooth(old, now, seconds, window float64) float64 {
	weight := 1 - math.Exp(-seconds*3/window) // 95 % of it lies within the window
	return old + weight*(now-old)
}
