package main

import (
	"context"
	"fmt"
	"log"
	"sync"
	"sync/atomic"
	"time"

	a8m "github.com/a8m/kinesis-producer"
	awsv1 "github.com/aws/aws-sdk-go/aws"
	credentialsv1 "github.com/aws/aws-sdk-go/aws/credentials"
	sessionv1 "github.com/aws/aws-sdk-go/aws/session"
	kinesisv1 "github.com/aws/aws-sdk-go/service/kinesis"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/sink/kinesis"
)

// record is what is put: a number, so that order can be judged, and filling.
type record struct {
	key  string
	data []byte
}

// A way puts all records, and says how many it takes for stored.
type way struct {
	name string
	put  func(ctx context.Context, url string, records []record) (stored int64, err error)
}

var ways = []way{
	{"SDK, PutRecord, 64 goroutines", putRecord},
	{"SDK, PutRecords of 500, failures sent again", putRecords},
	{"a8m/kinesis-producer, aggregated", putA8M},
	{"Sluice, plain", func(ctx context.Context, url string, records []record) (int64, error) {
		return putSluice(ctx, url, records, kinesis.Config{})
	}},
	{"Sluice, aggregated", func(ctx context.Context, url string, records []record) (int64, error) {
		return putSluice(ctx, url, records, kinesis.Config{Aggregate: true})
	}},
}

func client(url string) *sdk.Client {
	return sdk.New(sdk.Options{
		Region: "us-east-1", BaseEndpoint: &url, Credentials: credentials.NewStaticCredentialsProvider("id", "secret", ""),
	})
}

// putRecord is what a tutorial does. The records of a key go by one goroutine, which
// is more care for order than most take.
func putRecord(ctx context.Context, url string, records []record) (int64, error) {
	c, name := client(url), stream
	var stored atomic.Int64
	var all sync.WaitGroup
	lanes := make([]chan record, 64)
	for i := range lanes {
		lanes[i] = make(chan record, 100)
		all.Go(func() {
			for r := range lanes[i] {
				if _, err := c.PutRecord(ctx, &sdk.PutRecordInput{StreamName: &name, PartitionKey: &r.key, Data: r.data}); err == nil {
					stored.Add(1)
				}
			}
		})
	}
	for i, r := range records {
		lanes[i%keys%len(lanes)] <- r
	}
	for _, lane := range lanes {
		close(lane)
	}
	all.Wait()
	return stored.Load(), nil
}

// putRecords is the batcher that is written again and again: calls side by side,
// what failed is sent again up to ten times.
func putRecords(ctx context.Context, url string, records []record) (int64, error) {
	c, name := client(url), stream
	var stored atomic.Int64
	var all sync.WaitGroup
	slots := make(chan struct{}, 16)
	for from := 0; from < len(records); from += 500 {
		entries := make([]types.PutRecordsRequestEntry, 0, 500)
		for _, r := range records[from:min(from+500, len(records))] {
			entries = append(entries, types.PutRecordsRequestEntry{PartitionKey: &r.key, Data: r.data})
		}
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			for range 10 {
				out, err := c.PutRecords(ctx, &sdk.PutRecordsInput{StreamName: &name, Records: entries})
				if err != nil {
					continue
				}
				var failed []types.PutRecordsRequestEntry
				for i, r := range out.Records {
					if r.ErrorCode != nil {
						failed = append(failed, entries[i])
					}
				}
				stored.Add(int64(len(entries) - len(failed)))
				if entries = failed; len(entries) == 0 {
					return
				}
				time.Sleep(10 * time.Millisecond)
			}
		})
	}
	all.Wait()
	return stored.Load(), nil
}

func putA8M(_ context.Context, url string, records []record) (int64, error) {
	s, err := sessionv1.NewSession(&awsv1.Config{
		Region: awsv1.String("us-east-1"), Endpoint: &url, Credentials: credentialsv1.NewStaticCredentials("id", "secret", ""),
	})
	if err != nil {
		return 0, err
	}
	p := a8m.New(&a8m.Config{
		StreamName: stream, BacklogCount: 2000, FlushInterval: 100 * time.Millisecond, Client: kinesisv1.New(s),
		Logger: &a8m.StdLogger{Logger: log.New(discard{}, "", 0)},
	})
	var failed atomic.Int64
	var reading sync.WaitGroup
	failures := p.NotifyFailures()
	reading.Go(func() {
		for range failures {
			failed.Add(1)
		}
	})
	p.Start()
	for _, r := range records {
		if err := p.Put(r.data, r.key); err != nil {
			failed.Add(1)
		}
	}
	p.Stop()
	reading.Wait()
	return int64(len(records)) - failed.Load(), nil
}

type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }

func putSluice(ctx context.Context, url string, records []record, cfg kinesis.Config) (int64, error) {
	cfg.Endpoint, cfg.AWS, cfg.Stream = url, &aws.Config{Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider("id", "secret", "")}, stream
	p, err := kinesis.NewProducer(ctx, cfg, bridge.ProducerConfig{Queue: bridge.QueueConfig{MaxRecords: 20_000}})
	if err != nil {
		return 0, err
	}
	var stored atomic.Int64
	for _, r := range records {
		p.Go(ctx, bridge.Record{Key: []byte(r.key), Data: r.data}, func(_ bridge.Receipt, err error) {
			if err == nil {
				stored.Add(1)
			}
		})
	}
	if err := p.Close(ctx); err != nil {
		return 0, fmt.Errorf("close: %w", err)
	}
	return stored.Load(), nil
}
