// Package firehose is a sink that writes records to Amazon Data Firehose: the
// Dest of a record, which an action may make by a template, is the name of the
// delivery stream, and its data is what is delivered. The key is not stored.
//
// Firehose keeps no order: it delivers what it has collected in an order that it
// does not promise, and a record that it refuses is written again behind others
// of its key. Put a number into the data where order matters, or write to a
// stream of sink/kinesis that Firehose reads from. Records of one key, and those
// without any, are written one request after the other: give them keys to have
// several requests under way.
//
// Firehose puts the data of records one after the other with nothing in between;
// see [Config].Delimiter.
package firehose
