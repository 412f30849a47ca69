package kinesis_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/bridge/bridgetest"
	"github.com/sluiceio/sluice/sink/kinesis"
	"github.com/sluiceio/sluice/sink/kinesis/kinesistest"
)

// onlyPuts denies everything but puts.
var onlyPuts = kinesistest.Plan{Faults: []kinesistest.Fault{
	{Kind: kinesistest.FailCall, Op: "Describe*", Code: kinesistest.CodeAccessDenied},
	{Kind: kinesistest.FailCall, Op: "List*", Code: kinesistest.CodeAccessDenied},
}}

// onDemand returns a server with an on-demand stream, and a sink that may only put.
func onDemand(t *testing.T, cfg kinesis.Config) (*kinesistest.Server, *kinesis.Sink) {
	t.Helper()
	srv := kinesistest.Start(t, kinesistest.Config{
		NoSocket: true, Logger: slog.New(slog.DiscardHandler),
		Streams: []kinesistest.StreamConfig{{Name: "s", OnDemand: true}},
	})
	require.NoError(t, srv.SetFaults(onlyPuts))
	cfg.Stream, cfg.Client, cfg.Logger = "s", srv.Client(), slog.New(slog.DiscardHandler)
	s, err := kinesis.New(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close(context.Background())) })
	return srv, s
}

func distribute(t *testing.T, srv *kinesistest.Server, how types.RecordDistributionStrategy) {
	t.Helper()
	_, err := srv.UpdateStreamRecordDistributionStrategy(t.Context(), &sdk.UpdateStreamRecordDistributionStrategyInput{
		StreamARN: aws.String("arn:aws:kinesis:us-east-1:123456789012:stream/s"), RecordDistributionStrategy: how,
	})
	require.NoError(t, err)
}

// batch makes n records of different keys, sorted by lane.
func batch(s *kinesis.Sink, round, n int) *bridge.Batch {
	b := new(bridge.Batch)
	for i := range n {
		r := bridge.Record{Key: fmt.Appendf(nil, "k%d", i), Data: fmt.Append(nil, round)}
		r.Lane, _ = s.Lane(&r)
		b.Add(r)
	}
	slices.SortStableFunc(b.Records, func(x, y bridge.Record) int { return int(x.Lane>>32) - int(y.Lane>>32) })
	return b
}

// aggregated counts the records that are in aggregates.
func aggregated(srv *kinesistest.Server) (n int) {
	for _, r := range srv.UserRecords("s") {
		if r.Aggregated {
			n++
		}
	}
	return n
}

// TestAutoIsNoticedFromReplies changes a stream to AUTO under a sink that may not
// describe it: it stops within a second, and goes on when keys count again.
func TestAutoIsNoticedFromReplies(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		cfg kinesis.Config
		n   int
	}{
		"aggregated":           {kinesis.Config{Aggregate: true}, 200},
		"aggregated, one key":  {kinesis.Config{Aggregate: true}, 1},
		"aggregated, relaxed":  {kinesis.Config{Aggregate: true, Ordering: kinesis.Relaxed}, 200},
		"strict":               {kinesis.Config{}, 200},
		"strict, one key":      {kinesis.Config{}, 1},
		"strict, several keys": {kinesis.Config{}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				srv, s := onDemand(t, tc.cfg)
				require.NoError(t, s.Open(t.Context()))
				write := func(round int) error {
					time.Sleep(20 * time.Millisecond) // what a request takes
					return bridgetest.Write(t.Context(), s, batch(s, round, tc.n))
				}
				for round := range 100 {
					require.NoError(t, write(round))
				}
				distribute(t, srv, types.RecordDistributionStrategyAuto)
				changed := time.Now()
				var err error
				for round := 0; !errors.Is(err, kinesis.ErrAutoDistribution); round++ {
					err = write(round)
				}
				require.ErrorIs(t, err, bridge.ErrUnavailable)
				require.LessOrEqual(t, time.Since(changed), time.Second)
				require.ErrorIs(t, s.Check(t.Context()), kinesis.ErrAutoDistribution)

				// It is tried again after a while, with nothing that a consumer would drop.
				time.Sleep(5 * time.Minute)
				before := aggregated(srv)
				for err = nil; !errors.Is(err, kinesis.ErrAutoDistribution); {
					err = write(0)
				}
				require.Equal(t, before, aggregated(srv))

				distribute(t, srv, types.RecordDistributionStrategyUserPartitionKey)
				time.Sleep(5 * time.Minute)
				for range 600 { // beyond the trial
					_ = write(0)
				}
				for round := range 10 {
					require.NoError(t, write(round))
				}
				require.NoError(t, s.Check(t.Context()))
			})
		})
	}
}

// TestAutoIsBelievedWhenDescribed notices by the replies what the description says
// only minutes later.
func TestAutoIsBelievedWhenDescribed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv, s := onDemand(t, kinesis.Config{Aggregate: true})
		require.NoError(t, srv.SetFaults(kinesistest.Plan{}))
		require.NoError(t, s.Open(t.Context()))
		require.NoError(t, bridgetest.Write(t.Context(), s, batch(s, 0, 200)))
		distribute(t, srv, types.RecordDistributionStrategyAuto)
		changed := time.Now()
		for round := 0; ; round++ {
			time.Sleep(20 * time.Millisecond)
			if err := bridgetest.Write(t.Context(), s, batch(s, round, 200)); errors.Is(err, kinesis.ErrAutoDistribution) {
				break
			}
		}
		require.LessOrEqual(t, time.Since(changed), time.Second)
		synctest.Wait()
		distribute(t, srv, types.RecordDistributionStrategyUserPartitionKey)
		time.Sleep(5*time.Minute + time.Second)
		require.Error(t, bridgetest.Write(t.Context(), s, batch(s, 0, 1)), "this one starts the refresh")
		synctest.Wait()
		require.NoError(t, bridgetest.Write(t.Context(), s, batch(s, 0, 200)))
	})
}

// TestReshardingIsNotAuto splits and merges all the time, and makes the stream anew,
// under a sink that may only put.
func TestReshardingIsNotAuto(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv, s := onDemand(t, kinesis.Config{Aggregate: true})
		create := func(shards int) {
			require.NoError(t, srv.SetFaults(kinesistest.Plan{}))
			_, err := srv.DeleteStream(t.Context(), &sdk.DeleteStreamInput{StreamName: aws.String("s")})
			require.NoError(t, err)
			_, err = srv.CreateStream(t.Context(), &sdk.CreateStreamInput{StreamName: aws.String("s"), ShardCount: aws.Int32(int32(shards))})
			require.NoError(t, err)
			require.NoError(t, srv.SetFaults(onlyPuts))
		}
		for n, shards := range []int{4, 3, 7, 2, 5, 16, 1, 8} {
			create(shards)
			for round, count := range []int{shards, 2 * shards, 3*shards/2 + 1, shards, shards/2 + 1} {
				_, err := srv.UpdateShardCount(t.Context(), &sdk.UpdateShardCountInput{
					StreamName: aws.String("s"), TargetShardCount: aws.Int32(int32(count)), ScalingType: types.ScalingTypeUniformScaling,
				})
				require.NoError(t, err)
				for range 40 {
					time.Sleep(20 * time.Millisecond)
					require.NotErrorIs(t, bridgetest.Write(t.Context(), s, batch(s, round, 100)), kinesis.ErrAutoDistribution, "%d %d", n, count)
				}
			}
			time.Sleep(time.Minute)
		}
	})
}
