package kinesistest

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

const maxListShards = 1000

// ListShards is the operation of that name.
func (s *Server) ListShards(ctx context.Context, in *kinesis.ListShardsInput, _ ...func(*kinesis.Options)) (*kinesis.ListShardsOutput, error) {
	return invoke(ctx, s, "ListShards", in, (*Server).listShards)
}

// shardPage is what a NextToken of ListShards stands for.
type shardPage struct {
	Issued int64              // Unix milliseconds
	Stream string             //
	After  string             // shard id
	Filter *types.ShardFilter // of the first call
}

func (s *Server) listShards(c *call, in *kinesis.ListShardsInput) (*kinesis.ListShardsOutput, error) {
	page, err := s.shardPage(in)
	if err != nil {
		return nil, err
	}
	limit := min(maxListShards, int(deref(in.MaxResults)))
	if in.MaxResults == nil {
		limit = maxListShards
	}
	out := &kinesis.ListShardsOutput{}
	err = s.with(streamRef{name: &page.Stream}, func(st *stream, now time.Time) error {
		if err := st.limitStream(now, c, listShardsPerSecond, listShardsPerSecond); err != nil {
			return err
		}
		if age := now.Sub(time.UnixMilli(page.Issued)); in.NextToken != nil && age > iteratorLife {
			return clientError(CodeExpiredNextToken, "The specified NextToken has expired. It was issued at %s.", amzTime(time.UnixMilli(page.Issued)))
		}
		if in.StreamCreationTimestamp != nil && !in.StreamCreationTimestamp.Truncate(time.Second).Equal(st.created.Truncate(time.Second)) {
			return s.notFound(st.name)
		}
		all := after(st.filterShards(page.Filter, now), page.After)
		shown := all[:min(limit, len(all))]
		out.Shards = describeShards(shown)
		if len(shown) < len(all) {
			page.Issued, page.After = now.UnixMilli(), shown[len(shown)-1].id
			out.NextToken = new(page.token())
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// shardPage is what the request asks for: a first page, or the one after.
func (s *Server) shardPage(in *kinesis.ListShardsInput) (page shardPage, err error) {
	var v validation
	v.name("exclusiveStartShardId", in.ExclusiveStartShardId)
	v.between("maxResults", in.MaxResults, 1, 10_000)
	v.length("nextToken", in.NextToken, 1, 1<<20)
	if f := in.ShardFilter; f != nil && v.required("shardFilter.type", f.Type != "") {
		enum(&v, "shardFilter.type", f.Type, types.ShardFilterType("").Values()...)
		v.name("shardFilter.shardId", f.ShardId)
	}
	if err := v.err(); err != nil {
		return page, err
	}
	named := in.StreamName != nil || in.StreamARN != nil
	switch {
	case in.NextToken != nil && in.StreamName != nil:
		return page, invalidArgument("NextToken and StreamName cannot be provided together.")
	case in.NextToken != nil:
		return parseShardPage(*in.NextToken)
	case !named:
		return page, invalidArgument("Either NextToken or StreamName should be provided.")
	}
	page.Stream, err = s.resolve(streamRef{in.StreamName, in.StreamARN})
	if err != nil {
		return page, err
	}
	page.Filter, page.After = in.ShardFilter, deref(in.ExclusiveStartShardId)
	return page, checkFilter(page.Filter)
}

func checkFilter(f *types.ShardFilter) error {
	if f == nil {
		return nil
	}
	switch f.Type {
	case types.ShardFilterTypeAfterShardId:
		if f.ShardId == nil {
			return invalidArgument("ShardId must be specified in ShardFilter of type %s.", f.Type)
		}
	case types.ShardFilterTypeAtTimestamp, types.ShardFilterTypeFromTimestamp:
		if f.Timestamp == nil {
			return invalidArgument("Timestamp must be specified in ShardFilter of type %s.", f.Type)
		}
	}
	return nil
}

func (p shardPage) token() string {
	raw, _ := json.Marshal(p) // Strings and numbers always encode.
	return base64.StdEncoding.EncodeToString(raw)
}

func parseShardPage(token string) (p shardPage, err error) {
	raw, err := base64.StdEncoding.DecodeString(token)
	if err == nil {
		err = json.Unmarshal(raw, &p)
	}
	if err != nil || p.Stream == "" {
		return p, invalidArgument("Invalid NextToken.")
	}
	return p, nil
}

// filterShards are the shards a filter lets through; without one, all.
func (st *stream) filterShards(f *types.ShardFilter, now time.Time) (out []*shard) {
	shards := st.visibleShards()
	if f == nil {
		return shards
	}
	if f.Type == types.ShardFilterTypeAfterShardId {
		return after(shards, *f.ShardId)
	}
	for _, sh := range shards {
		if sh.passes(f, now.Add(-st.retention)) {
			out = append(out, sh)
		}
	}
	return out
}

// passes is whether a filter by time lets sh through; horizon is how far back
// the records reach.
func (sh *shard) passes(f *types.ShardFilter, horizon time.Time) bool {
	openAt := func(t time.Time) bool { return !sh.opened.After(t) && (sh.isOpen() || sh.closed.After(t)) }
	openSince := func(t time.Time) bool { return sh.isOpen() || sh.closed.After(t) }
	switch f.Type {
	case types.ShardFilterTypeAtLatest:
		return sh.isOpen()
	case types.ShardFilterTypeAtTrimHorizon:
		// A stream younger than its retention is trimmed at its creation.
		return sh.parent == "" && openSince(horizon) || openAt(horizon)
	case types.ShardFilterTypeFromTrimHorizon:
		return openSince(horizon)
	case types.ShardFilterTypeAtTimestamp:
		return openAt(*f.Timestamp)
	default:
		return openSince(*f.Timestamp)
	}
}

// provisioned refuses resharding by hand of on-demand streams.
func (st *stream) provisioned(op string) error {
	if st.mode == types.StreamModeProvisioned {
		return nil
	}
	return clientError(CodeValidationException, "Request is invalid. %s is only supported for data streams with the provisioned capacity mode. Stream %s under account %s is in on-demand capacity mode.", op, st.name, st.config.AccountID)
}

// openShard finds a shard to split or merge.
func (st *stream) openShard(id string) (*shard, error) {
	sh := st.shard(id)
	if sh == nil {
		return nil, clientError(CodeResourceNotFound, "Could not find shard %s in stream %s under account %s.", id, st.name, st.config.AccountID)
	}
	if !sh.isOpen() {
		return nil, invalidArgument("Shard %s in stream %s under account %s has already been merged or split, and thus is not eligible for merging or splitting.", id, st.name, st.config.AccountID)
	}
	return sh, nil
}

// SplitShard is the operation of that name.
func (s *Server) SplitShard(ctx context.Context, in *kinesis.SplitShardInput, _ ...func(*kinesis.Options)) (*kinesis.SplitShardOutput, error) {
	return invoke(ctx, s, "SplitShard", in, (*Server).splitShard)
}

func (s *Server) splitShard(c *call, in *kinesis.SplitShardInput) (*kinesis.SplitShardOutput, error) {
	var v validation
	if v.required("newStartingHashKey", in.NewStartingHashKey != nil) {
		v.pattern("newStartingHashKey", in.NewStartingHashKey, patternHashKey)
	}
	if v.required("shardToSplit", in.ShardToSplit != nil) {
		v.name("shardToSplit", in.ShardToSplit)
	}
	if err := v.err(); err != nil {
		return nil, err
	}
	if err := s.checkShardLimit(1); err != nil {
		return nil, err
	}
	err := s.withActive(streamRef{in.StreamName, in.StreamARN}, func(st *stream, now time.Time) error {
		if err := st.provisioned(c.op); err != nil {
			return err
		}
		sh, err := st.openShard(*in.ShardToSplit)
		if err != nil {
			return err
		}
		at, ok := parseHashKey(*in.NewStartingHashKey)
		if !ok || at.compare(sh.from) <= 0 || at.compare(sh.from.next()) <= 0 || at.compare(sh.to) >= 0 {
			return invalidArgument("NewStartingHashKey %s used in SplitShard() on shard %s in stream %s under account %s is not both greater than one plus the shard's StartingHashKey %s and less than the shard's EndingHashKey %s.",
				*in.NewStartingHashKey, sh.id, st.name, s.config.AccountID, sh.from, sh.to)
		}
		st.update(now, func(now time.Time) {
			if sh.isOpen() { // A fault may have split it meanwhile.
				st.split(now, sh, at)
			}
		})
		return nil
	})
	return &kinesis.SplitShardOutput{}, err
}

// MergeShards is the operation of that name.
func (s *Server) MergeShards(ctx context.Context, in *kinesis.MergeShardsInput, _ ...func(*kinesis.Options)) (*kinesis.MergeShardsOutput, error) {
	return invoke(ctx, s, "MergeShards", in, (*Server).mergeShards)
}

func (s *Server) mergeShards(c *call, in *kinesis.MergeShardsInput) (*kinesis.MergeShardsOutput, error) {
	var v validation
	if v.required("shardToMerge", in.ShardToMerge != nil) {
		v.name("shardToMerge", in.ShardToMerge)
	}
	if v.required("adjacentShardToMerge", in.AdjacentShardToMerge != nil) {
		v.name("adjacentShardToMerge", in.AdjacentShardToMerge)
	}
	if err := v.err(); err != nil {
		return nil, err
	}
	err := s.withActive(streamRef{in.StreamName, in.StreamARN}, func(st *stream, now time.Time) error {
		if err := st.provisioned(c.op); err != nil {
			return err
		}
		one, err := st.openShard(*in.ShardToMerge)
		if err != nil {
			return err
		}
		other, err := st.openShard(*in.AdjacentShardToMerge)
		if err != nil {
			return err
		}
		low, high := one, other
		if low.from.compare(high.from) > 0 {
			low, high = high, low
		}
		if low == high || low.to.next() != high.from {
			return invalidArgument("Shards %s and %s in stream %s under account %s are not an adjacent pair of shards eligible for merging",
				one.id, other.id, st.name, s.config.AccountID)
		}
		st.update(now, func(now time.Time) {
			if low.isOpen() && high.isOpen() {
				st.merge(now, low, high)
			}
		})
		return nil
	})
	return &kinesis.MergeShardsOutput{}, err
}

// UpdateShardCount is the operation of that name.
func (s *Server) UpdateShardCount(ctx context.Context, in *kinesis.UpdateShardCountInput, _ ...func(*kinesis.Options)) (*kinesis.UpdateShardCountOutput, error) {
	return invoke(ctx, s, "UpdateShardCount", in, (*Server).updateShardCount)
}

func (s *Server) updateShardCount(c *call, in *kinesis.UpdateShardCountInput) (*kinesis.UpdateShardCountOutput, error) {
	var v validation
	if v.required("scalingType", in.ScalingType != "") {
		enum(&v, "scalingType", in.ScalingType, types.ScalingTypeUniformScaling)
	}
	if v.required("targetShardCount", in.TargetShardCount != nil) {
		v.between("targetShardCount", in.TargetShardCount, 1, maxShards)
	}
	if err := v.err(); err != nil {
		return nil, err
	}
	ref, have := streamRef{in.StreamName, in.StreamARN}, 0
	err := s.with(ref, func(st *stream, _ time.Time) error {
		have = len(st.open)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := s.checkShardLimit(max(0, int(*in.TargetShardCount)-have)); err != nil {
		return nil, err
	}
	var out *kinesis.UpdateShardCountOutput
	err = s.withActive(ref, func(st *stream, now time.Time) error {
		if err := st.provisioned(c.op); err != nil {
			return err
		}
		have, want := len(st.open), int(*in.TargetShardCount)
		if want > 2*have {
			return invalidArgument("UpdateShardCount cannot scale up over double your current open shard count. Current open shard count: %d Target shard count: %d", have, want)
		}
		if 2*want < have {
			return invalidArgument("UpdateShardCount cannot scale down below half your current open shard count. Current open shard count: %d Target shard count: %d", have, want)
		}
		if err := st.limitStream(now, c, updateShardCountsPerPeriod/updateShardCountPeriod.Seconds(), updateShardCountsPerPeriod); err != nil {
			return err
		}
		out = &kinesis.UpdateShardCountOutput{
			CurrentShardCount: new(int32(have)), StreamARN: &st.arn, StreamName: &st.name, TargetShardCount: in.TargetShardCount,
		}
		st.update(now, func(now time.Time) { st.reshard(now, want) })
		return nil
	})
	return out, err
}
