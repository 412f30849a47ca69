package kinesistest_test

import (
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/sluiceio/sluice/sink/kinesis/kinesistest"
	"github.com/stretchr/testify/require"
)

// ways are the ways to reach a server.
var ways = map[string]kinesistest.Config{
	"HTTP":      {},
	"TLS":       {TLS: true},
	"no socket": {NoSocket: true},
}

func withStream(cfg kinesistest.Config, name string, shards int) kinesistest.Config {
	cfg.Streams = append(cfg.Streams, kinesistest.StreamConfig{Name: name, Shards: shards})
	return cfg
}

func TestPutAndGetThroughTheSDK(t *testing.T) {
	t.Parallel()
	for name, cfg := range ways {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := kinesistest.Start(t, withStream(cfg, "events", 2))
			client := srv.Client()
			in := &kinesis.PutRecordsInput{StreamName: new("events")}
			for i := range 20 {
				in.Records = append(in.Records, types.PutRecordsRequestEntry{
					Data: fmt.Appendf(nil, "data %d", i), PartitionKey: new(fmt.Sprintf("käy \"%d\"", i)),
				})
			}
			put, err := client.PutRecords(t.Context(), in)
			require.NoError(t, err)
			require.Zero(t, *put.FailedRecordCount)
			require.Len(t, put.Records, 20)
			seen := map[string]string{}
			for i := range 2 {
				it, err := client.GetShardIterator(t.Context(), &kinesis.GetShardIteratorInput{
					StreamName: new("events"), ShardId: new(fmt.Sprintf("shardId-%012d", i)), ShardIteratorType: types.ShardIteratorTypeTrimHorizon,
				})
				require.NoError(t, err)
				got, err := client.GetRecords(t.Context(), &kinesis.GetRecordsInput{ShardIterator: it.ShardIterator})
				require.NoError(t, err)
				require.NotNil(t, got.NextShardIterator)
				for _, r := range got.Records {
					seen[*r.PartitionKey] = string(r.Data)
				}
			}
			require.Len(t, seen, 20)
			require.Equal(t, "data 7", seen[`käy "7"`])
		})
	}
}

func TestARNs(t *testing.T) {
	t.Parallel()
	srv := kinesistest.Start(t, withStream(kinesistest.Config{NoSocket: true, AccountID: "000000000001", Region: "eu-west-1"}, "s", 1))
	describe := func(name, arn *string) error {
		_, err := srv.DescribeStreamSummary(t.Context(), &kinesis.DescribeStreamSummaryInput{StreamName: name, StreamARN: arn})
		return err
	}
	const own = "arn:aws:kinesis:eu-west-1:000000000001:stream/s"
	require.NoError(t, describe(nil, new(own)))
	require.NoError(t, describe(new("s"), new(own)))
	var notFound *types.ResourceNotFoundException
	require.ErrorAs(t, describe(nil, new("arn:aws:kinesis:eu-west-2:000000000001:stream/s")), &notFound)
	require.ErrorAs(t, describe(nil, new("arn:aws:kinesis:eu-west-1:000000000002:stream/s")), &notFound)
	var invalid *types.InvalidArgumentException
	require.ErrorAs(t, describe(new("other"), new(own)), &invalid)
	var bad *types.ValidationException
	require.ErrorAs(t, describe(nil, nil), &bad)
	require.ErrorAs(t, describe(nil, new("arn:aws:sqs:queue")), &bad)
	require.Equal(t, "eu-west-1", srv.AWSConfig().Region)
}

func TestDryRun(t *testing.T) {
	t.Parallel()
	srv := kinesistest.Start(t, withStream(kinesistest.Config{NoSocket: true}, "s", 1))
	var ok *types.DryRunOperationException
	_, err := srv.PutRecord(t.Context(), &kinesis.PutRecordInput{StreamName: new("s"), PartitionKey: new("k"), Data: []byte("d"), DryRun: new(true)})
	require.ErrorAs(t, err, &ok)
	in := &kinesis.GetShardIteratorInput{StreamName: new("s"), ShardId: new("shardId-000000000000"), ShardIteratorType: types.ShardIteratorTypeLatest, DryRun: new(true)}
	_, err = srv.GetShardIterator(t.Context(), in)
	require.ErrorAs(t, err, &ok)
	in.DryRun = nil
	it, err := srv.GetShardIterator(t.Context(), in)
	require.NoError(t, err)
	_, err = srv.GetRecords(t.Context(), &kinesis.GetRecordsInput{ShardIterator: it.ShardIterator, DryRun: new(true)})
	require.ErrorAs(t, err, &ok)
	require.Empty(t, srv.Records("s"))
	// What would fail anyway, fails as it would.
	var notFound *types.ResourceNotFoundException
	_, err = srv.PutRecord(t.Context(), &kinesis.PutRecordInput{StreamName: new("nobody"), PartitionKey: new("k"), Data: []byte("d"), DryRun: new(true)})
	require.ErrorAs(t, err, &notFound)
}

// TestShardsOfAnAccount counts those of all streams against the quota.
func TestShardsOfAnAccount(t *testing.T) {
	t.Parallel()
	srv := kinesistest.Start(t, withStream(kinesistest.Config{NoSocket: true, ShardLimit: 5}, "s", 4))
	var limit *types.LimitExceededException
	_, err := srv.CreateStream(t.Context(), &kinesis.CreateStreamInput{StreamName: new("t"), ShardCount: new(int32(2))})
	require.ErrorAs(t, err, &limit)
	update := func(n int32) error {
		_, err := srv.UpdateShardCount(t.Context(), &kinesis.UpdateShardCountInput{StreamName: new("s"), TargetShardCount: &n, ScalingType: types.ScalingTypeUniformScaling})
		return err
	}
	require.ErrorAs(t, update(6), &limit)
	require.NoError(t, update(5))
}

// TestDataIsCopied lets a caller of the methods reuse its memory.
func TestDataIsCopied(t *testing.T) {
	t.Parallel()
	srv := kinesistest.Start(t, withStream(kinesistest.Config{NoSocket: true}, "s", 1))
	data := []byte("first")
	put := &kinesis.PutRecordInput{StreamName: new("s"), PartitionKey: new("k"), Data: data}
	_, err := srv.PutRecord(t.Context(), put)
	require.NoError(t, err)
	_, err = srv.PutRecords(t.Context(), &kinesis.PutRecordsInput{StreamName: new("s"), Records: []types.PutRecordsRequestEntry{{Data: data, PartitionKey: new("k")}}})
	require.NoError(t, err)
	copy(data, "later")
	for _, r := range srv.Records("s") {
		require.Equal(t, "first", string(r.Data))
	}
}
