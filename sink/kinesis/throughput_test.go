package kinesis_test

import (
	"context"
	"crypto/md5"
	"io"
	"log/slog"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/sink/kinesis"
	"github.com/sluiceio/sluice/sink/kinesis/kinesistest"
)

// The tests of this file run in the time of a bubble, so that rates are exact
// whatever the machine is doing.

// metered is a source that hands out messages at a rate, for a time.
type metered struct {
	perTick int           // messages per 10 ms
	for_    time.Duration // zero: until the context is done
	topic   func(i int) string
	payload []byte
	start   time.Time
	sent    int
}

const tick = 10 * time.Millisecond

func (s *metered) Read(ctx context.Context, dst []bridge.Message) (n int, err error) {
	if s.start.IsZero() {
		s.start = time.Now()
	}
	for {
		passed := time.Since(s.start)
		if s.for_ > 0 && passed >= s.for_ {
			return 0, io.EOF
		}
		due := int(passed/tick+1) * s.perTick
		for ; n < len(dst) && s.sent < due; n++ {
			dst[n] = bridge.Message{Topic: s.topic(s.sent), Payload: s.payload}
			s.sent++
		}
		if n > 0 {
			return n, nil
		}
		select {
		case <-time.After(tick - passed%tick):
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

func (s *metered) Close(context.Context) error { return nil }

// service starts a Kinesis whose replies take 20 ms.
func service(t *testing.T, shards int, limits kinesistest.Limits) *kinesistest.Server {
	t.Helper()
	return kinesistest.Start(t, kinesistest.Config{
		NoSocket: true, Limits: limits, Logger: slog.New(slog.DiscardHandler),
		Streams: []kinesistest.StreamConfig{{Name: "s", Shards: shards}},
		Faults: kinesistest.Plan{Faults: []kinesistest.Fault{
			{Kind: kinesistest.Slow, Op: "PutRecords", Delay: 20 * time.Millisecond},
		}},
	})
}

// drive moves messages to the service for a time and returns the sink's figures
// of that moment; what is left in the queue is given up.
func drive(t *testing.T, server *kinesistest.Server, src bridge.Source, cfg kinesis.Config, maxDelay, duration time.Duration) kinesis.StreamStats {
	t.Helper()
	return driveOn(t, server, src, cfg, maxDelay, duration)[0]
}

// driveOn is drive with figures after each of the durations, which follow one
// another.
func driveOn(t *testing.T, server *kinesistest.Server, src bridge.Source, cfg kinesis.Config, maxDelay time.Duration, durations ...time.Duration) (list []kinesis.StreamStats) {
	t.Helper()
	awsConfig := server.AWSConfig()
	cfg.AWS, cfg.Stream, cfg.Logger = &awsConfig, "s", slog.New(slog.DiscardHandler)
	snk, err := kinesis.New(cfg)
	require.NoError(t, err)
	p, err := bridge.New(bridge.Config{
		Sources: map[string]bridge.Source{"metered": src},
		Rules:   map[string]bridge.Rule{"all": byTopic()},
		Sinks:   map[string]bridge.Sink{"kinesis": snk},
		Queue:   bridge.QueueConfig{BatchTime: maxDelay, MaxRecords: 10_000_000, MaxBytes: 1 << 30},
		Logger:  slog.New(slog.DiscardHandler), DrainTimeout: time.Millisecond,
	})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	for _, d := range durations {
		time.Sleep(d)
		list = append(list, snk.Stats().Streams[0])
	}
	cancel()
	if err := <-ended; err != nil {
		require.ErrorIs(t, err, bridge.ErrDrainTimeout)
	}
	return list
}

func TestHotKey(t *testing.T) {
	t.Parallel()
	rate := func(t *testing.T, aggregate bool) (records uint64) {
		synctest.Test(t, func(t *testing.T) {
			src := &metered{perTick: 100, topic: func(int) string { return "hot" }, payload: make([]byte, 200)}
			records = drive(t, service(t, 1, kinesistest.Limits{}), src,
				kinesis.Config{Aggregate: aggregate}, 10*time.Millisecond, 5*time.Second).Records
		})
		return records / 5
	}
	plain, aggregated := rate(t, false), rate(t, true)
	t.Logf("one key at 20 ms per request: %d records/s plain, %d aggregated", plain, aggregated)
	require.InDelta(t, 50, plain, 2)
	require.Greater(t, aggregated, 20*plain)
}

func TestPayloadUnits(t *testing.T) {
	t.Parallel()
	for _, delay := range []time.Duration{50 * time.Millisecond, 100 * time.Millisecond, 200 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			src := &metered{
				perTick: 100, for_: 5 * time.Second, payload: make([]byte, 200),
				topic: func(i int) string { return "device-" + strconv.Itoa(i%5000) },
			}
			server := service(t, 4, kinesistest.Limits{})
			drive(t, server, src, kinesis.Config{Aggregate: true}, delay, 6*time.Second)
			var units, stored int64
			for _, sh := range server.Stats("s").Shards {
				units += sh.PayloadUnits
			}
			stored = int64(len(server.UserRecords("s")))
			t.Logf("MaxDelay %v: %d records in %d payload units, %.1f each", delay, stored, units, float64(stored)/float64(units))
			require.EqualValues(t, 50_000, stored)
			if delay >= 100*time.Millisecond {
				require.Greater(t, stored, 10*units)
			}
		})
	}
}

func TestOverloadedShardHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	for _, aggregate := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			seconds := virtualSeconds()
			server := service(t, 16, kinesistest.Limits{Throughput: true})
			// Each shard is offered 600 records of 1 kB per second, and one of
			// them 2,400 more, in many keys. A shard takes 1,000, and 1 MiB.
			hot := keysOfShard(5, 5000)
			src := &metered{perTick: 120, payload: make([]byte, 1000), topic: func(i int) string {
				if i%5 == 0 {
					return hot[(i/5)%len(hot)]
				}
				return "device-" + strconv.Itoa(i%50_000)
			}}
			stats := drive(t, server, src, kinesis.Config{Aggregate: aggregate}, 50*time.Millisecond, time.Duration(seconds)*time.Second)
			offered := float64(src.sent)
			byShard := map[string]int{}
			for _, r := range server.UserRecords("s") {
				byShard[r.ShardID]++
			}
			s := server.Stats("s")
			t.Logf("aggregate=%t: %d of %d stored, %d throttled, per shard %v", aggregate, stats.Records, src.sent, stats.Throttled, byShard)
			for id, n := range byShard {
				if id != "shardId-000000000005" {
					require.Greater(t, float64(n), 0.9*offered*0.8/16)
				}
			}
			require.Greater(t, s.Shards["shardId-000000000005"].Bytes, int64(0.8*seconds*(1<<20)))
		})
	}
}

