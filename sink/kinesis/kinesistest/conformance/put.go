package conformance

import (
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// put puts one request of records into a new stream of so many shards.
func (e *Env) put(ctx context.Context, shards int32, records ...types.PutRecordsRequestEntry) (*kinesis.PutRecordsOutput, error) {
	name, err := e.stream(ctx, shards)
	if err != nil {
		return nil, err
	}
	return e.client().PutRecords(ctx, &kinesis.PutRecordsInput{StreamName: &name, Records: records})
}

func record(key string, data []byte) types.PutRecordsRequestEntry {
	return types.PutRecordsRequestEntry{Data: data, PartitionKey: &key}
}

func withHash(hash string) types.PutRecordsRequestEntry {
	return types.PutRecordsRequestEntry{Data: []byte("d"), PartitionKey: new("k"), ExplicitHashKey: &hash}
}

// putFails is a check that the records are refused.
func putFails(name, code, text string, records ...types.PutRecordsRequestEntry) Check {
	return Check{Name: name, Run: func(ctx context.Context, e *Env) error {
		_, err := e.put(ctx, 1, records...)
		return fails(err, code, text)
	}}
}

// putWorks is a check that the records are all accepted.
func putWorks(name string, records ...types.PutRecordsRequestEntry) Check {
	return Check{Name: name, Run: func(ctx context.Context, e *Env) error {
		out, err := e.put(ctx, 1, records...)
		if err != nil {
			return err
		}
		return equal("FailedRecordCount", *out.FailedRecordCount, 0)
	}}
}

var sequencePattern = regexp.MustCompile(`^4\d{55}$`)

var putChecks = []Check{
	{Name: "shard by MD5 of the key", Run: func(ctx context.Context, e *Env) error {
		var in []types.PutRecordsRequestEntry
		for i := range 50 {
			in = append(in, record(fmt.Sprintf("ключ-%d", i), []byte("d")))
		}
		out, err := e.put(ctx, 2, in...)
		if err != nil {
			return err
		}
		for i, r := range out.Records {
			want := shard0
			if md5.Sum([]byte(*in[i].PartitionKey))[0] >= 0x80 {
				want = shard1
			}
			if err := equal("shard of "+*in[i].PartitionKey, deref(r.ShardId), want); err != nil {
				return err
			}
		}
		return nil
	}},
	{Name: "shard by explicit hash key", Run: func(ctx context.Context, e *Env) error {
		out, err := e.put(ctx, 2, withHash("0"), withHash(half), withHash("340282366920938463463374607431768211455"))
		if err != nil {
			return err
		}
		return errors.Join(
			equal("shard of 0", deref(out.Records[0].ShardId), shard0),
			equal("shard of 2^127", deref(out.Records[1].ShardId), shard1),
			equal("shard of 2^128-1", deref(out.Records[2].ShardId), shard1),
		)
	}},
	{Name: "sequence numbers rise in a request", Run: func(ctx context.Context, e *Env) error {
		out, err := e.put(ctx, 1, entries("k", 100)...)
		if err != nil {
			return err
		}
		for i, r := range out.Records {
			if !sequencePattern.MatchString(*r.SequenceNumber) {
				return fmt.Errorf("sequence number %s", *r.SequenceNumber)
			}
			if i > 0 {
				if err := less("order", *out.Records[i-1].SequenceNumber, *r.SequenceNumber); err != nil {
					return err
				}
			}
		}
		return nil
	}},
	{Name: "PutRecord with SequenceNumberForOrdering", Run: func(ctx context.Context, e *Env) error {
		name, err := e.stream(ctx, 1)
		if err != nil {
			return err
		}
		in := &kinesis.PutRecordInput{StreamName: &name, Data: []byte("d"), PartitionKey: new("k")}
		for range 3 {
			out, err := e.client().PutRecord(ctx, in)
			if err != nil {
				return err
			}
			if in.SequenceNumberForOrdering != nil {
				if err := less("order", *in.SequenceNumberForOrdering, *out.SequenceNumber); err != nil {
					return err
				}
			}
			in.SequenceNumberForOrdering = out.SequenceNumber
		}
		in.SequenceNumberForOrdering = new("1" + strings.Repeat("9", 58))
		_, err = e.client().PutRecord(ctx, in)
		return fails(err, "InvalidArgumentException", "ExclusiveMinimumSequenceNumber")
	}},
	{Name: "DryRun of PutRecords writes nothing", Run: func(ctx context.Context, e *Env) error {
		name, err := e.stream(ctx, 1)
		if err != nil {
			return err
		}
		_, err = e.client().PutRecords(ctx, &kinesis.PutRecordsInput{StreamName: &name, Records: entries("k", 1), DryRun: new(true)})
		if err := fails(err, "DryRunOperationException", ""); err != nil {
			return err
		}
		got, err := e.read(ctx, name, shard0, types.ShardIteratorTypeTrimHorizon)
		if err != nil {
			return err
		}
		return equal("records stored", len(got.Records), 0)
	}},
	{Name: "empty data", Run: func(ctx context.Context, e *Env) error {
		out, err := e.put(ctx, 1, record("k", []byte{}))
		if err != nil {
			return err
		}
		return equal("FailedRecordCount", *out.FailedRecordCount, 0)
	}},
	putFails("no records", "ValidationException", "at 'records' failed to satisfy constraint: Member must have length greater than or equal to 1", []types.PutRecordsRequestEntry{}...),
	putFails("501 records", "ValidationException", "at 'records' failed to satisfy constraint: Member must have length less than or equal to 500", entries("k", 501)...),
	putWorks("500 records", entries("k", 500)...),
	putFails("empty key", "ValidationException", "at 'records.1.member.partitionKey' failed to satisfy constraint: Member must have length greater than or equal to 1", record("", []byte("d"))),
	putFails("key of 257 characters", "ValidationException", "at 'records.2.member.partitionKey' failed to satisfy constraint: Member must have length less than or equal to 256",
		record("k", []byte("d")), record(strings.Repeat("k", 257), []byte("d"))),
	putWorks("key of 256 characters of 2 bytes", record(strings.Repeat("é", 256), []byte("d"))),
	putFails("explicit hash key 2^128", "InvalidArgumentException", "Invalid ExplicitHashKey. ExplicitHashKey must be in the range: [0, 2^128-1]. Specified value was 340282366920938463463374607431768211456", withHash("340282366920938463463374607431768211456")),
	putFails("explicit hash key 00", "ValidationException", `at 'records.1.member.explicitHashKey' failed to satisfy constraint: Member must satisfy regular expression pattern: 0|([1-9]\d{0,38})`, withHash("00")),
	putFails("explicit hash key abc", "ValidationException", "at 'records.1.member.explicitHashKey'", withHash("abc")),
}

const mib = 1 << 20

var sizeChecks = []Check{
	putFails("1 MiB + 1 byte of data", "ValidationException", "at 'records.2.member.data' failed to satisfy constraint: Member must have length less than or equal to 1048576",
		record("k", []byte("d")), record("k", make([]byte, mib+1))),
	{Name: "1 MiB of data with its key", Run: func(ctx context.Context, e *Env) error {
		_, err := e.put(ctx, 1, record("k", make([]byte, mib)))
		if fails(err, "ValidationException", "") == nil {
			return nil // Which of the two it is, is not documented.
		}
		return fails(err, "InvalidArgumentException", "")
	}},
	putWorks("1 MiB of data and key", record("k", make([]byte, mib-1))),
	{Name: "request of 6 MiB", Run: func(ctx context.Context, e *Env) error {
		out, err := e.put(ctx, 1, big(12)...)
		if err != nil {
			return err
		}
		return equal("FailedRecordCount", *out.FailedRecordCount, 0)
	}},
	{Name: "request of more than 10 MiB", Run: func(ctx context.Context, e *Env) error {
		_, err := e.put(ctx, 1, big(20)...)
		return fails(err, "InvalidArgumentException", "Records size exceeds")
	}},
	{Name: "UpdateMaxRecordSize", Run: func(ctx context.Context, e *Env) error {
		name, err := e.stream(ctx, 1)
		if err != nil {
			return err
		}
		arn, err := e.arn(ctx, name)
		if err != nil {
			return err
		}
		if _, err := e.client().UpdateMaxRecordSize(ctx, &kinesis.UpdateMaxRecordSizeInput{StreamARN: &arn, MaxRecordSizeInKiB: new(int32(2048))}); err != nil {
			return err
		}
		if err := e.active(ctx, name); err != nil {
			return err
		}
		put := func(n int) error {
			_, err := e.client().PutRecord(ctx, &kinesis.PutRecordInput{StreamName: &name, PartitionKey: new("k"), Data: make([]byte, n)})
			return err
		}
		sum, err := e.client().DescribeStreamSummary(ctx, &kinesis.DescribeStreamSummaryInput{StreamName: &name})
		if err != nil {
			return err
		}
		return errors.Join(
			put(2*mib-1), fails(put(2*mib+1), "ValidationException", "2097152"),
			equal("MaxRecordSizeInKiB", deref(sum.StreamDescriptionSummary.MaxRecordSizeInKiB), 2048),
		)
	}},
}

// big is n records of half a MiB, and a bit.
func big(n int) []types.PutRecordsRequestEntry {
	out := make([]types.PutRecordsRequestEntry, n)
	for i := range out {
		out[i] = record(fmt.Sprint("key", i), make([]byte, mib/2))
	}
	return out
}
