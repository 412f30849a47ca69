package bridge

import (
	"errors"
	"math/bits"
	"sync/atomic"
	"time"
)

// Stats is a snapshot of a pipeline's counters, by name. Counters count since
// the name was first used in the pipeline; they go on when a part is replaced.
type Stats struct {
	// Version is another one whenever a rule or sink was added, replaced,
	// removed, or switched on or off.
	Version uint64
	Sources map[string]SourceStats
	Rules   map[string]RuleStats
	Sinks   map[string]SinkStats
	// Untold counts calls of hooks and lines of the log that were left out
	// because a hook or the logger was too slow.
	Untold int
}

// SourceStats are the counters of a source.
type SourceStats struct {
	// Received counts messages read, Bytes their payloads.
	Received uint64
	Bytes    uint64
	// Unmatched counts messages that no rule wanted.
	Unmatched uint64
	// Counts are the source's own counters, if it is a Counter.
	Counts map[string]uint64
	Health Health
}

// RuleStats are the counters of a rule, named as EMQX names them. Matched =
// Passed + Exception + NoResult.
type RuleStats struct {
	Matched   uint64
	Passed    uint64
	Exception uint64
	NoResult  uint64
	// Actions counts records made, ActionsSuccess those stored,
	// ActionsFailed those that ended otherwise, and ActionsDiscarded those
	// for disabled sinks; the rest is on its way.
	Actions          uint64
	ActionsSuccess   uint64
	ActionsFailed    uint64
	ActionsDiscarded uint64
	Enabled          bool
	// LastError is the text of a recent exception and LastErrorAt when it was;
	// of many in one second the first is kept.
	LastError   string
	LastErrorAt time.Time
}

// SinkStats are the counters of a sink. At any time
//
//	Matched = sum of Ended + Queue.Inflight + Queue.Waiting
type SinkStats struct {
	// Matched counts records addressed to the sink.
	Matched uint64
	// Ended counts those that have ended, by Outcome; Discarded and Failed
	// are 0: such records do not come as far as the sink's queue.
	Ended [Abandoned + 1]uint64
	// Bytes counts the bytes of the records stored.
	Bytes uint64
	// Retried counts records that were stored, and RetriedRefused those that
	// were not, after more than one write.
	Retried        uint64
	RetriedRefused uint64
	// Ambiguous counts writes of a record whose outcome is not known, each of
	// which may have left a duplicate; Throttled counts refusals.
	Ambiguous uint64
	Throttled uint64
	// Writes counts calls of Sink.Write, WritesFailed those after which not
	// all records were stored.
	Writes       uint64
	WritesFailed uint64
	// LastError is the text of a recent error of Sink.Write and LastErrorAt
	// when it was; of many in one second the first is kept.
	LastError   string
	LastErrorAt time.Time

	// Counts are the sink's own counters, if it is a Counter.
	Counts map[string]uint64

	Queue QueueStats
	// Latency is from a message's receipt until its record was stored,
	// QueueWait from a record's arrival in the queue until its first write
	// began, RequestTime that of a call of Sink.Write.
	Latency, QueueWait, RequestTime Histogram
	Health                          Health
	Enabled                         bool
}

// QueueStats is what the queue of a sink holds.
type QueueStats struct {
	// Inflight and Waiting are the numbers of records in a Write and not.
	Inflight, Waiting int
	// Bytes is the memory that both take, and Lanes how many keys, or other
	// order domains, have any.
	Bytes, Lanes int
	// MaxRecords and MaxBytes are the queue's bounds.
	MaxRecords, MaxBytes int
	// Oldest is since when the record has been here that came first.
	Oldest time.Time
	// FullSince is since when records have found no room, and zero while the
	// queue is not full. It stays over short gaps: until a quarter of the
	// queue is free again.
	FullSince time.Time
}

// Histogram counts durations by powers of two.
type Histogram struct {
	count    uint64
	sum, max time.Duration
	buckets  [32]uint64 // of less than 2^i µs; the last has no limit
}

// Observe counts a duration; one below 0 counts as 0.
func (h *Histogram) Observe(d time.Duration) { h.add(d) }

func (h *Histogram) add(d time.Duration) {
	d = max(d, 0)
	h.count++
	h.sum += d
	h.max = max(h.max, d)
	h.buckets[min(bits.Len64(uint64(d/time.Microsecond)), len(h.buckets)-1)]++
}

// Count returns the number of durations, Sum their sum and Max the longest.
func (h *Histogram) Count() uint64 { return h.count }

// Sum returns the sum of all durations.
func (h *Histogram) Sum() time.Duration { return h.sum }

// Max returns the longest duration.
func (h *Histogram) Max() time.Duration { return h.max }

