package broker

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/mochi-mqtt/server/v2/packets"
)

// readPacket reads a packet of up to most bytes, which is good until the next one is
// read. Nothing is allocated because of a length that the packet announces: memory
// grows with the bytes that come. An error that is a packets.Code is the client's
// mistake.
func (c *conn) readPacket(most int) (*packets.Packet, error) {
	pk := &c.packet
	*pk = packets.Packet{ProtocolVersion: c.client.ProtocolVersion}
	first, err := c.r.ReadByte()
	if err != nil {
		return nil, err
	}
	if err := pk.FixedHeader.Decode(first); err != nil {
		return nil, err
	}
	length, n, err := readLength(c.r)
	if err != nil {
		return nil, err
	}
	if 1+n+length > most {
		return nil, packets.ErrPacketTooLarge
	}
	body, err := readBody(c.r, length, c.r.Buffered())
	if err != nil {
		return nil, err
	}
	c.src.counters.packetsIn.Add(1)
	c.src.counters.bytesIn.Add(int64(1 + n + length))
	pk.FixedHeader.Remaining = length
	return pk, decode(pk, body, c.src.cfg.Limits.UserProperties)
}

// readLength reads a variable byte integer and tells how many bytes it has (MQTT
// 5.0, section 1.5.5).
func readLength(r io.ByteReader) (v, n int, err error) {
	for n < 4 {
		b, err := r.ReadByte()
		if err != nil {
			return 0, n, err
		}
		v |= int(b&0x7f) << (7 * n)
		n++
		if b < 0x80 {
			return v, n, nil
		}
	}
	return 0, n, packets.ErrMalformedVariableByteInteger
}

// readBody reads n bytes, of which some are there already. What is allocated is at
// most twice what has come.
func readBody(r io.Reader, n, there int) ([]byte, error) {
	const little = 512
	body := make([]byte, min(n, max(there, little)))
	for have := 0; ; {
		if _, err := io.ReadFull(r, body[have:]); err != nil {
			return nil, err
		}
		if have = len(body); have == n {
			return body, nil
		}
		more := make([]byte, min(n, 2*have))
		copy(more, body)
		body = more
	}
}

// decode decodes a packet of a client. What it returns points into body.
func decode(pk *packets.Packet, body []byte, userProperties int) error {
	if pk.FixedHeader.Type != packets.Connect && pk.ProtocolVersion >= 5 {
		if err := checkProperties(pk, body, userProperties); err != nil {
			return err
		}
	}
	var err error
	switch pk.FixedHeader.Type {
	case packets.Connect:
		if err = pk.ConnectDecode(body); err != nil {
			return err
		}
		if len(pk.Properties.User) > userProperties || len(pk.Connect.WillProperties.User) > userProperties {
			return packets.ErrQuotaExceeded
		}
	case packets.Publish:
		err = pk.PublishDecode(body)
	case packets.Puback:
		err = pk.PubackDecode(body)
	case packets.Pubrec:
		err = pk.PubrecDecode(body)
	case packets.Pubrel:
		err = pk.PubrelDecode(body)
	case packets.Pubcomp:
		err = pk.PubcompDecode(body)
	case packets.Subscribe, packets.Unsubscribe:
		err = decodeFilters(pk, body)
	case packets.Pingreq:
	case packets.Disconnect:
		err = pk.DisconnectDecode(body)
	case packets.Auth:
		err = pk.AuthDecode(body)
	default:
		return packets.ErrProtocolViolation // a packet that only servers send
	}
	return err
}

// decodeFilters decodes a SUBSCRIBE or UNSUBSCRIBE packet.
func decodeFilters(pk *packets.Packet, body []byte) error {
	if len(body) < 2 {
		return packets.ErrMalformedPacketID
	}
	pk.PacketID = binary.BigEndian.Uint16(body)
	body = body[2:]
	if pk.ProtocolVersion >= 5 {
		n, err := pk.Properties.Decode(pk.FixedHeader.Type, bytes.NewBuffer(body))
		if err != nil {
			return fmt.Errorf("%w: %w", packets.ErrMalformedProperties, err)
		}
		body = body[n:]
	}
	options := 0
	if pk.FixedHeader.Type == packets.Subscribe {
		options = 1
	}
	count := 0
	for rest := body; len(rest) > 0; count++ {
		if len(rest) < 2 {
			return packets.ErrMalformedTopic
		}
		n := int(binary.BigEndian.Uint16(rest))
		if len(rest) < 2+n+options {
			return packets.ErrMalformedTopic
		}
		rest = rest[2+n+options:]
	}
	pk.Filters = make(packets.Subscriptions, 0, count)
	all := string(body) // that the filters are parts of
	for len(body) > 0 {
		n := int(binary.BigEndian.Uint16(body))
		filter := all[len(all)-len(body)+2:][:n]
		if !utf8.ValidString(filter) || strings.IndexByte(filter, 0) >= 0 {
			return packets.ErrMalformedTopic
		}
		sub := packets.Subscription{Filter: filter}
		if options > 0 && !setOptions(&sub, body[2+n], pk.ProtocolVersion) {
			return packets.ErrProtocolViolationQosOutOfRange
		}
		if ids := pk.Properties.SubscriptionIdentifier; len(ids) > 0 {
			sub.Identifier = ids[0]
		}
		pk.Filters = append(pk.Filters, sub)
		body = body[2+n+options:]
	}
	return nil
}

