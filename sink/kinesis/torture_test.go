package kinesis_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/sink/kinesis"
	"github.com/sluiceio/sluice/sink/kinesis/kinesistest"
)

// traffic is a source of numbered messages for keys in turn: the payload of
// message i is "key:number within the key".
type traffic struct {
	messages, keys int
	sent           int
	window         chan struct{} // messages that may be unsettled
	settled        atomic.Int64
	failed         atomic.Int64
}

func newTraffic(messages, keys, window int) *traffic {
	return &traffic{messages: messages, keys: keys, window: make(chan struct{}, window)}
}

func (s *traffic) Read(ctx context.Context, dst []bridge.Message) (n int, err error) {
	for n < len(dst) && s.sent < s.messages {
		select {
		case s.window <- struct{}{}:
		default:
			if n > 0 {
				return n, nil
			}
			select {
			case s.window <- struct{}{}:
			case <-ctx.Done():
				return 0, ctx.Err()
			}
		}
		key := "device-" + strconv.Itoa(s.sent%s.keys)
		dst[n] = bridge.Message{
			Topic: key, Payload: []byte(key + ":" + strconv.Itoa(s.sent/s.keys)),
			Delivery: bridge.NewDelivery(s, uint64(s.sent)),
		}
		s.sent++
		n++
	}
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

func (s *traffic) Done(_ uint64, o bridge.Outcome, err error) {
	if o.Settled() {
		err = nil
	}
	s.settled.Add(1)
	if err != nil {
		s.failed.Add(1)
	}
	<-s.window
}

func (s *traffic) Close(context.Context) error { return nil }

// byTopic makes a record of every message, with the topic for its key.
func byTopic() bridge.Rule {
	return bridge.RuleFunc(func(out *bridge.Out, m *bridge.Message) error {
		out.Add(bridge.Record{Key: out.Keep(append(out.AvailableBuffer(), m.Topic...)), Data: m.Payload})
		return nil
	}, "#")
}

// runPipeline moves all traffic to the sink.
func runPipeline(t *testing.T, src bridge.Source, snk bridge.Sink, q bridge.QueueConfig) bridge.SinkStats {
	t.Helper()
	p, err := bridge.New(bridge.Config{
		Sources: map[string]bridge.Source{"traffic": src},
		Rules:   map[string]bridge.Rule{"all": byTopic()},
		Sinks:   map[string]bridge.Sink{"kinesis": snk},
		Queue:   q, DrainTimeout: 5 * time.Minute, Logger: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	require.NoError(t, p.Run(t.Context()))
	return p.Stats().Sinks["kinesis"]
}

// verify checks that all that was sent is in the stream, and that for every key
// first occurrences are in order. It returns the number of duplicates.
func verify(t *testing.T, server *kinesistest.Server, stream string, src *traffic) (duplicates int) {
	t.Helper()
	next := make(map[string]int, src.keys)
	total := 0
	for _, r := range server.UserRecords(stream) {
		key, number, ok := bytes.Cut(r.Data, []byte(":"))
		require.True(t, ok)
		require.Equal(t, r.PartitionKey, string(key))
		n, err := strconv.Atoi(string(number))
		require.NoError(t, err)
		switch want := next[r.PartitionKey]; {
		case n == want:
			next[r.PartitionKey]++
			total++
		case n < want:
			duplicates++
		default:
			require.FailNow(t, "out of order", "key %s: %d before %d", r.PartitionKey, n, want)
		}
	}
	require.Equal(t, src.messages, total, "records lost")
	require.Empty(t, server.DroppedByKCL(stream))
	require.EqualValues(t, src.messages, src.settled.Load())
	require.Zero(t, src.failed.Load())
	return duplicates
}

// isLong reports whether the long forms of tests are wanted.
func isLong() bool { return os.Getenv("SLUICE_LONG") != "" }

// TestTorture writes through all that can go wrong at once: every fifth record
// fails, connections break after the records were stored, shards split and
// merge all the time. With SLUICE_LONG=1 it is a million messages.
func TestTorture(t *testing.T) {
	messages, keys, window := 20_000, 2_000, 2_000
	switch {
	case testing.Short():
		messages, keys = 5_000, 500
	case isLong():
		messages, keys, window = 1_000_000, 10_000, 20_000
	}
	// The server rolls the dice for every Kinesis record.
	for aggregate, splits := range map[bool]float64{false: 0.0001, true: 0.01} {
		t.Run(fmt.Sprintf("aggregate=%t", aggregate), func(t *testing.T) {
			server := kinesistest.Start(t, kinesistest.Config{
				Streams: []kinesistest.StreamConfig{{Name: "s", Shards: 16}},
				Faults: kinesistest.Plan{Seed: 1, Faults: []kinesistest.Fault{
					{Kind: kinesistest.SplitShard, Op: "PutRecords", Rate: splits},
					{Kind: kinesistest.FailCall, Op: "PutRecords", Code: "LimitExceededException", Rate: 0.01},
					{Kind: kinesistest.FailCall, Op: "PutRecords", Code: "BrandNewException", Rate: 0.02},
					{Kind: kinesistest.FailCall, Op: "PutRecords", Rate: 0.01},
					{Kind: kinesistest.FailCallAfter, Op: "PutRecords", Rate: 0.01},
					{Kind: kinesistest.ResetBefore, Op: "PutRecords", Rate: 0.01},
					{Kind: kinesistest.ResetAfter, Op: "PutRecords", Rate: 0.02},
					{Kind: kinesistest.Truncate, Op: "PutRecords", Rate: 0.01},
					{Kind: kinesistest.DropResults, Op: "PutRecords", Rate: 0.01},
					{Kind: kinesistest.FailRecord, Op: "PutRecords", Code: "ProvisionedThroughputExceededException", Rate: 0.1},
					{Kind: kinesistest.FailRecord, Op: "PutRecords", Rate: 0.1},
				}},
			})
			awsConfig := server.AWSConfig()
			snk, err := kinesis.New(kinesis.Config{
				AWS: &awsConfig, Stream: "s", Aggregate: aggregate, Logger: slog.New(slog.DiscardHandler),
			})
			require.NoError(t, err)
			stop := reshard(t, server)
			src := newTraffic(messages, keys, window)
			stats := runPipeline(t, src, snk, bridge.QueueConfig{
				BatchTime: 2 * time.Millisecond, BackoffMin: time.Millisecond, BackoffMax: 20 * time.Millisecond,
			})
			stop()
			duplicates := verify(t, server, "s", src)
			require.LessOrEqual(t, duplicates, int(stats.Ambiguous), "duplicates without a doubtful outcome")
			own := snk.Stats().Streams[0]
			require.Positive(t, own.Throttled)
			require.Positive(t, own.Ambiguous)
			t.Logf("%d duplicates, %d ambiguous, %d throttled; %d shards; %+v", duplicates, stats.Ambiguous, stats.Throttled,
				own.OpenShards, server.Calls())
		})
	}
}

// reshard merges neighbours all the time; the server's faults split.
func reshard(t *testing.T, server *kinesistest.Server) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var done sync.WaitGroup
	done.Go(func() {
		client := server.Client()
		for tick := time.NewTicker(20 * time.Millisecond); ; {
			select {
			case <-ctx.Done():
				tick.Stop()
				return
			case <-tick.C:
			}
			if err := mergeSome(ctx, client); err != nil && ctx.Err() == nil {
				var gone interface{ ErrorCode() string }
				if !errors.As(err, &gone) {
					t.Error(err)
				}
			}
		}
	})
	return func() {
		cancel()
		done.Wait()
	}
}

// mergeSome merges the first two open shards of stream s that are neighbours,
// while there are more than 12.
func mergeSome(ctx context.Context, client *sdk.Client) error {
	name := "s"
	out, err := client.ListShards(ctx, &sdk.ListShardsInput{StreamName: &name})
	if err != nil {
		return err
	}
	byStart := map[string]string{}
	for _, sh := range out.Shards {
		if sh.SequenceNumberRange.EndingSequenceNumber == nil {
			byStart[*sh.HashKeyRange.StartingHashKey] = *sh.ShardId
		}
	}
	if len(byStart) <= 12 {
		return nil
	}
	for _, sh := range out.Shards {
		next := byStart[addOne(*sh.HashKeyRange.EndingHashKey)]
		if sh.SequenceNumberRange.EndingSequenceNumber == nil && next != "" {
			_, err := client.MergeShards(ctx, &sdk.MergeShardsInput{
				StreamName: &name, ShardToMerge: sh.ShardId, AdjacentShardToMerge: &next,
			})
			return err
		}
	}
	return nil
}

// addOne adds one to a decimal number.
func addOne(s string) string {
	b := []byte(s)
	for i := len(b) - 1; i >= 0; i-- {
		if b[i] != '9' {
			b[i]++
			return string(b)
		}
		b[i] = '0'
	}
	return "1" + string(b)
}
