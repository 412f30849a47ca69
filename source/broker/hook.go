package broker

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"sync/atomic"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/sluiceio/sluice/internal/topic"
)

// hook is where the server calls us. PUBLISH and PUBREL packets of clients are
// taken out of its hands: see OnPacketRead.
type hook struct {
	mqtt.HookBase
	src *Source
}

// sequence numbers published messages so that those that a subscriber has not
// acknowledged can be told apart by age; see renumber. It starts beyond every
// Unix time in seconds, which the server uses, and shortly before its lower 16
// bits start over, so that tests meet that.
type sequence struct{ n atomic.Int64 }

const firstSequence = 1<<40 - 100

func (s *sequence) next() int64 { return firstSequence + s.n.Add(1) }

// ID implements mqtt.Hook.
func (h *hook) ID() string { return "sluice" }

// Provides implements mqtt.Hook.
func (h *hook) Provides(b byte) bool {
	switch b {
	case mqtt.OnConnect, mqtt.OnConnectAuthenticate, mqtt.OnSessionEstablish, mqtt.OnSessionEstablished,
		mqtt.OnDisconnect, mqtt.OnClientExpired, mqtt.OnPacketRead, mqtt.OnPacketEncode, mqtt.OnPublish,
		mqtt.OnACLCheck, mqtt.OnSubscribe, mqtt.OnSubscribed, mqtt.OnUnsubscribed:
		return true
	case mqtt.OnPacketSent:
		return h.src.wants.any(clientConnack, messageDelivered)
	case mqtt.OnPublishDropped, mqtt.OnPacketIDExhausted:
		return h.src.wants.any(deliveryDropped)
	case mqtt.OnQosPublish, mqtt.OnQosComplete:
		return h.src.wants.any(messageAcked)
	case mqtt.OnQosDropped:
		return h.src.wants.any(messageAcked, deliveryDropped)
	default:
		return false
	}
}

// connOf returns the client's connection, nil for clients of our own.
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
	c.connect = pk
	c.connect.Connect.Password = nil
	c.limiter = newLimiter(h.src.cfg.Limits.MessageRate)
	c.takeWill(cl, pk)

	// The server computes one and a half times the keep-alive in 16 bits.
	const maxKeepalive = math.MaxUint16 / 3 * 2
	if cl.State.Keepalive > maxKeepalive {
		cl.State.Keepalive, cl.State.ServerKeepalive = maxKeepalive, true
	}
	// Outbound topic aliases would be lost with the message that is dropped
	// from a full queue.
	cl.Properties.Props.TopicAliasMaximum = 0
	// The window is kept by conn; see outbound. With a send quota of 0 the
	// server neither holds messages back nor looks for such messages, which
	// it does with a lock that it takes twice and thus may never get.
	c.out.window = math.MaxUint16
	if cl.Properties.ProtocolVersion == 5 && pk.Properties.ReceiveMaximum > 0 {
		c.out.window = int(pk.Properties.ReceiveMaximum)
	}
	cl.Properties.Props.ReceiveMaximum = 0 // also of an inherited session
	cl.State.Inflight.ResetSendQuota(0)
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
		h.src.log.Warn("broker refused a client", "client", c.client.ID, "username", c.client.Username,
			"peer", c.client.PeerName, "error", err)
	}
	return err == nil
}

// OnSessionEstablish is called when the client is let in, before it takes over
// what the server kept for its id.
func (h *hook) OnSessionEstablish(cl *mqtt.Client, pk packets.Packet) {
	c := connOf(cl)
	c.connected.Store(true)
	c.at = time.Now()
	if old, ok := h.src.server.Clients.Get(cl.ID); ok && !pk.Connect.Clean {
		renumber(old.State.Inflight)
	}
	h.src.openSession(c, pk.Connect.Clean)
}

// renumber makes the server send what a subscriber has not acknowledged in its
// original order: it sorts by the lower 16 bits of Created.
func renumber(in *mqtt.Inflight) {
	all := in.GetAll(false)
	sortByCreated(all)
	for i := range all {
		all[i].Created = int64(i)
		in.Set(all[i])
	}
}

// OnSessionEstablished is called when the client has got its CONNACK.
func (h *hook) OnSessionEstablished(cl *mqtt.Client, _ packets.Packet) {
	c := connOf(cl)
	h.src.log.Debug("broker client connected", "client", c.client.ID, "peer", c.client.PeerName)
	h.src.emitConnected(c)
}

// OnDisconnect is called when a session's connection has ended.
func (h *hook) OnDisconnect(cl *mqtt.Client, err error, expire bool) {
	c := connOf(cl)
	if c == nil || c.session == nil {
		return
	}
	_ = c.Close()
	if expire {
		h.src.closeSession(cl.ID, c.session)
	}
	h.src.log.Debug("broker client disconnected", "client", c.client.ID, "peer", c.client.PeerName, "error", err)
	h.src.emitDisconnected(c, disconnectReason(cl.StopCause(), err))
	if err != nil {
		h.src.publishWill(c)
	}
}

