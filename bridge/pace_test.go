package bridge_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/bridge/bridgetest"
)

// throughput runs a pipeline with that many keys against a sink that takes 20 ms a
// write and refuses a share of the records at random, one in flight per key. It
// returns how many records a second are stored.
func throughput(t *testing.T, keys int, share float64) (rate float64) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(1, 2))
		sink := &bridgetest.Sink{
			Max: bridge.Limits{LaneRecords: 1, Records: 500},
			Before: func(context.Context, *bridge.Batch) error {
				time.Sleep(20 * time.Millisecond)
				return nil
			},
			Fault: func(int, *bridge.Record) bridgetest.Fault {
				if rng.Float64() < share {
					return bridgetest.Fault{Err: bridge.Throttled(errors.New("internal failure"), 0)}
				}
				return bridgetest.Fault{}
			},
		}
		src := &bridgetest.Source{Window: 10 * keys}
		r := run(t, bridge.Config{Sources: map[string]bridge.Source{"in": src}, Sinks: map[string]bridge.Sink{"out": sink}, DrainTimeout: time.Millisecond})
		for i := range uint64(50*110*(1-share)+100) * uint64(keys) {
			src.Publish(message(strconv.Itoa(int(i)%keys), i))
		}
		const learn, measure = 40 * time.Second, 60 * time.Second // trials come and go
		time.Sleep(learn)
		before := r.Stats().Sinks["out"].Ended[bridge.Stored]
		time.Sleep(measure)
		rate = float64(r.Stats().Sinks["out"].Ended[bridge.Stored]-before) / measure.Seconds()
		r.stop()
		<-r.done
		require.Empty(t, sink.Violations())
	})
	return rate
}

// Random refusals are no reason to slow down: what is stored stays within 0.7 of
// what is not refused of what the sink takes.
func TestRandomRefusals(t *testing.T) {
	t.Parallel()
	for _, keys := range []int{1, 10, 50} {
		t.Run(fmt.Sprint(keys, " keys"), func(t *testing.T) {
			t.Parallel()
			all := throughput(t, keys, 0)
			for _, share := range []float64{0.05, 0.2, 0.6, 0.9} {
				rate := throughput(t, keys, share)
				t.Logf("%d keys, %.0f %% refused: %.1f of %.1f records/s, %.2f of what is possible", keys, 100*share, rate, all, rate/(1-share)/all)
				require.GreaterOrEqual(t, rate, 0.7*(1-share)*all)
			}
		})
	}
}

// slowShard is a sink with four groups, of which one answers late: a batch takes as
// long as its slowest record.
type slowShard struct {
	bridgetest.Sink
	late time.Duration
}

func (s *slowShard) Lane(r *bridge.Record) (lane, group uint64) {
	n, _ := strconv.Atoi(string(r.Key))
	return uint64(n), uint64(n % 4)
}

func (s *slowShard) Write(ctx context.Context, b *bridge.Batch) error {
	d := 20 * time.Millisecond
	for i := range b.Records {
		if n, _ := strconv.Atoi(string(b.Records[i].Key)); n%4 == 3 {
			d = s.late
		}
	}
	time.Sleep(d)
	return s.Sink.Write(ctx, b)
}

// A slow shard costs the others nothing: batches are put together so that they do
// not wait for it.
func TestSlowShard(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sink := &slowShard{late: 700 * time.Millisecond}
		sink.Max.LaneRecords = 1
		r := run(t, bridge.Config{Sinks: map[string]bridge.Sink{"out": sink}})
		const rate = 500 // a second, for each shard
		for range 20 {
			for range 100 {
				r.publish(4*rate/100, 4*50)
				time.Sleep(10 * time.Millisecond)
			}
		}
		perShard := [4]int{}
		for _, rec := range sink.Records() {
			n, _ := strconv.Atoi(rec.Key)
			perShard[n%4]++
		}
		for shard, n := range perShard[:3] {
			require.Greater(t, n, 20*rate*95/100, "shard %d of %v", shard, perShard)
		}
		r.stop()
		<-r.done // the slow shard has more than it can write
		report := check(&r.c, sink.Records())
		require.Zero(t, report.Reordered+report.Unknown, report)
	})
}

// Records that have expired are not held back by the pace that a sink accepts, even
// if it accepts nothing.
func TestExpiryInAnOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sink := &bridgetest.Sink{Fault: func(int, *bridge.Record) bridgetest.Fault {
			return bridgetest.Fault{Err: bridge.Throttled(errors.New("no capacity"), 0)}
		}}
		r := run(t, bridge.Config{
			Sinks: map[string]bridge.Sink{"out": sink}, Queues: map[string]bridge.QueueConfig{"out": {RecordTTL: 10 * time.Second}},
		})
		r.publish(2000, 1000)
		time.Sleep(15 * time.Second)
		require.Equal(t, map[bridge.Outcome]int{bridge.Expired: 2000}, r.src.Outcomes())
		require.NoError(t, r.end())
	})
}

// crowd is a sink with as many groups as keys.
type crowd struct{ bridgetest.Sink }

func (*crowd) Lane(r *bridge.Record) (lane, group uint64) {
	n, _ := strconv.ParseUint(string(r.Key), 10, 64)
	return n, n
}

// Thousands of groups do not fly one by one to find out which of them is slow.
func TestThousandsOfGroups(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sink := new(crowd)
		sink.Before = func(context.Context, *bridge.Batch) error { time.Sleep(20 * time.Millisecond); return nil }
		r := run(t, bridge.Config{Sinks: map[string]bridge.Sink{"out": sink}})
		began := time.Now()
		r.publish(20_000, 5000)
		require.NoError(t, r.end())
		require.Less(t, time.Since(began), time.Second, "%d writes", sink.Calls())
	})
}
