// Package sluice is the root of Sluice, a library that bridges MQTT into Amazon
// Kinesis Data Streams, and any other sink, by rules written in EMQX-compatible
// SQL. It holds no code; see the packages below it.
package sluice
