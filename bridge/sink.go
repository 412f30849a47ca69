package bridge

import (
	"context"
	"time"
)

// Sink writes batches of records.
//
// Write returns when every record of the batch has been stored or has failed. A
// record is failed by Batch.Fail, with its own error. When Write returns nil all
// others are stored; when it returns an error none of the others may be assumed
// to be.
//
// A failed record is written again, ahead of everything behind it in its lane,
// until it is stored, its time to live ends or its error is marked Permanent. A
// sink therefore must not retry by itself beyond what keeps Write short, and
// must report an error that it cannot be sure about as Ambiguous. See Permanent,
// Throttled, Unavailable and Ambiguous for what the marks do. What is behind a
// failed record in its lane must not be stored by the same Write, unless the
// failure is Permanent.
//
// An answer that breaks this contract, such as a failure of a record that is not
// in the batch, is taken for an Ambiguous failure of all of it, and logged.
//
// Write is called concurrently, but never twice at once for the same lane (by
// default a lane is a Dest and Key; see Laner). It must not keep the batch or
// change what its records refer to, and must return soon after ctx is done: a
// Write that does not is given up, its records are written again by the sink's
// successor or left to the source. Close is called once, after the last Write
// returned or was given up.
type Sink interface {
	Write(ctx context.Context, b *Batch) error
	Close(ctx context.Context) error
}

// SinkFunc is a Sink whose Write calls the function and whose Close does
// nothing.
type SinkFunc func(ctx context.Context, b *Batch) error

// Write calls f.
func (f SinkFunc) Write(ctx context.Context, b *Batch) error { return f(ctx, b) }

// Close does nothing.
func (f SinkFunc) Close(context.Context) error { return nil }

// Opener is implemented by sources and sinks that need to prepare or want to fail
// early. A pipeline calls Open once, before the first Read or Write. An error ends
// Run, or the change that adds the part, and the part is closed. A problem that may
// go away, such as a server that cannot be reached yet, should be an error of Check
// and not of Open.
type Opener interface {
	Open(ctx context.Context) error
}

// Checker is implemented by sources and sinks that can report whether they work.
// Check returns nil, or an error whose text tells an operator what is wrong. It is
// called at an interval and on request, and must respect the call quotas of the
// service that it queries.
type Checker interface {
	Check(ctx context.Context) error
}

// Laner is implemented by sinks that define their own order domains. Lane is
// called for each record before it is queued, concurrently, and may depend only
// on Dest, Key, HashKey and the sizes of the record's parts.
// Records of one lane are written in order with at most one Write in flight;
// records of different lanes do not wait for each other. Records of one Dest and
// Key should share a lane: nothing else keeps their order. Records without a key
// have no order and may have a lane each.
//
// Lanes of a group share a bottleneck, such as a shard: Throttled and Unavailable
// errors hold back the lanes of the same group only. The group may change as
// the sink learns more; a lane follows the group of its last record.
//
// Without Laner a lane is a hash of Dest and Key, and there is one group.
type Laner interface {
	Lane(r *Record) (lane, group uint64)
}

// Limiter is implemented by sinks that limit their batches. It is called once
// when the pipeline takes the sink into service.
type Limiter interface {
	Limits() Limits
}

// Limits bound a batch. A zero field means that the sink has no limit of its own. A
// record that exceeds Bytes alone is still written, by itself, so that the sink can
// refuse it.
type Limits struct {
	// Records is the highest number of records in a batch.
	Records int
	// Bytes is the highest sum of the records' sizes (Record.Size + Overhead).
	Bytes int
	// LaneRecords and LaneBytes bound what a batch holds of one lane.
	// LaneRecords 1 means that a batch has each lane at most once.
	LaneRecords int
	LaneBytes   int
	// Lanes is the highest number of lanes in a batch, for sinks that make
	// one unit of each lane's records.
	Lanes int
	// Overhead is what a record costs in bytes beside its own.
	Overhead int
	// LaneFill makes a lane wait, at most for the queue's BatchTime, until
	// it holds that many bytes. Zero: a lane is ready with its first record.
	LaneFill int
	// BatchTime is the default of QueueConfig.BatchTime for this sink.
	BatchTime time.Duration
	// Requires says what every record for the sink needs. New and SetRule
	// refuse a rule that does not provide it (see Targeter). Sink is ignored.
	Requires Target
}
