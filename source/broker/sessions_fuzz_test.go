package broker

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
)

// FuzzSessions lets several clients send packets in whatever order: two users, each
// with the same two client ids. Each byte pair is a step. Nothing panics, the bounds
// hold, and no client sees another's session or what it may not read.
func FuzzSessions(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x0a\x10\x00\x10\x0b\x20\x01\x20\x0c\x01\x00\x01\x0a"))
	f.Add([]byte("\x00\x01\x02\x01\x40\x02\x10\x01\x42\x11\x30\x02\x22\x21\x50\x03\x60\x01\x03\x01\x70\x05\x80\x01\x90\x01\x00\x01"))
	f.Add([]byte("\x01\x04\x11\x02\x21\x02\x31\x02\x41\x02\x51\x02\x61\x02\x71\x02\x81\x02\x91\x02\xa1\x02\xb1\x02\xc1\x02\xd1\x02\xe1\x02\xf1\x02"))
	f.Add(bytes.Repeat([]byte("\x00\x05\x10\xff\x20\xff\x22\x80\x11\x31\x02\x05\x82\x00\xc2\x01\xc0\x02"), 8))
	f.Fuzz(func(t *testing.T, steps []byte) {
		if len(steps) > 400 {
			steps = steps[:400]
		}
		synctest.Test(t, func(t *testing.T) { newParty(t).play(steps) })
	})
}

// TestSessionsAtRandom is the same with steps at random, for a run without fuzzing.
func TestSessionsAtRandom(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for range 150 {
		steps := make([]byte, 300)
		for i := range steps {
			steps[i] = byte(random.Uint32())
		}
		synctest.Test(t, func(t *testing.T) { newParty(t).play(steps) })
	}
}

var partyLimits = Limits{
	HalfOpen: 5, Sessions: 3, Subscriptions: 3, SubscriptionsTotal: 7, TopicLevels: 4, UserProperties: 2,
	ReceiveMaximum: 3, Unreleased: 4, PublisherMessages: 4, SubscriberInflight: 5, SubscriberQueue: 3,
	RetainedBytes: 3000, SubscriberBytes: 4000, SubscribersBytes: 6000, PacketBytes: 2000, ConnectBytes: 1000,
}

// party is a broker and its clients.
type party struct {
	t      *testing.T
	src    *Source
	dial   func() net.Conn
	panics *panicLog
	guests []*guest
	known  map[identity]bool // who has connected
	open   []bridge.Message  // read and not settled
}

// guest is a client with one connection at a time.
type guest struct {
	who   identity
	conns int // that it has made
	out   chan []byte
	nc    net.Conn
	all   sync.WaitGroup
}

// panicLog remembers that something was logged as an error.
type panicLog struct {
	slog.Handler
	mu   sync.Mutex
	said []string
}

func (h *panicLog) Enabled(context.Context, slog.Level) bool { return true }

func (h *panicLog) Handle(_ context.Context, r slog.Record) error {
	if r.Level >= slog.LevelError {
		h.mu.Lock()
		defer h.mu.Unlock()
		text := r.Message
		r.Attrs(func(a slog.Attr) bool { text += " " + a.String(); return true })
		h.said = append(h.said, text)
	}
	return nil
}

func newParty(t *testing.T) *party {
	p := &party{t: t, panics: new(panicLog), known: make(map[identity]bool)}
	p.src, p.dial = openPipes(t, Config{
		Limits: partyLimits, QueueMessages: 6, Logger: slog.New(p.panics), Events: []string{"$events/#"},
		// A user reads only what is below his name.
		Authorize: func(c Client, a Access, topic string) bool {
			return a != Receive || strings.HasPrefix(topic, c.Username+"/")
		},
	})
	for _, user := range []string{"ann", "bob"} {
		for _, id := range []string{"x", "y"} {
			p.guests = append(p.guests, &guest{who: identity{user, id}})
		}
	}
	return p
}

func (p *party) play(steps []byte) {
	for i := 0; i+1 < len(steps); i += 2 {
		p.step(steps[i], steps[i+1])
		synctest.Wait()
		p.check()
	}
	for _, m := range p.open {
		m.Delivery.Done(bridge.Stored, nil)
	}
	for _, g := range p.guests {
		g.leave()
	}
	require.NoError(p.t, p.src.Close(p.t.Context()))
	p.check()
}

