package kinesis

import (
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/sluiceio/sluice/internal/kpl"
)

// UserRecord is one record as its producer wrote it.
type UserRecord struct {
	// PartitionKey and ExplicitHashKey are the record's own; the latter is
	// empty for records without, and for plain Kinesis records, where the
	// service does not hand it out.
	PartitionKey, ExplicitHashKey string
	// Data is the body. It shares memory with the Kinesis record.
	Data []byte
	// SequenceNumber is that of the Kinesis record, SubSequence the place in
	// the aggregate, from 0. Both together identify the record.
	SequenceNumber string
	SubSequence    int
	// Aggregated tells whether it came in an aggregate.
	Aggregated bool
}

// Deaggregate is for consumers: it takes apart the aggregates of the Kinesis
// Producer Library, those of Config.Aggregate among them, and passes on other
// records as they are. Data that begins like an aggregate but is not a whole
// and well-formed one is an ordinary record.
//
// It does not check whether the records belong to the shard that they were read
// from.
func Deaggregate(records ...types.Record) []UserRecord {
	out := make([]UserRecord, 0, len(records))
	var parts []kpl.Record
	for i := range records {
		r := &records[i]
		sequence := aws.ToString(r.SequenceNumber)
		var ok bool
		if parts, ok = kpl.Decode(parts[:0], r.Data); !ok {
			out = append(out, UserRecord{
				PartitionKey: aws.ToString(r.PartitionKey), Data: r.Data, SequenceNumber: sequence,
			})
			continue
		}
		for n, p := range parts {
			out = append(out, UserRecord{
				PartitionKey: string(p.Key), ExplicitHashKey: string(p.HashKey), Data: p.Data,
				SequenceNumber: sequence, SubSequence: n, Aggregated: true,
			})
		}
	}
	return out
}
