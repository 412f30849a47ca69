// Package sim runs the whole product in one process and in virtual time: a scripted
// broker, the MQTT source, rules, queues, the Kinesis sink with AWS's SDK, a Kinesis
// with every fault, and buffers on disk. A seed makes a script of messages, faults,
// changes and kills; package oracle, which sees only what the broker got acknowledged
// and what Kinesis holds, judges the outcome.
//
// A seed decides everything that the script decides. Go does not let it decide in
// which order goroutines run that are ready at the same moment, nor the random pauses
// between retries; so a seed repeats the same situation, not the same instructions.
// The scheduler, where order is decided, has a simulation of its own that repeats
// exactly: see TestHistories of package sched.
//
// When a script fails, steps are left out as long as it still fails, and what is left
// is printed as a story. `make sim SEEDS=1000 SEED=1` runs many of them.
package sim