// step does what a pair of bytes says: a guest, a kind of packet, and how it is.
func (p *party) step(what, how byte) {
	g := p.guests[what%4]
	topics := []string{"ann/1", "bob/1", "ann/1/2", "a/b/c/d/e", "$SYS/x", "", "ann/+"}
	filters := []string{"#", "ann/#", "bob/+", "$share/g/ann/#", "+/+/+", "$SYS/#", "bad/#/x", "a/b/c/d/e"}
	pk := packets.Packet{ProtocolVersion: 5, PacketID: uint16(how%5) + 1}
	switch kind := what >> 4; kind {
	case 0, 1:
		p.arrive(g, how)
		return
	case 2, 3, 4:
		pk.FixedHeader = packets.FixedHeader{Type: packets.Publish, Qos: how % 3, Retain: how&8 != 0}
		pk.TopicName, pk.Payload = topics[int(how/16)%len(topics)], []byte(g.who.user)
		if pk.FixedHeader.Qos == 0 {
			pk.PacketID = 0
		}
		for range how / 4 % 4 {
			pk.Properties.User = append(pk.Properties.User, packets.UserProperty{Key: "k", Val: "v"})
		}
		pk.Properties.TopicAlias, pk.Properties.TopicAliasFlag = uint16(how/32%4), how/32%4 > 0
		g.send(encoded(pk.PublishEncode))
	case 5, 6:
		pk.FixedHeader = packets.FixedHeader{Type: packets.Subscribe, Qos: 1}
		for i := range 1 + how%3 {
			pk.Filters = append(pk.Filters, packets.Subscription{Filter: filters[int(how/8+i)%len(filters)], Qos: how % 3, RetainHandling: how / 4 % 3, NoLocal: how&64 != 0})
		}
		g.send(encoded(pk.SubscribeEncode))
	case 7:
		pk.FixedHeader = packets.FixedHeader{Type: packets.Unsubscribe, Qos: 1}
		pk.Filters = packets.Subscriptions{{Filter: filters[int(how)%len(filters)]}}
		g.send(encoded(pk.UnsubscribeEncode))
	case 8, 9, 10:
		pk.FixedHeader.Type = []byte{packets.Puback, packets.Pubrec, packets.Pubrel, packets.Pubcomp}[how/8%4]
		if pk.FixedHeader.Type == packets.Pubrel {
			pk.FixedHeader.Qos = 1
		}
		g.send(encoded(pk.PubackEncode))
	case 11:
		g.send([]byte{how, what, how, what, 0, how}) // anything
	case 12:
		g.leave()
	case 13:
		time.Sleep(time.Duration(how) * 50 * time.Millisecond)
	case 14:
		p.read(1 + int(how)%8)
	default:
		if len(p.open) > 0 {
			i := int(how) % len(p.open)
			p.open[i].Delivery.Done(bridge.Stored, nil)
			p.open = append(p.open[:i], p.open[i+1:]...)
		}
	}
}

func encoded(encode func(*bytes.Buffer) error) []byte {
	var b bytes.Buffer
	if encode(&b) != nil {
		return nil
	}
	return b.Bytes()
}

func (p *party) read(n int) {
	ctx, cancel := context.WithTimeout(p.t.Context(), time.Millisecond)
	defer cancel()
	msgs := make([]bridge.Message, n)
	k, _ := p.src.Read(ctx, msgs)
	p.open = append(p.open, msgs[:k]...)
}

