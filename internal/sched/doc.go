// Package sched decides which records of a queue are written when.
//
// A [Scheduler] is a pure state machine: it has no clock, lock, goroutine, sink
// or logger. Records come in by Add, batches go out by Next, and what became of
// a batch comes back by Land; each call is told the time. So it can be scripted,
// compared with a naive model, and run for millions of steps a second.
//
// # Where a record is
//
// Records wait in lanes, oldest first. A lane is an order domain: at most one
// batch at a time holds records of it, always its first ones, and what was not
// stored stays at the head of the lane in its old order. A lane exists only
// while it holds records, and is in exactly one place:
//
//	lingering  on a heap by time, until it is full enough or has waited enough
//	delayed    on the timers, after a failure
//	ready      in its group's list
//	flying     in a batch
//
// A group is a set of lanes with a common bottleneck, such as a shard. A group
// with a ready lane that may fly is in the ring, from which batches take one
// lane of each group in turn.
//
// # What a failure does
//
//	Stored, Ended  the record leaves; the lane goes on
//	Retry          the record stays; its lane waits for a growing time
//	Throttled      the record stays; the group's window paces all its lanes
//	Unavailable    the record stays; the group is parked, then probed by one lane
//	Refused        the record stays until the queue has passed it on: the lane
//	               comes back in a batch marked Pass, which is not written
//	Batch.Whole    everything stays; one batch at a time probes until one lands
package sched
