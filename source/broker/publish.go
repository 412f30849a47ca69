package broker

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/internal/topic"
)

// receive handles a client's PUBLISH packet: it queues the message, passes it on
// to subscribers and sees to its acknowledgement. An error closes the
// connection. It runs on the goroutine that reads from the client, so that
// waiting is back-pressure.
func (s *Source) receive(c *conn, pk *packets.Packet) error {
	if code := pk.PublishValidate(uint16(s.cfg.Limits.TopicAliases)); code != packets.CodeSuccess {
		return s.expel(c, code)
	}
	if code := c.resolveAlias(pk); code != packets.CodeSuccess {
		return s.expel(c, code)
	}
	if topic.ValidateName(pk.TopicName) != nil || s.tooDeep(pk.TopicName) {
		return s.expel(c, packets.ErrTopicNameInvalid)
	}
	if strings.ContainsAny(pk.Properties.ResponseTopic, "+#") { // MQTT 5.0, section 3.3.2.3.5
		return s.expel(c, packets.ErrProtocolViolation)
	}
	if !c.limiter.wait(s.ctx) {
		return s.goodbye(c, errClosing)
	}
	allowed := !reserved(pk.TopicName) && s.allowed(c, Publish, pk.TopicName)
	if !allowed {
		s.counters.refused.Add(1)
		s.log.Debug("broker refused a message", "client_id", short(c.client.ID), "topic", short(pk.TopicName))
	}
	if pk.FixedHeader.Qos > 0 {
		return s.receiveAcked(c, pk, allowed)
	}
	if !allowed {
		return nil
	}
	cost := messageCost + weight(pk)
	err := s.enqueue(c, c.publisher, pk, bridge.NewDelivery(c.publisher, uint64(cost)), cost)
	switch {
	case errors.Is(err, errGone):
		s.counters.lost.add("disconnected")
	case errors.Is(err, errClosing):
		s.counters.lost.add("closed")
	}
	return s.goodbye(c, err)
}

// receiveAcked handles a PUBLISH packet with QoS 1 or 2.
func (s *Source) receiveAcked(c *conn, pk *packets.Packet, allowed bool) error {
	v5 := c.client.ProtocolVersion >= 5
	if !allowed && !v5 {
		return s.expel(c, packets.ErrNotAuthorized) // there is no way to say no
	}
	limit := s.cfg.Limits.ReceiveMaximum
	if v5 && pk.FixedHeader.Qos == 2 && c.session.unreleased(pk.PacketID) >= limit {
		return s.exceeded(c, pk)
	}
	if !v5 && pk.FixedHeader.Qos == 2 && c.session.unreleased(pk.PacketID) >= s.cfg.Limits.Unreleased {
		return s.exceeded(c, pk)
	}
	cost := 0
	if allowed {
		cost = messageCost + weight(pk)
	}
	ackCost := cost
	if pk.FixedHeader.Qos == 2 || s.cfg.EarlyAck {
		ackCost = 0 // somebody else gives it back
	}
	seq, ok := c.acks.add(pk.PacketID, pk.FixedHeader.Qos, ackCost, limit, !v5)
	if !ok {
		return s.exceeded(c, pk)
	}
	if !allowed {
		c.acks.settle(seq, packets.ErrNotAuthorized.Code)
		return nil
	}
	return s.goodbye(c, s.enter(c, pk, seq, cost))
}

// enter queues a message with QoS 1 or 2, unless it is one of QoS 2 that has been
// queued before.
func (s *Source) enter(c *conn, pk *packets.Packet, seq uint64, cost int) error {
	c.session.turn.Lock()
	defer c.session.turn.Unlock()
	if c.session.owner.Load() != c {
		return errGone // the client is back on another connection and sends it again
	}
	var acker bridge.Acker = &c.acks
	if pk.FixedHeader.Qos == 2 {
		r, first := c.session.receive(pk.PacketID, &c.acks, seq)
		if !first {
			return nil
		}
		if !s.cfg.EarlyAck {
			r.publisher, r.cost = c.publisher, cost
		}
		acker = r
	}
	d := bridge.NewDelivery(acker, seq)
	if !s.cfg.EarlyAck {
		err := s.enqueue(c, c.publisher, pk, d, cost)
		if err != nil && pk.FixedHeader.Qos == 2 {
			c.session.release(pk.PacketID) // when it comes again it is new
		}
		return err
	}
	if err := s.enqueue(c, c.publisher, pk, bridge.NewDelivery(c.publisher, uint64(cost)), cost); err != nil {
		if pk.FixedHeader.Qos == 2 {
			c.session.release(pk.PacketID)
		}
		return err
	}
	d.Done(bridge.Stored, nil)
	return nil
}

// goodbye ends a connection after an error of the inbox. When the source is
// closing, the client is told so after the acknowledgements of its earlier
// messages are written.
func (s *Source) goodbye(c *conn, err error) error {
	if !errors.Is(err, errClosing) {
		return err
	}
	<-s.flushed
	return s.expel(c, packets.ErrServerShuttingDown)
}

// resolveAlias sets the topic of a message that has an alias for it, or learns
// the alias (MQTT 5.0, section 3.3.2.3.4).
func (c *conn) resolveAlias(pk *packets.Packet) packets.Code {
	alias := pk.Properties.TopicAlias
	if alias == 0 {
		return packets.CodeSuccess
	}
	pk.Properties.TopicAlias, pk.Properties.TopicAliasFlag = 0, false
	if pk.TopicName == "" {
		known, ok := c.aliases[alias]
		if !ok {
			return packets.ErrProtocolViolation
		}
		pk.TopicName = known
		return packets.CodeSuccess
	}
	if c.aliases == nil {
		c.aliases = make(map[uint16]string)
	}
	c.aliases[alias] = strings.Clone(pk.TopicName)
	return packets.CodeSuccess
}

