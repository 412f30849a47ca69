package kinesistest

import (
	"context"
	"io"
	"reflect"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// invoke carries out any operation but PutRecords, under limits and faults,
// for the methods of Server.
func invoke[I, O any](ctx context.Context, s *Server, op string, in *I, handle func(*Server, *call, *I) (*O, error)) (*O, error) {
	c, overHTTP := ctx.Value(callKey{}).(*call)
	if !overHTTP {
		c = &call{op: op}
	}
	out, err := invokeCall(ctx, s, c, in, handle)
	if err == nil && c.truncate && !overHTTP {
		return nil, io.ErrUnexpectedEOF
	}
	return out, err
}

func invokeCall[I, O any](ctx context.Context, s *Server, c *call, in *I, handle func(*Server, *call, *I) (*O, error)) (out *O, err error) {
	if err := s.describeCall(c, in); err != nil {
		return nil, err
	}
	err = s.around(ctx, c, func() error {
		if err := s.limitAccount(c); err != nil {
			return err
		}
		out, err = handle(s, c, in)
		return err
	})
	return out, err
}

// describeCall finds out what a request is about, for faults and limits.
func (s *Server) describeCall(c *call, in any) error {
	switch in := in.(type) {
	case *kinesis.CreateStreamInput:
		c.stream = deref(in.StreamName)
		return nil
	case *kinesis.GetRecordsInput:
		// A bad iterator is reported by the operation.
		it, _ := parseIterator(deref(in.ShardIterator))
		c.stream, c.shard = it.stream, shardID(it.shard)
		return nil
	case *kinesis.PutRecordInput:
		c.entries = []types.PutRecordsRequestEntry{{Data: in.Data, ExplicitHashKey: in.ExplicitHashKey, PartitionKey: in.PartitionKey}}
	}
	v := reflect.ValueOf(in).Elem()
	name, arn, shard := stringField(v, "StreamName"), stringField(v, "StreamARN"), stringField(v, "ShardId")
	c.shard = deref(shard)
	if name == nil && arn == nil {
		return nil
	}
	var err error
	c.stream, err = s.resolve(streamRef{name, arn})
	return err
}

func stringField(v reflect.Value, name string) *string {
	f := v.FieldByName(name)
	if !f.IsValid() {
		return nil
	}
	p, _ := f.Interface().(*string)
	return p
}

func deref[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}
