// Package kpl reads and writes the aggregated record format of the Kinesis
// Producer Library: many user records inside the data of one Kinesis record.
//
// An aggregate is
//
//	F3 89 9A C2 | protobuf message | MD5 of the message (16 bytes)
//
// and the message, in proto2, is
//
//	message AggregatedRecord {
//	  repeated string partition_key_table     = 1;
//	  repeated string explicit_hash_key_table = 2;
//	  repeated Record records                 = 3;
//	}
//	message Record {
//	  required uint64 partition_key_index     = 1;
//	  optional uint64 explicit_hash_key_index = 2;
//	  required bytes  data                    = 3;
//	  repeated Tag    tags                    = 4;
//	}
//	message Tag {
//	  required string key   = 1;
//	  optional string value = 2;
//	}
//
// The Kinesis Producer Library writes no tags, and its consumers skip them. Here a
// tag "id" carries the ID of a record.
//
// Indexes count from 0 into the tables. The Encoder gives all records of an
// aggregate one explicit hash key: consumers built on the Kinesis Client Library
// silently drop an aggregate as soon as the hash of one of its records lies
// outside the shard that it was read from, and only a hash key that the records
// share with their container rules that out whatever resharding does.
package kpl
