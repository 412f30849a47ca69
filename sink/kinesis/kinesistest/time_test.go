package kinesistest_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/sluiceio/sluice/sink/kinesis/kinesistest"
	"github.com/stretchr/testify/require"
)

// bubble runs f in a synctest bubble with a server without a socket.
func bubble(t *testing.T, cfg kinesistest.Config, f func(*testing.T, *kinesistest.Server)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg.NoSocket = true
		f(t, kinesistest.Start(t, cfg))
	})
}

// failedOf puts n records of size bytes, keys included, and counts refusals.
func failedOf(t *testing.T, srv *kinesistest.Server, n, size int) int {
	t.Helper()
	in := &kinesis.PutRecordsInput{StreamName: new("s")}
	for range n {
		in.Records = append(in.Records, types.PutRecordsRequestEntry{Data: make([]byte, size-1), PartitionKey: new("k")})
	}
	out, err := srv.PutRecords(t.Context(), in)
	require.NoError(t, err)
	for _, r := range out.Records {
		if r.ErrorCode != nil {
			require.Equal(t, kinesistest.CodeThroughputExceeded, *r.ErrorCode)
			require.Equal(t, "Rate exceeded for shard shardId-000000000000 in stream s under account 123456789012.", *r.ErrorMessage)
		}
	}
	return int(*out.FailedRecordCount)
}

func TestShardTakes1000RecordsPerSecond(t *testing.T) {
	bubble(t, withStream(kinesistest.Config{Limits: kinesistest.Limits{Throughput: true}}, "s", 1), func(t *testing.T, srv *kinesistest.Server) {
		require.Equal(t, 0, failedOf(t, srv, 500, 10))
		require.Equal(t, 0, failedOf(t, srv, 500, 10))
		require.Equal(t, 1, failedOf(t, srv, 1, 10))
		time.Sleep(100 * time.Millisecond)
		require.Equal(t, 400, failedOf(t, srv, 500, 10))
		require.EqualValues(t, 401, srv.Stats("s").Throttled)
	})
}

func TestShardTakes1MiBPerSecond(t *testing.T) {
	bubble(t, withStream(kinesistest.Config{Limits: kinesistest.Limits{Throughput: true}}, "s", 1), func(t *testing.T, srv *kinesistest.Server) {
		require.Equal(t, 2, failedOf(t, srv, 10, 128<<10))
		require.Equal(t, 1, failedOf(t, srv, 1, 1))
		time.Sleep(time.Second / 2)
		require.Equal(t, 6, failedOf(t, srv, 10, 128<<10))
		// A large record is refused while a small one behind it is taken.
		time.Sleep(time.Second / 16)
		require.Equal(t, 1, failedOf(t, srv, 1, 128<<10))
		require.Equal(t, 0, failedOf(t, srv, 1, 64<<10))
	})
}

func TestShardIsRead5TimesPerSecond(t *testing.T) {
	bubble(t, withStream(kinesistest.Config{Limits: kinesistest.Limits{Throughput: true}}, "s", 1), func(t *testing.T, srv *kinesistest.Server) {
		it, err := srv.GetShardIterator(t.Context(), &kinesis.GetShardIteratorInput{
			StreamName: new("s"), ShardId: new("shardId-000000000000"), ShardIteratorType: types.ShardIteratorTypeTrimHorizon,
		})
		require.NoError(t, err)
		get := func() error {
			_, err := srv.GetRecords(t.Context(), &kinesis.GetRecordsInput{ShardIterator: it.ShardIterator})
			return err
		}
		var throttled *types.ProvisionedThroughputExceededException
		for range 5 {
			require.NoError(t, get())
		}
		require.ErrorAs(t, get(), &throttled)
		time.Sleep(200 * time.Millisecond)
		require.NoError(t, get())
		// 4 MiB at once are paid for in the second after.
		for range 4 {
			failedOf(t, srv, 1, 1<<20)
			time.Sleep(time.Second)
		}
		require.NoError(t, get())
		require.ErrorAs(t, get(), &throttled)
		time.Sleep(900 * time.Millisecond)
		require.ErrorAs(t, get(), &throttled)
		time.Sleep(200 * time.Millisecond)
		require.NoError(t, get())
	})
}

