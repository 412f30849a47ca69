package kinesistest

import (
	"time"

	"github.com/sluiceio/sluice/internal/kpl"
)

// Record is a record as a shard stores it.
type Record struct {
	ShardID        string
	SequenceNumber string
	Arrival        time.Time
	PartitionKey   string
	// ExplicitHashKey that the record was put with, which the service does not
	// give back: Consume leaves it empty.
	ExplicitHashKey string
	Data            []byte // must not be changed
}

// UserRecord is what a producer was given to send: a record, or one of the
// records inside a KPL aggregate, with its own keys and data.
type UserRecord struct {
	Record
	Aggregated  bool
	SubSequence int // place in the aggregate, from 0
}

// Records is what a stream holds now: shard by shard, parents before their
// children, each in the order of its sequence numbers.
func (s *Server) Records(streamName string) (out []Record) {
	_ = s.with(streamRef{name: &streamName}, func(st *stream, _ time.Time) error {
		for _, sh := range st.shards { // Numbers rise from parent to child.
			for i := sh.log.first; i < sh.log.next; i++ {
				r := sh.log.at(i)
				out = append(out, Record{
					ShardID: sh.id, SequenceNumber: sh.sequence(i, r.arrival/1000).String(), Arrival: time.UnixMilli(r.arrival).UTC(),
					PartitionKey: r.key, ExplicitHashKey: r.hash, Data: r.data,
				})
			}
		}
		return nil
	})
	return out
}

// UserRecords is Records with KPL aggregates taken apart.
func (s *Server) UserRecords(streamName string) []UserRecord {
	return Deaggregate(s.Records(streamName))
}

// Deaggregate takes KPL aggregates apart. What is not one, or is damaged,
// stays as it is, as with the Kinesis Client Library.
func Deaggregate(records []Record) []UserRecord {
	out := make([]UserRecord, 0, len(records))
	var subs []kpl.Record
	for _, r := range records {
		var ok bool
		if subs, ok = kpl.Decode(subs[:0], r.Data); !ok {
			out = append(out, UserRecord{Record: r})
			continue
		}
		for i, sub := range subs {
			u := UserRecord{Record: r, Aggregated: true, SubSequence: i}
			u.PartitionKey, u.ExplicitHashKey, u.Data = string(sub.Key), string(sub.HashKey), sub.Data
			out = append(out, u)
		}
	}
	return out
}

// DroppedByKCL lists the records that a consumer built on the Kinesis Client
// Library would never see: it drops an aggregate as soon as one record in it
// hashes outside the range of the shard it was read from.
func (s *Server) DroppedByKCL(streamName string) (out []UserRecord) {
	ranges := map[string]*shard{}
	_ = s.with(streamRef{name: &streamName}, func(st *stream, _ time.Time) error {
		for _, sh := range st.shards {
			ranges[sh.id] = &shard{from: sh.from, to: sh.to}
		}
		return nil
	})
	for _, r := range s.Records(streamName) {
		users := Deaggregate([]Record{r})
		if sh := ranges[r.ShardID]; sh != nil && len(users) > 0 && users[0].Aggregated && !sh.containsAll(users) {
			out = append(out, users...)
		}
	}
	return out
}

func (sh *shard) containsAll(users []UserRecord) bool {
	for _, u := range users {
		h, ok := hashOf(u.PartitionKey), true
		if u.ExplicitHashKey != "" {
			h, ok = parseHashKey(u.ExplicitHashKey)
		}
		if !ok || !sh.contains(h) {
			return false
		}
	}
	return true
}
