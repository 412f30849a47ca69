// Package mqttfake is a scripted broker of MQTT 5 and 3.1.1 for tests. It keeps sessions,
// accounts for every client's receive maximum, sends again in order with the DUP
// flag, uses the lowest free packet identifier (so that identifiers are reused as
// early as possible) and can be told to misbehave packet by packet. It notes what
// a client does wrong: acknowledging something that is not under way, or out of
// order.
//
// It serves net.Pipe connections (Broker.Dial) as well as listeners, and with the
// former it works under testing/synctest. It is not meant to be fast, and keeps
// everything in memory until Close.
package mqttfake
