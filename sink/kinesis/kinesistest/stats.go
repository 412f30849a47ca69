package kinesistest

import (
	"maps"
	"time"
)

// ShardStats counts what was put into a shard since the server started, and
// what the service would charge for it.
type ShardStats struct {
	Records   int64 // stored
	Bytes     int64 // keys and data stored
	Throttled int64 // records refused by Limits or by faults with a throttle's code
	Failed    int64 // records refused by other faults

	// PayloadUnits is what a provisioned stream bills: a record counts as its
	// bytes in steps of 25 KiB.
	PayloadUnits int64

	// OnDemandKiB is what an on-demand stream bills: a record counts as its
	// bytes in steps of 1 KiB.
	OnDemandKiB int64
}

// payloadUnit is the step in which provisioned streams bill.
const payloadUnit = 25 << 10

func (s *ShardStats) add(r *stored) {
	size := r.size()
	s.Records++
	s.Bytes += size
	s.PayloadUnits += max(1, (size+payloadUnit-1)/payloadUnit)
	s.OnDemandKiB += max(1, (size+1023)/1024)
}

func (s *ShardStats) addAll(o ShardStats) {
	s.Records += o.Records
	s.Bytes += o.Bytes
	s.Throttled += o.Throttled
	s.Failed += o.Failed
	s.PayloadUnits += o.PayloadUnits
	s.OnDemandKiB += o.OnDemandKiB
}

func (s *ShardStats) refuse(code string) {
	switch code {
	case CodeThroughputExceeded, CodeKMSThrottling, CodeThrottling, CodeLimitExceeded:
		s.Throttled++
	default:
		s.Failed++
	}
}

// StreamStats is what happened to a stream since the server started.
type StreamStats struct {
	ShardStats                       // sum of all shards
	Requests   int64                 // PutRecord and PutRecords that were carried out
	Shards     map[string]ShardStats // by shard id
}

// Stats counts what happened to a stream. The zero value is returned for a
// stream that does not exist.
func (s *Server) Stats(streamName string) (out StreamStats) {
	_ = s.with(streamRef{name: &streamName}, func(st *stream, _ time.Time) error {
		out = st.stats
		out.Shards = make(map[string]ShardStats, len(st.shards))
		for _, sh := range st.shards {
			out.Shards[sh.id] = sh.stats
			out.addAll(sh.stats)
		}
		return nil
	})
	return out
}

// Calls is how often each operation was called, also when it failed.
func (s *Server) Calls() map[string]int64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return maps.Clone(s.byOp)
}

func (s *Server) count(op string) {
	s.mu.Lock()
	s.byOp[op]++
	s.mu.Unlock()
}
