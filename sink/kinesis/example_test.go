package kinesis_test

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/sink/kinesis"
	"github.com/sluiceio/sluice/sink/kinesis/kinesistest"
)

// A Sink usually stands at the end of a bridge.Pipeline, which retries what
// failed. This shows what it does with one batch.
func ExampleSink_Write() {
	server, err := kinesistest.New(kinesistest.Config{Streams: []kinesistest.StreamConfig{{Name: "readings"}}})
	if err != nil {
		panic(err)
	}
	defer server.Close()

	sink, err := kinesis.New(kinesis.Config{
		Endpoint: server.URL(), Region: "us-east-1", AccessKeyID: "test", SecretAccessKey: "test",
		Stream: "readings",
	})
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	defer sink.Close(ctx)

	var b bridge.Batch
	b.Add(bridge.Record{Key: []byte("kitchen"), Data: []byte(`{"temp":21}`)})
	b.Add(bridge.Record{Key: nil, Data: []byte(`{"temp":19}`)})
	err = sink.Write(ctx, &b)
	fmt.Println(err, b.Failed(), b.Err(&b.Records[1]))
	for _, r := range server.Records("readings") {
		fmt.Println(r.PartitionKey, string(r.Data))
	}
	// Output:
	// <nil> 1 kinesis: stream readings: the partition key is empty
	// kitchen {"temp":21}
}

// With nothing but a region and a stream, credentials come from the standard
// chain: environment, shared files, SSO, web identity, container, instance role.
func ExampleNew() {
	sink, err := kinesis.New(kinesis.Config{
		Region: "eu-central-1",
		Stream: "arn:aws:kinesis:eu-central-1:123456789012:stream/readings",
	})
	if err != nil {
		panic(err)
	}
	fmt.Println(sink.Limits().Records, "records per request,", sink.Limits().LaneRecords, "per key")
	// Output: 500 records per request, 1 per key
}

// Check says in plain words what is wrong.
func ExampleSink_Check() {
	server, err := kinesistest.New(kinesistest.Config{})
	if err != nil {
		panic(err)
	}
	defer server.Close()

	awsConfig := server.AWSConfig()
	sink, err := kinesis.New(kinesis.Config{AWS: &awsConfig, Stream: "readings"})
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	defer sink.Close(ctx)

	var e *kinesis.Error
	if errors.As(sink.Check(ctx), &e) {
		fmt.Println(e.Stream+":", strings.ReplaceAll(e.Hint, server.URL(), "region us-east-1"))
	}
	// Output: readings: there is no such stream in region us-east-1, or it is still being created
}

// A consumer takes aggregates apart; other records pass through.
func ExampleDeaggregate() {
	aggregate, _ := hex.DecodeString("f3899ac20a056465762d310a056465762d321a0908001a0568656c6c6f1a0908011a05776f726c64" +
		"1a0908001a05616761696ecdbb3f4ec26019aa8f96129e3989ea91")
	fromGetRecords := []types.Record{
		{PartitionKey: aws.String("dev-1"), SequenceNumber: aws.String("1"), Data: aggregate},
		{PartitionKey: aws.String("dev-3"), SequenceNumber: aws.String("2"), Data: []byte("plain")},
	}
	for r := range kinesis.Deaggregate(fromGetRecords...) {
		fmt.Println(r.SequenceNumber, r.SubSequence, r.PartitionKey, string(r.Data))
	}
	// Output:
	// 1 0 dev-1 hello
	// 1 1 dev-2 world
	// 1 2 dev-1 again
	// 2 0 dev-3 plain
}

// What 10,000 messages of 200 bytes per second need, plain and aggregated.
func ExamplePlan() {
	w := kinesis.Workload{MessagesPerSecond: 10_000, MessageBytes: 200, KeyBytes: 16, Keys: 10_000, MaxDelay: 250 * time.Millisecond}
	prices, _ := kinesis.PricesOf("us-east-1")
	for _, w.Aggregate = range []bool{false, true} {
		e := kinesis.Plan(w, prices)
		fmt.Printf("%3.0f messages per record, %2d shards, $%.0f a month (on demand $%.0f)\n",
			e.MessagesPerEntry, e.Shards, e.Provisioned, e.OnDemand)
	}
	// Output:
	//   1 messages per record, 10 shards, $477 a month (on demand $2034)
	//  39 messages per record,  3 shards, $42 a month (on demand $491)
}

// Put returns when the stream has the record.
func ExampleNewProducer() {
	server, err := kinesistest.New(kinesistest.Config{Streams: []kinesistest.StreamConfig{{Name: "readings"}}})
	if err != nil {
		panic(err)
	}
	defer server.Close()
	cfg, ctx := server.AWSConfig(), context.Background() // with AWS: nothing but the stream and its region

	producer, err := kinesis.NewProducer(ctx, kinesis.Config{AWS: &cfg, Stream: "readings"}, bridge.ProducerConfig{})
	if err != nil {
		panic(err)
	}
	defer producer.Close(ctx)
	if err := producer.Put(ctx, "device-7", []byte(`{"temp":21}`)); err != nil {
		panic(err)
	}
	fmt.Println(string(server.Records("readings")[0].Data))
	// Output: {"temp":21}
}
