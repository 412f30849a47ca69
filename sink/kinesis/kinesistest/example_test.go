package kinesistest_test

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/sluiceio/sluice/sink/kinesis/kinesistest"
)

// start is kinesistest.Start for examples, which have no testing.TB.
func start(cfg kinesistest.Config) *kinesistest.Server {
	srv, err := kinesistest.New(cfg)
	if err != nil {
		panic(err)
	}
	return srv
}

func Example() {
	srv := start(kinesistest.Config{Streams: []kinesistest.StreamConfig{{Name: "events", Shards: 2}}})
	defer srv.Close()
	client := srv.Client() // *kinesis.Client of the AWS SDK
	_, err := client.PutRecord(context.Background(), &kinesis.PutRecordInput{
		StreamName: aws.String("events"), PartitionKey: aws.String("device-1"), Data: []byte("21.5"),
	})
	if err != nil {
		fmt.Println(err)
	}
	for _, r := range srv.UserRecords("events") {
		fmt.Printf("%s %s=%s\n", r.ShardID, r.PartitionKey, r.Data)
	}
	// Output: shardId-000000000001 device-1=21.5
}

// A producer is tested best where things go wrong.
func ExampleServer_SetFaults() {
	srv := start(kinesistest.Config{Streams: []kinesistest.StreamConfig{{Name: "events"}}})
	defer srv.Close()
	err := srv.SetFaults(kinesistest.Plan{Seed: 1, Faults: []kinesistest.Fault{
		{Kind: kinesistest.FailRecord, Code: kinesistest.CodeThroughputExceeded, Key: "b", Times: 1},
		{Kind: kinesistest.Slow, Delay: time.Millisecond, Op: "Put*", Rate: 0.1},
	}})
	if err != nil {
		fmt.Println(err)
	}
	in := &kinesis.PutRecordsInput{StreamName: aws.String("events")}
	for _, key := range []string{"a", "b", "c"} {
		in.Records = append(in.Records, types.PutRecordsRequestEntry{Data: []byte("data"), PartitionKey: aws.String(key)})
	}
	out, err := srv.Client().PutRecords(context.Background(), in)
	fmt.Println(*out.FailedRecordCount, "failed:", *out.Records[1].ErrorMessage, err)
	fmt.Println(len(srv.Records("events")), "stored")
	// Output:
	// 1 failed: Rate exceeded for shard shardId-000000000000 in stream events under account 123456789012. <nil>
	// 2 stored
}

// A Ledger finds what got lost, came twice or overtook.
func ExampleLedger() {
	srv := start(kinesistest.Config{NoSocket: true, Streams: []kinesistest.StreamConfig{{Name: "events"}}})
	defer srv.Close()
	var ledger kinesistest.Ledger
	for i := range 3 {
		ledger.Sent("device-1", fmt.Append(nil, "reading ", i))
	}
	for _, i := range []int{1, 0, 0} { // A bad producer.
		_, err := srv.PutRecord(context.Background(), &kinesis.PutRecordInput{
			StreamName: aws.String("events"), PartitionKey: aws.String("device-1"), Data: fmt.Append(nil, "reading ", i),
		})
		if err != nil {
			fmt.Println(err)
		}
	}
	report := ledger.Check(srv.UserRecords("events"))
	fmt.Println(report.Duplicates, "duplicates")
	fmt.Println(report.Err())
	// Output:
	// 1 duplicates
	// kinesistest: 1 records lost, of 3 sent; first: [{"device-1" "reading 2"}]
	// kinesistest: 1 records out of order, of 3 sent; first: [{"device-1" "reading 0"}]
}

func ExampleConsume() {
	srv := start(kinesistest.Config{Streams: []kinesistest.StreamConfig{{Name: "events"}}})
	defer srv.Close()
	ctx := context.Background()
	client := srv.Client()
	put := func(data string) error {
		_, err := client.PutRecord(ctx, &kinesis.PutRecordInput{
			StreamName: aws.String("events"), PartitionKey: aws.String("device-1"), Data: []byte(data),
		})
		return err
	}
	err := put("before the split")
	if err == nil {
		_, err = client.UpdateShardCount(ctx, &kinesis.UpdateShardCountInput{
			StreamName: aws.String("events"), TargetShardCount: aws.Int32(2), ScalingType: types.ScalingTypeUniformScaling,
		})
	}
	if err == nil {
		err = put("after the split")
	}
	if err != nil {
		fmt.Println(err)
	}
	for r, err := range kinesistest.Consume(ctx, client, "events", kinesistest.ConsumeConfig{}) {
		fmt.Println(r.ShardID, string(r.Data), err)
	}
	// Output:
	// shardId-000000000000 before the split <nil>
	// shardId-000000000002 after the split <nil>
}

func ExampleServer_Stats() {
	srv := start(kinesistest.Config{NoSocket: true, Streams: []kinesistest.StreamConfig{{Name: "events"}}})
	defer srv.Close()
	for range 10 {
		_, err := srv.PutRecord(context.Background(), &kinesis.PutRecordInput{
			StreamName: aws.String("events"), PartitionKey: aws.String("k"), Data: make([]byte, 30_000),
		})
		if err != nil {
			fmt.Println(err)
		}
	}
	stats := srv.Stats("events")
	fmt.Println(stats.Records, "records,", stats.Bytes, "bytes,", stats.PayloadUnits, "payload units,", stats.OnDemandKiB, "on-demand KiB")
	// Output: 10 records, 300010 bytes, 20 payload units, 300 on-demand KiB
}
