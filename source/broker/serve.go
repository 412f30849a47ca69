package broker

import (
	"bytes"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

// serve sees to a connection until its end.
func (s *Source) serve(c *conn) {
	defer s.conns.remove(c)
	err := s.guard(c, func() error {
		if err := s.connect(c); err != nil {
			return err
		}
		return s.converse(c)
	})
	_ = c.Close()
	s.log.Debug("broker connection ended", "client_id", short(c.client.ID), "peer", c.client.PeerName, "error", err)
	c.r, c.aliases, c.packet = nil, nil, packets.Packet{} // the session may keep the connection for long
	if c.session != nil {
		s.disconnected(c, err)
		s.inbox.leave(c.publisher)
	}
}

// guard calls f. A panic ends this connection and not the process.
func (s *Source) guard(c *conn, f func() error) (err error) {
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		err = fmt.Errorf("panic: %v", p)
		if n, ok := s.repeats.Admit("", "panic", 1); ok {
			s.log.Error("broker: a packet made the broker panic", "count", n, "client_id", short(c.client.ID), "peer", c.client.PeerName,
				"error", p, "stack", string(debug.Stack()))
		}
	}()
	return f()
}

// converse reads packets until the connection ends, which always has a reason.
func (s *Source) converse(c *conn) error {
	for {
		by := time.Time{}
		if c.keepalive > 0 {
			by = time.Now().Add(c.keepalive)
		}
		if err := c.SetReadDeadline(by); err != nil {
			return err
		}
		pk, err := c.readPacket(s.cfg.Limits.PacketBytes)
		if err != nil {
			if code, ok := mistake(err); ok {
				return s.expel(c, code)
			}
			return err
		}
		if err := s.handle(c, pk); err != nil {
			return err
		}
	}
}

// handle does what a packet asks for. An error ends the connection.
func (s *Source) handle(c *conn, pk *packets.Packet) error {
	switch pk.FixedHeader.Type {
	case packets.Publish:
		return s.receive(c, pk)
	case packets.Pubrel:
		return s.release(c, pk.PacketID)
	case packets.Puback, packets.Pubrec, packets.Pubcomp:
		return s.acknowledged(c, pk)
	case packets.Subscribe:
		return s.subscribe(c, pk)
	case packets.Unsubscribe:
		return s.unsubscribe(c, pk)
	case packets.Pingreq:
		s.emitPing(c)
		return c.pong()
	case packets.Disconnect:
		return s.bye(c, pk)
	case packets.Connect:
		return s.expel(c, packets.ErrProtocolViolationSecondConnect)
	default: // AUTH, allowed after an AUTH of ours only (MQTT 5.0, section 3.15)
		return s.expel(c, packets.ErrProtocolViolation)
	}
}

// pong answers a ping, and all that have come together by one write.
func (c *conn) pong() error {
	c.pings++
	if c.r.Buffered() >= 2 {
		if next, err := c.r.Peek(2); err == nil && next[0] == packets.Pingreq<<4 && next[1] == 0 {
			return nil // it is read next, without waiting
		}
	}
	n := c.pings
	c.pings = 0
	return c.write(bytes.Repeat([]byte{packets.Pingresp << 4, 0}, n), n)
}

// bye handles a DISCONNECT packet.
func (s *Source) bye(c *conn, pk *packets.Packet) error {
	props := pk.Properties
	c.disconnect = &props
	if pk.Properties.SessionExpiryIntervalFlag {
		if pk.Properties.SessionExpiryInterval > 0 && c.expiry == 0 { // MQTT 5.0, section 3.14.2.2.2
			return s.expel(c, packets.ErrProtocolViolationZeroNonZeroExpiry)
		}
		c.expiry = min(s.cfg.Limits.SessionExpiry, time.Duration(pk.Properties.SessionExpiryInterval)*time.Second)
	}
	if pk.ReasonCode == packets.CodeDisconnectWillMessage.Code {
		return packets.CodeDisconnectWillMessage
	}
	return errDone
}

// disconnected ends what belongs to a connection of a session.
func (s *Source) disconnected(c *conn, err error) {
	s.leaveSession(c)
	reason := "takenover"
	if !c.takenOver.Load() {
		reason = disconnectReason(c.cause.Load(), err)
	}
	s.emitDisconnected(c, reason)
	if !errors.Is(err, errDone) {
		s.publishWill(c)
	}
}

// expel disconnects a client with a reason.
func (s *Source) expel(c *conn, code packets.Code) error {
	s.log.Debug("broker disconnects a client", "client_id", short(c.client.ID), "peer", c.client.PeerName, "reason", code.Reason)
	if c.cause.CompareAndSwap(nil, &code) {
		if c.client.ProtocolVersion == 5 { // before, only clients send DISCONNECT
			_ = c.send(packets.Packet{
				FixedHeader: packets.FixedHeader{Type: packets.Disconnect}, ReasonCode: code.Code,
				Properties: packets.Properties{ReasonString: code.Reason},
			})
		}
	}
	_ = c.Close()
	return code
}
