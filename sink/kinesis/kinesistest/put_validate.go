package kinesistest

import (
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

const maxPartitionKey = 256

// putRules are what a stream asks of the records put into it.
type putRules struct {
	maxRecord int // bytes
	auto      bool
}

// putRules are those of the stream, or the usual ones when it does not exist:
// the service says what is wrong with a request before it looks for its stream.
func (s *Server) putRules(name string) putRules {
	rules := putRules{maxRecord: defaultMaxRecordKiB << 10}
	_ = s.with(streamRef{name: &name}, func(st *stream, _ time.Time) error {
		rules.maxRecord = int(st.maxRecordKiB) << 10
		rules.auto = st.distribution == types.RecordDistributionStrategyAuto
		return nil
	})
	return rules
}

func (rules putRules) checkRecords(in *kinesis.PutRecordsInput) error {
	var v validation
	total := 0
	if v.required("records", in.Records != nil) {
		v.recordCount(len(in.Records))
		for i := range in.Records {
			e := &in.Records[i]
			total += len(e.Data)
			if e.PartitionKey != nil {
				total += len(*e.PartitionKey)
			}
			if !rules.plainlyValid(e) {
				rules.validateEntry(&v, fmt.Sprintf("records.%d.member.", i+1), e)
			}
		}
	}
	if err := v.err(); err != nil {
		return err
	}
	if total > maxPutBytes {
		return invalidArgument("Records size exceeds 10 MB limit")
	}
	for i := range in.Records {
		if err := rules.checkSize(&in.Records[i]); err != nil {
			return err
		}
	}
	return nil
}

// recordCount checks the number of records of a PutRecords.
func (v *validation) recordCount(n int) {
	if n >= 1 && n <= maxPutRecords {
		return
	}
	value := "[" + strings.TrimSuffix(strings.Repeat("com.amazonaws.kinesis.v20131202.PutRecordsRequestEntry, ", n), ", ") + "]"
	if n < 1 {
		v.failString(value, "records", "Member must have length greater than or equal to 1")
		return
	}
	v.failString(value, "records", "Member must have length less than or equal to %d", maxPutRecords)
}

// plainlyValid is true for nearly all records, and cheap.
func (rules putRules) plainlyValid(e *types.PutRecordsRequestEntry) bool {
	return e.ExplicitHashKey == nil && e.Data != nil && len(e.Data) <= rules.maxRecord &&
		e.PartitionKey != nil && len(*e.PartitionKey) > 0 && len(*e.PartitionKey) <= maxPartitionKey
}

// validateEntry checks one record, whose members' paths begin with prefix.
func (rules putRules) validateEntry(v *validation, prefix string, e *types.PutRecordsRequestEntry) {
	if rules.auto || v.required(prefix+"partitionKey", e.PartitionKey != nil) {
		v.length(prefix+"partitionKey", e.PartitionKey, 1, maxPartitionKey)
	}
	v.pattern(prefix+"explicitHashKey", e.ExplicitHashKey, patternHashKey)
	if v.required(prefix+"data", e.Data != nil) && len(e.Data) > rules.maxRecord {
		v.failString(fmt.Sprintf("java.nio.HeapByteBuffer[pos=0 lim=%d cap=%[1]d]", len(e.Data)), prefix+"data",
			"Member must have length less than or equal to %d", rules.maxRecord)
	}
}

// checkSize applies the limit of a record to data and key together.
func (rules putRules) checkSize(e *types.PutRecordsRequestEntry) error {
	size := len(e.Data)
	if e.PartitionKey != nil {
		size += len(*e.PartitionKey)
	}
	if size > rules.maxRecord {
		return invalidArgument("Record size of %d bytes, data and partition key together, exceeds the stream's limit of %d bytes.",
			size, rules.maxRecord)
	}
	return nil
}

func (rules putRules) checkRecord(in *kinesis.PutRecordInput) error {
	e := types.PutRecordsRequestEntry{Data: in.Data, ExplicitHashKey: in.ExplicitHashKey, PartitionKey: in.PartitionKey}
	var v validation
	v.pattern("sequenceNumberForOrdering", in.SequenceNumberForOrdering, patternSequence)
	rules.validateEntry(&v, "", &e)
	if err := v.err(); err != nil {
		return err
	}
	return rules.checkSize(&e)
}
