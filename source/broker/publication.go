package broker

import (
	"sync/atomic"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

// publication is a message on its way to subscribers, who share it.
type publication struct {
	topic    string
	payload  []byte
	props    *packets.Properties // nil for none
	qos      byte
	retain   bool
	client   string // that published it
	username string // of that client
	created  int64  // its number
	expiry   int64  // Unix time when it expires; 0 for never
	received time.Time
	injected bool // by the process, which must not wait for the inbox

	weighs int          // what is in it; see weight
	places atomic.Int64 // in outboxes
}

// newPublication makes a publication of what a PUBLISH packet says.
func newPublication(pk *packets.Packet) *publication {
	p := &publication{
		topic: pk.TopicName, payload: pk.Payload, qos: pk.FixedHeader.Qos, retain: pk.FixedHeader.Retain,
		weighs: weight(pk),
	}
	if !plain(&pk.Properties) {
		props := pk.Properties
		p.props = &props
	}
	return p
}

// cost is the memory that it takes, however many share it.
func (p *publication) cost() int { return sharedCost + p.weighs }

func (p *publication) expired(now time.Time) bool { return p.expiry > 0 && p.expiry <= now.Unix() }

// packet makes the PUBLISH packet.
func (p *publication) packet() packets.Packet {
	pk := packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: p.qos, Retain: p.retain},
		TopicName:   p.topic, Payload: p.payload, Expiry: p.expiry,
	}
	if p.props != nil {
		pk.Properties = *p.props
	}
	return pk
}

// pool counts the messages in all outboxes.
type pool struct {
	messages, bytes atomic.Int64
}

// fits reports whether there is room for a message's place in an outbox.
func (l *pool) fits(m *outgoing, most int) bool {
	n := m.place()
	if m.places.Load() == 0 {
		n += m.cost()
	}
	have := l.bytes.Load()
	return have == 0 || have+int64(n) <= int64(most)
}

// add counts a message's place in an outbox.
func (l *pool) add(m *outgoing) {
	n := m.place()
	if m.places.Add(1) == 1 {
		l.messages.Add(1)
		n += m.cost()
	}
	l.bytes.Add(int64(n))
}

func (l *pool) remove(m *outgoing) {
	n := m.place()
	if m.places.Add(-1) == 0 {
		l.messages.Add(-1)
		n += m.cost()
	}
	l.bytes.Add(int64(-n))
}
