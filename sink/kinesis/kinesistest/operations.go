package kinesistest

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"
)

// operation decodes its input, carries it out and returns its output.
type operation func(ctx context.Context, s *Server, decode func(any) error) (any, error)

// callKey is the context key of the *call that HTTP follows through a method.
type callKey struct{}

// operationOf adapts a method of Server.
func operationOf[I, O any](method func(*Server, context.Context, *I, ...func(*kinesis.Options)) (*O, error)) operation {
	return func(ctx context.Context, s *Server, decode func(any) error) (any, error) {
		in := new(I)
		if err := decode(in); err != nil {
			return nil, err
		}
		return method(s, ctx, in)
	}
}

// operations are those that can be called over HTTP.
var operations = map[string]operation{
	"AddTagsToStream":                        operationOf((*Server).AddTagsToStream),
	"CreateStream":                           operationOf((*Server).CreateStream),
	"DecreaseStreamRetentionPeriod":          operationOf((*Server).DecreaseStreamRetentionPeriod),
	"DeleteStream":                           operationOf((*Server).DeleteStream),
	"DescribeLimits":                         operationOf((*Server).DescribeLimits),
	"DescribeStream":                         operationOf((*Server).DescribeStream),
	"DescribeStreamSummary":                  operationOf((*Server).DescribeStreamSummary),
	"DisableEnhancedMonitoring":              operationOf((*Server).DisableEnhancedMonitoring),
	"EnableEnhancedMonitoring":               operationOf((*Server).EnableEnhancedMonitoring),
	"GetRecords":                             operationOf((*Server).GetRecords),
	"GetShardIterator":                       operationOf((*Server).GetShardIterator),
	"IncreaseStreamRetentionPeriod":          operationOf((*Server).IncreaseStreamRetentionPeriod),
	"ListShards":                             operationOf((*Server).ListShards),
	"ListStreams":                            operationOf((*Server).ListStreams),
	"ListTagsForResource":                    operationOf((*Server).ListTagsForResource),
	"ListTagsForStream":                      operationOf((*Server).ListTagsForStream),
	"MergeShards":                            operationOf((*Server).MergeShards),
	"PutRecord":                              operationOf((*Server).PutRecord),
	"PutRecords":                             operationOf((*Server).PutRecords),
	"RemoveTagsFromStream":                   operationOf((*Server).RemoveTagsFromStream),
	"SplitShard":                             operationOf((*Server).SplitShard),
	"StartStreamEncryption":                  operationOf((*Server).StartStreamEncryption),
	"StopStreamEncryption":                   operationOf((*Server).StopStreamEncryption),
	"TagResource":                            operationOf((*Server).TagResource),
	"UntagResource":                          operationOf((*Server).UntagResource),
	"UpdateMaxRecordSize":                    operationOf((*Server).UpdateMaxRecordSize),
	"UpdateShardCount":                       operationOf((*Server).UpdateShardCount),
	"UpdateStreamMode":                       operationOf((*Server).UpdateStreamMode),
	"UpdateStreamRecordDistributionStrategy": operationOf((*Server).UpdateStreamRecordDistributionStrategy),
	"UpdateStreamWarmThroughput":             operationOf((*Server).UpdateStreamWarmThroughput),
}
