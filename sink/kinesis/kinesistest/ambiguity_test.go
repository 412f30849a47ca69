package kinesistest_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/sluiceio/sluice/sink/kinesis/kinesistest"
	"github.com/stretchr/testify/require"
)

// TestCarefulProducerLosesNothing has producers that keep one record per key in
// flight and repeat what failed, among all faults at once. The oracle must find
// each record, in order, and the duplicates of the ambiguous failures.
func TestCarefulProducerLosesNothing(t *testing.T) {
	t.Parallel()
	const producers, keys, rounds = 4, 8, 100
	put := func(kind kinesistest.Kind, code string, rate float64) kinesistest.Fault {
		return kinesistest.Fault{Kind: kind, Code: code, Op: "PutRecords", Delay: time.Microsecond, Rate: rate}
	}
	srv := kinesistest.Start(t, withStream(kinesistest.Config{Faults: kinesistest.Plan{Seed: 7, Faults: []kinesistest.Fault{
		put(kinesistest.Slow, "", 0.1),
		put(kinesistest.FailCall, kinesistest.CodeThrottling, 0.02),
		put(kinesistest.FailCallAfter, "", 0.02),
		put(kinesistest.ResetBefore, "", 0.02),
		put(kinesistest.ResetAfter, "", 0.02),
		put(kinesistest.Truncate, "", 0.02),
		put(kinesistest.FailRecord, kinesistest.CodeThroughputExceeded, 0.05),
		put(kinesistest.FailRecord, "", 0.01),
		{Kind: kinesistest.SplitShard, Skip: 500, Times: 3, Rate: 0.01},
	}}}, "s", 2))
	var ledger kinesistest.Ledger
	var wg sync.WaitGroup
	for p := range producers {
		wg.Go(func() {
			client := srv.Client(once)
			for round := range rounds {
				var pending []types.PutRecordsRequestEntry
				for k := range keys {
					key, data := fmt.Sprintf("%d/%d", p, k), fmt.Append(nil, round)
					ledger.Sent(key, data)
					pending = append(pending, types.PutRecordsRequestEntry{Data: data, PartitionKey: &key})
				}
				for len(pending) > 0 {
					out, err := client.PutRecords(t.Context(), &kinesis.PutRecordsInput{StreamName: new("s"), Records: pending})
					if err != nil {
						continue
					}
					var failed []types.PutRecordsRequestEntry
					for i, r := range out.Records {
						if r.ErrorCode != nil {
							failed = append(failed, pending[i])
						}
					}
					pending = failed
				}
			}
		})
	}
	wg.Wait()
	for _, hits := range srv.FaultHits() {
		require.Positive(t, hits)
	}
	var consumed []kinesistest.UserRecord
	for u, err := range kinesistest.Consume(t.Context(), srv.Client(), "s", kinesistest.ConsumeConfig{}) {
		require.NoError(t, err)
		consumed = append(consumed, u)
	}
	rep := ledger.Check(consumed)
	require.NoError(t, rep.Err())
	require.Equal(t, producers*keys*rounds, rep.Arrived)
	require.Positive(t, rep.Duplicates)
	require.Equal(t, rep, ledger.Check(srv.UserRecords("s")))
	stats := srv.Stats("s")
	require.EqualValues(t, rep.Arrived+rep.Duplicates, stats.Records)
	require.Len(t, stats.Shards, 2+3*2)
}
