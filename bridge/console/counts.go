package console

import (
	"time"

	"github.com/sluiceio/sluice/bridge"
)

// Health is the condition of a part; see bridge.Health.
type Health struct {
	State  bridge.State `json:"state"`
	Reason string       `json:"reason,omitempty"`
	Since  time.Time    `json:"since"`
}

// Counts are the counters of a pipeline as JSON; see bridge.Stats.
type Counts struct {
	Sources map[string]SourceCounts `json:"sources"`
	Rules   map[string]RuleCounts   `json:"rules"`
	Sinks   map[string]SinkCounts   `json:"sinks"`
	// Untold counts calls of hooks and lines of the log that were left out.
	Untold int `json:"untold"`
}

// CountsOf returns the counters of a pipeline.
func CountsOf(s bridge.Stats) Counts {
	c := Counts{
		Sources: make(map[string]SourceCounts, len(s.Sources)), Rules: make(map[string]RuleCounts, len(s.Rules)),
		Sinks: make(map[string]SinkCounts, len(s.Sinks)), Untold: s.Untold,
	}
	for name, x := range s.Sources {
		c.Sources[name] = sourceCounts(x)
	}
	for name, x := range s.Rules {
		c.Rules[name] = ruleCounts(x)
	}
	for name, x := range s.Sinks {
		c.Sinks[name] = sinkCounts(x)
	}
	return c
}

// SourceCounts are the counters of a source; see bridge.SourceStats.
type SourceCounts struct {
	Received  uint64 `json:"received"`
	Bytes     uint64 `json:"bytes"`
	Unmatched uint64 `json:"unmatched"`
	// Counts are the source's own counters; see bridge.Counter.
	Counts map[string]uint64 `json:"counts,omitempty"`
	Health Health            `json:"health"`
}

func sourceCounts(s bridge.SourceStats) SourceCounts {
	return SourceCounts{s.Received, s.Bytes, s.Unmatched, s.Counts, Health(s.Health)}
}

// RuleCounts are the counters of a rule, named as EMQX names them; see
// bridge.RuleStats. Failed is the sum of Exception and NoResult.
type RuleCounts struct {
	Matched          uint64    `json:"matched"`
	Passed           uint64    `json:"passed"`
	Failed           uint64    `json:"failed"`
	Exception        uint64    `json:"failed.exception"`
	NoResult         uint64    `json:"failed.no_result"`
	Actions          uint64    `json:"actions.total"`
	ActionsSuccess   uint64    `json:"actions.success"`
	ActionsFailed    uint64    `json:"actions.failed"`
	ActionsDiscarded uint64    `json:"actions.discarded"`
	Enabled          bool      `json:"enabled"`
	LastError        string    `json:"last_error,omitempty"`
	LastErrorAt      time.Time `json:"last_error_at,omitzero"`
}

func ruleCounts(s bridge.RuleStats) RuleCounts {
	return RuleCounts{
		Matched: s.Matched, Passed: s.Passed, Failed: s.Exception + s.NoResult, Exception: s.Exception, NoResult: s.NoResult,
		Actions: s.Actions, ActionsSuccess: s.ActionsSuccess, ActionsFailed: s.ActionsFailed, ActionsDiscarded: s.ActionsDiscarded,
		Enabled: s.Enabled, LastError: s.LastError, LastErrorAt: s.LastErrorAt,
	}
}

// SinkCounts are the counters of a sink, named as EMQX names those of an action;
// see bridge.SinkStats.
type SinkCounts struct {
	SinkRecords
	SinkWrites
	SinkQueue
	// Counts are the sink's own counters; see bridge.Counter.
	Counts  map[string]uint64 `json:"counts,omitempty"`
	Health  Health            `json:"health"`
	Enabled bool              `json:"enabled"`
}

// SinkRecords says what became of records.
type SinkRecords struct {
	Matched uint64 `json:"matched"`
	Success uint64 `json:"success"`
	Bytes   uint64 `json:"bytes"`
	// Failed counts records refused for good, and all that the fallback took,
	// which DeadLettered counts alone. So Matched is the sum of Success, Failed,
	// Dropped, Inflight and Queuing.
	Failed       uint64       `json:"failed"`
	Dropped      DroppedStats `json:"dropped"`
	DeadLettered uint64       `json:"dead_lettered"`
}

// DroppedStats counts records dropped by reason.
type DroppedStats struct {
	Expired   uint64 `json:"expired"`
	QueueFull uint64 `json:"queue_full"`
	// Stopped counts records whose messages were left unacknowledged.
	Stopped uint64 `json:"resource_stopped"`
}

// SinkWrites says how writes went.
type SinkWrites struct {
	// Retried counts records that needed more than one write and have ended,
	// RetriedSuccess and RetriedFailed how.
	Retried        uint64    `json:"retried"`
	RetriedSuccess uint64    `json:"retried.success"`
	RetriedFailed  uint64    `json:"retried.failed"`
	Ambiguous      uint64    `json:"ambiguous"`
	Throttled      uint64    `json:"throttled"`
	Writes         uint64    `json:"writes"`
	WritesFailed   uint64    `json:"writes.failed"`
	LastError      string    `json:"last_error,omitempty"`
	LastErrorAt    time.Time `json:"last_error_at,omitzero"`
}

// SinkQueue is what the queue holds.
type SinkQueue struct {
	Inflight     int       `json:"inflight"`
	Queuing      int       `json:"queuing"`
	QueuingBytes int       `json:"queuing_bytes"`
	Lanes        int       `json:"lanes"`
	MaxRecords   int       `json:"max_records"`
	MaxBytes     int       `json:"max_bytes"`
	Oldest       time.Time `json:"oldest,omitzero"`
	FullSince    time.Time `json:"full_since,omitzero"`
}

func sinkCounts(s bridge.SinkStats) SinkCounts {
	return SinkCounts{
		SinkRecords: SinkRecords{
			Matched: s.Matched, Success: s.Ended[bridge.Stored], Bytes: s.Bytes, Failed: s.Ended[bridge.Refused] + s.Ended[bridge.DeadLettered],
			Dropped:      DroppedStats{s.Ended[bridge.Expired], s.Ended[bridge.Dropped], s.Ended[bridge.Abandoned]},
			DeadLettered: s.Ended[bridge.DeadLettered],
		},
		SinkWrites: SinkWrites{
			Retried: s.Retried + s.RetriedRefused, RetriedSuccess: s.Retried, RetriedFailed: s.RetriedRefused,
			Ambiguous: s.Ambiguous, Throttled: s.Throttled, Writes: s.Writes, WritesFailed: s.WritesFailed,
			LastError: s.LastError, LastErrorAt: s.LastErrorAt,
		},
		SinkQueue: SinkQueue{
			Inflight: s.Queue.Inflight, Queuing: s.Queue.Waiting, QueuingBytes: s.Queue.Bytes, Lanes: s.Queue.Lanes,
			MaxRecords: s.Queue.MaxRecords, MaxBytes: s.Queue.MaxBytes, Oldest: s.Queue.Oldest, FullSince: s.Queue.FullSince,
		},
		Counts: s.Counts, Health: Health(s.Health), Enabled: s.Enabled,
	}
}

// givenUp is how many records the sink itself does not have and never will.
func givenUp(s bridge.SinkStats) uint64 {
	return s.Ended[bridge.Refused] + s.Ended[bridge.Expired] + s.Ended[bridge.Dropped] + s.Ended[bridge.DeadLettered] + s.Ended[bridge.Abandoned]
}
