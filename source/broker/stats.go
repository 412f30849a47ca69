package broker

import (
	"maps"
	"sync"
	"sync/atomic"
)

// Stats are counts since the source was created, and its state.
type Stats struct {
	Connections int // that somebody sees to now
	HalfOpen    int // of them, those that are not logged in
	Sessions    int // of clients that are connected or not

	Subscriptions    int // of all sessions
	RetainedMessages int
	RetainedBytes    int // their memory
	OutboxMessages   int // that wait for subscribers, each counted once
	OutboxBytes      int // their memory, and that of each subscriber's place

	QueueMessages int // waiting for Read
	QueueBytes    int // their memory
	Unsettled     int // messages and events in the queue or with the rules and sinks
	HeldBack      int // clients that are not read from: a window of theirs or the queue is full

	Received      int64 // published messages that were queued, wills included
	Events        int64 // events that were queued
	Acknowledged  int64 // QoS 1 and 2 messages acknowledged, refused ones not counted
	Refused       int64 // published messages that Authorize did not allow
	LoginsRefused int64 // by Authenticate
	Rejected      int64 // connections closed because of a limit
	Lost          int64 // messages with QoS 0 and events that were not handed out
	NotRetained   int64 // retained messages that there was no room to keep
	Undelivered   int64 // messages that a subscriber did not get: no room, expired, too large, not allowed, session ended

	// SessionsEnded counts sessions that have ended with their subscriptions
	// and messages: "expired" ones, which their clients may miss, those of
	// clients that "disconnected" without asking for more, and those that a
	// "clean_start" has replaced.
	SessionsEnded map[string]int64

	// RejectedBy, LostBy and UndeliveredBy are Rejected by limit, and Lost
	// and Undelivered by reason; nil for none.
	RejectedBy    map[string]int64
	LostBy        map[string]int64
	UndeliveredBy map[string]int64

	PacketsIn, PacketsOut int64
	BytesIn, BytesOut     int64 // of packets
}

type counters struct {
	acknowledged, refused, loginsRefused, notRetained atomic.Int64
	packetsIn, packetsOut, bytesIn, bytesOut          atomic.Int64

	windowFull atomic.Int64 // clients that wait for their receive maximum

	rejected, lost, undelivered, ended tally
}

// tally counts by reason. The zero value is ready for use.
type tally struct {
	mu    sync.Mutex
	by    map[string]int64
	total int64
}

func (t *tally) add(reason string) { t.addN(reason, 1) }

func (t *tally) addN(reason string, n int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.by == nil {
		t.by = make(map[string]int64)
	}
	t.by[reason] += n
	t.total += n
}

func (t *tally) get() (total int64, by map[string]int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.total, maps.Clone(t.by)
}

// Stats returns a snapshot.
func (s *Source) Stats() Stats {
	var st Stats
	st.Connections, st.HalfOpen = s.conns.counts()
	s.mu.Lock()
	st.Sessions = len(s.sessions)
	s.mu.Unlock()
	st.Subscriptions = s.subs.len()
	st.RetainedMessages, st.RetainedBytes = s.retained.size()
	st.OutboxMessages, st.OutboxBytes = int(s.pool.messages.Load()), int(s.pool.bytes.Load())
	s.inbox.mu.Lock()
	st.QueueMessages, st.QueueBytes = s.inbox.n, s.inbox.bytes
	st.Unsettled, st.HeldBack = s.inbox.unsettled, s.inbox.heldBack
	st.Received, st.Events = s.inbox.received, s.inbox.events
	s.inbox.mu.Unlock()
	c := &s.counters
	st.HeldBack += int(c.windowFull.Load())
	st.Acknowledged, st.Refused = c.acknowledged.Load(), c.refused.Load()
	st.LoginsRefused, st.NotRetained = c.loginsRefused.Load(), c.notRetained.Load()
	_, st.SessionsEnded = c.ended.get()
	st.Rejected, st.RejectedBy = c.rejected.get()
	st.Lost, st.LostBy = c.lost.get()
	st.Undelivered, st.UndeliveredBy = c.undelivered.get()
	st.PacketsIn, st.PacketsOut = c.packetsIn.Load(), c.packetsOut.Load()
	st.BytesIn, st.BytesOut = c.bytesIn.Load(), c.bytesOut.Load()
	return st
}

// Counts returns the counters that a pipeline shows beside its own; see
// bridge.Counter and Stats.
func (s *Source) Counts() map[string]uint64 {
	st := s.Stats()
	counts := map[string]uint64{
		"refused": uint64(st.Refused), "logins_refused": uint64(st.LoginsRefused), "rejected": uint64(st.Rejected),
		"lost": uint64(st.Lost), "not_retained": uint64(st.NotRetained), "undelivered": uint64(st.Undelivered),
	}
	for reason, n := range st.SessionsEnded {
		counts["sessions_"+reason] = uint64(n)
	}
	return counts
}
