package kinesistest

import (
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

const (
	onDemandShards  = 4
	onDemandWindow  = time.Minute
	onDemandReacts  = 15 * time.Minute
	onDemandRecords = shardRecordsPerSecond
)

// onDemand is what an on-demand stream takes, in outline: at first 4 MiB/s, and
// twice the highest average of a minute as soon as that is 15 minutes old. So
// load that more than doubles within 15 minutes is throttled.
type onDemand struct {
	capacity   float64 // bytes per second, a whole number of shards
	bucket     throughput
	window     time.Time // start of the minute being measured
	bytes      int64     // in it
	candidates []peak
}

// peak is a rate that will raise the capacity at a time.
type peak struct {
	due  time.Time
	rate float64
}

// followDemand ends the minute being measured, and raises the capacity.
func (st *stream) followDemand(now time.Time) {
	if st.mode != types.StreamModeOnDemand || !st.config.Limits.Throughput {
		return
	}
	d := &st.demand
	if d.capacity == 0 {
		d.resize(float64(len(st.open)))
		d.window = now
	}
	if passed := now.Sub(d.window); passed >= onDemandWindow {
		d.candidates = append(d.candidates, peak{now.Add(onDemandReacts), float64(d.bytes) / passed.Seconds()})
		d.window, d.bytes = now, 0
	}
	for len(d.candidates) > 0 && !now.Before(d.candidates[0].due) {
		rate := d.candidates[0].rate
		d.candidates = d.candidates[1:]
		for 2*rate > d.capacity {
			widest := st.widest()
			st.split(now, widest, widest.from.middle(widest.to))
			d.resize(float64(len(st.open)))
		}
	}
}

func (d *onDemand) resize(shards float64) {
	d.capacity = shards * shardBytesPerSecond
	d.bucket.bytes = bucket{rate: d.capacity, burst: d.capacity, level: max(d.bucket.bytes.level, 0), at: d.bucket.bytes.at}
	d.bucket.calls = bucket{rate: shards * onDemandRecords, burst: shards * onDemandRecords, level: d.bucket.calls.level, at: d.bucket.calls.at}
	if d.bucket.bytes.at.IsZero() {
		d.bucket.bytes.level, d.bucket.calls.level = d.capacity, shards*onDemandRecords
	}
}

// admit takes a record from the limits of its shard and stream, of both or of
// none.
func (st *stream) admit(now time.Time, sh *shard, bytes int64) bool {
	if sh.write == nil {
		return true
	}
	if !sh.write.has(now, bytes) {
		return false
	}
	if st.mode == types.StreamModeOnDemand {
		if !st.demand.bucket.take(now, bytes) {
			return false
		}
		st.demand.bytes += bytes
	}
	return sh.write.take(now, bytes)
}
