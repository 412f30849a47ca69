package broker

import (
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/internal/topic"
)

// kind is a kind of event.
type kind uint8

const (
	clientConnected kind = iota
	clientDisconnected
	clientConnack
	clientPing
	checkAuthn
	checkAuthz
	sessionSubscribed
	sessionUnsubscribed
	messageDelivered
	messageAcked
	messageDropped
	deliveryDropped
)

// kinds are the topics and names of the events, which are EMQX's.
var kinds = [...]struct{ topic, name string }{
	clientConnected:     {"$events/client/connected", "client.connected"},
	clientDisconnected:  {"$events/client/disconnected", "client.disconnected"},
	clientConnack:       {"$events/client/connack", "client.connack"},
	clientPing:          {"$events/client/ping", "client.ping"},
	checkAuthn:          {"$events/auth/check_authn_complete", "client.check_authn_complete"},
	checkAuthz:          {"$events/auth/check_authz_complete", "client.check_authz_complete"},
	sessionSubscribed:   {"$events/session/subscribed", "session.subscribed"},
	sessionUnsubscribed: {"$events/session/unsubscribed", "session.unsubscribed"},
	messageDelivered:    {"$events/message/delivered", "message.delivered"},
	messageAcked:        {"$events/message/acked", "message.acked"},
	messageDropped:      {"$events/message/dropped", "message.dropped"},
	deliveryDropped:     {"$events/message/delivery_dropped", "delivery.dropped"},
}

// kindSet is a set of kinds, one bit for each.
type kindSet uint32

func (s kindSet) any(kinds ...kind) bool {
	for _, k := range kinds {
		if s&(1<<k) != 0 {
			return true
		}
	}
	return false
}

// kindsMatching returns the kinds whose topic matches a filter.
func kindsMatching(filter string) (s kindSet) {
	for k := range kinds {
		if topic.Match(filter, kinds[k].topic) {
			s |= 1 << k
		}
	}
	return s
}

// columns are the columns of an event beside those that bridge.Message has
// fields for.
type columns = map[string]any

// emit queues an event about a client, waiting for room as for a message.
func (s *Source) emit(k kind, c *conn, cols columns) {
	s.emitMessage(k, bridge.Message{
		ClientID: c.client.ID,
		Username: c.client.Username,
		PeerHost: c.client.PeerHost,
		PeerName: c.client.PeerName,
		Received: time.Now(),
		Columns:  cols,
	}, true)
}

// emitMessage queues an event. Unless it may wait, it takes the room that is set
// aside for what must not; see queue.force.
func (s *Source) emitMessage(k kind, m bridge.Message, wait bool) {
	m.Event = kinds[k].topic
	m.Columns["event"] = kinds[k].name
	push := s.queue.push
	if !wait {
		push = s.queue.force
	}
	if push(&m) {
		s.counters.events.Add(1)
	} else if !wait {
		s.counters.lost.Add(1)
	}
}

func millis(t time.Time) int64 { return t.UnixMilli() }

// protocol adds what all events of connections tell about the protocol.
func (c *conn) protocol(cols columns) columns {
	cols["sockname"] = c.client.Listener
	cols["proto_name"] = string(c.connect.Connect.ProtocolName)
	cols["proto_ver"] = int(c.client.ProtocolVersion)
	return cols
}

// session adds what the CONNECT packet said about the session.
func (c *conn) sessionColumns(cols columns) columns {
	cols["keepalive"] = int(c.connect.Connect.Keepalive)
	cols["clean_start"] = c.connect.Connect.Clean
	cols["expiry_interval"] = int64(c.connect.Properties.SessionExpiryInterval)
	cols["conn_props"] = connectProps(&c.connect.Properties)
	return c.protocol(cols)
}

func (s *Source) emitConnected(c *conn) {
	if !s.wants.any(clientConnected) {
		return
	}
	cols := c.sessionColumns(columns{
		"connected_at": millis(c.at),
		"is_bridge":    false,
		"mountpoint":   nil,
	})
	cols["receive_maximum"] = c.window
	cols["client_attrs"] = map[string]any{}
	s.emit(clientConnected, c, cols)
}

