package mqttfake

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/eclipse/paho.golang/packets"
)

// The packet codec knows MQTT 5 only. Packets of clients of MQTT 3.1.1 get the empty
// properties that it wants to see, and what is sent to them loses all properties.

const version3 = 4

var errPacket = errors.New("mqttfake: not a packet of MQTT 3.1.1")

// read reads a packet. The first one tells which version the client speaks.
func (c *conn) read() (*packets.ControlPacket, error) {
	var b bytes.Buffer
	if _, err := io.CopyN(&b, c.nc, 1); err != nil {
		return nil, err
	}
	size := 0
	for shift := 0; ; shift += 7 {
		if _, err := io.CopyN(&b, c.nc, 1); err != nil {
			return nil, err
		}
		digit := b.Bytes()[b.Len()-1]
		size |= int(digit&0x7f) << shift
		if digit < 0x80 {
			break
		}
	}
	first := b.Bytes()[0]
	header := b.Len()
	if _, err := io.CopyN(&b, c.nc, int64(size)); err != nil {
		return nil, err
	}
	body := b.Bytes()[header:]
	if first>>4 == packets.CONNECT && len(body) > 6 {
		c.v3 = body[6] == version3
	}
	if c.v3 {
		var err error
		if body, err = withProperties(first, body); err != nil {
			return nil, err
		}
	}
	return packets.ReadPacket(io.MultiReader(bytes.NewReader([]byte{first}), bytes.NewReader(length(len(body))), bytes.NewReader(body)))
}

// withProperties inserts empty properties.
func withProperties(first byte, body []byte) ([]byte, error) {
	var at int
	switch first >> 4 {
	case packets.CONNECT:
		at = 10
	case packets.SUBSCRIBE, packets.UNSUBSCRIBE:
		at = 2
	case packets.PUBLISH:
		if len(body) < 2 {
			return nil, errPacket
		}
		at = 2 + int(binary.BigEndian.Uint16(body))
		if first&0x06 != 0 {
			at += 2
		}
	default:
		return body, nil
	}
	if len(body) < at {
		return nil, errPacket
	}
	out := append(append(append([]byte{}, body[:at]...), 0), body[at:]...)
	if first>>4 == packets.CONNECT && body[7]&0x04 != 0 { // a will has properties, too
		at += 1 + 2 + int(binary.BigEndian.Uint16(out[at+1:]))
		out = append(append(append([]byte{}, out[:at]...), 0), out[at:]...)
	}
	return out, nil
}

// put sends a packet as the client understands it.
func (c *conn) put(p *packets.ControlPacket) error {
	if !c.v3 {
		_, err := p.WriteTo(c.nc)
		return err
	}
	first := p.Type << 4
	var body []byte
	switch q := p.Content.(type) {
	case *packets.Connack:
		body = []byte{0, returnCode(q.ReasonCode)}
		if q.SessionPresent {
			body[0] = 1
		}
	case *packets.Publish:
		first |= q.QoS << 1
		if q.Duplicate {
			first |= 0x08
		}
		if q.Retain {
			first |= 0x01
		}
		body = append(binary.BigEndian.AppendUint16(nil, uint16(len(q.Topic))), q.Topic...)
		if q.QoS > 0 {
			body = binary.BigEndian.AppendUint16(body, q.PacketID)
		}
		body = append(body, q.Payload...)
	case *packets.Suback:
		body = binary.BigEndian.AppendUint16(nil, q.PacketID)
		for _, code := range q.Reasons {
			body = append(body, min(code, packets.SubackUnspecifiederror))
		}
	case *packets.Unsuback:
		body = binary.BigEndian.AppendUint16(nil, q.PacketID)
	case *packets.Puback:
		body = binary.BigEndian.AppendUint16(nil, q.PacketID)
	case *packets.Pubrec:
		body = binary.BigEndian.AppendUint16(nil, q.PacketID)
	case *packets.Pubrel:
		first |= 0x02
		body = binary.BigEndian.AppendUint16(nil, q.PacketID)
	case *packets.Disconnect, *packets.Auth:
		return nil // MQTT 3.1.1 has none of a server
	default:
		_, err := p.WriteTo(c.nc)
		return err
	}
	_, err := c.nc.Write(append(append([]byte{first}, length(len(body))...), body...))
	return err
}

// returnCode returns the return code of MQTT 3.1.1 for a reason code.
func returnCode(code byte) byte {
	i := bytes.IndexByte([]byte{
		0, packets.ConnackUnsupportedProtocolVersion, packets.ConnackInvalidClientID,
		packets.ConnackServerUnavailable, packets.ConnackBadUsernameOrPassword, packets.ConnackNotAuthorized,
	}, code)
	if i < 0 {
		panic(fmt.Sprintf("mqttfake: MQTT 3.1.1 has no return code for 0x%02X", code))
	}
	return byte(i)
}

// length encodes the length of a packet.
func length(n int) []byte {
	var b []byte
	for ; n >= 0x80; n >>= 7 {
		b = append(b, byte(n)|0x80)
	}
	return append(b, byte(n))
}
