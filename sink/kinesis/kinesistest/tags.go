package kinesistest

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

const (
	maxTags     = 50
	maxTagKey   = 128
	maxTagValue = 256
)

// AddTagsToStream is the operation of that name.
func (s *Server) AddTagsToStream(ctx context.Context, in *kinesis.AddTagsToStreamInput, _ ...func(*kinesis.Options)) (*kinesis.AddTagsToStreamOutput, error) {
	return invoke(ctx, s, "AddTagsToStream", in, func(s *Server, _ *call, in *kinesis.AddTagsToStreamInput) (*kinesis.AddTagsToStreamOutput, error) {
		return &kinesis.AddTagsToStreamOutput{}, s.addTags(streamRef{in.StreamName, in.StreamARN}, in.Tags)
	})
}

// TagResource is the operation of that name, for streams.
func (s *Server) TagResource(ctx context.Context, in *kinesis.TagResourceInput, _ ...func(*kinesis.Options)) (*kinesis.TagResourceOutput, error) {
	return invoke(ctx, s, "TagResource", in, func(s *Server, _ *call, in *kinesis.TagResourceInput) (*kinesis.TagResourceOutput, error) {
		return &kinesis.TagResourceOutput{}, s.addTags(streamRef{arn: in.ResourceARN}, in.Tags)
	})
}

func (s *Server) addTags(ref streamRef, tags map[string]string) error {
	if err := checkTags(tags); err != nil {
		return err
	}
	return s.with(ref, func(st *stream, _ time.Time) error {
		merged := maps.Clone(st.tags)
		maps.Copy(merged, tags)
		if len(merged) > maxTags {
			return invalidArgument("Failed to add tags to stream %s under account %s because a given stream cannot have more than %d tags associated with it.",
				st.name, s.config.AccountID, maxTags)
		}
		st.tags = merged
		st.saveMeta()
		return nil
	})
}

func checkTags(tags map[string]string) error {
	var v validation
	if v.required("tags", tags != nil) && len(tags) == 0 {
		v.failString("{}", "tags", "Member must have length greater than or equal to 1")
	}
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		if n := characters(key); n < 1 || n > maxTagKey {
			v.failString("{"+key+"="+tags[key]+"}", "tags", "Map keys must satisfy constraint: [Member must have length less than or equal to %d, Member must have length greater than or equal to 1]", maxTagKey)
		}
		if characters(tags[key]) > maxTagValue {
			v.failString("{"+key+"="+tags[key]+"}", "tags", "Map value must satisfy constraint: [Member must have length less than or equal to %d, Member must have length greater than or equal to 0]", maxTagValue)
		}
	}
	if err := v.err(); err != nil {
		return err
	}
	for key, value := range tags {
		if strings.ContainsFunc(key+value, notInTag) {
			return invalidArgument("Some tags contain invalid characters. Valid characters: Unicode letters, digits, white space, _ . / = + - %% @.")
		}
	}
	return nil
}

func notInTag(r rune) bool {
	return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsSpace(r) && !strings.ContainsRune("_.:/=+-%@", r)
}

// RemoveTagsFromStream is the operation of that name.
func (s *Server) RemoveTagsFromStream(ctx context.Context, in *kinesis.RemoveTagsFromStreamInput, _ ...func(*kinesis.Options)) (*kinesis.RemoveTagsFromStreamOutput, error) {
	return invoke(ctx, s, "RemoveTagsFromStream", in, func(s *Server, _ *call, in *kinesis.RemoveTagsFromStreamInput) (*kinesis.RemoveTagsFromStreamOutput, error) {
		return &kinesis.RemoveTagsFromStreamOutput{}, s.removeTags(streamRef{in.StreamName, in.StreamARN}, in.TagKeys)
	})
}

// UntagResource is the operation of that name, for streams.
func (s *Server) UntagResource(ctx context.Context, in *kinesis.UntagResourceInput, _ ...func(*kinesis.Options)) (*kinesis.UntagResourceOutput, error) {
	return invoke(ctx, s, "UntagResource", in, func(s *Server, _ *call, in *kinesis.UntagResourceInput) (*kinesis.UntagResourceOutput, error) {
		return &kinesis.UntagResourceOutput{}, s.removeTags(streamRef{arn: in.ResourceARN}, in.TagKeys)
	})
}

func (s *Server) removeTags(ref streamRef, keys []string) error {
	var v validation
	if v.required("tagKeys", keys != nil) && (len(keys) < 1 || len(keys) > maxTags) {
		v.failString("["+strings.Join(keys, ", ")+"]", "tagKeys", "Member must have length in 1 to %d", maxTags)
	}
	if err := v.err(); err != nil {
		return err
	}
	return s.with(ref, func(st *stream, _ time.Time) error {
		for _, key := range keys {
			delete(st.tags, key)
		}
		st.saveMeta()
		return nil
	})
}

// ListTagsForStream is the operation of that name.
func (s *Server) ListTagsForStream(ctx context.Context, in *kinesis.ListTagsForStreamInput, _ ...func(*kinesis.Options)) (*kinesis.ListTagsForStreamOutput, error) {
	return invoke(ctx, s, "ListTagsForStream", in, func(s *Server, _ *call, in *kinesis.ListTagsForStreamInput) (*kinesis.ListTagsForStreamOutput, error) {
		var v validation
		v.between("limit", in.Limit, 1, maxTags)
		v.length("exclusiveStartTagKey", in.ExclusiveStartTagKey, 1, maxTagKey)
		if err := v.err(); err != nil {
			return nil, err
		}
		all, err := s.listTags(streamRef{in.StreamName, in.StreamARN}, deref(in.ExclusiveStartTagKey))
		shown := all
		if in.Limit != nil {
			shown = all[:min(len(all), int(*in.Limit))]
		}
		return &kinesis.ListTagsForStreamOutput{HasMoreTags: new(len(shown) < len(all)), Tags: shown}, err
	})
}

// ListTagsForResource is the operation of that name, for streams.
func (s *Server) ListTagsForResource(ctx context.Context, in *kinesis.ListTagsForResourceInput, _ ...func(*kinesis.Options)) (*kinesis.ListTagsForResourceOutput, error) {
	return invoke(ctx, s, "ListTagsForResource", in, func(s *Server, _ *call, in *kinesis.ListTagsForResourceInput) (*kinesis.ListTagsForResourceOutput, error) {
		all, err := s.listTags(streamRef{arn: in.ResourceARN}, "")
		return &kinesis.ListTagsForResourceOutput{Tags: all}, err
	})
}

// listTags are the tags of a stream whose keys follow the key, in order.
func (s *Server) listTags(ref streamRef, after string) ([]types.Tag, error) {
	out := []types.Tag{}
	err := s.with(ref, func(st *stream, _ time.Time) error {
		for _, key := range slices.Sorted(maps.Keys(st.tags)) {
			if key > after {
				out = append(out, types.Tag{Key: &key, Value: new(st.tags[key])})
			}
		}
		return nil
	})
	return out, err
}
