// Package mqtt is a bridge.Source that subscribes to topics of an MQTT 5 broker.
//
// # Guarantees
//
// A QoS 1 message is acknowledged only after its Delivery has been settled
// without an error, in order of receipt. Everything else is left to the broker:
// with a session that it keeps (ClientID, SessionExpiry) it sends again what was
// not acknowledged, after a reconnect as well as after the death of the process.
// A QoS 2 message is settled the same way before PUBREC is sent; a message that
// is sent again while the session lives is recognized and not handed out twice.
// QoS 0 messages are lost with the connection and when nobody reads them.
//
// A Delivery belongs to the connection that it came from. Settling it after that
// connection is lost does nothing, because the packet identifier may mean another
// message by then. A Delivery settled with an error is not acknowledged, and
// neither is what was received behind it; when nothing else is left to settle the
// source reconnects after a pause, and the broker sends all of it again.
//
// Messages are handed out in the order in which the broker sends them, per connection.
//
// # What bounds it
//
// ReceiveMaximum bounds the QoS 1 and 2 messages between receipt and
// acknowledgement, BufferBytes and BufferQoS0 what waits for Read. When the bytes
// are reached the socket is not read.
//
// # Columns
//
// A client does not learn who published a message: ClientID, Username, PeerHost
// and PeerName are empty. Message.Server names the broker, and the MQTT 5 properties
// are in Message.Props.
package mqtt
