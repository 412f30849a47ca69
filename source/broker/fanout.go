package broker

import (
	"errors"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

// fanOut passes a message on to its subscribers and keeps it if it is retained.
// build is called if somebody is to get it. It returns how many subscribers there
// are.
func (s *Source) fanOut(pk *packets.Packet, build func() *publication) int {
	var p *publication
	if pk.FixedHeader.Retain {
		// Before looking for subscribers: one that comes meanwhile shall get
		// it in one way or the other.
		p = build()
		s.retain(p)
	}
	var few [16]*subscription
	subs := s.subs.matching(few[:0], pk.TopicName)
	if len(subs) > 0 && p == nil {
		p = build()
	}
	n := 0
	for i := 0; i < len(subs); n++ {
		end := i + 1
		for end < len(subs) && subs[i].group == "" && subs[end].group == "" && subs[end].session == subs[i].session {
			end++
		}
		s.deliver(p, subs[i:end])
		i = end
	}
	return n
}

// deliver puts a message into the outbox of a session, once for all of its
// subscriptions that match.
func (s *Source) deliver(p *publication, subs []*subscription) {
	to := subs[0].session
	m := &outgoing{publication: p}
	wanted := false
	for _, sub := range subs {
		o := &sub.options
		if o.noLocal && p.client == to.who.id && p.username == to.who.user {
			continue
		}
		wanted = true
		m.qos = max(m.qos, min(o.qos, p.qos))
		m.retain = m.retain || p.retain && o.retainAsPublished
		if o.id > 0 {
			m.ids = append(m.ids, int(o.id))
		}
	}
	by := &identity{p.username, p.client}
	switch {
	case !wanted:
		s.emitDelivery(by, deliveryDropped, to, m, columns{"reason": noLocal})
	case !to.connected() && !s.readable(to.client(), p.topic): // else it is asked when it is sent
		s.undelivered(by, to, m, notAllowed)
	default:
		if reason := to.out.put(m); reason != "" {
			s.undelivered(by, to, m, reason)
		}
	}
}

// transmit writes a message to a subscriber.
func (s *Source) transmit(c *conn, m *outgoing) {
	if m.released {
		_ = c.write(appendAck(nil, packets.Pubrel, m.id, packets.CodeSuccess.Code, c.client.ProtocolVersion), 1)
		return
	}
	if !m.dup && m.expired(time.Now()) {
		s.giveUp(c, m, expired)
		return
	}
	if !s.readable(c.client, m.topic) {
		s.giveUp(c, m, notAllowed)
		return
	}
	pk := m.packet()
	pk.FixedHeader.Qos, pk.FixedHeader.Retain, pk.FixedHeader.Dup = m.qos, m.retain, m.dup
	pk.PacketID = m.id
	pk.Properties.SubscriptionIdentifier = m.ids
	// Errors of the connection show at uncork.
	if err := c.send(pk); errors.Is(err, packets.ErrPacketTooLarge) {
		s.giveUp(c, m, tooLarge)
	} else if err == nil {
		s.emitDelivery(&c.session.who, messageDelivered, c.session, m, columns{})
	}
}

// giveUp drops a message that was to be sent.
func (s *Source) giveUp(c *conn, m *outgoing, reason string) {
	if m.qos > 0 {
		c.session.out.remove(m.id)
	}
	s.undelivered(&c.session.who, c.session, m, reason)
}

// acknowledged handles a subscriber's PUBACK, PUBREC or PUBCOMP packet.
func (s *Source) acknowledged(c *conn, pk *packets.Packet) error {
	kind := pk.FixedHeader.Type
	m, done := c.session.out.acknowledge(kind, pk.PacketID, pk.ReasonCode >= packets.ErrUnspecifiedError.Code)
	if m != nil && kind != packets.Pubcomp {
		s.emitDelivery(&c.session.who, messageAcked, c.session, m, columns{"puback_props": userProps(pk.Properties.User)})
	}
	if kind != packets.Pubrec || done {
		return nil
	}
	reason := packets.CodeSuccess.Code
	if m == nil {
		reason = packets.ErrPacketIdentifierNotFound.Code
	}
	return c.write(appendAck(nil, packets.Pubrel, pk.PacketID, reason, c.client.ProtocolVersion), 1)
}
