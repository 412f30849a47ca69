package broker

import (
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/sluiceio/sluice/bridge"
)

// wills are the will messages that wait for their delay to pass, by client id.
type wills map[string]*delayedWill

type delayedWill struct {
	c     *conn
	timer *time.Timer
}

// takeWill takes a client's will out of the server's hands, who would publish it
// past us.
func (c *conn) takeWill(cl *mqtt.Client, pk packets.Packet) {
	cl.Properties.Will = mqtt.Will{}
	if !pk.Connect.WillFlag {
		return
	}
	c.will = &packets.Packet{
		FixedHeader:     packets.FixedHeader{Type: packets.Publish, Qos: pk.Connect.WillQos, Retain: pk.Connect.WillRetain},
		ProtocolVersion: pk.ProtocolVersion,
		PacketID:        uint16(min(pk.Connect.WillQos, 1)), // must be set with QoS 1 and 2
		TopicName:       pk.Connect.WillTopic,
		Payload:         pk.Connect.WillPayload,
		Properties:      pk.Connect.WillProperties,
	}
	if c.emptyWill {
		c.will.Payload = nil
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
	switch current := s.sessions[c.client.ID]; {
	case current != c.session:
		return true
	case current.owner.Load() != c, s.ctx.Err() != nil:
		return false
	}
	w := &delayedWill{c: c}
	w.timer = time.AfterFunc(c.willWait, func() {
		s.mu.Lock()
		due := s.wills[c.client.ID] == w
		if due {
			delete(s.wills, c.client.ID)
		}
		s.mu.Unlock()
		if due {
			s.sendWill(c)
		}
	})
	s.wills[c.client.ID] = w
	return false
}

// take removes the client's delayed will. The client is back, which makes its
// will void, unless it starts a new session: then the old one has ended, and the
// will that is returned is due. s.mu must be held.
func (ws wills) take(id string, clean bool) *conn {
	w := ws[id]
	if w == nil {
		return nil
	}
	w.timer.Stop()
	delete(ws, id)
	if !clean {
		return nil
	}
	return w.c
}

func (s *Source) sendWill(c *conn) {
	if reserved(c.will.TopicName) || !s.allowed(c, Publish, c.will.TopicName) {
		s.counters.refused.Add(1)
		s.log.Debug("broker refused a will", "client_id", c.client.ID, "topic", c.will.TopicName)
		return
	}
	if !s.enqueue(c, c.will, bridge.Delivery{}) {
		s.log.Debug("broker closed before a will was published", "client_id", c.client.ID)
	}
}

// stopWills drops the wills that still wait: the broker closes.
func (s *Source) stopWills() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, w := range s.wills {
		w.timer.Stop()
		delete(s.wills, id)
	}
}
