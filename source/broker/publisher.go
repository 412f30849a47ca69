package broker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/internal/topic"
)

// Publish publishes a message to the broker's subscribers, and keeps it as the
// last one of its topic if Retain is set. ClientID and Username name the
// publisher, who need not be connected; empty ones are fine. Authorize is not
// asked.
//
// Publish never waits for a subscriber or for the queue of Read, so that a sink of
// the pipeline that reads this source may call it. It returns when the message is
// in the outboxes of all subscribers, with a Config.Store when those are stored
// (QoS 1 and 2).
//
// With Config.ReadPublished rules see the message, too; it waits in the queue in
// memory and is lost with the process. Then a rule that publishes to what it reads
// feeds itself; see Guard of package sink/republish. A queue that has no room for
// it is an error that bridge.Throttled marks. An invalid topic is a permanent
// error.
func (s *Source) Publish(ctx context.Context, m *bridge.Message) error {
	if err := topic.ValidateName(m.Topic); err != nil {
		return bridge.Permanent(fmt.Errorf("broker: topic %q: %w", m.Topic, err))
	}
	switch {
	case reserved(m.Topic):
		return bridge.Permanent(fmt.Errorf("broker: topic %q is reserved", m.Topic))
	case m.QoS > 2:
		return bridge.Permanent(fmt.Errorf("broker: QoS %d", m.QoS))
	case ctx.Err() != nil:
		return ctx.Err()
	}
	if !s.accepting.Load() {
		return errors.New("broker: not open")
	}
	c := &conn{src: s, client: Client{ID: m.ClientID, Username: m.Username, PeerHost: m.PeerHost, PeerName: m.PeerName}}
	pk := packet(m)
	if s.cfg.ReadPublished {
		in := message(c, &pk)
		if !s.inbox.force(&in, messageCost+weight(&pk)) {
			return bridge.Throttled(errors.New("broker: no room in the queue for a message of its own"), 0)
		}
	}
	subscribers := s.fanOut(&pk, func() *publication {
		p := s.publication(c, &pk, time.Now())
		p.injected = true
		return p
	})
	if subscribers == 0 && s.wants.any(messageDropped) {
		e := message(c, &pk)
		e.Columns = columns{"reason": "no_subscribers"}
		s.emitNow(messageDropped, e)
	}
	if m.QoS > 0 {
		return s.journal.wait(ctx)
	}
	return nil
}

// packet makes the PUBLISH packet of a message.
func packet(m *bridge.Message) packets.Packet {
	pk := packets.Packet{
		FixedHeader:     packets.FixedHeader{Type: packets.Publish, Qos: m.QoS, Retain: m.Retain},
		ProtocolVersion: 5,
		TopicName:       strings.Clone(m.Topic), // what follows outlives the call
		Payload:         bytes.Clone(m.Payload),
	}
	from := m.Props
	if from == nil {
		return pk
	}
	to := &pk.Properties
	to.ContentType, to.ResponseTopic = from.ContentType, from.ResponseTopic
	to.CorrelationData = bytes.Clone(from.CorrelationData)
	if from.PayloadFormat != nil {
		to.PayloadFormat, to.PayloadFormatFlag = *from.PayloadFormat, true
	}
	if from.MessageExpiry != nil {
		to.MessageExpiryInterval = *from.MessageExpiry
	}
	for _, u := range from.User {
		to.User = append(to.User, packets.UserProperty{Key: u.Key, Val: u.Value})
	}
	return pk
}
