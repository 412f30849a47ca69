package kinesistest

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

const (
	maxGetRecords = 10_000
	maxGetBytes   = 10 << 20
)

// GetShardIterator is the operation of that name.
func (s *Server) GetShardIterator(ctx context.Context, in *kinesis.GetShardIteratorInput, _ ...func(*kinesis.Options)) (*kinesis.GetShardIteratorOutput, error) {
	return invoke(ctx, s, "GetShardIterator", in, (*Server).getShardIterator)
}

func (s *Server) getShardIterator(c *call, in *kinesis.GetShardIteratorInput) (*kinesis.GetShardIteratorOutput, error) {
	if err := validateGetShardIterator(in); err != nil {
		return nil, err
	}
	var out *kinesis.GetShardIteratorOutput
	err := s.with(streamRef{in.StreamName, in.StreamARN}, func(st *stream, now time.Time) error {
		sh := st.shard(*in.ShardId)
		if sh == nil {
			return clientError(CodeResourceNotFound, "Shard %s in stream %s under account %s does not exist", *in.ShardId, st.name, s.config.AccountID)
		}
		if s.config.Limits.Throughput && !st.calls.take(now, c.op+sh.id, shardIteratorsPerSecond, shardIteratorsPerSecond) {
			return st.throttled(sh)
		}
		index, err := st.position(sh, in, now)
		if err != nil {
			return err
		}
		if in.DryRun != nil && *in.DryRun {
			return errDryRun()
		}
		out = &kinesis.GetShardIteratorOutput{ShardIterator: new(st.iterator(sh, index, now).String())}
		return nil
	})
	return out, err
}

func validateGetShardIterator(in *kinesis.GetShardIteratorInput) error {
	var v validation
	if v.required("shardId", in.ShardId != nil) {
		v.name("shardId", in.ShardId)
	}
	if v.required("shardIteratorType", in.ShardIteratorType != "") {
		enum(&v, "shardIteratorType", in.ShardIteratorType, "AFTER_SEQUENCE_NUMBER", "LATEST", "AT_TIMESTAMP", "AT_SEQUENCE_NUMBER", "TRIM_HORIZON")
	}
	v.pattern("startingSequenceNumber", in.StartingSequenceNumber, patternSequence)
	return v.err()
}

func (st *stream) iterator(sh *shard, index uint64, now time.Time) iterator {
	return iterator{issued: now.UnixMilli(), created: st.created.UnixNano(), index: index, shard: sh.number, stream: st.name}
}

// position is the index that a GetShardIterator asks for.
func (st *stream) position(sh *shard, in *kinesis.GetShardIteratorInput, now time.Time) (uint64, error) {
	kind := in.ShardIteratorType
	switch kind {
	case types.ShardIteratorTypeTrimHorizon, types.ShardIteratorTypeLatest:
		if in.StartingSequenceNumber != nil {
			return 0, invalidArgument("Must either specify (1) AT_SEQUENCE_NUMBER or AFTER_SEQUENCE_NUMBER and StartingSequenceNumber or (2) TRIM_HORIZON or LATEST and no StartingSequenceNumber. Request specified %s and also a StartingSequenceNumber.", kind)
		}
		if kind == types.ShardIteratorTypeLatest {
			return sh.log.next, nil
		}
		return sh.log.first, nil
	case types.ShardIteratorTypeAtTimestamp:
		if in.Timestamp == nil {
			return 0, invalidArgument("Must specify timestampInMillis parameter for iterator of type AT_TIMESTAMP. Current request has no timestamp parameter.")
		}
		if in.Timestamp.After(now) {
			return 0, invalidArgument("The timestampInMillis parameter cannot be greater than the currentTimestampInMillis. timestampInMillis: %d, currentTimestampInMillis: %d", in.Timestamp.UnixMilli(), now.UnixMilli())
		}
		return sh.log.since(in.Timestamp.UnixMilli()), nil
	}
	return st.positionAt(sh, in)
}

// positionAt is position for the types that name a sequence number.
func (st *stream) positionAt(sh *shard, in *kinesis.GetShardIteratorInput) (uint64, error) {
	if in.StartingSequenceNumber == nil {
		return 0, invalidArgument("Must either specify (1) AT_SEQUENCE_NUMBER or AFTER_SEQUENCE_NUMBER and StartingSequenceNumber or (2) TRIM_HORIZON or LATEST and no StartingSequenceNumber. Request specified %s and no StartingSequenceNumber.", in.ShardIteratorType)
	}
	invalid := func(why string) error {
		return invalidArgument("StartingSequenceNumber %s used in GetShardIterator on shard %s in stream %s under account %s is invalid%s.",
			*in.StartingSequenceNumber, sh.id, st.name, st.config.AccountID, why)
	}
	q, err := parseSequence(*in.StartingSequenceNumber)
	if err != nil {
		return 0, invalid("")
	}
	if q.shard != sh.number {
		return 0, invalidArgument("Invalid StartingSequenceNumber. It encodes %s, while it was used in a call to a shard with %s", shardID(q.shard), sh.id)
	}
	if q.created != sh.created || q.index >= sh.log.next && q.index != lastIndex {
		return 0, invalid(" because it did not come from this stream")
	}
	index := q.index
	if in.ShardIteratorType == types.ShardIteratorTypeAfterSequenceNumber {
		index++
	}
	return min(max(index, sh.log.first), sh.log.next), nil
}

