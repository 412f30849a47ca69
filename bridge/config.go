package bridge

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
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
	// DrainTimeout bounds how long Run goes on writing what has been read
	// after its context was cancelled. Default 30 s.
	DrainTimeout time.Duration
	// Hooks are called when something happens; see Hooks.
	Hooks Hooks
	// Logger gets what an operator should know. Default slog.Default().
	Logger *slog.Logger
	// LogPayload is how many bytes of the payload of a message that a rule fails
	// on, or of the data of a record that a sink gives up, are logged with the
	// reason. Default 0: payloads are not logged.
	LogPayload int
	// ReadBatch is the highest number of messages taken from a source at
	// once. Default 256.
	ReadBatch int
	// Tracer follows messages; see Tracer. Default: nobody does.
	Tracer Tracer
	// Workers is how many goroutines per source evaluate rules; records
	// reach the sinks in the order of the messages' receipt whatever the
	// number. Default GOMAXPROCS.
	Workers int
}

// FullPolicy says what happens to a record for which there is no room.
type FullPolicy uint8

const (
	// Block waits for room, so that the source is read no further: nothing
	// is lost and the broker queues.
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
	// Fallback names the sink that gets the records which this one cannot
	// store or which were dropped (dead letters). Their attributes then tell
	// the original sink, topic, rule, reason, error and attempts and, as
	// "payload", the message. Records that fail there go nowhere else.
	Fallback string
	// InFlight is how many Writes may run at once. Default 16.
	InFlight int
	// MaxBytes bounds the memory of queued and in-flight records, counted
	// with their bookkeeping. Default 256 MiB.
	MaxBytes int
	// MaxRecords bounds their number. Default 1,000,000.
	MaxRecords int
	// OnFull says what happens when a bound is reached. Default Block.
	OnFull FullPolicy
	// RecordTTL drops a record that could not be stored for so long. Default
	// 0: never.
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
	set(&c.MaxBytes, 0, 256<<20)
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

// Validate reports everything that is wrong with the configuration, each with
// the field's name.
func (c Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if len(c.Sources) == 0 {
		bad("Sources: at least one source is needed")
	}
	if len(c.Sinks) == 0 {
		bad("Sinks: at least one sink is needed")
	}
	for name, s := range c.Sources {
		if s == nil {
			bad("Sources[%q]: is nil", name)
		}
	}
	for name, r := range c.Rules {
		if r == nil {
			bad("Rules[%q]: is nil", name)
			continue
		}
		if err := checkFilters(r); err != nil {
			bad("Rules[%q]: %w", name, err)
		}
	}
	for name, s := range c.Sinks {
		if s == nil {
			bad("Sinks[%q]: is nil", name)
		}
	}
	if c.DrainTimeout < 0 {
		bad("DrainTimeout: %v is negative", c.DrainTimeout)
	}
	if c.LogPayload < 0 {
		bad("LogPayload: %d is negative", c.LogPayload)
	}
	if c.ReadBatch < 0 {
		bad("ReadBatch: %d is negative", c.ReadBatch)
	}
	if c.Workers < 0 {
		bad("Workers: %d is negative", c.Workers)
	}
	hasSink := func(name string) bool { _, ok := c.Sinks[name]; return ok }
	if err := c.Queue.validate("", hasSink); err != nil {
		bad("Queue: %w", err)
	}
	for name, q := range c.Queues {
		if !hasSink(name) {
			bad("Queues[%q]: there is no sink of this name", name)
		}
		if err := q.validate(name, hasSink); err != nil {
			bad("Queues[%q]: %w", name, err)
		}
	}
	return errors.Join(errs...)
}

// Validate reports everything that is wrong with the options, each with the
// field's name. Whether there is a sink named Fallback is for Config.Validate.
func (c QueueConfig) Validate() error {
	var errs []error
	for _, f := range []struct {
		name  string
		value int
	}{
		{"BackoffMax", int(c.BackoffMax)},
		{"BackoffMin", int(c.BackoffMin)},
		{"BatchBytes", c.BatchBytes},
		{"BatchSize", c.BatchSize},
		{"InFlight", c.InFlight},
		{"MaxBytes", c.MaxBytes},
		{"MaxRecords", c.MaxRecords},
		{"RecordTTL", int(c.RecordTTL)},
		{"ResumeInterval", int(c.ResumeInterval)},
	} {
		if f.value < 0 {
			errs = append(errs, fmt.Errorf("%s: must not be negative", f.name))
		}
	}
	if c.BackoffMax > 0 && c.BackoffMin > c.BackoffMax {
		errs = append(errs, fmt.Errorf("BackoffMin: %v is above BackoffMax %v", c.BackoffMin, c.BackoffMax))
	}
	if c.OnFull > DropNewest {
		errs = append(errs, fmt.Errorf("OnFull: unknown policy %d", c.OnFull))
	}
	return errors.Join(errs...)
}

// validate is Validate for the sink of that name, "" for the options of all.
func (c QueueConfig) validate(sink string, hasSink func(string) bool) error {
	err := c.Validate()
	switch {
	case c.Fallback == "":
	case c.Fallback == sink:
		err = errors.Join(err, errors.New("the Fallback of a sink cannot be itself"))
	case !hasSink(c.Fallback):
		err = errors.Join(err, fmt.Errorf("there is no sink %q to be its Fallback", c.Fallback))
	}
	return err
}
