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
// # Subscribers
//
// Ordinary subscribers get messages in the order they were published, within their
// receive maximum, and after a reconnect what they have missed. Sessions and
// retained messages are in memory; with Config.Store they outlive the process.
// Source.Publish publishes without a connection.
//
// # What it is built on
//
// Connections and the coding of packets are those of
// github.com/mochi-mqtt/server. What packets mean is this package's own: the way in,
// from a PUBLISH packet to its acknowledgement, because acknowledgements must wait
// for settlement and keep their order; sessions, subscriptions and the way out,
// because the server loses and reorders messages there.
package broker
