package kinesistest

import (
	"cmp"
	"context"
	"maps"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

const (
	defaultMaxRecordKiB = 1024
	maxMaxRecordKiB     = 10240
	minRetention        = 24 * time.Hour
)

// CreateStream is the operation of that name.
func (s *Server) CreateStream(ctx context.Context, in *kinesis.CreateStreamInput, _ ...func(*kinesis.Options)) (*kinesis.CreateStreamOutput, error) {
	return invoke(ctx, s, "CreateStream", in, (*Server).createStream)
}

func (s *Server) createStream(_ *call, in *kinesis.CreateStreamInput) (*kinesis.CreateStreamOutput, error) {
	var v validation
	onDemand := in.StreamModeDetails != nil && in.StreamModeDetails.StreamMode == types.StreamModeOnDemand
	if v.required("streamName", in.StreamName != nil) {
		v.name("streamName", in.StreamName)
	}
	v.between("shardCount", in.ShardCount, 1, maxShards)
	v.between("maxRecordSizeInKiB", in.MaxRecordSizeInKiB, defaultMaxRecordKiB, maxMaxRecordKiB)
	if in.StreamModeDetails != nil {
		enum(&v, "streamModeDetails.streamMode", in.StreamModeDetails.StreamMode, types.StreamModeProvisioned, types.StreamModeOnDemand)
	}
	if in.RecordDistributionStrategy != "" {
		enum(&v, "recordDistributionStrategy", in.RecordDistributionStrategy, types.RecordDistributionStrategyAuto, types.RecordDistributionStrategyUserPartitionKey)
	}
	if !onDemand {
		v.required("shardCount", in.ShardCount != nil)
	}
	if err := v.err(); err != nil {
		return nil, err
	}
	auto := in.RecordDistributionStrategy == types.RecordDistributionStrategyAuto
	switch {
	case onDemand && in.ShardCount != nil:
		return nil, clientError(CodeValidationException, "ShardCount must not be specified for data streams with the on-demand capacity mode.")
	case auto && !onDemand:
		return nil, invalidArgument("The AUTO record distribution strategy is only supported for data streams with the on-demand capacity mode.")
	}
	return &kinesis.CreateStreamOutput{}, s.insertStream(StreamConfig{
		Auto: auto, MaxRecordSizeInKiB: deref(in.MaxRecordSizeInKiB), Name: *in.StreamName,
		OnDemand: onDemand, Shards: int(deref(in.ShardCount)),
	}, in)
}

func (s *Server) insertStream(c StreamConfig, in *kinesis.CreateStreamInput) error {
	now := s.now()
	// Settling the stream of that name removes it when its deletion is over.
	_ = s.with(streamRef{name: &c.Name}, func(*stream, time.Time) error { return nil })
	if err := s.checkShardLimit(cmp.Or(c.Shards, onDemandShards)); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.streams[c.Name] != nil {
		return clientError(CodeResourceInUse, "Stream %s under account %s already exists.", c.Name, s.config.AccountID)
	}
	st, err := s.addStream(c, now, s.config.CreateDelay)
	if err != nil {
		return err
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	maps.Copy(st.tags, in.Tags)
	st.warmMiBps = deref(in.WarmThroughputMiBps)
	st.saveMeta()
	return nil
}

// openShards counts those of all streams.
func (s *Server) openShards() (n int) {
	for _, name := range s.names() {
		_ = s.with(streamRef{name: &name}, func(st *stream, _ time.Time) error {
			n += len(st.open)
			return nil
		})
	}
	return n
}

// checkShardLimit refuses what would open more shards than the account may
// have.
func (s *Server) checkShardLimit(more int) error {
	have := s.openShards()
	if have+more <= s.config.ShardLimit {
		return nil
	}
	return clientError(CodeLimitExceeded, "This request would exceed the shard limit for the account %s in %s. Current shard count for the account: %d. Limit: %d. Number of additional shards that would have resulted from this request: %d. Refer to the AWS Service Limits page (http://docs.aws.amazon.com/general/latest/gr/aws_service_limits.html) for current limits and how to request higher limits.",
		s.config.AccountID, s.config.Region, have, s.config.ShardLimit, more)
}

// DeleteStream is the operation of that name.
func (s *Server) DeleteStream(ctx context.Context, in *kinesis.DeleteStreamInput, _ ...func(*kinesis.Options)) (*kinesis.DeleteStreamOutput, error) {
	return invoke(ctx, s, "DeleteStream", in, (*Server).deleteStream)
}

func (s *Server) deleteStream(_ *call, in *kinesis.DeleteStreamInput) (*kinesis.DeleteStreamOutput, error) {
	var gone *stream
	err := s.with(streamRef{in.StreamName, in.StreamARN}, func(st *stream, now time.Time) error {
		st.status = types.StreamStatusDeleting
		if s.config.DeleteDelay <= 0 {
			st.gone, gone = true, st
			return nil
		}
		st.until, st.then = now.Add(s.config.DeleteDelay), func(time.Time) { st.gone = true }
		return nil
	})
	if gone != nil {
		s.remove(gone)
	}
	return &kinesis.DeleteStreamOutput{}, err
}

// DescribeStream is the operation of that name.
func (s *Server) DescribeStream(ctx context.Context, in *kinesis.DescribeStreamInput, _ ...func(*kinesis.Options)) (*kinesis.DescribeStreamOutput, error) {
	return invoke(ctx, s, "DescribeStream", in, (*Server).describeStream)
}

func (s *Server) describeStream(_ *call, in *kinesis.DescribeStreamInput) (*kinesis.DescribeStreamOutput, error) {
	var v validation
	v.between("limit", in.Limit, 1, 10_000)
	v.name("exclusiveStartShardId", in.ExclusiveStartShardId)
	if err := v.err(); err != nil {
		return nil, err
	}
	// As the service does, however high Limit is.
	limit := 100
	if in.Limit != nil {
		limit = min(limit, int(*in.Limit))
	}
	var out *kinesis.DescribeStreamOutput
	err := s.with(streamRef{in.StreamName, in.StreamARN}, func(st *stream, _ time.Time) error {
		all := st.visibleShards()
		if in.ExclusiveStartShardId != nil {
			all = after(all, *in.ExclusiveStartShardId)
		}
		shown := all[:min(limit, len(all))]
		out = &kinesis.DescribeStreamOutput{StreamDescription: &types.StreamDescription{
			EncryptionType: st.encryption, EnhancedMonitoring: []types.EnhancedMetrics{{ShardLevelMetrics: st.shardMetrics()}},
			HasMoreShards: new(len(shown) < len(all)), KeyId: st.keyIDPtr(),
			RetentionPeriodHours: new(int32(st.retention.Hours())), Shards: describeShards(shown),
			StreamARN: &st.arn, StreamCreationTimestamp: &st.created, StreamModeDetails: &types.StreamModeDetails{StreamMode: st.mode},
			StreamName: &st.name, StreamStatus: st.status,
		}}
		return nil
	})
	return out, err
}

// visibleShards are those that describing a stream shows: none while CREATING.
func (st *stream) visibleShards() []*shard {
	if st.status == types.StreamStatusCreating {
		return nil
	}
	return st.shards
}

func describeShards(in []*shard) []types.Shard {
	out := make([]types.Shard, len(in))
	for i, sh := range in {
		out[i] = sh.describe()
	}
	return out
}

// after are the shards whose ids follow id.
func after(shards []*shard, id string) []*shard {
	for i, sh := range shards {
		if sh.id > id {
			return shards[i:]
		}
	}
	return nil
}

func (st *stream) shardMetrics() []types.MetricsName {
	return append([]types.MetricsName{}, st.metrics...)
}

func (st *stream) keyIDPtr() *string {
	if st.keyID == "" {
		return nil
	}
	return new(st.keyID)
}

// DescribeStreamSummary is the operation of that name.
func (s *Server) DescribeStreamSummary(ctx context.Context, in *kinesis.DescribeStreamSummaryInput, _ ...func(*kinesis.Options)) (*kinesis.DescribeStreamSummaryOutput, error) {
	return invoke(ctx, s, "DescribeStreamSummary", in, (*Server).describeStreamSummary)
}

func (s *Server) describeStreamSummary(_ *call, in *kinesis.DescribeStreamSummaryInput) (*kinesis.DescribeStreamSummaryOutput, error) {
	var out *kinesis.DescribeStreamSummaryOutput
	err := s.with(streamRef{in.StreamName, in.StreamARN}, func(st *stream, _ time.Time) error {
		open := len(st.open)
		if st.status == types.StreamStatusCreating {
			open = 0
		}
		out = &kinesis.DescribeStreamSummaryOutput{StreamDescriptionSummary: &types.StreamDescriptionSummary{
			ConsumerCount: new(int32(0)), EncryptionType: st.encryption,
			EnhancedMonitoring: []types.EnhancedMetrics{{ShardLevelMetrics: st.shardMetrics()}},
			KeyId:              st.keyIDPtr(), MaxRecordSizeInKiB: new(st.maxRecordKiB), OpenShardCount: new(int32(open)),
			RecordDistributionStrategy: st.distribution, RetentionPeriodHours: new(int32(st.retention.Hours())),
			StreamARN: &st.arn, StreamCreationTimestamp: &st.created, StreamModeDetails: &types.StreamModeDetails{StreamMode: st.mode},
			StreamName: &st.name, StreamStatus: st.status, WarmThroughput: st.warmThroughput(),
		}}
		return nil
	})
	return out, err
}

func (st *stream) warmThroughput() *types.WarmThroughputObject {
	if st.warmMiBps == 0 {
		return nil
	}
	return &types.WarmThroughputObject{CurrentMiBps: new(st.warmMiBps), TargetMiBps: new(st.warmMiBps)}
}

// ListStreams is the operation of that name.
func (s *Server) ListStreams(ctx context.Context, in *kinesis.ListStreamsInput, _ ...func(*kinesis.Options)) (*kinesis.ListStreamsOutput, error) {
	return invoke(ctx, s, "ListStreams", in, (*Server).listStreams)
}

func (s *Server) listStreams(_ *call, in *kinesis.ListStreamsInput) (*kinesis.ListStreamsOutput, error) {
	var v validation
	v.between("limit", in.Limit, 1, 10_000)
	v.name("exclusiveStartStreamName", in.ExclusiveStartStreamName)
	if err := v.err(); err != nil {
		return nil, err
	}
	limit := 100
	if in.Limit != nil {
		limit = int(*in.Limit)
	}
	// The token is the name of the last stream shown.
	start := cmp.Or(deref(in.NextToken), deref(in.ExclusiveStartStreamName))
	out := &kinesis.ListStreamsOutput{HasMoreStreams: new(false), StreamNames: []string{}, StreamSummaries: []types.StreamSummary{}}
	for _, name := range s.names() {
		if name <= start {
			continue
		}
		if len(out.StreamNames) == limit {
			out.HasMoreStreams, out.NextToken = new(true), &out.StreamNames[limit-1]
			break
		}
		_ = s.with(streamRef{name: &name}, func(st *stream, _ time.Time) error {
			out.StreamNames = append(out.StreamNames, st.name)
			out.StreamSummaries = append(out.StreamSummaries, types.StreamSummary{
				StreamARN: &st.arn, StreamCreationTimestamp: &st.created, StreamModeDetails: &types.StreamModeDetails{StreamMode: st.mode},
				StreamName: &st.name, StreamStatus: st.status,
			})
			return nil
		})
	}
	return out, nil
}
