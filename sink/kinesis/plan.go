package kinesis

import (
	"math"
	"time"

	"github.com/sluiceio/sluice/internal/kpl"
)

// Workload is what a stream is to carry, for Plan.
type Workload struct {
	// MessagesPerSecond is the rate to plan for, peaks included.
	MessagesPerSecond float64
	// MessageBytes and KeyBytes are the usual sizes of data and partition key.
	MessageBytes, KeyBytes int
	// Keys is the number of partition keys that are active at a time.
	Keys int

	// Aggregate, AggregateBytes and Slots are those of the Config, with its
	// defaults.
	Aggregate             bool
	AggregateBytes, Slots int
	// MaxDelay is the BatchTime of the queue. Default 100 ms. Aggregates grow
	// with it.
	MaxDelay time.Duration
	// Latency is how long a put takes. Default 20 ms.
	Latency time.Duration
}

// Prices are those of a region, in US dollars.
type Prices struct {
	ShardHour           float64 // provisioned, per shard and hour
	MillionPayloadUnits float64 // provisioned, per million PUT payload units
	StreamHour          float64 // on-demand, per stream and hour
	GigabyteIn          float64 // on-demand, per GiB written, records rounded up to 1 KiB
	HoursPerMonth       float64 // that the bills are for
}

// PricesUSEast1 are the list prices of region us-east-1, as published in
// November 2026, without reading, retention and free tiers. Check them before
// you decide anything by them.
func PricesUSEast1() Prices {
	return Prices{ShardHour: 0.015, MillionPayloadUnits: 0.014, StreamHour: 0.04, GigabyteIn: 0.08, HoursPerMonth: 730}
}

// Estimate is what a Workload needs and costs.
type Estimate struct {
	// MessagesPerEntry is how many messages share a Kinesis record.
	MessagesPerEntry float64
	// EntriesPerSecond, BytesPerSecond and PayloadUnitsPerSecond are what
	// arrives at the stream.
	EntriesPerSecond, BytesPerSecond, PayloadUnitsPerSecond float64
	// Shards is the least number for an even load.
	Shards int
	// MaxPerKey is the highest rate of messages of a single key, in strict
	// order; it is below MessagesPerSecond/Keys when the load cannot be kept up.
	MaxPerKey float64
	// Provisioned and OnDemand are the bills of a month, in US dollars.
	Provisioned, OnDemand float64
}

// What a shard takes per second.
const (
	shardEntriesPerSecond = 1000
	shardBytesPerSecond   = 1 << 20
)

// usualOverhead is what a message of a few hundred bytes adds to an aggregate
// beside its key and data.
const usualOverhead = 13

// Plan estimates how many shards a workload needs and what they cost. Call it
// with and without Aggregate to compare.
func Plan(w Workload, p Prices) Estimate {
	cfg := Config{AggregateBytes: w.AggregateBytes, Slots: w.Slots}.withDefaults()
	if w.MaxDelay == 0 {
		w.MaxDelay = 100 * time.Millisecond
	}
	if w.Latency == 0 {
		w.Latency = 20 * time.Millisecond
	}
	perRound := 1.0 // messages of a key that a put can carry
	message := float64(w.MessageBytes + w.KeyBytes)
	e := Estimate{MessagesPerEntry: 1}
	entryBytes := message
	if w.Aggregate {
		space := float64(cfg.AggregateBytes - kpl.FixedOverhead - w.KeyBytes)
		perRound = max(1, math.Floor(space/(message+usualOverhead)))
		active := float64(min(max(w.Keys, 1), cfg.Slots))
		e.MessagesPerEntry = min(max(1, w.MessagesPerSecond/active*w.MaxDelay.Seconds()), perRound)
		if e.MessagesPerEntry > 1 {
			entryBytes = e.MessagesPerEntry*(message+usualOverhead) + float64(kpl.FixedOverhead+w.KeyBytes)
		}
	}
	e.EntriesPerSecond = w.MessagesPerSecond / e.MessagesPerEntry
	e.BytesPerSecond = e.EntriesPerSecond * entryBytes
	e.PayloadUnitsPerSecond = e.EntriesPerSecond * math.Ceil(entryBytes/PayloadUnit)
	e.Shards = int(max(1, math.Ceil(max(e.EntriesPerSecond/shardEntriesPerSecond, e.BytesPerSecond/shardBytesPerSecond))))
	e.MaxPerKey = min(perRound/w.Latency.Seconds(), shardBytesPerSecond/(entryBytes/e.MessagesPerEntry),
		shardEntriesPerSecond*e.MessagesPerEntry)

	seconds := p.HoursPerMonth * 3600
	e.Provisioned = float64(e.Shards)*p.ShardHour*p.HoursPerMonth +
		e.PayloadUnitsPerSecond*seconds/1e6*p.MillionPayloadUnits
	e.OnDemand = p.StreamHour*p.HoursPerMonth +
		e.EntriesPerSecond*math.Ceil(entryBytes/1024)*seconds/(1<<20)*p.GigabyteIn
	return e
}
