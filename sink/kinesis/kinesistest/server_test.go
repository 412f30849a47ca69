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