func (s *Source) emitDisconnected(c *conn, reason string) {
	if !s.wants.any(clientDisconnected) {
		return
	}
	s.emit(clientDisconnected, c, c.protocol(columns{
		"reason":          reason,
		"connected_at":    millis(c.at),
		"disconnected_at": millis(time.Now()),
		"disconn_props":   disconnectProps(c.disconnect),
		"client_attrs":    map[string]any{},
	}))
}

// emitConnack tells of a CONNACK packet that has been sent.
func (s *Source) emitConnack(c *conn, code byte) {
	if !s.wants.any(clientConnack) {
		return
	}
	var at any // a client that was not let in has no time
	if !c.at.IsZero() {
		at = millis(c.at)
	}
	s.emit(clientConnack, c, c.sessionColumns(columns{
		"reason_code":  reasonName(code, c.client.ProtocolVersion),
		"connected_at": at,
	}))
}

func (s *Source) emitPing(c *conn) {
	if s.wants.any(clientPing) {
		s.emit(clientPing, c, c.sessionColumns(columns{}))
	}
}

func (s *Source) emitCheckAuthn(c *conn, err error) {
	if !s.wants.any(checkAuthn) {
		return
	}
	reason := "success"
	if err != nil {
		reason = "bad_username_or_password"
	}
	s.emit(checkAuthn, c, columns{
		"reason_code":  reason,
		"is_superuser": false,
		"is_anonymous": c.client.Username == "",
		"client_attrs": map[string]any{},
	})
}

func (s *Source) emitCheckAuthz(c *conn, access Access, name string, allowed bool) {
	if !s.wants.any(checkAuthz) {
		return
	}
	result, source := "allow", "default"
	if !allowed {
		result = "deny"
	}
	if s.cfg.Authorize != nil {
		source = "function"
	}
	s.emit(checkAuthz, c, columns{
		"topic":        name,
		"action":       access.String(),
		"authz_source": source,
		"result":       result,
		"client_attrs": map[string]any{},
	})
}

func (s *Source) emitSubscribed(c *conn, sub *subscription, p *packets.Properties) {
	if !s.wants.any(sessionSubscribed) {
		return
	}
	s.emit(sessionSubscribed, c, columns{
		"topic":        sub.filter,
		"qos":          int(sub.options.Qos),
		"sub_props":    subscribeProps(p, sub.options.Identifier),
		"client_attrs": map[string]any{},
	})
}

// emitUnsubscribed tells of a subscription that has ended, by the client or with
// its session.
func (s *Source) emitUnsubscribed(c *conn, sub *subscription, p *packets.Properties) {
	if c == nil || !s.wants.any(sessionUnsubscribed) {
		return
	}
	s.emit(sessionUnsubscribed, c, columns{
		"topic":        sub.filter,
		"qos":          int(sub.options.Qos),
		"unsub_props":  userProps(p.User),
		"client_attrs": map[string]any{},
	})
}

// emitDelivery tells of a message on its way to a subscriber.
func (s *Source) emitDelivery(k kind, to *session, m *outgoing, cols columns) {
	if !s.wants.any(k) {
		return
	}
	e := bridge.Message{
		Topic:    m.TopicName,
		Payload:  m.Payload,
		ClientID: to.id,
		Username: to.record.Load().Username,
		QoS:      m.qos,
		Retain:   m.retain,
		Dup:      m.dup,
		Received: m.received,
		Props:    properties(&m.Packet),
		Columns:  cols,
	}
	if c := to.owner.Load(); c != nil {
		e.PeerHost, e.PeerName = c.client.PeerHost, c.client.PeerName
	}
	cols["from_clientid"] = m.Origin
	if m.username != "" {
		cols["from_username"] = m.username
	}
	s.emitMessage(k, e, !m.injected)
}

// disconnectReason says in EMQX's words why a connection ended.
func disconnectReason(cause, err error) string {
	var code packets.Code
	var timeout net.Error
	switch {
	case errors.Is(cause, packets.CodeDisconnect):
		return "normal"
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
