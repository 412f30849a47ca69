package kinesis

import (
	"bytes"
	"iter"

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
	// the aggregate, from 0. Both together identify what was stored.
	SequenceNumber string
	SubSequence    int
	// Aggregated reports whether it came in an aggregate, or as a line.
	Aggregated bool
	// ID is what Config.IDs has stored. It identifies the record, however often
	// it was stored; empty for records without. See Dedup.
	ID string
}

// whole is a Kinesis record that is one record.
func whole(r *types.Record) UserRecord {
	return UserRecord{PartitionKey: aws.ToString(r.PartitionKey), SequenceNumber: aws.ToString(r.SequenceNumber), Data: r.Data}
}

// Deaggregate is for consumers: it yields the records within the aggregates of the
// Kinesis Producer Library, those of Config.Aggregate among them, and passes on
// other records as they are. Data that begins like an aggregate but is not a whole
// and well-formed one is an ordinary record.
//
// It does not check whether the records belong to the shard that they were read
// from.
func Deaggregate(records ...types.Record) iter.Seq[UserRecord] {
	return func(yield func(UserRecord) bool) {
		var parts []kpl.Record
		for i := range records {
			u := whole(&records[i])
			var ok bool
			if parts, ok = kpl.Decode(parts[:0], u.Data); !ok {
				if u.ID = idIn(u.Data); !yield(u) {
					return
				}
				continue
			}
			for n, p := range parts {
				u.PartitionKey, u.ExplicitHashKey, u.Data, u.ID = string(p.Key), string(p.HashKey), p.Data, string(p.ID)
				if u.SubSequence, u.Aggregated = n, true; !yield(u) {
					return
				}
			}
		}
	}
}

// UnpackLines is for consumers in Go of what Config.Pack made of records: it yields
// the lines of Kinesis records. Data without any newline is passed on as it is.
// Compression has to be undone before.
func UnpackLines(records ...types.Record) iter.Seq[UserRecord] {
	return func(yield func(UserRecord) bool) {
		for i := range records {
			u := whole(&records[i])
			if bytes.IndexByte(u.Data, '\n') < 0 {
				if u.ID = idIn(u.Data); !yield(u) {
					return
				}
				continue
			}
			u.Aggregated = true
			for line := range bytes.Lines(u.Data) {
				u.Data = bytes.TrimSuffix(line, []byte("\n"))
				if u.ID = idIn(u.Data); !yield(u) {
					return
				}
				u.SubSequence++
			}
		}
	}
}
