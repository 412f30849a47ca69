// Package kinesistest is Amazon Kinesis Data Streams inside the process, for
// tests of producers and consumers, and for trying things out without AWS.
//
// A server is one call away, and the SDK's client of it another:
//
//	func TestProducer(t *testing.T) {
//		srv := kinesistest.Start(t, kinesistest.Config{
//			Streams: []kinesistest.StreamConfig{{Name: "events", Shards: 4}},
//		})
//		produce(srv.Client(), "events")
//		for _, r := range srv.UserRecords("events") {
//			t.Logf("%s: %s", r.PartitionKey, r.Data)
//		}
//	}
//
// Outside of tests use New and Close. Any client in any language finds the
// server at its URL; Go programs can also go without a socket (Config.NoSocket,
// Server.Transport), or call the methods of Server themselves, which have the
// signatures of *kinesis.Client.
//
// # What is faithful
//
// Hash ranges, the choice of the shard, sequence numbers, resharding with
// lineage, iterators, limits of sizes and counts, states, errors and their
// messages are the service's as far as they are documented or known;
// docs/kinesistest.md lists what is not. Throughput is unlimited unless
// Config.Limits says otherwise.
//
// # Faults
//
// A Plan is data that says what goes wrong:
//
//	srv.SetFaults(kinesistest.Plan{Seed: 1, Faults: []kinesistest.Fault{
//		{Kind: kinesistest.FailRecord, Code: kinesistest.CodeThroughputExceeded, Key: "dev-7", Times: 3},
//		{Kind: kinesistest.ResetAfter, Op: "PutRecords", Skip: 10, Times: 1},
//		{Kind: kinesistest.Slow, Delay: 50 * time.Millisecond, Op: "Put*", Rate: 0.1},
//	}})
//
// The first refuses three times a record with key dev-7, the second stores the
// records of the eleventh PutRecords and then resets its connection, the third
// makes every tenth put slow.
//
// # Time
//
// Time passes by Config.Now, by default time.Now. States, limits, retention
// and iterators look at the clock when they are asked and use no timers, so a
// clock in the hand of the test makes them exact; within testing/synctest no
// clock has to be set, but Config.NoSocket does. Only the fault Slow waits, and
// Consume for news: on timers, which the bubble of synctest moves too.
//
// # Oracles
//
// Records and UserRecords are what was stored, the latter with KPL aggregates
// taken apart. A Ledger compares them with what was sent and reports losses,
// duplicates and records of a key that overtook others. Stats counts requests,
// records, bytes, and what the service would bill. Consume reads a stream as
// consumers should, parents before children, through any client.
package kinesistest
