package bridge

import (
	"cmp"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"
	"time"
)

// Config describes a pipeline. Sources, rules and sinks are known by their
// names, which appear in statistics, logs and errors.
type Config struct {
	// Sources hand out the messages; at least one is needed.
	Sources map[string]Source
	// Rules turn messages into records. All rules whose filters match a
	// message run, in the order of their names.
	Rules map[string]Rule
	// Sinks write the records; at least one is needed.
	Sinks map[string]Sink

	// Queue holds the options of every sink that has none of its own in
	// Queues.
	Queue QueueConfig
	// Queues holds options by the name of the sink.
	Queues map[string]QueueConfig

	// CheckInterval is how often sources and sinks that implement Checker
	// are asked for their health, with up to half of it added at random.
	// Default 15 s; negative: never.
	CheckInterval time.Duration
	// DrainTimeout bounds how long Run keeps writing what it has read after its
	// context is canceled. Default 30 s.
	DrainTimeout time.Duration
	// Hooks are called when something happens; see Hooks.
	Hooks Hooks
	// Logger gets what operators need to know. Default slog.Default().
	Logger *slog.Logger
	// LogPayload is how many bytes of the payload of a message that a rule fails
	// on, or of the data of a record that a sink gives up, are logged with the
	// reason. Default 0: payloads are not logged.
	LogPayload int
	// ReadBatch is the highest number of messages taken from a source at
	// once. Default 256.
	ReadBatch int
	// RuleFallback names the sink that gets the messages on which a rule fails
	// (dead letters), unless RuleFallbacks has one for the rule. The record's
	// data is the payload, its key that of the client, else the topic; its
	// attributes tell the rule, error, topic, source, client and QoS. Without
	// one such messages are counted and logged, and acknowledged unless
	// KeepFailed is set.
	RuleFallback  string
	RuleFallbacks map[string]string
	// KeepFailed leaves messages unacknowledged if a rule fails on them and has
	// no fallback: the broker keeps them. They fill the source's window, so that
	// eventually nothing flows.
	KeepFailed bool
	// Unmatched names the sink that gets the messages that no rule wants.
	// Default: they are acknowledged and counted.
	Unmatched string
	// Workers is how many goroutines per source evaluate rules; records
	// reach the sinks in the order of the messages' receipt whatever the
	// number. Default GOMAXPROCS.
	Workers int
}

// FullPolicy says what happens to a record for which there is no room.
type FullPolicy uint8

const (
	// Block waits for room and stops reading from the source: nothing is lost,
	// and the broker queues.
	Block FullPolicy = iota
	// DropOldest makes room by dropping the records that have waited longest.
	DropOldest
	// DropNewest drops the record itself.
	DropNewest
)

// String returns "block", "drop oldest" or "drop newest".
func (p FullPolicy) String() string {
	switch p {
	case DropOldest:
		return "drop oldest"
	case DropNewest:
		return "drop newest"
	default:
		return "block"
	}
}

// QueueConfig holds the options of the queue in front of a sink. The zero value
// loses nothing: no time to live, and back-pressure when the queue is full.
type QueueConfig struct {
	// BackoffMin and BackoffMax bound the wait before a failed record is
	// written again; it doubles with each failure and is then drawn at
	// random from the upper half. Defaults 50 ms and 10 s.
	BackoffMin, BackoffMax time.Duration
	// BatchBytes bounds the records' bytes in one Write. Default: the sink's
	// limit, or 4 MiB.
	BatchBytes int
	// BatchSize bounds the records in one Write, or the lanes where the sink
	// makes one unit of each lane (Limits.Lanes). Default: the sink's limit,
	// or 500.
	BatchSize int
	// BatchTime is how long a record may wait for a batch to fill while
	// another Write is under way; without one it is sent at once. A sink that
	// aggregates (Limits.LaneFill) waits for up to this time in any case.
	// Default: the sink's choice, or 5 ms; negative: do not wait.
	BatchTime time.Duration
	// Fallback names the sink that gets the records that this one refuses or
	// that are dropped (dead letters). Attributes are added with the original
	// sink, dest, topic, rule, error and attempts, and the message as "payload".
	// Records that fail there go nowhere else. While the fallback is full, dead
	// letters stay at the heads of their lanes.
	Fallback string
	// InFlight is how many Writes may run at once. Default 16.
	InFlight int
	// InFlightBytes bounds the records' memory in all Writes at once, but for
	// the last one. What a sink makes of a batch, such as a request's body,
	// comes on top of it. Default an eighth of MaxBytes.
	InFlightBytes int
	// MaxBytes bounds the memory of queued and in-flight records, counted
	// with their bookkeeping. Default 256 MiB or, if that is less, a quarter of
	// the process's soft memory limit (GOMEMLIMIT).
	MaxBytes int
	// MaxRecords bounds their number. Default 1,000,000.
	MaxRecords int
	// OnFull says what happens when a bound is reached. Default Block.
	OnFull FullPolicy
	// RecordTTL is how long a record is tried before it is dropped. Default 0:
	// there is no limit.
	RecordTTL time.Duration
	// ResumeInterval is how often a sink, or a group of its lanes, is tried
	// after an Unavailable error. Default 5 s.
	ResumeInterval time.Duration
}

