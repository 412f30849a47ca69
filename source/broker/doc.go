// Package broker is a source that is an MQTT broker itself: devices connect to
// the process, and no other broker is needed. It speaks MQTT 3.1, 3.1.1 and 5
// over TCP, TLS, WebSocket and Unix sockets, and it serves ordinary subscribers,
// too.
//
// # Delivery
//
// By default a publisher gets its PUBACK (QoS 1) or PUBREC (QoS 2) when its
// message is settled, that is, when every sink has stored what the rules made of
// it. A publisher that sends again what was not acknowledged thus loses nothing,
// whatever happens to this process. Config.EarlyAck acknowledges as soon as the
// message is queued instead.
//
// Messages wait in a bounded queue until they are read. When it is full, the
// broker stops reading from clients that publish, so that they feel it as TCP
// back-pressure; nothing is dropped.
//
// # Events
//
// Besides published messages the source hands out the events that
// Config.Events asks for, such as "$events/client/connected". Their topics and
// columns are those of EMQX.
//
// # What it is built on
//
// Connections, sessions, subscriptions and retained messages are those of
// github.com/mochi-mqtt/server. The way in, from a PUBLISH packet to its
// acknowledgement, is this package's own, because acknowledgements must wait for
// settlement and keep their order; so is the receive window of subscribers.
package broker
