// Command producer compares ways to put records into Kinesis from Go: the SDK as
// most use it, batching by hand, a8m/kinesis-producer, and Sluice's producer. It is
// a module of its own, so that users of the library do not inherit what it compares
// with.
//
//	go run . [-records 40000] [-latency 5ms] [-only sluice]
//
// Each way runs in a process of its own and puts the same records, 200 bytes with
// 5,000 keys, to an endpoint in another process, without faults and with 5 % of the
// records and 2 % of the calls failing. What the endpoint then holds is compared
// with what was put. Judge by the ratios within one run.
package main