// GetRecords is the operation of that name. The data of the records must not
// be changed.
func (s *Server) GetRecords(ctx context.Context, in *kinesis.GetRecordsInput, _ ...func(*kinesis.Options)) (*kinesis.GetRecordsOutput, error) {
	return invoke(ctx, s, "GetRecords", in, (*Server).getRecords)
}

func (s *Server) getRecords(c *call, in *kinesis.GetRecordsInput) (*kinesis.GetRecordsOutput, error) {
	var v validation
	v.between("limit", in.Limit, 1, maxGetRecords)
	if v.required("shardIterator", in.ShardIterator != nil) {
		v.length("shardIterator", in.ShardIterator, 1, 512)
	}
	if err := v.err(); err != nil {
		return nil, err
	}
	it, ok := parseIterator(*in.ShardIterator)
	if !ok {
		return nil, invalidArgument("Invalid ShardIterator.")
	}
	var out *kinesis.GetRecordsOutput
	err := s.with(streamRef{&it.stream, in.StreamARN}, func(st *stream, now time.Time) error {
		if age := now.Sub(time.UnixMilli(it.issued)); age > iteratorLife {
			return clientError(CodeExpiredIterator, "Iterator expired. The iterator was created at time %s while right now it is %s which is further in the future than the tolerated delay of %d milliseconds.",
				amzTime(time.UnixMilli(it.issued)), amzTime(now), iteratorLife.Milliseconds())
		}
		sh := st.shard(c.shard)
		if sh == nil || it.created != st.created.UnixNano() {
			return clientError(CodeResourceNotFound, "Shard %s in stream %s under account %s does not exist", c.shard, st.name, s.config.AccountID)
		}
		if in.DryRun != nil && *in.DryRun {
			return errDryRun()
		}
		var err error
		out, err = st.read(sh, it.index, int(deref(in.Limit)), now)
		return err
	})
	return out, err
}

// read is the reply of GetRecords: at most limit records from the index on.
func (st *stream) read(sh *shard, index uint64, limit int, now time.Time) (*kinesis.GetRecordsOutput, error) {
	if sh.read != nil {
		sh.read.bytes.fill(now)
		if sh.read.bytes.level <= 0 || !sh.read.calls.take(now, 1) {
			return nil, st.throttled(sh)
		}
	}
	if limit == 0 {
		limit = maxGetRecords
	}
	index = max(index, sh.log.first)
	out := &kinesis.GetRecordsOutput{Records: []types.Record{}}
	size := int64(0)
	for ; index < sh.log.next && len(out.Records) < limit; index++ {
		r := sh.log.at(index)
		if size += r.size(); size > maxGetBytes && len(out.Records) > 0 {
			break
		}
		out.Records = append(out.Records, types.Record{
			ApproximateArrivalTimestamp: new(time.UnixMilli(r.arrival).UTC()),
			Data:                        r.data,
			EncryptionType:              st.recordEncryption(),
			PartitionKey:                new(r.key),
			SequenceNumber:              new(sh.sequence(index, r.arrival/1000).String()),
		})
	}
	if sh.read != nil {
		sh.read.bytes.level -= float64(size)
	}
	behind := int64(0)
	if index < sh.log.next {
		behind = max(0, now.UnixMilli()-sh.log.at(index).arrival)
	}
	out.MillisBehindLatest = &behind
	if sh.isOpen() || index < sh.log.next {
		out.NextShardIterator = new(st.iterator(sh, index, now).String())
		return out, nil
	}
	for _, child := range st.children(sh) {
		out.ChildShards = append(out.ChildShards, child.describeChild())
	}
	return out, nil
}

// recordEncryption is left out of records that are not encrypted.
func (st *stream) recordEncryption() types.EncryptionType {
	if st.encryption == types.EncryptionTypeKms {
		return st.encryption
	}
	return ""
}

func (sh *shard) describeChild() types.ChildShard {
	parents := []string{sh.parent}
	if sh.adjacent != "" {
		parents = append(parents, sh.adjacent)
	}
	return types.ChildShard{HashKeyRange: sh.hashRange(), ParentShards: parents, ShardId: &sh.id}
}
