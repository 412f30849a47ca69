package conformance

import (
	"context"
	"errors"

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
		return equal("EncryptionType", out.EncryptionType, types.EncryptionTypeKms)
	}},
}
