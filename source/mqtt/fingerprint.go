package mqtt

import (
	"hash/maphash"
	"math/bits"
)

// fingerprints are compared within a process only.
var fingerprintSeed = maphash.MakeSeed()

// fingerprint is a hash of what makes a message: topic, payload and properties. Two
// properties are left out, because they belong to the sending of a message: its expiry,
// of which brokers subtract the time that they have kept it (MQTT 5.0, section
// 3.3.2.3.3), and the subscription identifiers.
func (p *publish) fingerprint() uint64 {
	h := mix(maphash.String(fingerprintSeed, p.topic), maphash.Bytes(fingerprintSeed, p.payload))
	q := p.props
	if q == nil {
		return h
	}
	if q.PayloadFormat != nil {
		h = mix(h, uint64(*q.PayloadFormat)+1)
	}
	for _, s := range [...]string{q.ContentType, q.ResponseTopic} {
		if s != "" {
			h = mix(h, maphash.String(fingerprintSeed, s))
		}
	}
	if len(q.CorrelationData) > 0 {
		h = mix(h, maphash.Bytes(fingerprintSeed, q.CorrelationData)+1)
	}
	for i := range q.User {
		h = mix(mix(h, maphash.String(fingerprintSeed, q.User[i].Key)), maphash.String(fingerprintSeed, q.User[i].Value))
	}
	return h
}

// mix combines two hashes so that their order counts.
func mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(bits.RotateLeft64(a, 29)^0x9E3779B97F4A7C15, b^0xD6E8FEB86659FD93)
	return hi ^ lo
}