// TestThrottledStream offers a stream three times what it takes: it is used to
// its limit, and once the pace is known few records are refused, whatever the
// backlog.
func TestThrottledStream(t *testing.T) {
	t.Parallel()
	for _, aggregate := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			const shards, learn, measure = 2, 15, 15
			server := service(t, shards, kinesistest.Limits{Throughput: true})
			src := &metered{perTick: 60, payload: make([]byte, 1000), topic: func(i int) string {
				return "device-" + strconv.Itoa(i%20_000)
			}}
			stats := driveOn(t, server, src, kinesis.Config{Aggregate: aggregate}, 50*time.Millisecond, learn*time.Second, measure*time.Second)
			early, late := stats[0], stats[1]
			t.Logf("aggregate=%t: %d of %d stored in %d requests; in the end %d Kinesis records, %d throttled",
				aggregate, late.Records, src.sent, server.Calls()["PutRecords"], late.Entries-early.Entries, late.Throttled-early.Throttled)
			require.Greater(t, float64(late.Records), 0.9*shards*1000*(learn+measure))
			require.Less(t, float64(late.Throttled-early.Throttled), 0.1*float64(late.Entries-early.Entries))
		})
	}
}

// virtualSeconds is how long streams are driven.
func virtualSeconds() float64 {
	if testing.Short() {
		return 3
	}
	return 5
}

// keysOfShard returns keys that fall into one of 16 even shards.
func keysOfShard(shard byte, n int) (keys []string) {
	for i := 0; len(keys) < n; i++ {
		key := "hot-" + strconv.Itoa(i)
		if md5.Sum([]byte(key))[0]>>4 == shard {
			keys = append(keys, key)
		}
	}
	return keys
}
