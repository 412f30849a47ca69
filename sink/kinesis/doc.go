// Package kinesis writes records to Amazon Kinesis Data Streams.
//
// A Sink stores each record as one Kinesis record or, with Config.Aggregate,
// packs many into one in the format of the Kinesis Producer Library, which
// Deaggregate takes apart again. With Config.Pack it joins those of a key as lines.
//
//	sink, err := kinesis.New(kinesis.Config{Region: "eu-central-1", Stream: "readings"})
//
// Order per partition key is kept whatever fails (Strict): there is one Kinesis
// record in flight per key, or per hash slot when aggregating, and a request
// carries records of up to 500 keys or slots. Every record's own outcome is
// read; a record counts as stored only when the service said so. Failures come
// back to the pipeline one by one, marked by what they mean, and the pipeline
// writes the records again: a record that was throttled holds up its own key,
// and slows down its own shard, and nothing else.
package kinesis
