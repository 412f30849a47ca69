package mqttfake

import (
	"cmp"
	"slices"
	"sync"

	"github.com/eclipse/paho.golang/packets"

	"github.com/sluiceio/sluice/internal/topic"
)

// session is what the broker keeps for a client id. Broker.mu guards it.
type session struct {
	id       string
	subs     map[string]subscription
	queue    []Message
	inflight []*delivery // in the order of sending
	conn     *conn
	more     *sync.Cond // signals work to the connection's sender
}

// subscription is a filter with its options.
type subscription struct {
	packets.SubOptions
	id int // 0 for none
}

// delivery is a QoS 1 or 2 message under way.
type delivery struct {
	id       uint16
	msg      Message
	released bool // QoS 2: PUBREC received, PUBCOMP awaited
}

func newSession(id string, mu *sync.Mutex) *session {
	return &session{id: id, subs: map[string]subscription{}, more: sync.NewCond(mu)}
}

func (s *session) wake() { s.more.Broadcast() }

// matching returns the subscriptions that match, those of the highest QoS first.
func (s *session) matching(name string) []subscription {
	var subs []subscription
	for f, sub := range s.subs {
		if _, rest, ok := topic.Share(f); ok {
			f = rest
		}
		if topic.Match(f, name) {
			subs = append(subs, sub)
		}
	}
	slices.SortFunc(subs, func(a, b subscription) int {
		return cmp.Or(cmp.Compare(b.QoS, a.QoS), cmp.Compare(a.Topic, b.Topic))
	})
	return subs
}

// by returns the message as a subscription brings it.
func (m Message) by(s subscription) Message {
	m.QoS = min(m.QoS, s.QoS)
	if s.id > 0 {
		props := packets.Properties{}
		if m.Props != nil {
			props = *m.Props
		}
		props.SubscriptionIdentifier = &s.id
		m.Props = &props
	}
	return m
}

// freeID returns the lowest packet identifier that is not in use.
func (s *session) freeID() uint16 {
	used := make(map[uint16]bool, len(s.inflight))
	for _, d := range s.inflight {
		used[d.id] = true
	}
	id := uint16(1)
	for used[id] {
		id++
	}
	return id
}

func (m Message) packet(id uint16, dup bool) *packets.ControlPacket {
	p := &packets.Publish{
		Topic: m.Topic, Payload: m.Payload, QoS: m.QoS, Retain: m.Retain,
		PacketID: id, Duplicate: dup, Properties: m.Props,
	}
	if p.Properties == nil {
		p.Properties = &packets.Properties{}
	}
	return p.ToControlPacket()
}
