package kinesistest_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/sluiceio/sluice/sink/kinesis/kinesistest"
	"github.com/stretchr/testify/require"
)

// fill puts n records with different data.
func fill(t *testing.T, srv *kinesistest.Server, stream string, from, n int) {
	t.Helper()
	for i := from; i < from+n; i++ {
		_, err := srv.PutRecord(t.Context(), &kinesis.PutRecordInput{StreamName: &stream, Data: fmt.Append(nil, i), PartitionKey: new(fmt.Sprint("k", i))})
		require.NoError(t, err)
	}
}

func TestDirKeepsEverything(t *testing.T) {
	t.Parallel()
	cfg := withStream(kinesistest.Config{NoSocket: true, Dir: t.TempDir(), UpdateDelay: time.Hour}, "s", 2)
	srv, err := kinesistest.New(cfg)
	require.NoError(t, err)
	fill(t, srv, "s", 0, 3000)
	_, err = srv.AddTagsToStream(t.Context(), &kinesis.AddTagsToStreamInput{StreamName: new("s"), Tags: map[string]string{"a": "b"}})
	require.NoError(t, err)
	_, err = srv.SplitShard(t.Context(), &kinesis.SplitShardInput{StreamName: new("s"), ShardToSplit: new("shardId-000000000001"), NewStartingHashKey: new("270000000000000000000000000000000000000")})
	require.NoError(t, err)
	before := srv.Records("s")
	require.NoError(t, srv.Close())

	srv = kinesistest.Start(t, cfg)
	require.Equal(t, before, srv.Records("s"))
	fill(t, srv, "s", 3000, 100)
	after := srv.Records("s")
	require.Len(t, after, 3100)
	seen := map[string]bool{}
	for _, r := range after {
		require.False(t, seen[r.SequenceNumber], "sequence numbers go on")
		seen[r.SequenceNumber] = true
	}
	require.Equal(t, "shardId-000000000003", after[len(after)-1].ShardID, "the split under way was finished")
	tags, err := srv.ListTagsForStream(t.Context(), &kinesis.ListTagsForStreamInput{StreamName: new("s")})
	require.NoError(t, err)
	require.Len(t, tags.Tags, 1)
}

func TestDirAfterAKill(t *testing.T) {
	t.Parallel()
	cfg := withStream(kinesistest.Config{NoSocket: true, Dir: t.TempDir()}, "s", 1)
	killed, err := kinesistest.New(cfg)
	require.NoError(t, err)
	fill(t, killed, "s", 0, 10)
	// A write that was cut off.
	logs, err := filepath.Glob(filepath.Join(cfg.Dir, "stream-s", "*.log"))
	require.NoError(t, err)
	require.Len(t, logs, 1)
	info, err := os.Stat(logs[0])
	require.NoError(t, err)
	require.NoError(t, os.Truncate(logs[0], info.Size()-1))

	srv := kinesistest.Start(t, cfg)
	require.Equal(t, killed.Records("s")[:9], srv.Records("s"))
	fill(t, srv, "s", 10, 1)
	require.NoError(t, srv.Close())
	require.Len(t, kinesistest.Start(t, cfg).Records("s"), 10)
	require.NoError(t, killed.Close())
}

func TestDirIsBoundedToo(t *testing.T) {
	t.Parallel()
	cfg := withStream(kinesistest.Config{NoSocket: true, Dir: t.TempDir(), MaxShardRecords: 100}, "s", 1)
	srv, err := kinesistest.New(cfg)
	require.NoError(t, err)
	fill(t, srv, "s", 0, 5000)
	before := srv.Records("s")
	require.Len(t, before, 100)
	logs, err := filepath.Glob(filepath.Join(cfg.Dir, "stream-s", "*.log"))
	require.NoError(t, err)
	require.LessOrEqual(t, len(logs), 2)
	require.NoError(t, srv.Close())
	srv = kinesistest.Start(t, cfg)
	require.Equal(t, before, srv.Records("s"))
	_, err = srv.DeleteStream(t.Context(), &kinesis.DeleteStreamInput{StreamName: new("s")})
	require.NoError(t, err)
	left, err := os.ReadDir(cfg.Dir)
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestRetentionBoundsMemory(t *testing.T) {
	t.Parallel()
	srv := kinesistest.Start(t, withStream(kinesistest.Config{NoSocket: true, MaxShardBytes: 10_000}, "s", 1))
	in := &kinesis.PutRecordInput{StreamName: new("s"), Data: make([]byte, 999), PartitionKey: new("k")}
	for range 50 {
		_, err := srv.PutRecord(t.Context(), in)
		require.NoError(t, err)
	}
	require.Len(t, srv.Records("s"), 10)
	stats := srv.Stats("s")
	require.EqualValues(t, 50, stats.Records)
	require.EqualValues(t, 50_000, stats.Bytes)
	require.EqualValues(t, 50, stats.PayloadUnits)
	require.EqualValues(t, 50, stats.OnDemandKiB)
	require.EqualValues(t, 50, stats.Shards["shardId-000000000000"].Records)
	// A consumer that fell behind goes on with the oldest record kept.
	it, err := srv.GetShardIterator(t.Context(), &kinesis.GetShardIteratorInput{
		StreamName: new("s"), ShardId: new("shardId-000000000000"), ShardIteratorType: types.ShardIteratorTypeTrimHorizon,
	})
	require.NoError(t, err)
	for range 50 {
		_, err := srv.PutRecord(t.Context(), in)
		require.NoError(t, err)
	}
	got, err := srv.GetRecords(t.Context(), &kinesis.GetRecordsInput{ShardIterator: it.ShardIterator})
	require.NoError(t, err)
	require.Len(t, got.Records, 10)
}
