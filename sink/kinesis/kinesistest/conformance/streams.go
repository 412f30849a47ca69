package conformance

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

var streamChecks = []Check{
	{Name: "create, describe, delete", Run: func(ctx context.Context, e *Env) error {
		name, err := e.stream(ctx, 2)
		if err != nil {
			return err
		}
		out, err := e.client().DescribeStream(ctx, &kinesis.DescribeStreamInput{StreamName: &name})
		if err != nil {
			return err
		}
		d := out.StreamDescription
		if ok, _ := regexp.MatchString(`^arn:aws[^:]*:kinesis:[a-z0-9-]+:\d{12}:stream/`+name+"$", *d.StreamARN); !ok {
			return fmt.Errorf("ARN is %s", *d.StreamARN)
		}
		if _, err := e.client().DeleteStream(ctx, &kinesis.DeleteStreamInput{StreamName: &name}); err != nil {
			return err
		}
		return errors.Join(
			equal("shards", len(d.Shards), 2), equal("HasMoreShards", *d.HasMoreShards, false),
			equal("retention", *d.RetentionPeriodHours, 24), equal("encryption", d.EncryptionType, types.EncryptionTypeNone),
		)
	}},
	{Name: "hash ranges of 4 shards", Run: func(ctx context.Context, e *Env) error {
		name, err := e.stream(ctx, 4)
		if err != nil {
			return err
		}
		shards, err := e.list(ctx, &kinesis.ListShardsInput{StreamName: &name})
		if err != nil {
			return err
		}
		ends := []string{
			"85070591730234615865843651857942052863", "170141183460469231731687303715884105727",
			"255211775190703847597530955573826158591", "340282366920938463463374607431768211455",
		}
		if err := equal("number of shards", len(shards), 4); err != nil {
			return err
		}
		for i, sh := range shards {
			if err := equal("end of "+*sh.ShardId, *sh.HashKeyRange.EndingHashKey, ends[i]); err != nil {
				return err
			}
		}
		return nil
	}},
	{Name: "summary shows size limit, mode and distribution", Run: func(ctx context.Context, e *Env) error {
		name, err := e.stream(ctx, 3)
		if err != nil {
			return err
		}
		out, err := e.client().DescribeStreamSummary(ctx, &kinesis.DescribeStreamSummaryInput{StreamName: &name})
		if err != nil {
			return err
		}
		d := out.StreamDescriptionSummary
		if d.StreamModeDetails == nil {
			return errors.New("no StreamModeDetails")
		}
		return errors.Join(
			equal("OpenShardCount", deref(d.OpenShardCount), 3), equal("MaxRecordSizeInKiB", deref(d.MaxRecordSizeInKiB), 1024),
			equal("mode", d.StreamModeDetails.StreamMode, types.StreamModeProvisioned),
			equal("distribution", d.RecordDistributionStrategy, types.RecordDistributionStrategyUserPartitionKey),
		)
	}},
	{Name: "name exists already", Run: func(ctx context.Context, e *Env) error {
		name, err := e.stream(ctx, 1)
		if err != nil {
			return err
		}
		_, err = e.client().CreateStream(ctx, &kinesis.CreateStreamInput{StreamName: &name, ShardCount: new(int32(1))})
		return fails(err, "ResourceInUseException", "already exists")
	}},
	{Name: "bad stream name", Run: func(ctx context.Context, e *Env) error {
		_, err := e.client().CreateStream(ctx, &kinesis.CreateStreamInput{StreamName: new("a b"), ShardCount: new(int32(1))})
		return fails(err, "ValidationException", "failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+")
	}},
	{Name: "provisioned stream without shard count", Run: func(ctx context.Context, e *Env) error {
		_, err := e.client().CreateStream(ctx, &kinesis.CreateStreamInput{StreamName: new(e.name())})
		return fails(err, "ValidationException", "")
	}},
	{Name: "no such stream", Run: func(ctx context.Context, e *Env) error {
		name := e.name()
		_, err1 := e.client().DescribeStreamSummary(ctx, &kinesis.DescribeStreamSummaryInput{StreamName: &name})
		_, err2 := e.client().PutRecords(ctx, &kinesis.PutRecordsInput{StreamName: &name, Records: entries("k", 1)})
		_, err3 := e.client().ListShards(ctx, &kinesis.ListShardsInput{StreamName: &name})
		const want = "ResourceNotFoundException"
		return errors.Join(fails(err1, want, "Stream "+name+" under account"), fails(err2, want, "Stream "+name+" under account"), fails(err3, want, name))
	}},
	{Name: "reached by ARN alone", Run: func(ctx context.Context, e *Env) error {
		name, err := e.stream(ctx, 1)
		if err != nil {
			return err
		}
		arn, err := e.arn(ctx, name)
		if err != nil {
			return err
		}
		if _, err = e.client().PutRecords(ctx, &kinesis.PutRecordsInput{StreamARN: &arn, Records: entries("k", 1)}); err != nil {
			return err
		}
		out, err := e.client().DescribeStreamSummary(ctx, &kinesis.DescribeStreamSummaryInput{StreamARN: &arn})
		if err != nil {
			return err
		}
		return equal("name", *out.StreamDescriptionSummary.StreamName, name)
	}},
	{Name: "list streams in pages", Run: func(ctx context.Context, e *Env) error {
		var names []string
		for range 3 {
			name, err := e.stream(ctx, 1)
			if err != nil {
				return err
			}
			names = append(names, name)
		}
		var got []string
		in := &kinesis.ListStreamsInput{Limit: new(int32(2))}
		for {
			out, err := e.client().ListStreams(ctx, in)
			if err != nil {
				return err
			}
			if len(out.StreamNames) > 2 {
				return fmt.Errorf("a page of %d names", len(out.StreamNames))
			}
			got = append(got, out.StreamNames...)
			if !*out.HasMoreStreams {
				break
			}
			in.ExclusiveStartStreamName = &out.StreamNames[len(out.StreamNames)-1]
		}
		for _, name := range names {
			if !slices.Contains(got, name) {
				return fmt.Errorf("%s is not listed", name)
			}
		}
		return nil
	}},
	{Name: "on-demand stream has 4 shards", Run: func(ctx context.Context, e *Env) error {
		name, err := e.create(ctx, &kinesis.CreateStreamInput{StreamModeDetails: &types.StreamModeDetails{StreamMode: types.StreamModeOnDemand}})
		if err != nil {
			return err
		}
		shards, err := e.list(ctx, &kinesis.ListShardsInput{StreamName: &name})
		if err != nil {
			return err
		}
		return equal("number of shards", len(shards), 4)
	}},
	{Name: "AUTO distribution of on-demand streams only", Run: func(ctx context.Context, e *Env) error {
		onDemand := &types.StreamModeDetails{StreamMode: types.StreamModeOnDemand}
		name, err := e.create(ctx, &kinesis.CreateStreamInput{StreamModeDetails: onDemand, RecordDistributionStrategy: types.RecordDistributionStrategyAuto})
		if err != nil {
			return err
		}
		out, err := e.client().PutRecords(ctx, &kinesis.PutRecordsInput{StreamName: &name, Records: entries("one-key", 100)})
		if err != nil {
			return err
		}
		used := map[string]bool{}
		for _, r := range out.Records {
			used[deref(r.ShardId)] = true
		}
		if len(used) < 2 {
			return errors.New("one key went to one shard")
		}
		_, err = e.client().PutRecord(ctx, &kinesis.PutRecordInput{
			StreamName: &name, Data: []byte("d"), PartitionKey: new("k"), SequenceNumberForOrdering: out.Records[0].SequenceNumber,
		})
		if err := fails(err, "InvalidArgumentException", ""); err != nil {
			return err
		}
		name, err = e.create(ctx, &kinesis.CreateStreamInput{ShardCount: new(int32(1))})
		if err != nil {
			return err
		}
		arn, err := e.arn(ctx, name)
		if err != nil {
			return err
		}
		_, err = e.client().UpdateStreamRecordDistributionStrategy(ctx, &kinesis.UpdateStreamRecordDistributionStrategyInput{
			StreamARN: &arn, RecordDistributionStrategy: types.RecordDistributionStrategyAuto,
		})
		if err := fails(err, "InvalidArgumentException", ""); err != nil {
			return err
		}
		_, err = e.create(ctx, &kinesis.CreateStreamInput{ShardCount: new(int32(1)), RecordDistributionStrategy: types.RecordDistributionStrategyAuto})
		return fails(err, "InvalidArgumentException", "")
	}},
}

// list is all pages of ListShards.
func (e *Env) list(ctx context.Context, in *kinesis.ListShardsInput) (all []types.Shard, err error) {
	for {
		out, err := e.client().ListShards(ctx, in)
		if err != nil {
			return nil, err
		}
		all = append(all, out.Shards...)
		if out.NextToken == nil {
			return all, nil
		}
		in = &kinesis.ListShardsInput{NextToken: out.NextToken, MaxResults: in.MaxResults}
	}
}

// entries are n small records of one key.
func entries(key string, n int) []types.PutRecordsRequestEntry {
	out := make([]types.PutRecordsRequestEntry, n)
	for i := range out {
		out[i] = types.PutRecordsRequestEntry{Data: fmt.Appendf(nil, "%s/%d", key, i), PartitionKey: &key}
	}
	return out
}
