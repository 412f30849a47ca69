package conformance

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

const (
	shard0 = "shardId-000000000000"
	shard1 = "shardId-000000000001"
	shard2 = "shardId-000000000002"
	half   = "170141183460469231731687303715884105728" // 2^127
)

var shardChecks = []Check{
	{Name: "list shards in pages", Run: func(ctx context.Context, e *Env) error {
		name, err := e.stream(ctx, 5)
		if err != nil {
			return err
		}
		out, err := e.client().ListShards(ctx, &kinesis.ListShardsInput{StreamName: &name, MaxResults: new(int32(2))})
		if err != nil {
			return err
		}
		if err := equal("shards of the first page", len(out.Shards), 2); err != nil {
			return err
		}
		all, err := e.list(ctx, &kinesis.ListShardsInput{StreamName: &name, MaxResults: new(int32(2))})
		if err != nil {
			return err
		}
		_, both := e.client().ListShards(ctx, &kinesis.ListShardsInput{StreamName: &name, NextToken: out.NextToken})
		return errors.Join(equal("shards", len(all), 5), fails(both, "InvalidArgumentException", "NextToken and StreamName cannot be provided together."))
	}},
	{Name: "list shards after a shard", Run: func(ctx context.Context, e *Env) error {
		name, err := e.stream(ctx, 3)
		if err != nil {
			return err
		}
		all, err := e.list(ctx, &kinesis.ListShardsInput{StreamName: &name, ExclusiveStartShardId: new(shard1)})
		if err != nil {
			return err
		}
		return equal("shards", len(all), 1)
	}},
	{Name: "split: lineage and ranges", Run: func(ctx context.Context, e *Env) error {
		name, err := e.split(ctx)
		if err != nil {
			return err
		}
		all, err := e.list(ctx, &kinesis.ListShardsInput{StreamName: &name})
		if err != nil {
			return err
		}
		if err := equal("shards", len(all), 3); err != nil {
			return err
		}
		parent, low, high := all[0], all[1], all[2]
		if parent.SequenceNumberRange.EndingSequenceNumber == nil {
			return errors.New("the parent is still open")
		}
		return errors.Join(
			equal("parent of the lower child", deref(low.ParentShardId), shard0), equal("parent of the upper child", deref(high.ParentShardId), shard0),
			equal("end of the lower child", *low.HashKeyRange.EndingHashKey, "170141183460469231731687303715884105727"),
			equal("start of the upper child", *high.HashKeyRange.StartingHashKey, half),
			less("child starts after parent", *parent.SequenceNumberRange.EndingSequenceNumber, *low.SequenceNumberRange.StartingSequenceNumber),
		)
	}},
	{Name: "split at the first key", Run: func(ctx context.Context, e *Env) error {
		name, err := e.stream(ctx, 1)
		if err != nil {
			return err
		}
		_, err = e.client().SplitShard(ctx, &kinesis.SplitShardInput{StreamName: &name, ShardToSplit: new(shard0), NewStartingHashKey: new("0")})
		return fails(err, "InvalidArgumentException", "is not both greater than one plus the shard's StartingHashKey")
	}},
	{Name: "split a closed shard", Run: func(ctx context.Context, e *Env) error {
		name, err := e.split(ctx)
		if err != nil {
			return err
		}
		_, err = e.client().SplitShard(ctx, &kinesis.SplitShardInput{StreamName: &name, ShardToSplit: new(shard0), NewStartingHashKey: new(half)})
		return fails(err, "InvalidArgumentException", "")
	}},
	{Name: "list only open shards", Run: func(ctx context.Context, e *Env) error {
		name, err := e.split(ctx)
		if err != nil {
			return err
		}
		all, err := e.list(ctx, &kinesis.ListShardsInput{StreamName: &name, ShardFilter: &types.ShardFilter{Type: types.ShardFilterTypeAtLatest}})
		if err != nil {
			return err
		}
		return equal("open shards", len(all), 2)
	}},
	{Name: "list shards at the trim horizon", Run: func(ctx context.Context, e *Env) error {
		name, err := e.split(ctx)
		if err != nil {
			return err
		}
		all, err := e.list(ctx, &kinesis.ListShardsInput{StreamName: &name, ShardFilter: &types.ShardFilter{Type: types.ShardFilterTypeAtTrimHorizon}})
		if err != nil {
			return err
		}
		return errors.Join(equal("shards", len(all), 1), equal("shard", deref(all[0].ShardId), shard0))
	}},
	{Name: "list shards since a time", Run: func(ctx context.Context, e *Env) error {
		name, err := e.split(ctx)
		if err != nil {
			return err
		}
		filter := &types.ShardFilter{Type: types.ShardFilterTypeFromTimestamp}
		_, err = e.client().ListShards(ctx, &kinesis.ListShardsInput{StreamName: &name, ShardFilter: filter})
		if err := fails(err, "InvalidArgumentException", ""); err != nil {
			return fmt.Errorf("without a time: %w", err)
		}
		filter.Timestamp = new(time.Now().Add(-time.Hour))
		all, err := e.list(ctx, &kinesis.ListShardsInput{StreamName: &name, ShardFilter: filter})
		if err != nil {
			return err
		}
		return equal("shards open in the last hour", len(all), 3)
	}},
	{Name: "split of an on-demand stream", Run: func(ctx context.Context, e *Env) error {
		name, err := e.create(ctx, &kinesis.CreateStreamInput{StreamModeDetails: &types.StreamModeDetails{StreamMode: types.StreamModeOnDemand}})
		if err != nil {
			return err
		}
		_, err = e.client().SplitShard(ctx, &kinesis.SplitShardInput{StreamName: &name, ShardToSplit: new(shard0), NewStartingHashKey: new("1000")})
		return fails(err, "ValidationException", "")
	}},
	{Name: "merge: lineage", Run: func(ctx context.Context, e *Env) error {
		name, err := e.stream(ctx, 2)
		if err != nil {
			return err
		}
		if _, err := e.client().MergeShards(ctx, &kinesis.MergeShardsInput{StreamName: &name, ShardToMerge: new(shard0), AdjacentShardToMerge: new(shard1)}); err != nil {
			return err
		}
		if err := e.active(ctx, name); err != nil {
			return err
		}
		all, err := e.list(ctx, &kinesis.ListShardsInput{StreamName: &name, ExclusiveStartShardId: new(shard1)})
		if err != nil || len(all) != 1 {
			return fmt.Errorf("%d new shards, %w", len(all), err)
		}
		return errors.Join(equal("parent", deref(all[0].ParentShardId), shard0), equal("adjacent parent", deref(all[0].AdjacentParentShardId), shard1))
	}},
	{Name: "merge shards that are no neighbours", Run: func(ctx context.Context, e *Env) error {
		name, err := e.stream(ctx, 3)
		if err != nil {
			return err
		}
		_, err = e.client().MergeShards(ctx, &kinesis.MergeShardsInput{StreamName: &name, ShardToMerge: new(shard0), AdjacentShardToMerge: new(shard2)})
		return fails(err, "InvalidArgumentException", "are not an adjacent pair of shards eligible for merging")
	}},
	{Name: "UpdateShardCount", Run: func(ctx context.Context, e *Env) error {
		name, err := e.stream(ctx, 2)
		if err != nil {
			return err
		}
		update := func(n int32) error {
			_, err := e.client().UpdateShardCount(ctx, &kinesis.UpdateShardCountInput{StreamName: &name, TargetShardCount: &n, ScalingType: types.ScalingTypeUniformScaling})
			return err
		}
		if err := update(3); err != nil {
			return err
		}
		if err := e.active(ctx, name); err != nil {
			return err
		}
		open, err := e.list(ctx, &kinesis.ListShardsInput{StreamName: &name, ShardFilter: &types.ShardFilter{Type: types.ShardFilterTypeAtLatest}})
		if err != nil {
			return err
		}
		return equal("open shards", len(open), 3)
	}},
	{Name: "UpdateShardCount to more than double", Run: func(ctx context.Context, e *Env) error {
		name, err := e.stream(ctx, 1)
		if err != nil {
			return err
		}
		_, err = e.client().UpdateShardCount(ctx, &kinesis.UpdateShardCountInput{StreamName: &name, TargetShardCount: new(int32(3)), ScalingType: types.ScalingTypeUniformScaling})
		return fails(err, "InvalidArgumentException", "")
	}},
}

// split makes a stream of one shard that was split in the middle.
func (e *Env) split(ctx context.Context) (string, error) {
	name, err := e.stream(ctx, 1)
	if err != nil {
		return "", err
	}
	_, err = e.client().SplitShard(ctx, &kinesis.SplitShardInput{StreamName: &name, ShardToSplit: new(shard0), NewStartingHashKey: new(half)})
	if err != nil {
		return "", err
	}
	return name, e.active(ctx, name)
}

// less compares numbers of one length.
func less(what, a, b string) error {
	if len(a) != len(b) || a >= b {
		return fmt.Errorf("%s: %s is not less than %s", what, a, b)
	}
	return nil
}
