package kinesis_test

import (
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/sink/kinesis"
	"github.com/sluiceio/sluice/sink/kinesis/kinesistest"
)

// TestOrderOfSmallKinesisRecords aggregates into Kinesis records that are bounded
// to less than an aggregate, while a third of them is refused: no record of a
// device may overtake another.
func TestOrderOfSmallKinesisRecords(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]kinesis.Config{
		"aggregate": {Aggregate: true, MaxRecordBytes: 2 << 10, AggregateBytes: 64 << 10},
		"tiny":      {Aggregate: true, MaxRecordBytes: 150},
		"plain":     {MaxRecordBytes: 2 << 10},
		"lines":     {Pack: kinesis.Lines, MaxRecordBytes: 100},
		"all lines": {Pack: kinesis.Lines},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := kinesistest.Start(t, kinesistest.Config{
				NoSocket: true, Logger: slog.New(slog.DiscardHandler),
				Streams: []kinesistest.StreamConfig{{Name: "s", Shards: 2}},
				Faults: kinesistest.Plan{Seed: 3, Faults: []kinesistest.Fault{
					{Kind: kinesistest.FailRecord, Code: kinesistest.CodeThroughputExceeded, Rate: 0.3},
				}},
			})
			cfg.Stream, cfg.Client, cfg.Slots, cfg.Logger = "s", srv.Client(), 2, slog.New(slog.DiscardHandler)
			sink, err := kinesis.New(cfg)
			require.NoError(t, err)
			src := newTraffic(600, 5, 300)
			runPipeline(t, src, sink, bridge.QueueConfig{
				BatchTime: time.Millisecond, BackoffMin: time.Millisecond, BackoffMax: 5 * time.Millisecond,
			})
			if cfg.Pack == kinesis.Lines {
				verifyLines(t, srv, src)
				return
			}
			verify(t, srv, "s", src)
		})
	}
}

// verifyLines is verify for packed records.
func verifyLines(t *testing.T, srv *kinesistest.Server, src *traffic) {
	t.Helper()
	next := map[string]int{}
	packed := 0
	for _, r := range srv.Records("s") {
		lines := slices.Collect(kinesis.UnpackLines(types.Record{Data: r.Data, PartitionKey: &r.PartitionKey}))
		if len(lines) > 1 {
			packed++
		}
		for _, l := range lines {
			require.Equal(t, fmt.Sprintf("%s:%d", r.PartitionKey, next[r.PartitionKey]), string(l.Data))
			next[r.PartitionKey]++
		}
	}
	require.Len(t, next, src.keys)
	for _, n := range next {
		require.Equal(t, src.messages/src.keys, n)
	}
	require.Positive(t, packed)
	require.EqualValues(t, src.messages, src.settled.Load())
	require.Zero(t, src.failed.Load())
}