// OnClientExpired is called when a session is given up. The server forgets to
// drop its subscriptions.
func (h *hook) OnClientExpired(cl *mqtt.Client) {
	h.src.server.UnsubscribeClient(cl)
	h.src.closeSession(cl.ID, nil)
}

// nothing is a packet that the server does nothing about: an acknowledgement of
// a packet identifier that does not exist.
var nothing = packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Puback}}

// OnPacketRead sees every packet of a client. The server's own handling of
// PUBLISH and PUBREL acknowledges at once and mixes up the packet identifiers of
// the two directions, so these packets are handled here and nothing is left of
// them for the server.
func (h *hook) OnPacketRead(cl *mqtt.Client, pk packets.Packet) (packets.Packet, error) {
	c := connOf(cl)
	if c == nil || c.session == nil { // CONNECT
		return pk, nil
	}
	switch pk.FixedHeader.Type {
	case packets.Publish:
		return nothing, h.src.receive(c, pk)
	case packets.Pubrel:
		reason := packets.CodeSuccess
		if !c.session.release(pk.PacketID) {
			reason = packets.ErrPacketIdentifierNotFound
		}
		return nothing, closing(c.write(appendAck(nil, packets.Pubcomp, pk.PacketID, reason.Code, c.client.ProtocolVersion)))
	case packets.Puback, packets.Pubcomp:
		c.released()
	case packets.Pubrec:
		if pk.ReasonCode >= packets.ErrUnspecifiedError.Code {
			c.released()
		}
	case packets.Pingreq:
		h.src.emitPing(c)
	case packets.Subscribe, packets.Unsubscribe:
		c.requestID = pk.PacketID
		if pk.PacketID != 0 {
			pk.PacketID = unusedID(cl.State.Inflight)
		}
	case packets.Disconnect:
		c.disconnect = pk.Properties
	}
	return pk, nil
}

// unusedID returns a packet identifier that no message to the client has. The
// server refuses a SUBSCRIBE packet with the identifier of one, although the two
// directions have nothing to do with each other.
func unusedID(in *mqtt.Inflight) uint16 {
	for {
		id := uint16(1 + rand.IntN(math.MaxUint16))
		if _, used := in.Get(id); !used {
			return id
		}
	}
}

// closing makes the server close the connection after an error: of all errors
// of OnPacketRead it minds this one only.
func closing(err error) error {
	if err == nil {
		return nil
	}
	return packets.ErrRejectPacket
}

// OnPacketEncode tells MQTT 5 clients what the server keeps to itself, and puts
// back the packet identifier that OnPacketRead has replaced.
func (h *hook) OnPacketEncode(cl *mqtt.Client, pk packets.Packet) packets.Packet {
	switch pk.FixedHeader.Type {
	case packets.Connack:
		pk.Properties.MaximumPacketSize = uint32(h.src.cfg.Limits.PacketBytes)
	case packets.Suback, packets.Unsuback:
		if c := connOf(cl); c != nil {
			pk.PacketID = c.requestID
		}
	}
	return pk
}

// OnPublish numbers what is about to be sent to subscribers.
func (h *hook) OnPublish(_ *mqtt.Client, pk packets.Packet) (packets.Packet, error) {
	pk.Created = h.src.publishes.next()
	return pk, nil
}

// deniedFilter stands in for a filter that the client may not subscribe to. No
// client can send it, as it is no valid UTF-8.
const deniedFilter = "\xffdenied"

// OnSubscribe checks the filters. OnACLCheck cannot: the server also asks it for
// every message that a subscriber is sent.
func (h *hook) OnSubscribe(cl *mqtt.Client, pk packets.Packet) packets.Packet {
	c := connOf(cl)
	if c == nil {
		return pk
	}
	for i := range pk.Filters {
		filter := pk.Filters[i].Filter
		_, plain, shared := topic.Share(filter)
		switch {
		case topic.ValidateFilter(filter) != nil, !shared && mqtt.IsSharedFilter(filter): // "$SHARE/…" is the server's own
			pk.Filters[i].Filter = "" // refused as invalid
		case !h.src.allowed(c, Subscribe, plain):
			pk.Filters[i].Filter = deniedFilter
		}
	}
	return pk
}

// OnACLCheck implements mqtt.Hook.
func (h *hook) OnACLCheck(_ *mqtt.Client, name string, _ bool) bool { return name != deniedFilter }

// openSession gives c the client's session, a new one if it has none or wants a
// clean start.
func (s *Source) openSession(c *conn, clean bool) {
	s.mu.Lock()
	due := s.wills.take(c.client.ID, clean)
	have := s.sessions[c.client.ID]
	if have == nil || clean {
		have = new(session)
		s.sessions[c.client.ID] = have
	}
	have.owner.Store(c)
	c.session = have
	s.mu.Unlock()
	if due != nil {
		s.sendWill(due)
	}
}

// closeSession forgets a session, unless another has taken its place.
func (s *Source) closeSession(id string, which *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if which == nil || s.sessions[id] == which {
		delete(s.sessions, id)
	}
}
