//go:build linux

package hostile_test

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"
)

// Kinds of MQTT packets, as their first byte.
const (
	connect     = 0x10
	connack     = 0x20
	publish     = 0x30
	puback      = 0x40
	pubrec      = 0x50
	pubrel      = 0x62
	subscribe   = 0x82
	suback      = 0x90
	unsubscribe = 0xa2
	pingreq     = 0xc0
	pingresp    = 0xd0
	disconnect  = 0xe0
	authPacket  = 0xf0
)

// varint is a length as MQTT has it.
func varint(n int) string {
	var b []byte
	for {
		digit := byte(n % 128)
		if n /= 128; n > 0 {
			digit |= 0x80
		}
		b = append(b, digit)
		if n == 0 {
			return string(b)
		}
	}
}

// packet is a packet with a body that consists of these parts.
func packet(first byte, parts ...string) string {
	body := strings.Join(parts, "")
	return string([]byte{first}) + varint(len(body)) + body
}

// announced is the beginning of a packet with a body of n bytes.
func announced(first byte, n int, begin string) string {
	return string([]byte{first}) + varint(n) + begin
}

// field is a text or binary data with its length.
func field(s string) string {
	return string(binary.BigEndian.AppendUint16(nil, uint16(len(s)))) + s
}

// number is two bytes.
func number(n int) string { return string(binary.BigEndian.AppendUint16(nil, uint16(n))) }

// props are the properties of a packet of MQTT 5.
func props(list ...string) string {
	all := strings.Join(list, "")
	return varint(len(all)) + all
}

// userProps are n user properties of 5 bytes each, the smallest that there are.
func userProps(n int) string { return strings.Repeat("\x26\x00\x00\x00\x00", n) }

// login makes a CONNECT packet of MQTT 5 for a session that is kept for an hour.
func login(id, user string, clean bool) string {
	flags, name := byte(0), ""
	if clean {
		flags = 0x02
	}
	if user != "" {
		flags, name = flags|0x80, field(user)
	}
	return packet(connect, field("MQTT"), "\x05", string([]byte{flags}), number(60), props("\x11\x00\x00\x0e\x10"), field(id), name)
}

// oldLogin makes one of MQTT 3.1.1.
func oldLogin(id string) string {
	return packet(connect, field("MQTT"), "\x04\x02", number(60), field(id))
}

// peer is one end of a connection.
type peer struct {
	nc net.Conn
	r  *bufio.Reader
}

func newPeer(nc net.Conn) *peer {
	must(nc.SetDeadline(time.Now().Add(patience)))
	return &peer{nc, bufio.NewReader(nc)}
}

// send sends what there is; that the other end does not want it any more shows
// when its answer is read.
func (p *peer) send(text string) { _, _ = io.WriteString(p.nc, text) }

// next reads a packet.
func (p *peer) next() (first byte, body []byte, err error) {
	if first, err = p.r.ReadByte(); err != nil {
		return 0, nil, err
	}
	n, err := binary.ReadUvarint(p.r)
	if err != nil {
		return 0, nil, err
	}
	body = make([]byte, n)
	_, err = io.ReadFull(p.r, body)
	return first, body, err
}

// until reads up to a packet of one of the kinds, or the end of the connection,
// and says what it was.
func (p *peer) until(kinds ...byte) string {
	for {
		first, body, err := p.next()
		if err != nil {
			return "closed"
		}
		if first&0xf0 == publish && first&6 == 2 { // QoS 1
			n := 2 + int(binary.BigEndian.Uint16(body))
			p.send(packet(puback, string(body[n:n+2])))
		}
		if !slices.Contains(kinds, first) && !slices.Contains(kinds, first&0xf0) {
			continue
		}
		switch {
		case first == disconnect && len(body) > 0:
			return fmt.Sprintf("disconnect %#x", body[0])
		case first == connack:
			return fmt.Sprintf("connack %#x, session %d", body[1], body[0])
		}
		return fmt.Sprintf("packet %#x", first)
	}
}

// ended says how the other end has ended the connection.
func (p *peer) ended() string { return p.until(disconnect) }

// alive says "ok" if the other end answers a ping.
func (p *peer) alive() string {
	p.send("\xc0\x00")
	if got := p.until(pingresp, disconnect); got != "packet 0xd0" {
		return got
	}
	return ok
}

// must ends the process when the suite itself fails.
func must(err error) {
	if err != nil {
		panic(err)
	}
}
