package broker

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
	"github.com/mochi-mqtt/server/v2/system"
)

// hook is where the server calls us. The server sees to connections and their
// packets; what the packets mean, from CONNECT on, is this package's own. See
// OnPacketRead.
type hook struct {
	mqtt.HookBase
	src *Source
}

// ID implements mqtt.Hook.
func (h *hook) ID() string { return "sluice" }

// Provides implements mqtt.Hook.
func (h *hook) Provides(b byte) bool {
	switch b {
	case mqtt.OnConnect, mqtt.OnConnectAuthenticate, mqtt.OnSessionEstablish, mqtt.OnSessionEstablished,
		mqtt.OnDisconnect, mqtt.OnPacketRead, mqtt.OnPacketEncode, mqtt.OnPacketSent, mqtt.OnSysInfoTick:
		return true
	default:
		return false
	}
}

// connOf returns the client's connection.
func connOf(cl *mqtt.Client) *conn {
	c, _ := cl.Net.Conn.(*conn)
	return c
}

// OnConnect is called with a valid CONNECT packet, before anybody else knows the
// client.
func (h *hook) OnConnect(cl *mqtt.Client, pk packets.Packet) error {
	c := connOf(cl)
	if c == nil {
		return errors.New("not a connection of this broker")
	}
	c.server = cl
	c.client.ID = cl.ID
	c.client.Username = string(cl.Properties.Username)
	c.client.ProtocolVersion = cl.Properties.ProtocolVersion
	if h.src.wants.any(clientConnected, clientDisconnected, clientConnack, clientPing) {
		said := pk // kept for the events; it takes a kilobyte
		said.Connect.Password = nil
		c.connect = &said
	}
	c.limiter = newLimiter(h.src.cfg.Limits.MessageRate)
	c.takeWill(cl, pk)
	if pk.Properties.AuthenticationMethod != "" {
		_ = h.src.server.SendConnack(cl, packets.ErrBadAuthenticationMethod, false, nil)
		return fmt.Errorf("client %q wants enhanced authentication, which there is none of", cl.ID)
	}

	// The server computes one and a half times the keep-alive in 16 bits.
	const maxKeepalive = math.MaxUint16 / 3 * 2
	if cl.State.Keepalive > maxKeepalive {
		cl.State.Keepalive, cl.State.ServerKeepalive = maxKeepalive, true
	}
	c.window = math.MaxUint16
	c.expiry = h.src.cfg.Limits.SessionExpiry
	switch {
	case c.client.ProtocolVersion == 5:
		if pk.Properties.ReceiveMaximum > 0 {
			c.window = int(pk.Properties.ReceiveMaximum)
		}
		c.expiry = min(c.expiry, time.Duration(pk.Properties.SessionExpiryInterval)*time.Second)
	case pk.Connect.Clean:
		c.expiry = 0
	}
	return nil
}

// OnConnectAuthenticate implements mqtt.Hook.
func (h *hook) OnConnectAuthenticate(cl *mqtt.Client, pk packets.Packet) bool {
	c := connOf(cl)
	var err error
	if h.src.cfg.Authenticate != nil {
		ctx, cancel := context.WithTimeout(h.src.ctx, h.src.cfg.Limits.ConnectTimeout)
		err = h.src.cfg.Authenticate(ctx, Login{Client: c.client, Password: pk.Connect.Password, TLS: c.tlsState()})
		cancel()
	}
	h.src.emitCheckAuthn(c, err)
	if err != nil {
		if n, ok := h.src.repeats.Admit("", "refused", 1); ok {
			h.src.log.Warn("broker refused clients", "count", n, "client_id", c.client.ID, "username", c.client.Username,
				"peer", c.client.PeerName, "error", err)
		}
	}
	return err == nil
}

// OnSessionEstablish is called when the client is let in.
func (h *hook) OnSessionEstablish(cl *mqtt.Client, pk packets.Packet) {
	c := connOf(cl)
	c.connected.Store(true)
	c.at = time.Now()
	c.present = h.src.openSession(c, pk.Connect.Clean)
}

// OnSessionEstablished is called when the client has got its CONNACK.
func (h *hook) OnSessionEstablished(cl *mqtt.Client, _ packets.Packet) {
	c := connOf(cl)
	c.session.out.start(c)
	h.src.log.Debug("broker client connected", "client_id", c.client.ID, "peer", c.client.PeerName)
	h.src.emitConnack(c, packets.CodeSuccess.Code)
	h.src.emitConnected(c)
}

