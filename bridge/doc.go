// Package bridge moves messages from sources through rules to sinks, without
// losing any, and in order.
//
// # The nouns
//
// A [Source] hands out a [Message] at a time, in batches. Every [Rule] whose
// topic filters match turns it into any number of records; a [Record] names its
// sink, a place in it, a key and the data. A [Sink] writes records in batches. A
// [Pipeline] owns everything between them: routing, order, queues, batching,
// retries, dead letters, acknowledgement, drain, statistics. So a source is two
// methods, a rule is two and a sink is two, and those that come with Sluice have
// no privilege that yours have not.
//
// # Acknowledgement
//
// A message's [Delivery] is settled when all its records are: stored by their
// sinks, or dead-lettered, or dropped by a policy that was asked for. Only then
// does the source acknowledge it to its upstream. A process that is killed has
// therefore acknowledged nothing that is not stored. A record marked Optional is
// not waited for.
//
// # Order
//
// Rules are evaluated in parallel, yet records reach the queues in the order in
// which their messages were read from the source. In a queue they are put into
// lanes: one per Dest and Key, or as the sink says (see [Laner]). A lane is in at
// most one Write at a time, and what failed is written again before anything
// behind it. So for each key first occurrences arrive in the order of receipt,
// whatever fails. Duplicates may follow an [Ambiguous] outcome or a restart.
//
// A sink keeps this promise by reporting for each record what happened to it. If
// a record fails that may be written again, nothing behind it in its lane may be
// stored by the same Write: either set Limits.LaneRecords to 1, as the Kinesis
// sink does, or report those behind it as failed too.
//
// # Back-pressure
//
// Every queue is bounded in records and in bytes. When one is full the workers
// wait, the source is read no further, and its upstream feels it: an MQTT broker
// through the receive maximum. Dropping instead is a choice ([FullPolicy]).
//
// # Batches
//
// While a Write is under way the next batch grows; with none under way a record
// is sent at once. So there is no delay without load and no small batch under
// it. QueueConfig.BatchTime bounds the wait in between.
//
// # Errors of a sink
//
// An error without a mark is transient: what failed is written again with a
// growing, random wait. [Permanent], [Throttled], [Unavailable] and [Ambiguous]
// mark the others. After an error for a whole Write the queue tries with one
// Write at a time until one succeeds; after an error for some records only their
// lanes wait, and of a throttled [Grouper]'s group fewer lanes fly at once.
//
// # Watching
//
// [Pipeline.Stats] is a snapshot of all counters; package bridge/metrics shows them
// to OpenTelemetry. [Pipeline.TraceMessages] follows messages live, and a [Tracer]
// lets others do so, such as package bridge/tracing with spans.
//
// # Costs
//
// Nothing here starts a goroutine, sends on a channel or allocates per message.
package bridge
