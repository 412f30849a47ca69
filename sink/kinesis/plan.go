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

	// Aggregate, Pack, AggregateBytes and Slots are those of the Config, with
	// its defaults.
	Aggregate             bool
	Pack                  Packing
	AggregateBytes, Slots int
	// MaxDelay is the BatchTime of the queue. Default 100 ms. Aggregates grow
	// with it.
	MaxDelay time.Duration
	// Latency is how long a put takes. Default 20 ms.
	Latency time.Duration
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
	// Provisioned and OnDemand are the bills of a month, in US dollars, without
	// reading and retention.
	Provisioned, OnDemand float64
	// Advantage is the bill of a month for an account with on-demand advantage
	// that has no other streams. It is no less than what the account commits
	// to, of which the part for reading pays for readers, too.
	Advantage float64
	// WarmMiBPerSecond is the warm throughput to set on an on-demand stream
	// (with on-demand advantage) for taking the load from the first second.
	WarmMiBPerSecond int
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
	cfg := Config{Aggregate: w.Aggregate, Pack: w.Pack, AggregateBytes: w.AggregateBytes, Slots: w.Slots}.withDefaults()
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
	if cfg.Aggregate || cfg.Pack == Lines {
		each, once := message+usualOverhead, float64(kpl.FixedOverhead+w.KeyBytes)
		lanes := min(max(w.Keys, 1), cfg.Slots)
		if cfg.Pack == Lines {
			each, once, lanes = float64(w.MessageBytes+len("\n")), float64(w.KeyBytes), max(w.Keys, 1)
		}
		perRound = max(1, math.Floor((float64(cfg.AggregateBytes)-once)/each))
		e.MessagesPerEntry = min(max(1, w.MessagesPerSecond/float64(lanes)*w.MaxDelay.Seconds()), perRound)
		if e.MessagesPerEntry > 1 {
			entryBytes = e.MessagesPerEntry*each + once
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
	gigabytes := e.EntriesPerSecond * math.Ceil(entryBytes/1024) * seconds / (1 << 20)
	committed := p.AdvantageMiBPerSecond * seconds / 1024
	e.OnDemand = p.StreamHour*p.HoursPerMonth + gigabytes*p.GigabyteIn
	e.Advantage = max(gigabytes, committed)*p.AdvantageGigabyteIn + committed*p.AdvantageGigabyteOut
	e.WarmMiBPerSecond = e.Shards // on-demand streams are made of shards, too
	return e
}