// enqueue queues a message of p, after waiting for room while c is open, and passes
// it on to subscribers.
func (s *Source) enqueue(c *conn, p *publisher, pk *packets.Packet, d bridge.Delivery, cost int) error {
	m := message(c, pk)
	if s.journal == nil || pk.FixedHeader.Qos == 0 {
		m.Delivery = d
	} else {
		// What subscribers will get must be stored, too.
		m.Delivery = d.Split(2)
	}
	if err := s.inbox.push(p, &m, cost, c.gone); err != nil {
		return err
	}
	s.passOn(c, pk, &m)
	return nil
}

// passOn gives a message that was queued to its subscribers.
func (s *Source) passOn(c *conn, pk *packets.Packet, m *bridge.Message) {
	subscribers := s.fanOut(pk, func() *publication { return s.publication(c, pk, m.Received) })
	if s.journal != nil && pk.FixedHeader.Qos > 0 {
		s.journal.whenStored(m.Delivery)
	}
	if subscribers == 0 && s.wants.any(messageDropped) {
		m.Delivery = bridge.Delivery{}
		m.Columns = columns{"reason": "no_subscribers"}
		s.emitMessage(c.client.identity(), messageDropped, *m)
	}
}

// publication makes of a PUBLISH packet what subscribers get.
func (s *Source) publication(c *conn, pk *packets.Packet, received time.Time) *publication {
	p := newPublication(pk)
	p.client, p.username, p.received, p.created = c.client.ID, c.client.Username, received, s.publishes.Add(1)
	if after := pk.Properties.MessageExpiryInterval; after > 0 {
		p.expiry = time.Now().Unix() + int64(after)
	}
	return p
}

// exceeded disconnects a client that has sent more messages than its receive
// maximum allows.
func (s *Source) exceeded(c *conn, pk *packets.Packet) error {
	if s.wants.any(messageDropped) {
		m := message(c, pk)
		m.Columns = columns{"reason": "receive_maximum_exceeded"}
		s.emitMessage(c.client.identity(), messageDropped, m)
	}
	return s.expel(c, packets.ErrReceiveMaximum)
}

// reserved reports whether a topic is not for clients to publish to.
func reserved(name string) bool {
	return name[0] == '$' && (topic.IsEvent(name) || strings.HasPrefix(name, "$SYS/") || strings.HasPrefix(name, "$share/"))
}

// release handles a client's PUBREL packet.
func (s *Source) release(c *conn, id uint16) error {
	reason := packets.CodeSuccess
	if c.session.release(id) {
		c.session.forgetReceived(id)
	} else {
		reason = packets.ErrPacketIdentifierNotFound
	}
	return c.write(appendAck(nil, packets.Pubcomp, id, reason.Code, c.client.ProtocolVersion), 1)
}

// message makes the message that rules see.
func message(c *conn, pk *packets.Packet) bridge.Message {
	return bridge.Message{
		Topic:    pk.TopicName,
		Payload:  pk.Payload,
		ClientID: c.client.ID,
		Username: c.client.Username,
		PeerHost: c.client.PeerHost,
		PeerName: c.client.PeerName,
		QoS:      pk.FixedHeader.Qos,
		Retain:   pk.FixedHeader.Retain,
		Dup:      pk.FixedHeader.Dup,
		Received: time.Now(),
		Props:    properties(&pk.Properties),
	}
}

// properties converts the properties of a PUBLISH packet; nil if it has none.
func properties(p *packets.Properties) *bridge.Properties {
	if p == nil || plain(p) {
		return nil
	}
	out := &bridge.Properties{ContentType: p.ContentType, ResponseTopic: p.ResponseTopic, CorrelationData: p.CorrelationData}
	if p.PayloadFormatFlag {
		format := p.PayloadFormat // nothing points into a packet, which is read into again
		out.PayloadFormat = &format
	}
	if p.MessageExpiryInterval > 0 {
		expiry := p.MessageExpiryInterval
		out.MessageExpiry = &expiry
	}
	for _, u := range p.User {
		out.User = append(out.User, bridge.UserProperty{Key: u.Key, Value: u.Val})
	}
	return out
}

// plain reports whether a PUBLISH packet has no properties for its receivers.
func plain(p *packets.Properties) bool {
	return !p.PayloadFormatFlag && p.MessageExpiryInterval == 0 && p.ContentType == "" &&
		p.ResponseTopic == "" && p.CorrelationData == nil && len(p.User) == 0
}

// limiter is a token bucket for one goroutine.
type limiter struct {
	rate   float64 // tokens per second; 0 for no limit
	tokens float64
	last   time.Time
}

func newLimiter(rate float64) limiter {
	return limiter{rate: rate, tokens: max(rate, 1), last: time.Now()}
}

// wait takes a token, waiting for one if there is none. It returns false when
// ctx is done.
func (l *limiter) wait(ctx context.Context) bool {
	if l.rate == 0 {
		return true
	}
	now := time.Now()
	l.tokens = min(l.tokens+now.Sub(l.last).Seconds()*l.rate, max(l.rate, 1))
	l.last = now
	l.tokens--
	if l.tokens >= 0 {
		return true
	}
	timer := time.NewTimer(time.Duration(-l.tokens / l.rate * float64(time.Second)))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
