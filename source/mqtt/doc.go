// Package mqtt is a bridge.Source that subscribes to topics of a broker of MQTT 5 or
// 3.1.1.
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
// What was handed out and not acknowledged when a connection is lost is recognized when
// the broker sends it again: it is not handed out twice, and acknowledged on the new
// connection as soon as it is settled. If the broker does not send it again, settling it
// does nothing. A Delivery settled with an error is not acknowledged, and neither is what
// was received behind it; when nothing else is left to settle the source reconnects after
// a pause, and the broker sends all of it again.
//
// A message is handed out once, though a broker may send a copy for each subscription
// that matches it.
//
// Messages are handed out in the order in which the broker sends them, per connection.
//
// # What bounds it
//
// ReceiveMaximum bounds the QoS 1 and 2 messages between receipt and acknowledgement,
// BufferQoS0 the QoS 0 messages that wait for Read, and BufferBytes the memory of both.
// When the bytes are reached the socket is not read.
//
// # Columns
//
// A client does not learn who published a message: PeerHost and PeerName are empty, and
// so are ClientID and Username unless the configuration says where in a message they are.
// Message.Server names the broker, and the MQTT 5 properties
// are in Message.Props.
package mqtt
