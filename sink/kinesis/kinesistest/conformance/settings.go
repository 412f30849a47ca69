package conformance

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

var settingChecks = []Check{
	{Name: "retention period", Run: func(ctx context.Context, e *Env) error {
		name, err := e.stream(ctx, 1)
		if err != nil {
			return err
		}
		increase := func(hours int32) error {
			_, err := e.client().IncreaseStreamRetentionPeriod(ctx, &kinesis.IncreaseStreamRetentionPeriodInput{StreamName: &name, RetentionPeriodHours: &hours})
			return errors.Join(err, e.active(ctx, name))
		}
		if err := increase(48); err != nil {
			return err
		}
		if err := fails(increase(24), "InvalidArgumentException", "can not be shorter than existing retention period (48 hours)"); err != nil {
			return err
		}
		if _, err := e.client().DecreaseStreamRetentionPeriod(ctx, &kinesis.DecreaseStreamRetentionPeriodInput{StreamName: &name, RetentionPeriodHours: new(int32(24))}); err != nil {
			return err
		}
		if err := e.active(ctx, name); err != nil {
			return err
		}
		return fails(increase(10), "InvalidArgumentException", "Minimum allowed retention period is 24 hours")
	}},
	{Name: "tags", Run: func(ctx context.Context, e *Env) error {
		name, err := e.stream(ctx, 1)
		if err != nil {
			return err
		}
		if _, err := e.client().AddTagsToStream(ctx, &kinesis.AddTagsToStreamInput{StreamName: &name, Tags: map[string]string{"b": "2", "a": "1"}}); err != nil {
			return err
		}
		if _, err := e.client().RemoveTagsFromStream(ctx, &kinesis.RemoveTagsFromStreamInput{StreamName: &name, TagKeys: []string{"b"}}); err != nil {
			return err
		}
		out, err := e.client().ListTagsForStream(ctx, &kinesis.ListTagsForStreamInput{StreamName: &name})
		if err != nil {
			return err
		}
		if err := equal("tags", len(out.Tags), 1); err != nil {
			return err
		}
		return errors.Join(equal("key", *out.Tags[0].Key, "a"), equal("value", *out.Tags[0].Value, "1"))
	}},
	{Name: "UpdateStreamMode", Run: func(ctx context.Context, e *Env) error {
		name, err := e.stream(ctx, 1)
		if err != nil {
			return err
		}
		arn, err := e.arn(ctx, name)
		if err != nil {
			return err
		}
		if _, err := e.client().UpdateStreamMode(ctx, &kinesis.UpdateStreamModeInput{StreamARN: &arn, StreamModeDetails: &types.StreamModeDetails{StreamMode: types.StreamModeOnDemand}}); err != nil {
			return err
		}
		if err := e.active(ctx, name); err != nil {
			return err
		}
		out, err := e.client().DescribeStreamSummary(ctx, &kinesis.DescribeStreamSummaryInput{StreamName: &name})
		if err != nil {
			return err
		}
		return equal("mode", out.StreamDescriptionSummary.StreamModeDetails.StreamMode, types.StreamModeOnDemand)
	}},
	{Name: "tags of a resource", Run: func(ctx context.Context, e *Env) error {
		name, err := e.stream(ctx, 1)
		if err != nil {
			return err
		}
		arn, err := e.arn(ctx, name)
		if err != nil {
			return err
		}
		if _, err := e.client().TagResource(ctx, &kinesis.TagResourceInput{ResourceARN: &arn, Tags: map[string]string{"b": "2", "a": "1"}}); err != nil {
			return err
		}
		if _, err := e.client().UntagResource(ctx, &kinesis.UntagResourceInput{ResourceARN: &arn, TagKeys: []string{"b"}}); err != nil {
			return err
		}
		out, err := e.client().ListTagsForResource(ctx, &kinesis.ListTagsForResourceInput{ResourceARN: &arn})
		if err != nil {
			return err
		}
		return equal("tags", len(out.Tags), 1)
	}},
	{Name: "tag with bad characters", Run: func(ctx context.Context, e *Env) error {
		name, err := e.stream(ctx, 1)
		if err != nil {
			return err
		}
		_, err = e.client().AddTagsToStream(ctx, &kinesis.AddTagsToStreamInput{StreamName: &name, Tags: map[string]string{"a;b": "c"}})
		return fails(err, "InvalidArgumentException", "Some tags contain invalid characters")
	}},
	{Name: "enhanced monitoring", Run: func(ctx context.Context, e *Env) error {
		name, err := e.stream(ctx, 1)
		if err != nil {
			return err
		}
		metrics := []types.MetricsName{types.MetricsNameIncomingBytes, types.MetricsNameIncomingRecords}
		on, err := e.client().EnableEnhancedMonitoring(ctx, &kinesis.EnableEnhancedMonitoringInput{StreamName: &name, ShardLevelMetrics: metrics})
		if err != nil {
			return err
		}
		off, err := e.client().DisableEnhancedMonitoring(ctx, &kinesis.DisableEnhancedMonitoringInput{StreamName: &name, ShardLevelMetrics: metrics[:1]})
		if err != nil {
			return err
		}
		return errors.Join(
			equal("metrics before", len(on.CurrentShardLevelMetrics), 0), equal("metrics then", len(on.DesiredShardLevelMetrics), 2),
			equal("metrics after", len(off.DesiredShardLevelMetrics), 1),
		)
	}},
	{Name: "DescribeLimits", Run: func(ctx context.Context, e *Env) error {
		if _, err := e.stream(ctx, 3); err != nil {
			return err
		}
		out, err := e.client().DescribeLimits(ctx, &kinesis.DescribeLimitsInput{})
		if err != nil {
			return err
		}
		if deref(out.OpenShardCount) < 3 || deref(out.ShardLimit) < 3 {
			return fmt.Errorf("%d of %d shards", deref(out.OpenShardCount), deref(out.ShardLimit))
		}
		return nil
	}},
	{Name: "distribution switched to AUTO and back", Run: func(ctx context.Context, e *Env) error {
		name, err := e.create(ctx, &kinesis.CreateStreamInput{StreamModeDetails: &types.StreamModeDetails{StreamMode: types.StreamModeOnDemand}})
		if err != nil {
			return err
		}
		arn, err := e.arn(ctx, name)
		if err != nil {
			return err
		}
		for _, want := range []types.RecordDistributionStrategy{types.RecordDistributionStrategyAuto, types.RecordDistributionStrategyUserPartitionKey} {
			if _, err := e.client().UpdateStreamRecordDistributionStrategy(ctx, &kinesis.UpdateStreamRecordDistributionStrategyInput{StreamARN: &arn, RecordDistributionStrategy: want}); err != nil {
				return err
			}
			out, err := e.client().DescribeStreamSummary(ctx, &kinesis.DescribeStreamSummaryInput{StreamName: &name})
			if err != nil {
				return err
			}
			if err := equal("distribution", out.StreamDescriptionSummary.RecordDistributionStrategy, want); err != nil {
				return err
			}
		}
		return nil
	}},
	{Name: "encryption is shown", Run: func(ctx context.Context, e *Env) error {
		name, err := e.stream(ctx, 1)
		if err != nil {
			return err
		}
		if _, err := e.client().StartStreamEncryption(ctx, &kinesis.StartStreamEncryptionInput{StreamName: &name, EncryptionType: types.EncryptionTypeKms, KeyId: new("alias/aws/kinesis")}); err != nil {
			return err
		}
		if err := e.active(ctx, name); err != nil {
			return err
		}
		out, err := e.client().PutRecords(ctx, &kinesis.PutRecordsInput{StreamName: &name, Records: entries("k", 1)})
		if err != nil {
			return err
		}
		if err := equal("EncryptionType", out.EncryptionType, types.EncryptionTypeKms); err != nil {
			return err
		}
		got, err := e.read(ctx, name, shard0, types.ShardIteratorTypeTrimHorizon)
		if err != nil {
			return err
		}
		if _, err := e.client().StopStreamEncryption(ctx, &kinesis.StopStreamEncryptionInput{StreamName: &name, EncryptionType: types.EncryptionTypeKms, KeyId: new("alias/aws/kinesis")}); err != nil {
			return err
		}
		if err := e.active(ctx, name); err != nil {
			return err
		}
		sum, err := e.client().DescribeStreamSummary(ctx, &kinesis.DescribeStreamSummaryInput{StreamName: &name})
		if err != nil {
			return err
		}
		return errors.Join(
			equal("EncryptionType of the record", got.Records[0].EncryptionType, types.EncryptionTypeKms),
			equal("EncryptionType after StopStreamEncryption", sum.StreamDescriptionSummary.EncryptionType, types.EncryptionTypeNone),
		)
	}},
}
