package broker

import "crypto/tls"

// Client is a connected MQTT client.
type Client struct {
	ID       string
	Username string // "" when the client gave none
	// PeerHost is the IP address that the client connected from, PeerName
	// the address with the port; both are empty on a Unix socket.
	PeerHost string
	PeerName string
	// Listener is the local address that it connected to.
	Listener string
	// ProtocolVersion is 3 for MQTT 3.1, 4 for 3.1.1 and 5 for 5.
	ProtocolVersion byte
}

// Login is what a client says of itself.
type Login struct {
	Client
	Password []byte
	// TLS is the state of the client's TLS connection, with its
	// certificates; nil without TLS.
	TLS *tls.ConnectionState
}

// Access is what a client wants to do with a topic.
type Access int

// The kinds of access: publish to a topic, subscribe to a topic filter, receive a
// message with a topic.
const (
	Publish Access = iota
	Subscribe
	Receive
)

// String returns "publish", "subscribe" or "receive".
func (a Access) String() string {
	switch a {
	case Publish:
		return "publish"
	case Subscribe:
		return "subscribe"
	default:
		return "receive"
	}
}

// tlsState returns the state of a TLS connection, nil if it is none.
func (c *conn) tlsState() *tls.ConnectionState {
	t, ok := c.Conn.(*tls.Conn)
	if !ok {
		return nil
	}
	state := t.ConnectionState()
	return &state
}

// allowed asks whether a client may do something.
func (s *Source) allowed(c *conn, access Access, topic string) bool {
	ok := s.cfg.Authorize == nil || s.cfg.Authorize(c.client, access, topic)
	s.emitCheckAuthz(c, access, topic, ok)
	return ok
}

// readable asks whether a client may receive a message with a topic. It is asked
// for each delivery, since what a subscription was granted by may not hold any
// more; no event tells of it.
func (s *Source) readable(c Client, topic string) bool {
	return s.cfg.Authorize == nil || s.cfg.Authorize(c, Receive, topic)
}
