package conformance

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

func (e *Env) iterator(ctx context.Context, in *kinesis.GetShardIteratorInput) (*string, error) {
	out, err := e.client().GetShardIterator(ctx, in)
	if err != nil {
		return nil, err
	}
	return out.ShardIterator, nil
}

// read is one GetRecords from a new iterator.
func (e *Env) read(ctx context.Context, name, shard string, kind types.ShardIteratorType) (*kinesis.GetRecordsOutput, error) {
	it, err := e.iterator(ctx, &kinesis.GetShardIteratorInput{StreamName: &name, ShardId: &shard, ShardIteratorType: kind})
	if err != nil {
		return nil, err
	}
	return e.client().GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: it})
}

// filled is a stream of one shard with n records.
func (e *Env) filled(ctx context.Context, n int) (string, *kinesis.PutRecordsOutput, error) {
	name, err := e.stream(ctx, 1)
	if err != nil {
		return "", nil, err
	}
	out, err := e.client().PutRecords(ctx, &kinesis.PutRecordsInput{StreamName: &name, Records: entries("k", n)})
	return name, out, err
}

var getChecks = []Check{
	{Name: "what is put is got, in order", Run: func(ctx context.Context, e *Env) error {
		name, put, err := e.filled(ctx, 50)
		if err != nil {
			return err
		}
		got, err := e.read(ctx, name, shard0, types.ShardIteratorTypeTrimHorizon)
		if err != nil {
			return err
		}
		if err := equal("records", len(got.Records), 50); err != nil {
			return err
		}
		for i, r := range got.Records {
			err := errors.Join(
				equal("data", string(r.Data), fmt.Sprintf("k/%d", i)), equal("key", *r.PartitionKey, "k"),
				equal("sequence number", *r.SequenceNumber, *put.Records[i].SequenceNumber),
			)
			if err != nil {
				return err
			}
			if age := time.Since(*r.ApproximateArrivalTimestamp); age < -time.Minute || age > time.Hour {
				return fmt.Errorf("arrival was %v ago", age)
			}
		}
		return nil
	}},
	{Name: "pages of GetRecords", Run: func(ctx context.Context, e *Env) error {
		name, _, err := e.filled(ctx, 10)
		if err != nil {
			return err
		}
		it, err := e.iterator(ctx, &kinesis.GetShardIteratorInput{StreamName: &name, ShardId: new(shard0), ShardIteratorType: types.ShardIteratorTypeTrimHorizon})
		if err != nil {
			return err
		}
		for i := range 5 {
			out, err := e.client().GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: it, Limit: new(int32(2))})
			if err != nil {
				return err
			}
			if len(out.Records) != 2 || string(out.Records[0].Data) != fmt.Sprintf("k/%d", 2*i) {
				return fmt.Errorf("page %d has %d records", i, len(out.Records))
			}
			it = out.NextShardIterator
		}
		return nil
	}},
	{Name: "iterator types", Run: func(ctx context.Context, e *Env) error {
		name, put, err := e.filled(ctx, 4)
		if err != nil {
			return err
		}
		seq := put.Records[2].SequenceNumber
		var errs []error
		for _, tt := range []struct {
			in   kinesis.GetShardIteratorInput
			want int
		}{
			{kinesis.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeTrimHorizon}, 4},
			{kinesis.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeLatest}, 0},
			{kinesis.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeAtSequenceNumber, StartingSequenceNumber: seq}, 2},
			{kinesis.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeAfterSequenceNumber, StartingSequenceNumber: seq}, 1},
			{kinesis.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeAtTimestamp, Timestamp: new(time.Now().Add(-time.Hour))}, 4},
		} {
			tt.in.StreamName, tt.in.ShardId = &name, new(shard0)
			it, err := e.iterator(ctx, &tt.in)
			if err != nil {
				return fmt.Errorf("%s: %w", tt.in.ShardIteratorType, err)
			}
			out, err := e.client().GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: it})
			if err != nil {
				return fmt.Errorf("%s: %w", tt.in.ShardIteratorType, err)
			}
			errs = append(errs, equal("records from "+string(tt.in.ShardIteratorType), len(out.Records), tt.want))
		}
		return errors.Join(errs...)
	}},
	{Name: "iterator of a foreign sequence number", Run: func(ctx context.Context, e *Env) error {
		name, put, err := e.filled(ctx, 1)
		if err != nil {
			return err
		}
		if _, err := e.client().SplitShard(ctx, &kinesis.SplitShardInput{StreamName: &name, ShardToSplit: new(shard0), NewStartingHashKey: new(half)}); err != nil {
			return err
		}
		if err := e.active(ctx, name); err != nil {
			return err
		}
		_, err = e.iterator(ctx, &kinesis.GetShardIteratorInput{
			StreamName: &name, ShardId: new(shard1), ShardIteratorType: types.ShardIteratorTypeAtSequenceNumber, StartingSequenceNumber: put.Records[0].SequenceNumber,
		})
		return fails(err, "InvalidArgumentException", "Invalid StartingSequenceNumber. It encodes shardId-000000000000, while it was used in a call to a shard with shardId-000000000001")
	}},
	{Name: "iterator of no shard", Run: func(ctx context.Context, e *Env) error {
		name, err := e.stream(ctx, 1)
		if err != nil {
			return err
		}
		_, err = e.iterator(ctx, &kinesis.GetShardIteratorInput{StreamName: &name, ShardId: new(shard2), ShardIteratorType: types.ShardIteratorTypeLatest})
		return fails(err, "ResourceNotFoundException", "Shard "+shard2+" in stream "+name+" under account")
	}},
	{Name: "iterator that is none", Run: func(ctx context.Context, e *Env) error {
		_, err := e.client().GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: new("bm8=")})
		return fails(err, "InvalidArgumentException", "Invalid ShardIterator")
	}},
	{Name: "end of a parent names its children", Run: func(ctx context.Context, e *Env) error {
		name, _, err := e.filled(ctx, 3)
		if err != nil {
			return err
		}
		if _, err := e.client().SplitShard(ctx, &kinesis.SplitShardInput{StreamName: &name, ShardToSplit: new(shard0), NewStartingHashKey: new(half)}); err != nil {
			return err
		}
		if err := e.active(ctx, name); err != nil {
			return err
		}
		it, err := e.iterator(ctx, &kinesis.GetShardIteratorInput{StreamName: &name, ShardId: new(shard0), ShardIteratorType: types.ShardIteratorTypeTrimHorizon})
		if err != nil {
			return err
		}
		records := 0
		for it != nil {
			out, err := e.client().GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: it})
			if err != nil {
				return err
			}
			records += len(out.Records)
			if it = out.NextShardIterator; it == nil {
				return errors.Join(equal("records", records, 3), equal("children", len(out.ChildShards), 2))
			}
		}
		return nil
	}},
}
