package mqtt

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/url"
	"time"

	"github.com/eclipse/paho.golang/packets"
)

// paho speaks MQTT 5 only. Towards a broker of MQTT 3.1.1 a conn translates: what paho
// writes when a packet is complete, and what is read before paho sees it. PUBLISH packets
// do not come this way on the fast path, and acknowledgements are the same in both.

// Versions of the protocol, as CONNECT has them.
const (
	version3 = 4 // MQTT 3.1.1
	version5 = 5
)

// v3Codes are the reason codes of MQTT 5 for the return codes of CONNACK (MQTT 3.1.1,
// section 3.2.2.3).
var v3Codes = [...]byte{0x00, 0x84, 0x85, 0x88, 0x86, 0x87}

// toV3 translates packets of MQTT 5 that are complete. Packets that MQTT 3.1.1 does not
// have vanish: a client that is content says DISCONNECT, another one closes.
func toV3(dst, packet []byte) []byte {
	switch packet[0] >> 4 {
	case packets.PUBACK, packets.PUBREC, packets.PUBCOMP, packets.PINGREQ: // of a window, any number of them
		return append(dst, packet...)
	}
	p, err := packets.ReadPacket(bytes.NewReader(packet))
	if err != nil {
		return dst
	}
	var body []byte
	switch p := p.Content.(type) {
	case *packets.Connect:
		body = connectV3(p)
	case *packets.Subscribe:
		body = binary.BigEndian.AppendUint16(body, p.PacketID)
		for _, s := range p.Subscriptions {
			body = append(appendText(body, s.Topic), s.QoS)
		}
	case *packets.Unsubscribe:
		body = binary.BigEndian.AppendUint16(body, p.PacketID)
		for _, t := range p.Topics {
			body = appendText(body, t)
		}
	case *packets.Disconnect:
		if p.ReasonCode != packets.DisconnectNormalDisconnection {
			return dst
		}
	default:
		return dst
	}
	return append(appendHeader(dst, packet[0], len(body)), body...)
}

func connectV3(p *packets.Connect) []byte {
	if p.PasswordFlag {
		p.UsernameFlag = true // MQTT 3.1.1, section 3.1.2.9
	}
	// The session is the broker's to keep, unless it is to end with the connection.
	expiry := p.Properties.SessionExpiryInterval
	p.CleanStart = p.ClientID == "" || expiry == nil || *expiry == 0
	body := append(appendText(nil, "MQTT"), version3, p.PackFlags())
	body = binary.BigEndian.AppendUint16(body, p.KeepAlive)
	body = appendText(body, p.ClientID)
	if p.WillFlag {
		body = appendText(appendText(body, p.WillTopic), string(p.WillMessage))
	}
	if p.UsernameFlag {
		body = appendText(body, p.Username)
	}
	if p.PasswordFlag {
		body = appendText(body, string(p.Password))
	}
	return body
}

// fromV3 translates a packet of MQTT 3.1.1 with a fixed header of the given length.
func fromV3(frame []byte, header int) ([]byte, error) {
	body := frame[header:]
	at := 2 // where the properties have to be
	switch frame[0] >> 4 {
	case packets.CONNACK:
		if len(body) != 2 || int(body[1]) >= len(v3Codes) {
			return nil, errMalformed
		}
		return []byte{frame[0], 3, body[0], v3Codes[body[1]], 0}, nil
	case packets.PUBLISH:
		name, _, ok := cutBinary(body)
		if !ok {
			return nil, errMalformed
		}
		if at += len(name); frame[0]&0x06 != 0 {
			at += 2
		}
	case packets.SUBACK, packets.UNSUBACK:
	case packets.PUBREL, packets.PINGRESP:
		return frame, nil
	default:
		return nil, errMalformed
	}
	if len(body) < at {
		return nil, errMalformed
	}
	out := appendHeader(make([]byte, 0, len(frame)+2), frame[0], len(body)+1)
	out = append(append(out, body[:at]...), 0)
	return append(out, body[at:]...), nil
}

// appendHeader appends a fixed header.
func appendHeader(dst []byte, first byte, size int) []byte {
	dst = append(dst, first)
	for ; size >= 0x80; size >>= 7 {
		dst = append(dst, byte(size)|0x80)
	}
	return append(dst, byte(size))
}

func appendText(dst []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint16(dst, uint16(len(s))), s...)
}

