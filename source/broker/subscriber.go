package broker

import (
	"cmp"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/sluiceio/sluice/bridge"
)

// subscriptions is the number of subscriptions that the server holds.
func (s *Source) subscriptions() int64 { return atomic.LoadInt64(&s.server.Info.Subscriptions) }

func sortByCreated(pks []packets.Packet) {
	slices.SortStableFunc(pks, func(a, b packets.Packet) int { return cmp.Compare(a.Created, b.Created) })
}

// OnSubscribed implements mqtt.Hook.
func (h *hook) OnSubscribed(cl *mqtt.Client, pk packets.Packet, reasonCodes []byte) {
	c := connOf(cl)
	if c == nil || !h.src.wants.any(sessionSubscribed) {
		return
	}
	for i, sub := range pk.Filters {
		if reasonCodes[i] >= packets.ErrUnspecifiedError.Code {
			continue
		}
		h.src.emit(sessionSubscribed, c, columns{
			"topic":        sub.Filter,
			"qos":          int(reasonCodes[i]),
			"sub_props":    subscribeProps(&pk.Properties, sub.Identifier),
			"client_attrs": map[string]any{},
		})
	}
}

// OnUnsubscribed implements mqtt.Hook. It is also called for a session that
// ends.
func (h *hook) OnUnsubscribed(cl *mqtt.Client, pk packets.Packet) {
	c := connOf(cl)
	if c == nil || !h.src.wants.any(sessionUnsubscribed) {
		return
	}
	for _, sub := range pk.Filters {
		if sub.Filter == "" {
			continue
		}
		h.src.emit(sessionUnsubscribed, c, columns{
			"topic":        sub.Filter,
			"qos":          int(sub.Qos),
			"unsub_props":  userProps(pk.Properties.User),
			"client_attrs": map[string]any{},
		})
	}
}

// OnPacketSent is called after a packet has been handed to the connection.
func (h *hook) OnPacketSent(cl *mqtt.Client, pk packets.Packet, _ []byte) {
	c := connOf(cl)
	switch {
	case c == nil:
	case pk.FixedHeader.Type == packets.Connack && h.src.wants.any(clientConnack):
		h.src.emit(clientConnack, c, c.sessionColumns(columns{
			"reason_code":  reasonName(pk.ReasonCode, c.client.ProtocolVersion),
			"connected_at": connectedAt(c),
		}))
	case pk.FixedHeader.Type == packets.Publish && h.src.wants.any(messageDelivered):
		h.src.emitDelivery(messageDelivered, cl, &pk, nil)
	}
}

// connectedAt is null for a client that was not let in.
func connectedAt(c *conn) any {
	if c.at.IsZero() {
		return nil
	}
	return millis(c.at)
}

// OnPublishDropped is called when the queue of a subscriber is full.
func (h *hook) OnPublishDropped(cl *mqtt.Client, pk packets.Packet) {
	h.src.emitDelivery(deliveryDropped, cl, &pk, columns{"reason": "queue_full"})
}

// OnPacketIDExhausted is called when a subscriber has not acknowledged 65,535
// messages.
func (h *hook) OnPacketIDExhausted(cl *mqtt.Client, pk packets.Packet) {
	h.src.emitDelivery(deliveryDropped, cl, &pk, columns{"reason": "queue_full"})
}

// unacked are messages of subscribers that are sent and not acknowledged. The
// server tells of the acknowledgement without the message.
type unacked struct {
	mu sync.Mutex
	of map[string]map[uint16]*packets.Packet // by client id and packet identifier
}

func (u *unacked) put(client string, pk packets.Packet) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.of == nil {
		u.of = make(map[string]map[uint16]*packets.Packet)
	}
	if u.of[client] == nil {
		u.of[client] = make(map[uint16]*packets.Packet)
	}
	u.of[client][pk.PacketID] = &pk
}

func (u *unacked) take(client string, id uint16) *packets.Packet {
	u.mu.Lock()
	defer u.mu.Unlock()
	pk := u.of[client][id]
	if delete(u.of[client], id); len(u.of[client]) == 0 {
		delete(u.of, client)
	}
	return pk
}

// OnQosPublish implements mqtt.Hook.
func (h *hook) OnQosPublish(cl *mqtt.Client, pk packets.Packet, _ int64, _ int) {
	if pk.FixedHeader.Type == packets.Publish {
		h.src.unacked.put(cl.ID, pk)
	}
}

// OnQosComplete implements mqtt.Hook.
func (h *hook) OnQosComplete(cl *mqtt.Client, ack packets.Packet) {
	if pk := h.src.unacked.take(cl.ID, ack.PacketID); pk != nil {
		h.src.emitDelivery(messageAcked, cl, pk, columns{"puback_props": userProps(ack.Properties.User)})
	}
}

// OnQosDropped implements mqtt.Hook.
func (h *hook) OnQosDropped(cl *mqtt.Client, pk packets.Packet) {
	sent := h.src.unacked.take(cl.ID, pk.PacketID)
	if sent == nil && pk.FixedHeader.Type == packets.Publish {
		sent = &pk
	}
	if sent != nil && h.src.wants.any(deliveryDropped) {
		h.src.emitDelivery(deliveryDropped, cl, sent, columns{"reason": "expired"})
	}
}

// emitDropped tells of a message that nobody has subscribed to.
func (s *Source) emitDropped(c *conn, pk *packets.Packet) {
	if !s.wants.any(messageDropped) {
		return
	}
	if subs := s.server.Topics.Subscribers(pk.TopicName); len(subs.Subscriptions)+len(subs.Shared) > 0 {
		return
	}
	m := message(c, pk)
	m.Columns = columns{"reason": "no_subscribers"}
	s.emitMessage(messageDropped, m)
}

// emitDelivery tells of a message on its way to a subscriber.
func (s *Source) emitDelivery(k kind, to *mqtt.Client, pk *packets.Packet, cols columns) {
	if !s.wants.any(k) {
		return
	}
	if cols == nil {
		cols = columns{}
	}
	m := bridge.Message{
		Topic:    pk.TopicName,
		Payload:  pk.Payload,
		ClientID: to.ID,
		Username: string(to.Properties.Username),
		QoS:      pk.FixedHeader.Qos,
		Retain:   pk.FixedHeader.Retain,
		Dup:      pk.FixedHeader.Dup,
		Props:    properties(pk),
		Columns:  cols,
	}
	if c := connOf(to); c != nil {
		m.PeerHost, m.PeerName = c.client.PeerHost, c.client.PeerName
	}
	cols["from_clientid"] = pk.Origin
	if from, ok := s.server.Clients.Get(pk.Origin); ok && len(from.Properties.Username) > 0 {
		cols["from_username"] = string(from.Properties.Username)
	}
	s.emitMessage(k, m)
}

// disconnectReason says in EMQX's words why a connection ended.
func disconnectReason(cause, err error) string {
	var code packets.Code
	var timeout net.Error
	switch {
	case errors.Is(cause, packets.CodeDisconnect):
		return "normal"
	case errors.Is(cause, packets.ErrSessionTakenOver):
		return "takenover"
	case errors.Is(cause, packets.ErrServerShuttingDown):
		return "server_shutdown"
	case errors.As(cause, &code) && code.Code != 0:
		return snake(code.Reason)
	case errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "keepalive_timeout"
	case errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "tcp_closed"
	case errors.As(err, &code) && code.Code != 0:
		return snake(code.Reason)
	case err == nil:
		return "normal"
	default:
		return "internal_error"
	}
}

func snake(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, ": ", "_"), " ", "_")
}