// Buckets yields for each power of two of microseconds, from 1 on, how many
// durations were below it and not below the one before. The last bucket has the
// rest, whatever its bound.
func (h *Histogram) Buckets(yield func(bound time.Duration, n uint64) bool) {
	for i, n := range h.buckets {
		if !yield(time.Duration(1)<<i*time.Microsecond, n) {
			return
		}
	}
}

// Since returns what h has counted more than an earlier snapshot of it. Its Max
// is that of h.
func (h *Histogram) Since(earlier Histogram) Histogram {
	d := *h
	d.count -= earlier.count
	d.sum -= earlier.sum
	for i, n := range earlier.buckets {
		d.buckets[i] -= n
	}
	return d
}

// Quantile returns an upper bound of the q-quantile, 0 <= q <= 1, at most twice
// the true value; 0 when nothing was counted.
func (h *Histogram) Quantile(q float64) time.Duration {
	rank := uint64(q * float64(h.count))
	var seen uint64
	for i, n := range h.buckets {
		seen += n
		if n > 0 && seen >= rank {
			return min(time.Duration(1)<<i*time.Microsecond, h.max)
		}
	}
	return h.max
}

// counters are what a queue counts.
type counters struct {
	matched                         uint64
	ended                           [Abandoned + 1]uint64
	bytes                           uint64
	retried, retriedRefused         uint64
	ambiguous, throttled            uint64
	writes, writesFailed            uint64
	lastError                       *lastError
	fullSince                       time.Time
	latency, queueWait, requestTime Histogram
}

// countWrite counts a write that has returned. The caller holds q.mu.
func (q *queue) countWrite(w *writer, now time.Duration) {
	if w.flight.Pass {
		return
	}
	q.count.writes++
	q.count.requestTime.add(now - w.flight.Sent)
	q.count.ambiguous += w.tally.ambiguous
	q.count.throttled += w.tally.throttled
	if w.tally.text != "" {
		q.count.writesFailed++
		q.count.lastError = q.count.lastError.next(errors.New(w.tally.text))
	}
}

// countStored counts a record that was stored. The caller holds q.mu.
func (q *queue) countStored(n *node, now time.Duration) {
	v := &n.Value
	q.count.ended[Stored]++
	q.count.bytes += uint64(n.Size)
	if v.attempt > 0 {
		q.count.retried++
	}
	q.count.latency.add(now - v.received)
}

// counts returns a part's own counters.
func (e *environment) counts(kind, name string, part any) (counts map[string]uint64) {
	if c, ok := part.(Counter); ok {
		_ = e.door.guard(kind, name, "Counts", func() { counts = c.Counts() })
	}
	return counts
}

// snapshot returns the sink's counters.
func (q *queue) snapshot() SinkStats {
	own := q.env.counts("sink", q.name(), q.service.Load().sink)
	q.mu.Lock()
	defer q.mu.Unlock()
	c := &q.count
	s := SinkStats{
		Matched: c.matched, Ended: c.ended, Bytes: c.bytes,
		Retried: c.retried, RetriedRefused: c.retriedRefused, Ambiguous: c.ambiguous, Throttled: c.throttled,
		Writes: c.writes, WritesFailed: c.writesFailed,
		Latency: c.latency, QueueWait: c.queueWait, RequestTime: c.requestTime, Counts: own,
		Health: q.health, Enabled: !q.disabled.Load(),
	}
	all, flying := q.sched.Len()
	s.Queue = QueueStats{Inflight: flying, Waiting: all - flying, Bytes: q.sched.Cost(), Lanes: q.sched.Lanes(), MaxRecords: q.cfg.MaxRecords, MaxBytes: q.cfg.MaxBytes, FullSince: c.fullSince}
	if added, ok := q.sched.Oldest(); ok {
		s.Queue.Oldest = q.env.start.Add(added)
	}
	if c.lastError != nil {
		s.LastError, s.LastErrorAt = c.lastError.text, c.lastError.at
	}
	return s
}

// cell is a worker's own part of a rule's counters, on a cache line of its own
// so that workers do not slow each other down.
type cell struct {
	matched, passed, exception, noResult, actions atomic.Uint64
	_                                             [3]uint64
}

func (r *ruleEntry) snapshot() RuleStats {
	s := RuleStats{Enabled: r.enabled, ActionsSuccess: r.success.Load(), ActionsFailed: r.ruleCounters.failed.Load(), ActionsDiscarded: r.discarded.Load()}
	for i := range r.cells {
		c := &r.cells[i]
		s.Matched += c.matched.Load()
		s.Passed += c.passed.Load()
		s.Exception += c.exception.Load()
		s.NoResult += c.noResult.Load()
		s.Actions += c.actions.Load()
	}
	if last := r.last.Load(); last != nil {
		s.LastError, s.LastErrorAt = last.text, last.at
	}
	return s
}
