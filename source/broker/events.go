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

// emit queues an event about a client, waiting for room as for a message. Of a
// connection that is not let in it waits for nothing: its host has a window that
// all such connections share, and what is beyond it is lost.
func (s *Source) emit(k kind, c *conn, cols columns) {
	m := bridge.Message{
		ClientID: c.client.ID,
		Username: c.client.Username,
		PeerHost: c.client.PeerHost,
		PeerName: c.client.PeerName,
		Received: time.Now(),
		Columns:  cols,
	}
	if c.session != nil {
		s.emitMessage(c.client.identity(), k, m)
		return
	}
	p := s.inbox.join(identity{user: "\x00host", id: c.host}) // no user name has a zero byte
	defer s.inbox.leave(p)
	cost := asEvent(&m, k)
	m.Delivery = bridge.NewDelivery(p, uint64(cost))
	if !s.inbox.tryPush(p, &m, cost) {
		s.counters.lost.add("event")
	}
}

// emitMessage queues an event, which counts against a client's window.
func (s *Source) emitMessage(who identity, k kind, m bridge.Message) {
	p := s.inbox.join(who)
	defer s.inbox.leave(p)
	cost := asEvent(&m, k)
	m.Delivery = bridge.NewDelivery(p, uint64(cost))
	_ = s.inbox.push(p, &m, cost, nil) // fails when the source closes, which counts what is left
}

// emitNow queues an event that must not wait in the room that is set aside for
// such; see inbox.force.
func (s *Source) emitNow(k kind, m bridge.Message) {
	if !s.inbox.force(&m, asEvent(&m, k)) {
		s.counters.lost.add("event")
	}
}

// asEvent makes a message an event and returns what it costs.
func asEvent(m *bridge.Message, k kind) int {
	m.Event = kinds[k].topic
	m.Columns["event"] = kinds[k].name
	return messageCost + eventCost + len(m.Topic) + len(m.Payload)
}

func millis(t time.Time) int64 { return t.UnixMilli() }

// protocol adds what all events of connections tell about the protocol.
func (c *conn) protocol(cols columns) columns {
	cols["sockname"] = c.client.Listener
	cols["proto_name"] = c.greeting.protocol
	cols["proto_ver"] = int(c.client.ProtocolVersion)
	return cols
}

// session adds what the CONNECT packet said about the session.
func (c *conn) sessionColumns(cols columns) columns {
	cols["keepalive"] = int(c.greeting.keepalive)
	cols["clean_start"] = c.greeting.clean
	cols["expiry_interval"] = int64(c.greeting.props.SessionExpiryInterval)
	cols["conn_props"] = connectProps(&c.greeting.props)
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

// emitConnack reports a CONNACK packet that has been sent.
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
		"qos":          int(sub.options.qos),
		"sub_props":    subscribeProps(p, int(sub.options.id)),
		"client_attrs": map[string]any{},
	})
}

// emitUnsubscribed reports a subscription that the client has ended.
func (s *Source) emitUnsubscribed(c *conn, sub *subscription, p *packets.Properties) {
	if s.wants.any(sessionUnsubscribed) {
		s.emit(sessionUnsubscribed, c, unsubscribedColumns(sub, p))
	}
}

// emitEnded reports a subscription that has ended with its session.
func (s *Source) emitEnded(of *session, sub *subscription) {
	if !s.wants.any(sessionUnsubscribed) {
		return
	}
	client := of.client()
	s.emitNow(sessionUnsubscribed, bridge.Message{
		ClientID: client.ID, Username: client.Username, PeerHost: client.PeerHost, PeerName: client.PeerName,
		Received: time.Now(), Columns: unsubscribedColumns(sub, &packets.Properties{}),
	})
}

func unsubscribedColumns(sub *subscription, p *packets.Properties) columns {
	return columns{
		"topic":        sub.filter,
		"qos":          int(sub.options.qos),
		"unsub_props":  userProps(p.User),
		"client_attrs": map[string]any{},
	}
}

// emitDelivery reports a message on its way to a subscriber, at the cost of a
// client; nil for nobody, who cannot wait.
func (s *Source) emitDelivery(by *identity, k kind, to *session, m *outgoing, cols columns) {
	if !s.wants.any(k) {
		return
	}
	client := to.client()
	e := bridge.Message{
		Topic:    m.topic,
		Payload:  m.payload,
		ClientID: client.ID,
		Username: client.Username,
		PeerHost: client.PeerHost,
		PeerName: client.PeerName,
		QoS:      m.qos,
		Retain:   m.retain,
		Dup:      m.dup,
		Received: m.received,
		Props:    properties(m.props),
		Columns:  cols,
	}
	cols["from_clientid"] = m.client
	if m.username != "" {
		cols["from_username"] = m.username
	}
	if by == nil || m.injected { // Publish must not wait
		s.emitNow(k, e)
		return
	}
	s.emitMessage(*by, k, e)
}

// undelivered counts and tells of a message that a subscriber does not get.
func (s *Source) undelivered(by *identity, to *session, m *outgoing, reason string) {
	s.counters.undelivered.add(reason)
	s.emitDelivery(by, deliveryDropped, to, m, columns{"reason": reason})
}

// disconnectReason says in EMQX's words why a connection ended.
func disconnectReason(cause *packets.Code, err error) string {
	var code packets.Code
	var timeout net.Error
	switch {
	case errors.Is(err, errDone):
		return "normal"
	case cause != nil && *cause == packets.ErrServerShuttingDown:
		return "server_shutdown"
	case cause != nil:
		return snake(cause.Reason)
	case errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "keepalive_timeout"
	case errors.Is(err, errGone), errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
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
