package kinesistest

import (
	"context"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

const maxRetentionHours = 8760

// IncreaseStreamRetentionPeriod is the operation of that name.
func (s *Server) IncreaseStreamRetentionPeriod(ctx context.Context, in *kinesis.IncreaseStreamRetentionPeriodInput, _ ...func(*kinesis.Options)) (*kinesis.IncreaseStreamRetentionPeriodOutput, error) {
	return invoke(ctx, s, "IncreaseStreamRetentionPeriod", in, (*Server).increaseRetention)
}

func (s *Server) increaseRetention(_ *call, in *kinesis.IncreaseStreamRetentionPeriodInput) (*kinesis.IncreaseStreamRetentionPeriodOutput, error) {
	err := s.setRetention(streamRef{in.StreamName, in.StreamARN}, in.RetentionPeriodHours, func(st *stream, have, want int32) error {
		if want < have {
			return invalidArgument("Requested retention period (%d hours) for stream %s can not be shorter than existing retention period (%d hours). Use DecreaseRetentionPeriod API.", want, st.name, have)
		}
		return nil
	})
	return &kinesis.IncreaseStreamRetentionPeriodOutput{}, err
}

// DecreaseStreamRetentionPeriod is the operation of that name.
func (s *Server) DecreaseStreamRetentionPeriod(ctx context.Context, in *kinesis.DecreaseStreamRetentionPeriodInput, _ ...func(*kinesis.Options)) (*kinesis.DecreaseStreamRetentionPeriodOutput, error) {
	return invoke(ctx, s, "DecreaseStreamRetentionPeriod", in, (*Server).decreaseRetention)
}

func (s *Server) decreaseRetention(_ *call, in *kinesis.DecreaseStreamRetentionPeriodInput) (*kinesis.DecreaseStreamRetentionPeriodOutput, error) {
	err := s.setRetention(streamRef{in.StreamName, in.StreamARN}, in.RetentionPeriodHours, func(st *stream, have, want int32) error {
		if want > have {
			return invalidArgument("Requested retention period (%d hours) for stream %s can not be longer than existing retention period (%d hours). Use IncreaseRetentionPeriod API.", want, st.name, have)
		}
		return nil
	})
	return &kinesis.DecreaseStreamRetentionPeriodOutput{}, err
}

func (s *Server) setRetention(ref streamRef, hours *int32, check func(st *stream, have, want int32) error) error {
	var v validation
	if v.required("retentionPeriodHours", hours != nil) {
		v.between("retentionPeriodHours", hours, 1, maxRetentionHours)
	}
	if err := v.err(); err != nil {
		return err
	}
	return s.withActive(ref, func(st *stream, now time.Time) error {
		if *hours < int32(minRetention.Hours()) {
			return invalidArgument("Minimum allowed retention period is 24 hours. Requested retention period (%d hours) is too short.", *hours)
		}
		if err := check(st, int32(st.retention.Hours()), *hours); err != nil {
			return err
		}
		st.update(now, func(time.Time) { st.retention = time.Duration(*hours) * time.Hour })
		return nil
	})
}

// UpdateMaxRecordSize is the operation of that name.
func (s *Server) UpdateMaxRecordSize(ctx context.Context, in *kinesis.UpdateMaxRecordSizeInput, _ ...func(*kinesis.Options)) (*kinesis.UpdateMaxRecordSizeOutput, error) {
	return invoke(ctx, s, "UpdateMaxRecordSize", in, (*Server).updateMaxRecordSize)
}

func (s *Server) updateMaxRecordSize(_ *call, in *kinesis.UpdateMaxRecordSizeInput) (*kinesis.UpdateMaxRecordSizeOutput, error) {
	var v validation
	if v.required("maxRecordSizeInKiB", in.MaxRecordSizeInKiB != nil) {
		v.between("maxRecordSizeInKiB", in.MaxRecordSizeInKiB, defaultMaxRecordKiB, maxMaxRecordKiB)
	}
	if err := v.err(); err != nil {
		return nil, err
	}
	err := s.withActive(streamRef{arn: in.StreamARN}, func(st *stream, now time.Time) error {
		st.update(now, func(time.Time) {
			st.maxRecordKiB = *in.MaxRecordSizeInKiB
			for _, sh := range st.open {
				sh.write = st.config.Limits.writeThroughput(st.maxRecordKiB)
			}
		})
		return nil
	})
	return &kinesis.UpdateMaxRecordSizeOutput{}, err
}

// UpdateStreamMode is the operation of that name.
func (s *Server) UpdateStreamMode(ctx context.Context, in *kinesis.UpdateStreamModeInput, _ ...func(*kinesis.Options)) (*kinesis.UpdateStreamModeOutput, error) {
	return invoke(ctx, s, "UpdateStreamMode", in, (*Server).updateStreamMode)
}

func (s *Server) updateStreamMode(_ *call, in *kinesis.UpdateStreamModeInput) (*kinesis.UpdateStreamModeOutput, error) {
	var v validation
	if v.required("streamModeDetails", in.StreamModeDetails != nil) {
		enum(&v, "streamModeDetails.streamMode", in.StreamModeDetails.StreamMode, types.StreamModeProvisioned, types.StreamModeOnDemand)
	}
	if err := v.err(); err != nil {
		return nil, err
	}
	err := s.withActive(streamRef{arn: in.StreamARN}, func(st *stream, now time.Time) error {
		if st.distribution == types.RecordDistributionStrategyAuto && in.StreamModeDetails.StreamMode == types.StreamModeProvisioned {
			return invalidArgument("The AUTO record distribution strategy is only supported for data streams with the on-demand capacity mode.")
		}
		st.update(now, func(time.Time) { st.mode = in.StreamModeDetails.StreamMode })
		return nil
	})
	return &kinesis.UpdateStreamModeOutput{}, err
}

// UpdateStreamRecordDistributionStrategy is the operation of that name. It
// takes effect at once.
func (s *Server) UpdateStreamRecordDistributionStrategy(ctx context.Context, in *kinesis.UpdateStreamRecordDistributionStrategyInput, _ ...func(*kinesis.Options)) (*kinesis.UpdateStreamRecordDistributionStrategyOutput, error) {
	return invoke(ctx, s, "UpdateStreamRecordDistributionStrategy", in, (*Server).updateDistribution)
}

func (s *Server) updateDistribution(_ *call, in *kinesis.UpdateStreamRecordDistributionStrategyInput) (*kinesis.UpdateStreamRecordDistributionStrategyOutput, error) {
	var v validation
	if v.required("recordDistributionStrategy", in.RecordDistributionStrategy != "") {
		enum(&v, "recordDistributionStrategy", in.RecordDistributionStrategy, types.RecordDistributionStrategyAuto, types.RecordDistributionStrategyUserPartitionKey)
	}
	if err := v.err(); err != nil {
		return nil, err
	}
	err := s.withActive(streamRef{arn: in.StreamARN}, func(st *stream, _ time.Time) error {
		if st.mode != types.StreamModeOnDemand {
			return invalidArgument("The record distribution strategy can only be updated for data streams with the on-demand capacity mode.")
		}
		st.distribution = in.RecordDistributionStrategy
		st.saveMeta()
		return nil
	})
	return &kinesis.UpdateStreamRecordDistributionStrategyOutput{}, err
}

// UpdateStreamWarmThroughput is the operation of that name. The number is kept
// and shown, and changes nothing.
func (s *Server) UpdateStreamWarmThroughput(ctx context.Context, in *kinesis.UpdateStreamWarmThroughputInput, _ ...func(*kinesis.Options)) (*kinesis.UpdateStreamWarmThroughputOutput, error) {
	return invoke(ctx, s, "UpdateStreamWarmThroughput", in, (*Server).updateWarmThroughput)
}

func (s *Server) updateWarmThroughput(_ *call, in *kinesis.UpdateStreamWarmThroughputInput) (*kinesis.UpdateStreamWarmThroughputOutput, error) {
	var v validation
	if v.required("warmThroughputMiBps", in.WarmThroughputMiBps != nil) {
		v.between("warmThroughputMiBps", in.WarmThroughputMiBps, 0, 10<<10)
	}
	if err := v.err(); err != nil {
		return nil, err
	}
	var out *kinesis.UpdateStreamWarmThroughputOutput
	err := s.withActive(streamRef{in.StreamName, in.StreamARN}, func(st *stream, _ time.Time) error {
		st.warmMiBps = *in.WarmThroughputMiBps
		st.saveMeta()
		out = &kinesis.UpdateStreamWarmThroughputOutput{StreamARN: &st.arn, StreamName: &st.name, WarmThroughput: st.warmThroughput()}
		return nil
	})
	return out, err
}

// StartStreamEncryption is the operation of that name. Records are shown as
// encrypted; nothing is.
func (s *Server) StartStreamEncryption(ctx context.Context, in *kinesis.StartStreamEncryptionInput, _ ...func(*kinesis.Options)) (*kinesis.StartStreamEncryptionOutput, error) {
	return invoke(ctx, s, "StartStreamEncryption", in, func(s *Server, _ *call, in *kinesis.StartStreamEncryptionInput) (*kinesis.StartStreamEncryptionOutput, error) {
		err := s.setEncryption(streamRef{in.StreamName, in.StreamARN}, in.EncryptionType, in.KeyId, types.EncryptionTypeKms)
		return &kinesis.StartStreamEncryptionOutput{}, err
	})
}

// StopStreamEncryption is the operation of that name.
func (s *Server) StopStreamEncryption(ctx context.Context, in *kinesis.StopStreamEncryptionInput, _ ...func(*kinesis.Options)) (*kinesis.StopStreamEncryptionOutput, error) {
	return invoke(ctx, s, "StopStreamEncryption", in, func(s *Server, _ *call, in *kinesis.StopStreamEncryptionInput) (*kinesis.StopStreamEncryptionOutput, error) {
		err := s.setEncryption(streamRef{in.StreamName, in.StreamARN}, in.EncryptionType, in.KeyId, types.EncryptionTypeNone)
		return &kinesis.StopStreamEncryptionOutput{}, err
	})
}

func (s *Server) setEncryption(ref streamRef, kind types.EncryptionType, keyID *string, to types.EncryptionType) error {
	var v validation
	enum(&v, "encryptionType", kind, types.EncryptionTypeNone, types.EncryptionTypeKms)
	if v.required("keyId", keyID != nil) {
		v.length("keyId", keyID, 1, 2048)
	}
	if err := v.err(); err != nil {
		return err
	}
	return s.withActive(ref, func(st *stream, now time.Time) error {
		st.update(now, func(time.Time) {
			st.encryption, st.keyID = to, *keyID
			if to == types.EncryptionTypeNone {
				st.keyID = ""
			}
		})
		return nil
	})
}

// EnableEnhancedMonitoring is the operation of that name. The metrics are
// listed; nothing collects them.
func (s *Server) EnableEnhancedMonitoring(ctx context.Context, in *kinesis.EnableEnhancedMonitoringInput, _ ...func(*kinesis.Options)) (*kinesis.EnableEnhancedMonitoringOutput, error) {
	return invoke(ctx, s, "EnableEnhancedMonitoring", in, func(s *Server, _ *call, in *kinesis.EnableEnhancedMonitoringInput) (*kinesis.EnableEnhancedMonitoringOutput, error) {
		out := &kinesis.EnableEnhancedMonitoringOutput{}
		err := s.setMetrics(streamRef{in.StreamName, in.StreamARN}, in.ShardLevelMetrics, func(st *stream, names []types.MetricsName) {
			out.CurrentShardLevelMetrics = st.shardMetrics()
			st.metrics = append(st.metrics, names...)
			slices.Sort(st.metrics)
			st.metrics = slices.Compact(st.metrics)
			out.DesiredShardLevelMetrics, out.StreamARN, out.StreamName = st.shardMetrics(), &st.arn, &st.name
		})
		return out, err
	})
}

// DisableEnhancedMonitoring is the operation of that name.
func (s *Server) DisableEnhancedMonitoring(ctx context.Context, in *kinesis.DisableEnhancedMonitoringInput, _ ...func(*kinesis.Options)) (*kinesis.DisableEnhancedMonitoringOutput, error) {
	return invoke(ctx, s, "DisableEnhancedMonitoring", in, func(s *Server, _ *call, in *kinesis.DisableEnhancedMonitoringInput) (*kinesis.DisableEnhancedMonitoringOutput, error) {
		out := &kinesis.DisableEnhancedMonitoringOutput{}
		err := s.setMetrics(streamRef{in.StreamName, in.StreamARN}, in.ShardLevelMetrics, func(st *stream, names []types.MetricsName) {
			out.CurrentShardLevelMetrics = st.shardMetrics()
			st.metrics = slices.DeleteFunc(st.metrics, func(m types.MetricsName) bool { return slices.Contains(names, m) })
			out.DesiredShardLevelMetrics, out.StreamARN, out.StreamName = st.shardMetrics(), &st.arn, &st.name
		})
		return out, err
	})
}

// setMetrics calls change with the metrics named, of which ALL names all.
func (s *Server) setMetrics(ref streamRef, names []types.MetricsName, change func(*stream, []types.MetricsName)) error {
	all := types.MetricsNameAll.Values()
	var v validation
	v.required("shardLevelMetrics", names != nil)
	for _, name := range names {
		enum(&v, "shardLevelMetrics", name, all...)
	}
	if err := v.err(); err != nil {
		return err
	}
	if slices.Contains(names, types.MetricsNameAll) {
		names = slices.DeleteFunc(all, func(m types.MetricsName) bool { return m == types.MetricsNameAll })
	}
	return s.withActive(ref, func(st *stream, _ time.Time) error {
		change(st, names)
		st.saveMeta()
		return nil
	})
}

// DescribeLimits is the operation of that name.
func (s *Server) DescribeLimits(ctx context.Context, in *kinesis.DescribeLimitsInput, _ ...func(*kinesis.Options)) (*kinesis.DescribeLimitsOutput, error) {
	return invoke(ctx, s, "DescribeLimits", in, (*Server).describeLimits)
}

// onDemandStreamLimit is the quota of a new account.
const onDemandStreamLimit = 50

func (s *Server) describeLimits(*call, *kinesis.DescribeLimitsInput) (*kinesis.DescribeLimitsOutput, error) {
	onDemand := 0
	for _, name := range s.names() {
		_ = s.with(streamRef{name: &name}, func(st *stream, _ time.Time) error {
			if st.mode == types.StreamModeOnDemand {
				onDemand++
			}
			return nil
		})
	}
	return &kinesis.DescribeLimitsOutput{
		OnDemandStreamCount: new(int32(onDemand)), OnDemandStreamCountLimit: new(int32(onDemandStreamLimit)),
		OpenShardCount: new(int32(s.openShards())), ShardLimit: new(int32(s.config.ShardLimit)),
	}, nil
}
