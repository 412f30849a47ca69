package mqtt

import (
	"bytes"
	"encoding/binary"

	"github.com/eclipse/paho.golang/packets"

	"github.com/sluiceio/sluice/bridge"
)

// publish is a decoded PUBLISH packet. payload is part of the packet's memory.
type publish struct {
	topic   string
	payload []byte
	props   *bridge.Properties
	id      uint16 // 0 with QoS 0
	qos     byte
	retain  bool
	dup     bool
}

// decodePublish decodes a PUBLISH packet of MQTT 5 (section 3.3), or of MQTT 3.1.1,
// which has no properties, from the flags and what follows the fixed header. It is strict and says false to everything
// out of the ordinary, malformed packets among it: those are left to paho, so
// that there is one decoder that decides about errors.
func decodePublish(flags byte, body []byte, topics *interner, v3 bool) (p publish, ok bool) {
	p.qos = flags >> 1 & 3
	p.retain, p.dup = flags&1 != 0, flags&8 != 0
	name, body, ok := cutBinary(body)
	if !ok || len(name) == 0 || p.qos > 2 {
		return publish{}, false
	}
	if p.qos > 0 {
		if len(body) < 2 {
			return publish{}, false
		}
		p.id, body = binary.BigEndian.Uint16(body), body[2:]
		if p.id == 0 {
			return publish{}, false
		}
	}
	size := 0
	if !v3 {
		size, body, ok = cutVarint(body)
	}
	if !ok || size > len(body) {
		return publish{}, false
	}
	if size > 0 {
		if p.props, ok = decodeProperties(body[:size]); !ok {
			return publish{}, false
		}
	}
	p.payload = body[size:]
	p.topic, ok = topics.intern(name)
	return p, ok
}

// decodeProperties decodes the properties of a PUBLISH packet (section 3.3.2.3).
// A topic alias is not among those it takes: we never allow the broker any.
func decodeProperties(b []byte) (*bridge.Properties, bool) {
	text := string(b) // the strings below share it
	p, ok := &bridge.Properties{}, true
	rest := func() string { return text[len(text)-len(b):] }
	str := func() (s string) {
		t := rest()
		var v []byte
		if v, b, ok = cutBinary(b); ok {
			s = t[2 : 2+len(v)]
		}
		return s
	}
	for len(b) > 0 && ok {
		kind := b[0]
		b = b[1:]
		switch kind {
		case packets.PropPayloadFormat:
			if ok = len(b) >= 1; ok {
				v := b[0]
				p.PayloadFormat, b = &v, b[1:]
			}
		case packets.PropMessageExpiry:
			if ok = len(b) >= 4; ok {
				v := binary.BigEndian.Uint32(b)
				p.MessageExpiry, b = &v, b[4:]
			}
		case packets.PropContentType:
			p.ContentType = str()
		case packets.PropResponseTopic:
			p.ResponseTopic = str()
		case packets.PropCorrelationData:
			var v []byte
			if v, b, ok = cutBinary(b); ok {
				p.CorrelationData = bytes.Clone(v)
			}
		case packets.PropSubscriptionIdentifier:
			var v int
			if v, b, ok = cutVarint(b); ok {
				p.SubscriptionIDs = append(p.SubscriptionIDs, v)
			}
		case packets.PropUser:
			if p.User == nil {
				p.User = make([]bridge.UserProperty, 0, countUser(b))
			}
			k := str()
			if ok {
				p.User = append(p.User, bridge.UserProperty{Key: k, Value: str()})
			}
		default:
			ok = false
		}
	}
	return p, ok
}

// countUser returns how many user properties stand at the start of b, behind the first
// one's type, so that a packet full of them costs no more than what they are in the end.
func countUser(b []byte) (n int) {
	for {
		for range 2 {
			var ok bool
			if _, b, ok = cutBinary(b); !ok {
				return n
			}
		}
		n++
		if len(b) == 0 || b[0] != packets.PropUser {
			return n
		}
		b = b[1:]
	}
}

// cutBinary cuts a value with a length of two bytes off b (section 1.5.6).
func cutBinary(b []byte) (v, rest []byte, ok bool) {
	if len(b) < 2 {
		return nil, nil, false
	}
	n := int(binary.BigEndian.Uint16(b))
	if len(b)-2 < n {
		return nil, nil, false
	}
	return b[2 : 2+n], b[2+n:], true
}

// cutVarint cuts a variable byte integer off b (section 1.5.5).
func cutVarint(b []byte) (v int, rest []byte, ok bool) {
	for i := 0; i < len(b) && i < 4; i++ {
		v |= int(b[i]&0x7f) << (7 * i)
		if b[i] < 0x80 {
			return v, b[i+1:], true
		}
	}
	return 0, nil, false
}

// fromPaho converts a PUBLISH packet that paho has decoded. Of several
// subscription identifiers paho keeps the last.
func fromPaho(p *packets.Publish, topics *interner) publish {
	return publish{
		topic: topics.internString(p.Topic), payload: p.Payload, props: propertiesFromPaho(p.Properties),
		id: p.PacketID, qos: p.QoS, retain: p.Retain, dup: p.Duplicate,
	}
}

func propertiesFromPaho(p *packets.Properties) *bridge.Properties {
	if p == nil || p.PayloadFormat == nil && p.MessageExpiry == nil && p.ContentType == "" && p.ResponseTopic == "" &&
		p.CorrelationData == nil && p.SubscriptionIdentifier == nil && len(p.User) == 0 {
		return nil
	}
	q := &bridge.Properties{
		PayloadFormat: p.PayloadFormat, MessageExpiry: p.MessageExpiry, ContentType: p.ContentType,
		ResponseTopic: p.ResponseTopic, CorrelationData: p.CorrelationData,
	}
	if p.SubscriptionIdentifier != nil {
		q.SubscriptionIDs = []int{*p.SubscriptionIdentifier}
	}
	for _, u := range p.User {
		q.User = append(q.User, bridge.UserProperty{Key: u.Key, Value: u.Value})
	}
	return q
}
