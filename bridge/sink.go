package bridge

import (
	"context"
	"time"
)

// Sink writes batches of records.
//
// Write returns when every record of the batch has been accepted or has failed:
//
//   - nil: all records are stored;
//   - a *BatchError: the records it names failed, all others are stored;
//   - any other error: no record may be assumed to be stored.
//
// A failed record is written again, ahead of everything behind it in its lane,
// until it succeeds, its time to live ends or its error is marked Permanent. A
// sink therefore must not retry by itself beyond what keeps Write short, and
// must report an error that it cannot be sure about as Ambiguous. See Permanent,
// Throttled, Unavailable and Ambiguous for what the marks do.
//
// Write is called concurrently, but never twice at once for the same lane (by
// default a lane is a Dest and Key; see Laner). It must not keep the batch, and
// must return soon after ctx is done. Close is called once, after the last Write
// returned.
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

// Opener is implemented by sources and sinks that want to prepare, or to fail
// early. Pipeline.Run calls Open once before the first Read or Write; an error
// ends Run. Trouble that may pass by itself, such as a server that cannot be
// reached yet, should not be an error of Open but of Check.
type Opener interface {
	Open(ctx context.Context) error
}

// Checker is implemented by sources and sinks that can tell whether they are
// able to do their work now. Check returns nil, or an error whose text says
// what is wrong in words for an operator. It is called at an interval, and when
// somebody asks; it must respect the call quotas of what it asks.
type Checker interface {
	Check(ctx context.Context) error
}

// Laner is implemented by sinks that define their own order domains. Lane is
// called once per record, concurrently, before the record is queued. Records of
// one lane are written in order with at most one Write in flight; records of
// different lanes do not wait for each other. Without Laner a lane is a hash of
// Dest and Key.
type Laner interface {
	Lane(r *Record) uint64
}

// Grouper is implemented by sinks whose lanes share a bottleneck, such as a
// shard. Throttled errors slow down the lanes of the same group only. Group is
// called when a lane becomes active, with its first record; it must be cheap
// and safe for concurrent use.
type Grouper interface {
	Group(r *Record) uint64
}

// Limiter is implemented by sinks that limit their batches. It is called once
// when the pipeline takes the sink into service.
type Limiter interface {
	Limits() Limits
}

// Limits bound what one Write is given. A zero field means no limit of the
// sink's own; a record that alone exceeds Bytes is still written, by itself, so
// that the sink can refuse it.
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
}
