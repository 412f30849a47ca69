package broker

import (
	"bytes"
	"fmt"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

// send writes a packet. One that is larger than the client takes is
// packets.ErrPacketTooLarge, and nothing is written.
func (c *conn) send(pk packets.Packet) error {
	pk.ProtocolVersion = c.client.ProtocolVersion
	pk.Mods = packets.Mods{MaxSize: c.maxPacket, AllowResponseInfo: true}
	if pk.Expiry > 0 { // MQTT 5.0, section 3.3.2.3.3
		pk.Properties.MessageExpiryInterval = uint32(max(pk.Expiry-time.Now().Unix(), 1))
	}
	var buf bytes.Buffer
	var err error
	switch pk.FixedHeader.Type {
	case packets.Connack:
		err = pk.ConnackEncode(&buf)
	case packets.Publish: // whose user properties are no information about problems
		err = pk.PublishEncode(&buf)
	case packets.Suback:
		pk.Mods.DisallowProblemInfo = c.terse
		err = pk.SubackEncode(&buf)
	case packets.Unsuback:
		pk.Mods.DisallowProblemInfo = c.terse
		err = pk.UnsubackEncode(&buf)
	case packets.Disconnect:
		err = pk.DisconnectEncode(&buf)
	default:
		err = fmt.Errorf("packet type %d", pk.FixedHeader.Type)
	}
	if err != nil {
		return err
	}
	if c.maxPacket > 0 && uint32(buf.Len()) > c.maxPacket {
		return packets.ErrPacketTooLarge
	}
	return c.write(buf.Bytes(), 1)
}