func (c Config) withDefaults() Config {
	if c.CheckInterval == 0 {
		c.CheckInterval = 15 * time.Second
	}
	if c.DrainTimeout == 0 {
		c.DrainTimeout = 30 * time.Second
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.ReadBatch == 0 {
		c.ReadBatch = 256
	}
	if c.Workers == 0 {
		c.Workers = runtime.GOMAXPROCS(0)
	}
	return c
}

func (c QueueConfig) withDefaults(l Limits) QueueConfig {
	set := func(p *int, limit, def int) {
		if limit > 0 {
			def = limit
		}
		if *p == 0 || limit > 0 && *p > limit {
			*p = def
		}
	}
	if l.Lanes > 0 {
		set(&c.BatchSize, l.Lanes, 500)
	} else {
		set(&c.BatchSize, l.Records, 500)
	}
	set(&c.BatchBytes, l.Bytes, 4<<20)
	set(&c.InFlight, 0, 16)
	set(&c.MaxBytes, 0, defaultMaxBytes())
	set(&c.InFlightBytes, 0, max(c.MaxBytes/8, 1))
	set(&c.MaxRecords, 0, 1_000_000)
	setTime := func(p *time.Duration, def time.Duration) {
		if *p == 0 {
			*p = def
		}
	}
	setTime(&c.BackoffMin, 50*time.Millisecond)
	setTime(&c.BackoffMax, 10*time.Second)
	setTime(&c.BatchTime, cmp.Or(l.BatchTime, 5*time.Millisecond))
	setTime(&c.ResumeInterval, 5*time.Second)
	c.BatchTime = max(c.BatchTime, 0)
	return c
}

// defaultMaxBytes is the default of QueueConfig.MaxBytes.
func defaultMaxBytes() int {
	const most = 256 << 20
	return int(min(most, debug.SetMemoryLimit(-1)/4))
}

// queue returns the options of the queue of a sink.
func (c Config) queue(sink string) QueueConfig {
	if q, ok := c.Queues[sink]; ok {
		return q
	}
	q := c.Queue
	if q.Fallback == sink {
		q.Fallback = "" // the default names one sink for all others
	}
	return q
}

// Validate reports everything that is wrong with the configuration, joined, each
// mistake as a *FieldError. What rules and sinks say of each other is for New.
func (c Config) Validate() error {
	var bad mistakes
	if len(c.Sources) == 0 {
		bad.add("Sources", "at least one source is needed")
	}
	if len(c.Sinks) == 0 {
		bad.add("Sinks", "at least one sink is needed")
	}
	for _, name := range sortedKeys(c.Sources) {
		path := fmt.Sprintf("Sources[%q]", name)
		if isNil(c.Sources[name]) {
			bad.add(path, "is nil")
		}
		if _, ok := c.Sinks[name]; ok {
			bad.add(path, "a sink has the same name")
		}
		for _, other := range sortedKeys(c.Sources) {
			if other < name && same(c.Sources[name], c.Sources[other]) {
				bad.add(path, "is the same source as Sources[%q]", other)
			}
		}
	}
	for _, name := range sortedKeys(c.Rules) {
		path := fmt.Sprintf("Rules[%q]", name)
		if isNil(c.Rules[name]) {
			bad.add(path, "is nil")
			continue
		}
		var filters []string
		if err := new(door).guard("rule", name, "Filters", func() { filters = c.Rules[name].Filters() }); err != nil {
			bad.within(path, err)
		} else {
			bad.within(path, checkFilters(filters))
		}
	}
	for _, name := range sortedKeys(c.Sinks) {
		if isNil(c.Sinks[name]) {
			bad.add(fmt.Sprintf("Sinks[%q]", name), "is nil")
		}
	}
	for _, name := range sortedKeys(c.RuleFallbacks) {
		if c.Rules[name] == nil {
			bad.add(fmt.Sprintf("RuleFallbacks[%q]", name), "there is no rule of this name")
		}
	}
	for _, f := range []struct {
		path  string
		value int64 // a duration is more than a 32-bit int holds
	}{
		{"DrainTimeout", int64(c.DrainTimeout)},
		{"LogPayload", int64(c.LogPayload)},
		{"ReadBatch", int64(c.ReadBatch)},
		{"Workers", int64(c.Workers)},
	} {
		if f.value < 0 {
			bad.add(f.path, "must not be negative")
		}
	}
	bad.within("Queue", c.Queue.Validate())
	queues := make(map[string]QueueConfig, len(c.Sinks))
	for name := range c.Sinks {
		queues[name] = c.queue(name)
	}
	checkFallbacks(queues, &bad)
	for _, name := range sortedKeys(c.Queues) {
		path := fmt.Sprintf("Queues[%q]", name)
		if _, ok := c.Sinks[name]; !ok {
			bad.add(path, "there is no sink of this name")
		}
		bad.within(path, c.Queues[name].Validate())
	}
	return bad.err()
}

// Validate reports everything that is wrong with the options, joined, each mistake
// as a *FieldError. Whether there is a sink named Fallback is for New.
func (c QueueConfig) Validate() error {
	var bad mistakes
	for _, f := range []struct {
		path  string
		value int64
	}{
		{"BackoffMax", int64(c.BackoffMax)},
		{"BackoffMin", int64(c.BackoffMin)},
		{"BatchBytes", int64(c.BatchBytes)},
		{"BatchSize", int64(c.BatchSize)},
		{"InFlight", int64(c.InFlight)},
		{"InFlightBytes", int64(c.InFlightBytes)},
		{"MaxBytes", int64(c.MaxBytes)},
		{"MaxRecords", int64(c.MaxRecords)},
		{"RecordTTL", int64(c.RecordTTL)},
		{"ResumeInterval", int64(c.ResumeInterval)},
	} {
		if f.value < 0 {
			bad.add(f.path, "must not be negative")
		}
	}
	if c.BackoffMax > 0 && c.BackoffMin > c.BackoffMax {
		bad.add("BackoffMin", "%v is above BackoffMax %v", c.BackoffMin, c.BackoffMax)
	}
	if c.OnFull > DropNewest {
		bad.add("OnFull", "unknown policy %d", c.OnFull)
	}
	return bad.err()
}
