package bridge

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// Stats is a snapshot of a pipeline's counters, by name. Counters count since
// the pipeline was made.
type Stats struct {
	Sources map[string]SourceStats `json:"sources"`
	Rules   map[string]RuleStats   `json:"rules"`
	Sinks   map[string]SinkStats   `json:"sinks"`
}

// SourceStats are the counters of a source.
type SourceStats struct {
	// Received counts messages read, Bytes their payloads.
	Received uint64 `json:"received"`
	Bytes    uint64 `json:"bytes"`
	// Unmatched counts messages that no rule wanted.
	Unmatched uint64 `json:"unmatched"`
	Health    Health `json:"health"`
}

// RuleStats are the counters of a rule, named as EMQX names them. Matched =
// Passed + Failed; Failed = Exception + NoResult.
type RuleStats struct {
	Matched   uint64 `json:"matched"`
	Passed    uint64 `json:"passed"`
	Failed    uint64 `json:"failed"`
	Exception uint64 `json:"failed.exception"`
	NoResult  uint64 `json:"failed.no_result"`
	// Actions counts records made, ActionsSuccess those stored and
	// ActionsFailed those that failed or were dropped, ActionsDiscarded those
	// for disabled sinks; the rest is on its way.
	Actions          uint64 `json:"actions.total"`
	ActionsSuccess   uint64 `json:"actions.success"`
	ActionsFailed    uint64 `json:"actions.failed"`
	ActionsDiscarded uint64 `json:"actions.discarded"`
	Enabled          bool   `json:"enabled"`
	// LastError is the text of a recent exception and LastErrorAt when it was;
	// of many in one second the first is kept.
	LastError   string    `json:"last_error,omitempty"`
	LastErrorAt time.Time `json:"last_error_at,omitzero"`
}

// SinkStats are the counters of a sink and its queue, named as EMQX names those
// of an action. At any time
//
//	Matched = Success + Failed + Dropped.Total() + Inflight + Queuing
type SinkStats struct {
	// Matched counts records addressed to the sink.
	Matched uint64 `json:"matched"`
	// Success counts records stored, Bytes their bytes.
	Success uint64 `json:"success"`
	Bytes   uint64 `json:"bytes"`
	// Failed counts records given up after a permanent error.
	Failed  uint64       `json:"failed"`
	Dropped DroppedStats `json:"dropped"`
	// DeadLettered counts those of Failed and Dropped that the fallback took.
	DeadLettered uint64 `json:"dead_lettered"`
	// Retried counts records that needed more than one write and have ended,
	// RetriedSuccess and RetriedFailed how.
	Retried        uint64 `json:"retried"`
	RetriedSuccess uint64 `json:"retried.success"`
	RetriedFailed  uint64 `json:"retried.failed"`
	// Ambiguous counts writes of a record whose outcome is not known, each of
	// which may have left a duplicate; Throttled counts refusals.
	Ambiguous uint64 `json:"ambiguous"`
	Throttled uint64 `json:"throttled"`
	// Writes counts calls of Sink.Write, WritesFailed those that returned an
	// error about the batch or about some of its records.
	Writes       uint64 `json:"writes"`
	WritesFailed uint64 `json:"writes.failed"`
	// LastError is the text of a recent error of Sink.Write and LastErrorAt
	// when it was; of many in one second the first is kept.
	LastError   string    `json:"last_error,omitempty"`
	LastErrorAt time.Time `json:"last_error_at,omitzero"`

	// Inflight and Queuing are the numbers of records in a Write and waiting,
	// QueuingBytes the memory that both take, and Lanes how many keys, or
	// other order domains, have any.
	Inflight     int `json:"inflight"`
	Queuing      int `json:"queuing"`
	QueuingBytes int `json:"queuing_bytes"`
	Lanes        int `json:"lanes"`
	// MaxRecords and MaxBytes are the queue's bounds. FullSince is since when
	// records have found no room, and zero while the queue is not full. It
	// stays over short gaps: until a quarter of the queue is free again.
	MaxRecords int       `json:"max_records"`
	MaxBytes   int       `json:"max_bytes"`
	FullSince  time.Time `json:"full_since,omitzero"`

	// Latency is from a message's receipt until its record was stored,
	// QueueWait from a record's arrival in the queue until its first write
	// began, RequestTime that of a call of Sink.Write.
	Latency     Histogram `json:"latency"`
	QueueWait   Histogram `json:"queue_wait"`
	RequestTime Histogram `json:"request_time"`
	Health      Health    `json:"health"`
	Enabled     bool      `json:"enabled"`
}

// DroppedStats counts records dropped by policy, by reason.
type DroppedStats struct {
	Expired   uint64 `json:"expired"`
	QueueFull uint64 `json:"queue_full"`
	// Stopped counts records given up because the drain timed out; their
	// messages were not acknowledged.
	Stopped uint64 `json:"resource_stopped"`
}

// Total is the sum over all reasons.
func (d DroppedStats) Total() uint64 { return d.Expired + d.QueueFull + d.Stopped }

// Histogram counts durations by powers of two: Buckets[i] holds those of less
// than 2^i microseconds that no earlier bucket holds; the last one has no limit.
type Histogram struct {
	Count   uint64        `json:"count"`
	Sum     time.Duration `json:"sum_ns"`
	Max     time.Duration `json:"max_ns"`
	Buckets [32]uint64    `json:"buckets"`
}

func (h *Histogram) add(d time.Duration) {
	d = max(d, 0)
	h.Count++
	h.Sum += d
	h.Max = max(h.Max, d)
	h.Buckets[min(bits.Len64(uint64(d/time.Microsecond)), len(h.Buckets)-1)]++
}

// Quantile returns an upper bound of the q-quantile, 0 <= q <= 1, at most twice
// the true value; 0 when nothing was counted.
func (h *Histogram) Quantile(q float64) time.Duration {
	rank := uint64(q * float64(h.Count))
	var seen uint64
	for i, n := range h.Buckets {
		seen += n
		if n > 0 && seen >= rank {
			return min(time.Duration(1)<<i*time.Microsecond, h.Max)
		}
	}
	return h.Max
}

// cell is a worker's own part of a rule's counters, on a cache line of its own
// so that workers do not slow each other down.
type cell struct {
	matched, passed, exception, noResult, actions atomic.Uint64
	_                                             [3]uint64
}

// snapshot returns the sink's counters. The caller holds q.mu.
func (q *queue) snapshot() SinkStats {
	s := q.stats
	s.Queuing = q.records - s.Inflight
	s.QueuingBytes = q.bytes
	s.Lanes = q.lanes.len
	s.MaxRecords, s.MaxBytes = q.cfg.MaxRecords, q.cfg.MaxBytes
	if q.lastError != nil {
		s.LastError, s.LastErrorAt = q.lastError.text, q.lastError.at
	}
	s.Health = q.health
	s.Enabled = !q.disabled.Load()
	return s
}