// discardSession ends the session that a broker of MQTT 3.1.1 has kept, by a connection
// of its own: there is no CONNECT that begins a new session which is then kept.
func (l *link) discardSession(ctx context.Context, u *url.URL, cp *packets.Connect) error {
	raw, err := l.dialer.dial(ctx, u)
	if err != nil {
		return err
	}
	defer raw.Close()
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() })
	defer stop()
	clean := *cp
	clean.WillFlag, clean.Properties = false, &packets.Properties{}
	body := connectV3(&clean)
	if _, err := raw.Write(append(appendHeader(nil, packets.CONNECT<<4, len(body)), body...)); err != nil {
		return err
	}
	var answer [4]byte
	if _, err := io.ReadFull(raw, answer[:]); err != nil {
		return err
	}
	// A refusal is left to the connection proper, which explains it.
	_, err = raw.Write([]byte{packets.DISCONNECT << 4, 0})
	return err
}

var (
	errOnlyV3   = errors.New("the broker speaks MQTT 3.1.1 only")
	errOtherWay = errors.New("another version of MQTT is tried")
	errBetter   = errors.New("the broker speaks MQTT 5 after all")
)

// silences is how often in a row a broker has to close a connection without answering
// CONNECT before another version is tried: some that do not know MQTT 5 do so, and others
// for other reasons.
const silences = 2

// fallBack changes the version of MQTT for the next attempt when a broker has refused this
// one, and returns the error that then does not stay. code is CONNACK's, or 0.
func (l *link) fallBack(code byte, e *Error) *Error {
	if l.cfg.ProtocolVersion != 0 || l.cfg.Auth != nil {
		return e
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case code == packets.ConnackUnsupportedProtocolVersion, errors.Is(e.err, errOnlyV3):
	case code == 0 && !l.status.everUp && (errors.Is(e.err, io.EOF) || errors.Is(e.err, io.ErrUnexpectedEOF)):
		if l.silent++; l.silent < silences {
			return e
		}
	default:
		l.silent = 0
		return e
	}
	was, other := l.version, version3+version5-l.version
	if e.err == nil || errors.Is(e.err, errOnlyV3) { // it has said so
		if l.refused |= 1 << was; l.refused&(1<<other) != 0 {
			return e
		}
		e.text += fmt.Sprintf("; %s is tried", versionName(other))
		e.Permanent, e.err = false, errOtherWay
	}
	l.guessed = l.silent > 0 && other == version3
	l.version, l.silent = other, 0
	return e
}

// verify makes sure that a broker which was silent in MQTT 5, and is not in MQTT 3.1.1, was
// silent because of the version, and not because nothing stood behind its balancer at that
// time: it asks in MQTT 5 once more, as nobody and without taking a session.
func (l *link) verify(ctx context.Context, c *conn) {
	ctx, cancel := context.WithTimeout(ctx, l.cfg.ConnectTimeout)
	defer cancel()
	l.mu.Lock()
	u := l.target
	l.mu.Unlock()
	if l.dialer.answersV5(ctx, u) {
		l.mu.Lock()
		l.version = version5
		l.mu.Unlock()
		c.fail(errBetter)
	}
}

// answersV5 reports whether a broker answers CONNECT of MQTT 5, be it by a refusal.
func (d dialer) answersV5(ctx context.Context, u *url.URL) bool {
	raw, err := d.dial(ctx, u)
	if err != nil {
		return false
	}
	defer raw.Close()
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() })
	defer stop()
	hello := &packets.Connect{ProtocolName: "MQTT", ProtocolVersion: version5, CleanStart: true, Properties: &packets.Properties{}}
	if _, err := hello.WriteTo(raw); err != nil {
		return false
	}
	p, err := packets.ReadPacket(raw)
	if err != nil {
		return false
	}
	ca, ok := p.Content.(*packets.Connack)
	_, _ = raw.Write([]byte{packets.DISCONNECT << 4, 0})
	if !ok {
		return false
	}
	code := ca.ReasonCode // below 0x80 those of MQTT 3.1.1
	return code == packets.ConnackSuccess || code >= 0x80 && code != packets.ConnackUnsupportedProtocolVersion
}

func versionName(v byte) string {
	if v == version3 {
		return "MQTT 3.1.1"
	}
	return "MQTT 5"
}

// weaker lists what is configured and has no meaning in MQTT 3.1.1.
func (c *Config) weaker() (names []string) {
	add := func(name string, is bool) {
		if is {
			names = append(names, name)
		}
	}
	add("SessionExpiry", c.SessionExpiry > 0 && c.SessionExpiry < NeverExpires)
	add("UserProperties", len(c.UserProperties) > 0)
	add("Will.Delay", c.Will != nil && c.Will.Delay >= time.Second)
	var id, local, retained, props bool
	for _, s := range c.Filters {
		id = id || s.ID > 0
		local = local || s.NoLocal
		retained = retained || s.RetainAsPublished || s.RetainHandling == RetainNever
		props = props || len(s.UserProperties) > 0
	}
	add("Filters: ID", id)
	add("Filters: NoLocal", local)
	add("Filters: RetainAsPublished, RetainHandling", retained)
	add("Filters: UserProperties", props)
	return names
}