// setOptions takes a subscription's options apart (MQTT 5.0, section 3.8.3.1) and
// reports whether they are valid.
func setOptions(sub *packets.Subscription, b, version byte) bool {
	sub.Qos = b & 3
	if version < 5 {
		return b <= 2
	}
	sub.NoLocal = b&(1<<2) != 0
	sub.RetainAsPublished = b&(1<<3) != 0
	sub.RetainHandling = b >> 4 & 3
	return sub.Qos <= 2 && sub.RetainHandling <= 2 && b>>6 == 0
}

// propertiesAt returns where a packet's properties begin, -1 if it has none.
func propertiesAt(pk *packets.Packet, body []byte) int {
	at := -1
	switch pk.FixedHeader.Type {
	case packets.Publish:
		if len(body) < 2 {
			return -1
		}
		at = 2 + int(binary.BigEndian.Uint16(body))
		if pk.FixedHeader.Qos > 0 {
			at += 2
		}
	case packets.Subscribe, packets.Unsubscribe:
		at = 2
	case packets.Puback, packets.Pubrec, packets.Pubrel, packets.Pubcomp:
		at = 3
	case packets.Disconnect, packets.Auth:
		at = 1
	}
	if at >= len(body) {
		return -1
	}
	return at
}

// sizes are what the value of a property takes, by its identifier (MQTT 5.0,
// section 2.2.2.2): bytes, or one of the kinds below; 0 for none of that number.
var sizes = [...]int8{
	1: 1, 2: 4, 3: text, 8: text, 9: text, 11: number, 17: 4, 18: text, 19: 2, 21: text, 22: text, 23: 1, 24: 4,
	25: 1, 26: text, 28: text, 31: text, 33: 2, 34: 2, 35: 2, 36: 1, 37: 1, 38: pair, 39: 4, 40: 1, 41: 1, 42: 1,
}

const (
	text   int8 = -1 // or binary data: a length of two bytes comes first
	number int8 = -2 // a variable byte integer
	pair   int8 = -3 // two texts
)

// checkProperties bounds the properties of a packet before they are decoded, since
// a user property of five bytes takes some hundred then, and refuses those that
// are there twice.
func checkProperties(pk *packets.Packet, body []byte, most int) error {
	at := propertiesAt(pk, body)
	if at < 0 {
		return nil // or malformed, as decoding will tell
	}
	r := bytes.NewReader(body[at:])
	length, _, err := readLength(r)
	if err != nil || length > r.Len() {
		return packets.ErrMalformedProperties
	}
	end := r.Len() - length
	seen, users := uint64(0), 0
	for r.Len() > end {
		id, _ := r.ReadByte()
		if int(id) >= len(sizes) || sizes[id] == 0 {
			return packets.ErrMalformedBadProperty
		}
		if !skipProperty(r, sizes[id]) || r.Len() < end {
			return packets.ErrMalformedProperties
		}
		if sizes[id] == pair {
			users++
			continue
		}
		if seen&(1<<id) != 0 {
			return packets.ErrProtocolViolation
		}
		seen |= 1 << id
	}
	if users > most {
		return packets.ErrQuotaExceeded
	}
	return nil
}

// skipProperty skips a property's value and reports whether it was there.
func skipProperty(r *bytes.Reader, size int8) bool {
	switch size {
	case number:
		_, _, err := readLength(r)
		return err == nil
	case text:
		return skipText(r)
	case pair:
		return skipText(r) && skipText(r) //nolint:staticcheck // a name and a value
	default:
		return skip(r, int(size))
	}
}

func skipText(r *bytes.Reader) bool {
	high, _ := r.ReadByte()
	low, err := r.ReadByte()
	return err == nil && skip(r, int(high)<<8|int(low))
}

func skip(r *bytes.Reader, n int) bool {
	if n > r.Len() {
		return false
	}
	_, err := r.Seek(int64(n), io.SeekCurrent)
	return err == nil
}

// mistake returns the reason code of an error that is the client's mistake.
func mistake(err error) (packets.Code, bool) {
	var code packets.Code
	return code, errors.As(err, &code)
}