func TestControlPlaneRates(t *testing.T) {
	bubble(t, withStream(kinesistest.Config{Limits: kinesistest.Limits{ControlPlane: true}}, "s", 1), func(t *testing.T, srv *kinesistest.Server) {
		describe := func() error {
			_, err := srv.DescribeStreamSummary(t.Context(), &kinesis.DescribeStreamSummaryInput{StreamName: new("s")})
			return err
		}
		for range 20 {
			require.NoError(t, describe())
		}
		var limit *types.LimitExceededException
		require.ErrorAs(t, describe(), &limit)
		time.Sleep(50 * time.Millisecond)
		require.NoError(t, describe())
		update := func(n int32) error {
			_, err := srv.UpdateShardCount(t.Context(), &kinesis.UpdateShardCountInput{StreamName: new("s"), TargetShardCount: &n, ScalingType: types.ScalingTypeUniformScaling})
			return err
		}
		for i := range 10 {
			require.NoError(t, update(int32(1+(i+1)%2)))
		}
		require.ErrorAs(t, update(2), &limit)
		time.Sleep(24 * time.Hour)
		require.NoError(t, update(2))
	})
}

func TestOnDemandGrowsToTwiceItsPeak(t *testing.T) {
	cfg := kinesistest.Config{
		Limits:  kinesistest.Limits{Throughput: true},
		Streams: []kinesistest.StreamConfig{{Name: "s", OnDemand: true}}, MaxShardRecords: 1,
	}
	bubble(t, cfg, func(t *testing.T, srv *kinesistest.Server) {
		put := func() (stored int) {
			in := &kinesis.PutRecordsInput{StreamName: new("s")}
			for i := range 64 { // 8 MiB, evenly spread
				in.Records = append(in.Records, types.PutRecordsRequestEntry{
					Data: make([]byte, 128<<10-3), PartitionKey: new("key"), ExplicitHashKey: new(fmt.Sprintf("%d%036d", 1+i*5, 0)),
				})
			}
			out, err := srv.PutRecords(t.Context(), in)
			require.NoError(t, err)
			return len(out.Records) - int(*out.FailedRecordCount)
		}
		open := func() int32 {
			sum, err := srv.DescribeStreamSummary(t.Context(), &kinesis.DescribeStreamSummaryInput{StreamName: new("s")})
			require.NoError(t, err)
			return *sum.StreamDescriptionSummary.OpenShardCount
		}
		require.Equal(t, 32, put(), "4 MiB/s at first")
		require.EqualValues(t, 4, open())
		for range 61 {
			time.Sleep(time.Second)
			put()
		}
		time.Sleep(15 * time.Minute)
		put()
		require.EqualValues(t, 8, open(), "twice the peak of 4 MiB/s")
		time.Sleep(time.Second)
		require.Greater(t, put(), 50)
	})
}

func TestStatesTakeTheirTime(t *testing.T) {
	cfg := kinesistest.Config{CreateDelay: 10 * time.Second, UpdateDelay: 5 * time.Second, DeleteDelay: 3 * time.Second}
	bubble(t, cfg, func(t *testing.T, srv *kinesistest.Server) {
		ctx, name := t.Context(), new("s")
		_, err := srv.CreateStream(ctx, &kinesis.CreateStreamInput{StreamName: name, ShardCount: new(int32(1))})
		require.NoError(t, err)
		status := func() types.StreamStatus {
			out, err := srv.DescribeStream(ctx, &kinesis.DescribeStreamInput{StreamName: name})
			require.NoError(t, err)
			return out.StreamDescription.StreamStatus
		}
		put := func() error {
			_, err := srv.PutRecord(ctx, &kinesis.PutRecordInput{StreamName: name, Data: []byte("d"), PartitionKey: new("k")})
			return err
		}
		split := func() error {
			_, err := srv.SplitShard(ctx, &kinesis.SplitShardInput{StreamName: name, ShardToSplit: new("shardId-000000000000"), NewStartingHashKey: new("1000")})
			return err
		}
		var notFound *types.ResourceNotFoundException
		var inUse *types.ResourceInUseException
		require.Equal(t, types.StreamStatusCreating, status())
		require.ErrorAs(t, put(), &notFound)
		require.ErrorAs(t, split(), &inUse)
		time.Sleep(10 * time.Second)
		require.Equal(t, types.StreamStatusActive, status())
		require.NoError(t, put())
		require.NoError(t, split())
		require.Equal(t, types.StreamStatusUpdating, status())
		require.NoError(t, put(), "writing goes on while UPDATING")
		require.ErrorAs(t, split(), &inUse)
		time.Sleep(5 * time.Second)
		require.Equal(t, types.StreamStatusActive, status())
		require.NoError(t, put())
		require.Equal(t, "shardId-000000000002", srv.Records("s")[2].ShardID)
		_, err = srv.DeleteStream(ctx, &kinesis.DeleteStreamInput{StreamName: name})
		require.NoError(t, err)
		require.Equal(t, types.StreamStatusDeleting, status())
		require.ErrorAs(t, put(), &notFound)
		time.Sleep(3 * time.Second)
		_, err = srv.DescribeStream(ctx, &kinesis.DescribeStreamInput{StreamName: name})
		require.ErrorAs(t, err, &notFound)
		_, err = srv.CreateStream(ctx, &kinesis.CreateStreamInput{StreamName: name, ShardCount: new(int32(1))})
		require.NoError(t, err)
	})
}

