package mqttfake

import (
	"sync"

	"github.com/eclipse/paho.golang/packets"

	"github.com/sluiceio/sluice/internal/topic"
)

// session is what the broker keeps for a client id. Broker.mu guards it.
type session struct {
	id       string
	subs     map[string]packets.SubOptions
	queue    []Message
	inflight []*delivery // in the order of sending
	conn     *conn
	more     *sync.Cond // signals work to the connection's sender
}

// delivery is a QoS 1 or 2 message under way.
type delivery struct {
	id       uint16
	msg      Message
	released bool // QoS 2: PUBREC received, PUBCOMP awaited
}

func newSession(id string, mu *sync.Mutex) *session {
	return &session{id: id, subs: map[string]packets.SubOptions{}, more: sync.NewCond(mu)}
}

func (s *session) wake() { s.more.Broadcast() }

// granted returns the highest QoS of the subscriptions that match.
func (s *session) granted(name string) byte {
	var qos byte
	for f, o := range s.subs {
		if _, rest, ok := topic.Share(f); ok {
			f = rest
		}
		if topic.Match(f, name) {
			qos = max(qos, o.QoS)
		}
	}
	return qos
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
