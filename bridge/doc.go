// Package bridge moves messages from sources through rules to sinks, without
// losing any, and in order.
//
// # The nouns
//
// A [Source] hands out messages in batches. Every [Rule] whose topic filters match
// a [Message] turns it into any number of records, which it adds to its [Out]; a
// [Record] names its sink, a place in it, a key and the data. A [Sink] writes
// records in batches. A [Pipeline] owns everything between them: routing, order,
// queues, batching, retries, dead letters, acknowledgement, drain, statistics. So a
// source, a rule and a sink are two methods each, and those that come with Sluice
// have no privilege that yours do not have.
//
// # Outcomes and acknowledgement
//
// Each record ends once, with an [Outcome]: stored by its sink, dead-lettered,
// refused, dropped, and so on. A message ends as the worst of its records; then its
// [Delivery] is settled, and only then does the source acknowledge it to its
// upstream, unless it was [Abandoned]. A process that is killed has therefore
// acknowledged nothing that is not stored. A record marked Optional is not waited
// for. Messages on which a rule fails, and those that no rule wants, can have a
// sink of their own: see RuleFallback, KeepFailed and Unmatched of [Config].
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
// A sink keeps this promise by failing each record that it has not stored
// ([Batch.Fail]). If a record fails that may be written again, nothing behind it in
// its lane may be stored by the same Write: either set Limits.LaneRecords to 1, as
// the Kinesis sink does, or fail those behind it too.
//
// # Back-pressure
//
// Every queue is bounded in records and in bytes. When one is full the workers
// wait, the source is read no further, and its upstream feels it: an MQTT broker
// through the receive maximum. Dropping instead is a choice ([FullPolicy]). Sources
// share a queue: none can take so much of it that the others starve.
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
// Write at a time until one succeeds; after errors for some records only their
// lanes wait, and a throttled group of lanes (see [Laner]) is written to at the
// pace that it accepts.
//
// # Code that misbehaves
//
// A part that panics, does not return or gives an impossible answer is named in an
// error, and costs nothing but its own work: see [Sink], [Rule] and [Hooks]. Nothing
// is called with a lock held.
//
// # Changes
//
// Rules and sinks change while messages flow. [Pipeline.Apply] makes any number of
// changes at one point, or none of them. A queue outlives its sink: what waits in it
// is written by the next one, in order.
//
// # A queue by itself
//
// A [Producer] is the queue and the sink without the rest, for programs that have
// records of their own.
//
// # Watching
//
// [Pipeline.Stats] is a snapshot of all counters; package bridge/metrics shows them
// to OpenTelemetry. [Pipeline.Health] says what is wrong, where health means
// progress: a sink that stores nothing is not connected. [Pipeline.Trace] lets a
// [Tracer] follow messages, such as package bridge/trace for people and package
// bridge/tracing with spans.
//
// # Costs
//
// Nothing here starts a goroutine, sends on a channel or allocates per message.
package bridge
