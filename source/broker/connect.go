package broker

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/sluiceio/sluice/internal/cut"
	"github.com/sluiceio/sluice/internal/topic"
)

// identity is who a client is: its session and its share of the inbox belong to
// both names. With a client id alone, who knows another user's could take his
// session.
type identity struct{ user, id string }

func (c Client) identity() identity { return identity{c.Username, c.ID} }

// greeting is what the events tell of a CONNECT packet.
type greeting struct {
	protocol  string
	keepalive uint16
	clean     bool
	props     packets.Properties
}

// connect reads the CONNECT packet of a connection and lets its client in or not.
// Then the client has a session and its CONNACK packet.
func (s *Source) connect(c *conn) error {
	if c.upgrade != nil {
		if err := c.upgrade(); err != nil {
			return err
		}
	}
	pk, err := c.readPacket(min(s.cfg.Limits.ConnectBytes, s.cfg.Limits.PacketBytes))
	if err != nil {
		return err
	}
	if pk.FixedHeader.Type != packets.Connect {
		return packets.ErrProtocolViolationRequireFirstConnect
	}
	if !s.conns.loggingIn(c) {
		return errGone
	}
	s.introduce(c, pk)
	if code := s.checkConnect(c, pk); code != packets.CodeSuccess {
		return s.turnAway(c, code)
	}
	if err := s.authenticate(c, pk); err != nil {
		return s.turnAway(c, packets.ErrBadUsernameOrPassword)
	}
	present, ok := s.openSession(c, pk.Connect.Clean)
	if !ok {
		s.reject(c, "sessions")
		return s.turnAway(c, packets.ErrQuotaExceeded)
	}
	s.emitCheckAuthn(c, nil)
	if err := c.send(s.connack(c, pk, present)); err != nil {
		return err
	}
	s.conns.loggedIn(c)
	c.session.out.start(c)
	s.log.Debug("broker client connected", "client_id", short(c.client.ID), "peer", c.client.PeerName)
	s.emitConnack(c, packets.CodeSuccess.Code)
	s.emitConnected(c)
	return nil
}

// introduce notes what a CONNECT packet says of its client. Nothing that is kept
// points into the packet.
func (s *Source) introduce(c *conn, pk *packets.Packet) {
	c.client.ID = strings.Clone(pk.Connect.ClientIdentifier)
	c.client.Username = string(pk.Connect.Username)
	c.client.ProtocolVersion = pk.ProtocolVersion
	if c.client.ID == "" {
		c.client.ID = "auto-" + rand.Text()
		c.assigned = true
	}
	if s.wants.any(clientConnected, clientDisconnected, clientConnack, clientPing) {
		c.greeting = &greeting{string(pk.Connect.ProtocolName), pk.Connect.Keepalive, pk.Connect.Clean, pk.Properties}
	}
	c.limiter = newLimiter(s.cfg.Limits.MessageRate)
	c.keepalive = time.Duration(pk.Connect.Keepalive) * time.Second * 3 / 2 // MQTT 5.0, section 3.1.2.10
	c.maxPacket = pk.Properties.MaximumPacketSize
	c.terse = pk.Properties.RequestProblemInfoFlag && pk.Properties.RequestProblemInfo == 0
	c.window = math.MaxUint16
	c.expiry = s.cfg.Limits.SessionExpiry
	switch {
	case pk.ProtocolVersion == 5:
		if pk.Properties.ReceiveMaximum > 0 {
			c.window = int(pk.Properties.ReceiveMaximum)
		}
		c.expiry = min(c.expiry, time.Duration(pk.Properties.SessionExpiryInterval)*time.Second)
	case pk.Connect.Clean:
		c.expiry = 0
	}
	c.takeWill(pk)
}

