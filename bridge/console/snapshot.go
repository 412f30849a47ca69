package console

import (
	"time"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/sink"
)

// Snapshot is the state of a pipeline at one moment. Rates are per second, over
// the last few seconds.
type Snapshot struct {
	Time     time.Time                `json:"time"`
	Sources  map[string]SourceFigures `json:"sources"`
	Rules    map[string]RuleFigures   `json:"rules"`
	Sinks    map[string]SinkFigures   `json:"sinks"`
	Problems []Problem                `json:"problems"`
}

// SourceFigures are the counters and rates of a source.
type SourceFigures struct {
	SourceCounts

	Rate      float64 `json:"rate"`
	BytesRate float64 `json:"bytes_rate"`
}

// RuleFigures are the counters and rates of a rule.
type RuleFigures struct {
	RuleCounts

	Rate          float64 `json:"rate"`
	PassedRate    float64 `json:"passed_rate"`
	ExceptionRate float64 `json:"exception_rate"`
	ActionsRate   float64 `json:"actions_rate"`
}

// SinkFigures are the counters, rates and times of a sink. Latency and
// RequestTime take the place of the histograms.
type SinkFigures struct {
	SinkCounts

	Rate        float64          `json:"rate"`
	StoredRate  float64          `json:"stored_rate"`
	BytesRate   float64          `json:"bytes_rate"`
	FailedRate  float64          `json:"failed_rate"`
	RetriedRate float64          `json:"retried_rate"`
	BatchFill   float64          `json:"batch_fill"` // records of a write, of at most BatchSize; 0 to 1
	Latency     Quantiles        `json:"latency"`
	RequestTime Quantiles        `json:"request_time"`
	Shards      []sink.ShardLoad `json:"shards,omitempty"`
	DeadLetters int              `json:"dead_letters_held,omitempty"`
}

// Quantiles are times of the last seconds, in milliseconds; upper bounds that are
// at most twice the true value.
type Quantiles struct {
	P50 float64 `json:"p50"`
	P95 float64 `json:"p95"`
	P99 float64 `json:"p99"`
}

// window is over how many samples, one a second, rates and times are computed.
const window = 5

// sample is what the counters were.
type sample struct {
	at    time.Time
	stats bridge.Stats
}

// sampler makes snapshots. It is used by one goroutine at a time.
type sampler struct {
	cfg     Config
	parts   bridge.Config
	version uint64               // of the parts
	samples []sample             // the last window, oldest first
	seen    map[string]time.Time // since when, by problem
}

func newSampler(cfg Config) *sampler { return &sampler{cfg: cfg, seen: make(map[string]time.Time)} }

// forget drops the past, before a pause.
func (s *sampler) forget() {
	s.samples = nil
	clear(s.seen)
}

// take reads the counters once.
func (s *sampler) take(now time.Time) Snapshot {
	stats := s.cfg.Pipeline.Stats()
	if s.version != stats.Version {
		s.parts, s.version = s.cfg.Pipeline.Config(), stats.Version
	}
	then := sample{now, stats}
	if len(s.samples) > 0 {
		then = s.samples[0]
	}
	if s.samples = append(s.samples, sample{now, stats}); len(s.samples) > window {
		s.samples = s.samples[1:]
	}
	d := delta(now.Sub(then.at).Seconds())
	out := Snapshot{
		Time:    now,
		Sources: make(map[string]SourceFigures, len(stats.Sources)),
		Rules:   make(map[string]RuleFigures, len(stats.Rules)),
		Sinks:   make(map[string]SinkFigures, len(stats.Sinks)),
	}
	for name, n := range stats.Sources {
		o := then.stats.Sources[name]
		out.Sources[name] = SourceFigures{sourceCounts(n), d.rate(n.Received, o.Received), d.rate(n.Bytes, o.Bytes)}
	}
	for name, n := range stats.Rules {
		o := then.stats.Rules[name]
		out.Rules[name] = RuleFigures{
			ruleCounts(n), d.rate(n.Matched, o.Matched), d.rate(n.Passed, o.Passed),
			d.rate(n.Exception, o.Exception), d.rate(n.Actions, o.Actions),
		}
	}
	for name, n := range stats.Sinks {
		out.Sinks[name] = s.sink(name, d, n, then.stats.Sinks[name])
	}
	out.Problems = s.problems(now, &out)
	return out
}

func (s *sampler) sink(name string, d delta, n, o bridge.SinkStats) SinkFigures {
	f := SinkFigures{
		SinkCounts: sinkCounts(n),
		Rate:       d.rate(n.Matched, o.Matched), StoredRate: d.rate(n.Ended[bridge.Stored], o.Ended[bridge.Stored]),
		BytesRate: d.rate(n.Bytes, o.Bytes), RetriedRate: d.rate(n.Retried, o.Retried),
		FailedRate: d.rate(givenUp(n), givenUp(o)),
		Latency:    quantiles(n.Latency, o.Latency), RequestTime: quantiles(n.RequestTime, o.RequestTime),
	}
	if writes, size := n.Writes-o.Writes, s.parts.Queues[name].BatchSize; writes > 0 && n.Writes > o.Writes && size > 0 {
		f.BatchFill = min(1, float64(n.Ended[bridge.Stored]-o.Ended[bridge.Stored])/float64(writes)/float64(size))
	}
	switch part := s.parts.Sinks[name].(type) {
	case *DeadLetters:
		f.DeadLetters = part.Len()
	case sink.Sharder:
		f.Shards = part.Shards()
	}
	if shards := s.cfg.Shards[name]; shards != nil {
		f.Shards = shards()
	}
	return f
}

// delta is a time in seconds between two samples.
type delta float64

// rate is how fast a counter grew; none when it was reset.
func (d delta) rate(now, then uint64) float64 {
	if d <= 0 || now < then {
		return 0
	}
	return float64(now-then) / float64(d)
}

// quantiles are those of what was counted between the two; none when nothing was.
func quantiles(now, then bridge.Histogram) Quantiles {
	if now.Count() <= then.Count() {
		return Quantiles{}
	}
	h := now.Since(then)
	ms := func(q float64) float64 { return float64(h.Quantile(q)) / float64(time.Millisecond) }
	return Quantiles{ms(.5), ms(.95), ms(.99)}
}