// OnDisconnect is called when a session's connection has ended.
func (h *hook) OnDisconnect(cl *mqtt.Client, err error, _ bool) {
	c := connOf(cl)
	if c == nil || c.session == nil {
		return
	}
	_ = c.Close()
	if c.disconnect != nil && c.disconnect.SessionExpiryIntervalFlag {
		c.expiry = min(h.src.cfg.Limits.SessionExpiry, time.Duration(c.disconnect.SessionExpiryInterval)*time.Second)
	}
	h.src.leaveSession(c)
	h.src.log.Debug("broker client disconnected", "client_id", c.client.ID, "peer", c.client.PeerName, "error", err)
	reason := "takenover"
	if !c.takenOver.Load() {
		reason = disconnectReason(cl.StopCause(), err)
	}
	h.src.emitDisconnected(c, reason)
	if err != nil {
		h.src.publishWill(c)
	}
}

// nothing is a packet that the server does nothing about: an acknowledgement of
// a packet identifier that does not exist.
var nothing = packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Puback}}

// OnPacketRead sees every packet of a client. The server would acknowledge
// messages at once, mix up the packet identifiers of the two directions, and
// stall; so most packets are handled here and nothing is left of them for it.
func (h *hook) OnPacketRead(cl *mqtt.Client, pk packets.Packet) (packets.Packet, error) {
	c := connOf(cl)
	if c == nil || c.session == nil {
		return lenient(c, pk), nil
	}
	switch pk.FixedHeader.Type {
	case packets.Publish:
		return nothing, h.src.receive(c, pk)
	case packets.Pubrel:
		return nothing, h.src.release(c, pk.PacketID)
	case packets.Puback, packets.Pubrec, packets.Pubcomp:
		return nothing, closing(h.src.acknowledged(c, &pk))
	case packets.Subscribe:
		return nothing, h.src.subscribe(c, &pk)
	case packets.Unsubscribe:
		return nothing, h.src.unsubscribe(c, &pk)
	case packets.Auth: // allowed after an AUTH of ours only (MQTT 5.0, section 3.15)
		return nothing, h.src.expel(c, packets.ErrProtocolViolation)
	case packets.Pingreq:
		h.src.emitPing(c)
	case packets.Disconnect:
		c.disconnect = &pk.Properties
	}
	return pk, nil
}

// lenient makes the server take a CONNECT packet that it would refuse: with a will
// whose payload is empty, or with an empty password.
func lenient(c *conn, pk packets.Packet) packets.Packet {
	if c == nil || pk.FixedHeader.Type != packets.Connect {
		return pk
	}
	if pk.Connect.WillFlag && len(pk.Connect.WillPayload) == 0 {
		c.emptyWill = true
		pk.Connect.WillPayload = []byte{0}
	}
	if len(pk.Connect.Password) == 0 {
		pk.Connect.PasswordFlag = false
	}
	return pk
}

// closing makes the server close the connection after an error: of all errors
// of OnPacketRead it minds this one only.
func closing(err error) error {
	if err == nil {
		return nil
	}
	return packets.ErrRejectPacket
}

// OnPacketEncode corrects what the server tells clients.
func (h *hook) OnPacketEncode(cl *mqtt.Client, pk packets.Packet) packets.Packet {
	switch pk.FixedHeader.Type {
	case packets.Connack:
		if c := connOf(cl); c != nil {
			pk.SessionPresent = c.present
		}
		pk.Properties.MaximumPacketSize = uint32(h.src.cfg.Limits.PacketBytes)
		pk.Properties.TopicAliasMaximum = uint16(h.src.cfg.Limits.TopicAliases)
	case packets.Publish:
		// User properties of messages are no information about problems.
		pk.Mods.DisallowProblemInfo = false
	}
	return pk
}

// OnPacketSent is called after a packet has been handed to the connection.
func (h *hook) OnPacketSent(cl *mqtt.Client, pk packets.Packet, _ []byte) {
	if c := connOf(cl); c != nil && c.session == nil && pk.FixedHeader.Type == packets.Connack {
		h.src.emitConnack(c, pk.ReasonCode) // of a client that is not let in
	}
}

// OnSysInfoTick is called when the server has renewed its $SYS topics.
func (h *hook) OnSysInfoTick(*system.Info) {
	for _, pk := range h.src.server.Topics.Messages("$SYS/#") {
		pk.FixedHeader.Retain = false // retained by the server
		h.src.fanOut(&pk, func() *publication { return &publication{Packet: pk, received: time.Now()} })
	}
}