// checkConnect says what is wrong with a CONNECT packet.
func (s *Source) checkConnect(c *conn, pk *packets.Packet) packets.Code {
	cp := &pk.Connect
	name, version := string(cp.ProtocolName), pk.ProtocolVersion
	switch {
	case name != "MQTT" && name != "MQIsdp":
		return packets.ErrProtocolViolationProtocolName
	case name == "MQIsdp" && version != 3, name == "MQTT" && version != 4 && version != 5:
		return packets.ErrUnsupportedProtocolVersion
	case pk.ReservedBit != 0:
		return packets.ErrProtocolViolationReservedBit
	case version < 5 && !cp.Clean && c.assigned: // MQTT 3.1.1, section 3.1.3.1
		return packets.ErrClientIdentifierNotValid
	case !utf8.Valid(cp.Username) || bytes.IndexByte(cp.Username, 0) >= 0:
		return packets.ErrBadUsernameOrPassword
	case pk.Properties.AuthenticationMethod != "":
		s.log.Debug("broker client wants enhanced authentication, which there is none of", "client_id", short(c.client.ID))
		return packets.ErrBadAuthenticationMethod
	case !cp.WillFlag && (cp.WillRetain || cp.WillQos > 0), cp.WillQos > 2:
		return packets.ErrMalformedFlags
	case cp.WillFlag:
		return s.checkWill(cp)
	}
	return packets.CodeSuccess
}

func (s *Source) checkWill(cp *packets.ConnectParams) packets.Code {
	switch {
	case topic.ValidateName(cp.WillTopic) != nil, s.tooDeep(cp.WillTopic):
		return packets.ErrTopicNameInvalid
	case strings.ContainsAny(cp.WillProperties.ResponseTopic, "+#"):
		return packets.ErrProtocolViolation
	}
	return packets.CodeSuccess
}

// tooDeep reports whether a topic or filter has too many levels.
func (s *Source) tooDeep(name string) bool {
	return strings.Count(name, "/") >= s.cfg.Limits.TopicLevels
}

// authenticate asks whether a client is who it says.
func (s *Source) authenticate(c *conn, pk *packets.Packet) error {
	if s.cfg.Authenticate == nil {
		return nil
	}
	ctx, cancel := context.WithDeadline(s.ctx, c.since.Add(s.cfg.Limits.ConnectTimeout))
	defer cancel()
	err := s.cfg.Authenticate(ctx, Login{Client: c.client, Password: pk.Connect.Password, TLS: c.tlsState()})
	if err == nil {
		return nil
	}
	s.counters.loginsRefused.Add(1)
	if n, ok := s.repeats.Admit("", "refused", 1); ok {
		s.log.Warn("broker refused clients", "count", n, "client_id", short(c.client.ID), "username", short(c.client.Username),
			"peer", c.client.PeerName, "error", err)
	}
	s.emitCheckAuthn(c, err)
	return err
}

// connack makes the CONNACK packet of a client that is let in.
func (s *Source) connack(c *conn, pk *packets.Packet, present bool) packets.Packet {
	p := packets.Properties{
		ReceiveMaximum:    uint16(s.cfg.Limits.ReceiveMaximum),
		MaximumPacketSize: uint32(s.cfg.Limits.PacketBytes),
		TopicAliasMaximum: uint16(s.cfg.Limits.TopicAliases),
	}
	if c.assigned {
		p.AssignedClientID = c.client.ID
	}
	if most := uint32(min(s.cfg.Limits.SessionExpiry.Seconds(), math.MaxUint32)); pk.Properties.SessionExpiryInterval > most {
		p.SessionExpiryInterval, p.SessionExpiryIntervalFlag = most, true
	}
	return packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Connack}, SessionPresent: present, Properties: p}
}

// turnAway answers a CONNECT packet with a reason that is not success, where the
// client's version of MQTT has one.
func (s *Source) turnAway(c *conn, code packets.Code) error {
	answer := packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Connack}, ReasonCode: code.Code}
	if c.client.ProtocolVersion == 5 {
		answer.Properties.ReasonString = code.Reason
	} else {
		answer.ReasonCode = oldCode(code)
	}
	if answer.ReasonCode != 0 {
		_ = c.send(answer)
	}
	s.emitConnack(c, answer.ReasonCode)
	return code
}

// oldCode is the return code of MQTT 3 for a reason; 0 if there is none, and the
// connection is closed without a word.
func oldCode(code packets.Code) byte {
	switch code {
	case packets.ErrQuotaExceeded:
		return packets.Err3ServerUnavailable.Code
	case packets.ErrUnsupportedProtocolVersion:
		return packets.Err3UnsupportedProtocolVersion.Code
	default:
		return packets.V5CodesToV3[code].Code
	}
}

// short cuts what a client may make long, for logs.
func short(s string) string { return cut.Text(s, 64) }

// errDone ends a connection whose client has said that it is done.
var errDone = errors.New("the client has disconnected")
