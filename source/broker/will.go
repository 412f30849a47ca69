package broker

import (
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/sluiceio/sluice/bridge"
)

// wills are the will messages that wait for their delay to pass, by client.
type wills map[identity]*delayedWill

type delayedWill struct {
	c     *conn
	timer *time.Timer
}

// takeWill notes the will of a CONNECT packet, whose size bounds it.
func (c *conn) takeWill(pk *packets.Packet) {
	if !pk.Connect.WillFlag {
		return
	}
	c.will = &packets.Packet{
		FixedHeader:     packets.FixedHeader{Type: packets.Publish, Qos: pk.Connect.WillQos, Retain: pk.Connect.WillRetain},
		ProtocolVersion: pk.ProtocolVersion,
		TopicName:       pk.Connect.WillTopic,
		Payload:         pk.Connect.WillPayload,
		Properties:      pk.Connect.WillProperties,
	}
	// The will is due when the session ends at the latest (MQTT 5.0, section
	// 3.1.3.2.2).
	delay := min(pk.Connect.WillProperties.WillDelayInterval, pk.Properties.SessionExpiryInterval)
	c.willWait = time.Duration(delay) * time.Second
}

// publishWill publishes the will of a client whose connection ended without a
// DISCONNECT packet, now or after its delay.
func (s *Source) publishWill(c *conn) {
	if c.will != nil && s.ctx.Err() == nil && (c.willWait == 0 || s.willDue(c)) {
		s.sendWill(c)
	}
}

// willDue reports whether a will with a delay is due at once, because its session
// has ended. It is void when the session has another connection by now; else it
// is due after its delay.
func (s *Source) willDue(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	who := c.client.identity()
	switch current := s.sessions[who]; {
	case current != c.session:
		return true
	case current.served != c.turn, s.ctx.Err() != nil:
		return false
	}
	w := &delayedWill{c: c}
	w.timer = time.AfterFunc(c.willWait, func() {
		s.mu.Lock()
		due := s.wills[who] == w
		if due {
			delete(s.wills, who)
		}
		s.mu.Unlock()
		if due {
			s.sendWill(c)
		}
	})
	s.wills[who] = w
	return false
}

// take removes the client's delayed will. The client is back, which makes its
// will void, unless it starts a new session: then the old one has ended, and the
// will that is returned is due. s.mu must be held.
func (ws wills) take(who identity, clean bool) *conn {
	w := ws[who]
	if w == nil {
		return nil
	}
	w.timer.Stop()
	delete(ws, who)
	if !clean {
		return nil
	}
	return w.c
}

func (s *Source) sendWill(c *conn) {
	if reserved(c.will.TopicName) || !s.allowed(c, Publish, c.will.TopicName) {
		s.counters.refused.Add(1)
		s.log.Debug("broker refused a will", "client_id", short(c.client.ID), "topic", short(c.will.TopicName))
		return
	}
	p := s.inbox.join(c.client.identity())
	defer s.inbox.leave(p)
	cost := messageCost + weight(c.will)
	m := message(c, c.will)
	m.Delivery = bridge.NewDelivery(p, uint64(cost))
	if s.journal != nil && c.will.FixedHeader.Qos > 0 {
		m.Delivery = m.Delivery.Split(2)
	}
	if s.inbox.push(p, &m, cost, nil) != nil { // its connection is gone already
		s.log.Debug("broker closed before a will was published", "client_id", short(c.client.ID))
		return
	}
	s.passOn(c, c.will, &m)
}

// stopWills drops the wills that still wait: the broker closes.
func (s *Source) stopWills() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for who, w := range s.wills {
		w.timer.Stop()
		delete(s.wills, who)
	}
}
