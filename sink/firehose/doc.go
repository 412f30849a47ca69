// Package firehose is a sink that writes records to Amazon Data Firehose: the
// Dest of a record, which an action may make by a template, is the name of the
// delivery stream, and its data is what is delivered. The key is not stored.
//
// Records of one key are written in their order: a request has one of them, and the
// next is written when it was stored. Records without a key have no order and share
// requests, up to 500 each. Firehose itself delivers what it has collected in an
// order that it does not promise: put a number into the data where order matters to
// the consumer, or write to a stream of sink/kinesis that Firehose reads from.
//
// Firehose puts the data of records one after the other with nothing in between;
// see [Config].Delimiter.
package firehose
