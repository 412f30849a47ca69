package kinesistest

import (
	"encoding/base64"
	"encoding/json"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// appendString appends s as a JSON string.
func appendString(dst []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			quoted, _ := json.Marshal(s) // Strings always encode.
			return append(dst, quoted...)
		}
	}
	dst = append(dst, '"')
	dst = append(dst, s...)
	return append(dst, '"')
}

// appendGetRecords appends the reply as JSON, faster than the general encoder.
func appendGetRecords(dst []byte, out *kinesis.GetRecordsOutput, rest codec) ([]byte, error) {
	dst = append(dst, `{"MillisBehindLatest":`...)
	dst = strconv.AppendInt(dst, *out.MillisBehindLatest, 10)
	dst = append(dst, `,"Records":[`...)
	for i := range out.Records {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendRecord(dst, &out.Records[i])
	}
	dst = append(dst, ']')
	if out.NextShardIterator != nil {
		dst = append(dst, `,"NextShardIterator":"`...)
		dst = append(dst, *out.NextShardIterator...)
		dst = append(dst, '"')
	}
	if out.ChildShards != nil {
		children, err := rest.encode(&struct{ ChildShards []types.ChildShard }{out.ChildShards})
		if err != nil {
			return nil, err
		}
		dst = append(dst, ',')
		return append(dst, children[1:]...), nil
	}
	return append(dst, '}'), nil
}

func appendRecord(dst []byte, r *types.Record) []byte {
	dst = append(dst, `{"ApproximateArrivalTimestamp":`...)
	dst = append(dst, timeJSON(*r.ApproximateArrivalTimestamp).(json.Number)...)
	dst = append(dst, `,"Data":"`...)
	dst = base64.StdEncoding.AppendEncode(dst, r.Data)
	dst = append(dst, `","PartitionKey":`...)
	dst = appendString(dst, *r.PartitionKey)
	dst = append(dst, `,"SequenceNumber":"`...)
	dst = append(dst, *r.SequenceNumber...)
	dst = append(dst, '"')
	if r.EncryptionType != "" {
		dst = append(dst, `,"EncryptionType":`...)
		dst = appendString(dst, string(r.EncryptionType))
	}
	return append(dst, '}')
}