func TestIteratorsAndTokensExpire(t *testing.T) {
	bubble(t, withStream(kinesistest.Config{}, "s", 2), func(t *testing.T, srv *kinesistest.Server) {
		it, err := srv.GetShardIterator(t.Context(), &kinesis.GetShardIteratorInput{
			StreamName: new("s"), ShardId: new("shardId-000000000000"), ShardIteratorType: types.ShardIteratorTypeLatest,
		})
		require.NoError(t, err)
		page, err := srv.ListShards(t.Context(), &kinesis.ListShardsInput{StreamName: new("s"), MaxResults: new(int32(1))})
		require.NoError(t, err)
		use := func() (get, list error) {
			_, get = srv.GetRecords(t.Context(), &kinesis.GetRecordsInput{ShardIterator: it.ShardIterator})
			_, list = srv.ListShards(t.Context(), &kinesis.ListShardsInput{NextToken: page.NextToken})
			return get, list
		}
		time.Sleep(300 * time.Second)
		get, list := use()
		require.NoError(t, get)
		require.NoError(t, list)
		time.Sleep(time.Second)
		get, list = use()
		var expired *types.ExpiredIteratorException
		var token *types.ExpiredNextTokenException
		require.ErrorAs(t, get, &expired)
		require.ErrorAs(t, list, &token)
	})
}

func TestRetention(t *testing.T) {
	bubble(t, withStream(kinesistest.Config{}, "s", 1), func(t *testing.T, srv *kinesistest.Server) {
		failedOf(t, srv, 3, 10)
		_, err := srv.SplitShard(t.Context(), &kinesis.SplitShardInput{StreamName: new("s"), ShardToSplit: new("shardId-000000000000"), NewStartingHashKey: new("1000")})
		require.NoError(t, err)
		time.Sleep(12 * time.Hour)
		failedOf(t, srv, 2, 10)
		shards := func() int {
			out, err := srv.ListShards(t.Context(), &kinesis.ListShardsInput{StreamName: new("s")})
			require.NoError(t, err)
			return len(out.Shards)
		}
		require.Len(t, srv.Records("s"), 5)
		require.Equal(t, 3, shards())
		time.Sleep(12*time.Hour + time.Second)
		require.Len(t, srv.Records("s"), 2)
		require.Equal(t, 2, shards(), "the parent expires with its records")
		require.EqualValues(t, 5, srv.Stats("s").Records)
	})
}

// TestClockOfOnesOwn needs no bubble, so it can have a socket.
func TestClockOfOnesOwn(t *testing.T) {
	t.Parallel()
	var clock atomic.Int64
	srv := kinesistest.Start(t, withStream(kinesistest.Config{
		Limits: kinesistest.Limits{Throughput: true, ShardRecords: 2, ShardBytes: 100, BurstBytes: 1000},
		Now:    func() time.Time { return time.Unix(clock.Load(), 0) },
	}, "s", 1))
	require.Equal(t, 1, failedOf(t, srv, 3, 400))
	clock.Add(1)
	require.Equal(t, 1, failedOf(t, srv, 2, 250))
	clock.Add(1000)
	require.Equal(t, 0, failedOf(t, srv, 1, 1000))
	out, err := putKeys(t.Context(), srv.Client(once), "k")
	require.NoError(t, err)
	require.EqualValues(t, 1, *out.FailedRecordCount)
	require.Equal(t, int64(1001), srv.Records("s")[3].Arrival.Unix())
}