// arrive makes a new connection for a guest.
func (p *party) arrive(g *guest, how byte) {
	g.leave()
	g.conns++
	pk := packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Connect}, ProtocolVersion: []byte{5, 5, 4, 3}[how/8%4],
		Connect: packets.ConnectParams{
			ProtocolName: []byte("MQTT"), ClientIdentifier: g.who.id, Username: []byte(g.who.user), UsernameFlag: true,
			Keepalive: uint16(how), Clean: how&1 != 0,
			WillFlag: how&2 != 0, WillTopic: g.who.user + "/will", WillQos: how / 64 % 3 * (how / 2 & 1), WillRetain: how&6 == 6,
		},
	}
	if pk.ProtocolVersion == 3 {
		pk.Connect.ProtocolName = []byte("MQIsdp")
	}
	pk.Properties.SessionExpiryInterval, pk.Properties.SessionExpiryIntervalFlag = uint32(how)*4, how&4 != 0
	pk.Properties.ReceiveMaximum = uint16(how / 16 % 4)
	g.nc, g.out = p.dial(), make(chan []byte, 500)
	nc, out := g.nc, g.out
	before := p.known[g.who]
	p.known[g.who] = true
	version := pk.ProtocolVersion
	g.all.Go(func() { p.listen(g.who, nc, version, before) })
	g.all.Go(func() {
		for b := range out {
			if _, err := nc.Write(b); err != nil {
				return
			}
		}
	})
	g.send(encoded(pk.ConnectEncode))
}

func (g *guest) send(b []byte) {
	if g.out == nil {
		return
	}
	select {
	case g.out <- b:
	default: // the broker does not read
	}
}

func (g *guest) leave() {
	if g.out == nil {
		return
	}
	close(g.out)
	_ = g.nc.Close()
	g.all.Wait()
	g.out = nil
}

// listen checks what a connection gets.
func (p *party) listen(who identity, nc net.Conn, version byte, before bool) {
	r := bufio.NewReader(nc)
	for {
		first, err := r.ReadByte()
		if err != nil {
			return
		}
		n, _, err := readLength(r)
		if err != nil {
			return
		}
		body := make([]byte, n)
		if _, err := io.ReadFull(r, body); err != nil {
			return
		}
		pk := packets.Packet{ProtocolVersion: version}
		if pk.FixedHeader.Decode(first) != nil {
			p.t.Errorf("%v got a packet that begins with %#x", who, first)
			return
		}
		pk.FixedHeader.Remaining = n
		switch pk.FixedHeader.Type {
		case packets.Connack:
			if pk.ConnackDecode(body) == nil && pk.SessionPresent && !before {
				p.t.Errorf("%v has the session of somebody else", who)
			}
		case packets.Publish:
			if err := pk.PublishDecode(body); err != nil || !strings.HasPrefix(pk.TopicName, who.user+"/") {
				p.t.Errorf("%v got topic %q, %v", who, pk.TopicName, err)
			}
		case packets.Disconnect:
			if pk.DisconnectDecode(body) == nil && pk.ReasonCode == packets.ErrSessionTakenOver.Code {
				p.t.Errorf("%v was taken over, and had one connection only", who)
			}
		}
	}
}

// check checks what holds all the time.
func (p *party) check() {
	st, l := p.src.Stats(), p.src.Limits()
	p.panics.mu.Lock()
	require.Empty(p.t, p.panics.said)
	p.panics.mu.Unlock()
	require.LessOrEqual(p.t, st.HalfOpen, l.HalfOpen)
	require.LessOrEqual(p.t, st.Sessions, l.Sessions)
	require.LessOrEqual(p.t, st.Subscriptions, l.SubscriptionsTotal)
	require.LessOrEqual(p.t, st.RetainedBytes, l.RetainedBytes)
	p.src.mu.Lock()
	for who, have := range p.src.sessions {
		have.out.mu.Lock()
		require.LessOrEqual(p.t, have.out.kept, l.SubscriberInflight+scanTake, who)
		require.GreaterOrEqual(p.t, have.out.bytes, 0)
		require.LessOrEqual(p.t, len(have.subs), l.Subscriptions)
		have.out.mu.Unlock()
		have.mu.Lock()
		require.LessOrEqual(p.t, len(have.qos2), l.Unreleased+1)
		have.mu.Unlock()
	}
	p.src.mu.Unlock()
	p.src.inbox.mu.Lock()
	for who, pub := range p.src.inbox.publishers {
		require.LessOrEqual(p.t, pub.open, l.PublisherMessages, fmt.Sprint(who))
	}
	p.src.inbox.mu.Unlock()
}
