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
// Messages wait in a bounded queue until they are read, one of each publisher in
// turn. A publisher has a window of messages, of any QoS, that are not settled.
// While that is used up the broker stops reading from it, so that it feels it as TCP
// back-pressure, and others do not.
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
// # Clients
//
// A client is its user name and its client id together: the same client id of
// another user has a session of its own. Config.Authorize is asked for each message
// that is published or delivered, and for each filter that is subscribed to. Limits
// bound what clients can use, with defaults for a broker that strangers can reach;
// Source.Stats reports how much of that is used.
//
// # What it is built on
//
// The coding of packets is that of github.com/mochi-mqtt/server. All else is this
// package's own; docs/broker.md says why.
package broker
