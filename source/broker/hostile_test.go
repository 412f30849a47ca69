package broker_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/source/broker"
)

// grown returns how much the heap and the stacks have grown by f, after a collection.
func grown(t *testing.T, f func()) int64 {
	t.Helper()
	before, _ := memory(t)
	f()
	after, _ := memory(t)
	return after - before
}

// header is the beginning of a packet that announces a length.
func header(kind byte, length int) []byte {
	b := []byte{kind}
	for {
		digit := byte(length % 128)
		if length /= 128; length > 0 {
			digit |= 0x80
		}
		b = append(b, digit)
		if length == 0 {
			return b
		}
	}
}

// TestAnnouncedLengths: connections that announce large packets and send a few bytes
// of them take no more memory than idle ones, before and after they log in.
func TestAnnouncedLengths(t *testing.T) {
	const n = 200
	src := open(t, broker.Config{Limits: broker.Limits{ConnectBytes: 1 << 20}})
	size := grown(t, func() {
		for i := range n {
			r := dialRaw(t, src)
			_, err := r.nc.Write(append(header(0x10, 1<<20-10), "\x00\x04MQTT\x05"...))
			require.NoError(t, err)
			r = connectRaw(t, src, fmt.Sprint(i), true)
			_, err = r.nc.Write(append(header(0x30, 1<<20-10), "\x00\x01t"...))
			require.NoError(t, err)
		}
		require.Eventually(t, func() bool { return src.Stats().HalfOpen == n }, patience, time.Millisecond)
	})
	require.Less(t, size, int64(2*n*64<<10))
}

// TestLargeConnect: a CONNECT packet has a limit of its own, that of other packets is
// for clients that are logged in.
func TestLargeConnect(t *testing.T) {
	t.Parallel()
	src := open(t, broker.Config{})
	r := dialRaw(t, src)
	_, err := r.nc.Write(header(0x10, 1<<16+1))
	require.NoError(t, err)
	r.expectEnd()
	cp := connectPacket("c", true)
	cp.WillFlag, cp.WillTopic, cp.WillMessage, cp.WillProperties = true, "will", make([]byte, 60_000), &packets.Properties{}
	r = dialRaw(t, src)
	r.send(cp)
	require.Zero(t, r.expect(packets.CONNACK).Content.(*packets.Connack).ReasonCode)
}

// TestHalfOpen: connections that do not say who they are cannot keep others out, do
// not stay, and are counted.
func TestHalfOpen(t *testing.T) {
	t.Parallel()
	src := open(t, broker.Config{Limits: broker.Limits{HalfOpen: 3, ConnectTimeout: patientWrites}})
	var silent []*raw
	for range 3 {
		silent = append(silent, dialRaw(t, src))
	}
	require.Eventually(t, func() bool { return src.Stats().HalfOpen == 3 }, patience, time.Millisecond)
	connectRaw(t, src, "c", true).pong()
	silent[0].expectEnd() // the oldest
	st := src.Stats()
	require.Equal(t, 2, st.HalfOpen)
	require.Equal(t, 3, st.Connections)
	require.Equal(t, map[string]int64{"half_open": 1}, st.RejectedBy)
	require.EqualValues(t, 1, st.Rejected)

	drip := open(t, broker.Config{Limits: broker.Limits{ConnectTimeout: 50 * time.Millisecond}})
	r := dialRaw(t, drip)
	for _, b := range []byte("\x10\x0d\x00\x04MQTT\x04\x02") { // bytes now and then do not prolong it
		_, _ = r.nc.Write([]byte{b})
	}
	r.expectEnd()
}

// TestBadConnects: what is wrong with a CONNECT packet is answered where the version
// has an answer, and nothing comes of it, with events on that tell of it.
func TestBadConnects(t *testing.T) {
	t.Parallel()
	src := open(t, broker.Config{Events: []string{"$events/#"}})
	will := func(topic string) []byte {
		cp := connectPacket("c", true)
		cp.WillFlag, cp.WillTopic, cp.WillProperties = true, topic, &packets.Properties{}
		var b bytes.Buffer
		_, err := cp.WriteTo(&b)
		require.NoError(t, err)
		return b.Bytes()
	}
	for i, c := range []struct {
		packet []byte
		answer string // begins so; "" for none
	}{
		{[]byte("\x10\x0d\x00\x04MQTT\x07\x02\x00\x3c\x00\x01c"), "\x20\x02\x00\x01"}, // a version to come
		{[]byte("\x10\x0d\x00\x04MQTT\x03\x02\x00\x3c\x00\x01c"), "\x20\x02\x00\x01"},
		{[]byte("\x10\x0d\x00\x04MQTX\x04\x02\x00\x3c\x00\x01c"), ""},
		{[]byte("\x10\x0d\x00\x04MQTT\x04\x03\x00\x3c\x00\x01c"), ""},
		{[]byte("\x10\x0c\x00\x04MQTT\x04\x00\x00\x3c\x00\x00"), "\x20\x02\x00\x02"},
		{[]byte("\x10\x10\x00\x04MQTT\x04\x82\x00\x3c\x00\x01c\x00\x01\x00"), "\x20\x02\x00\x05"}, // user "\x00"
		{[]byte("\x10\x02\x00\x04"), ""},
		{[]byte("\x10\x00"), ""},
		{[]byte("\xc0\x00"), ""},
		{will("a/+"), "\x20\x18\x00\x90"},
		{will("#"), "\x20\x18\x00\x90"},
		{will(strings.Repeat("/", 200)), "\x20\x18\x00\x90"},
	} {
		r := dialRaw(t, src)
		_, err := r.nc.Write(c.packet)
		require.NoError(t, err)
		require.NoError(t, r.nc.SetReadDeadline(time.Now().Add(patience)))
		got, err := io.ReadAll(r.r)
		if c.answer == "" {
			require.Empty(t, got, i)
			continue
		}
		require.NoError(t, err)
		require.True(t, bytes.HasPrefix(got, []byte(c.answer)), "%d: %q", i, got)
	}
	require.Zero(t, src.Stats().Sessions)
	connectRaw(t, src, "c", true).pong()
}

// TestUserProperties: their number is bounded, before they are decoded, and they
// count as what they take.
func TestUserProperties(t *testing.T) {
	t.Parallel()
	const most = 128
	src := open(t, broker.Config{})
	props := func(n int) *packets.Properties {
		p := new(packets.Properties)
		for range n {
			p.User = append(p.User, packets.User{})
		}
		return p
	}
	r := connectRaw(t, src, "c", true)
	r.send(&packets.Publish{Topic: "t", Properties: props(most)})
	r.pong()
	require.Greater(t, src.Stats().QueueBytes, most*8*wordBytes)
	for i, p := range []packets.Packet{
		&packets.Publish{Topic: "t", Properties: props(most + 1)},
		&packets.Publish{Topic: "t", QoS: 1, PacketID: 1, Properties: props(100_000)},
		&packets.Subscribe{PacketID: 1, Subscriptions: []packets.SubOptions{{Topic: "t"}}, Properties: props(most + 1)},
		&packets.Unsubscribe{PacketID: 1, Topics: []string{"t"}, Properties: props(most + 1)},
		&packets.Puback{PacketID: 1, Properties: props(most + 1)},
		&packets.Disconnect{Properties: props(most + 1)},
	} {
		r := connectRaw(t, src, fmt.Sprint("c", i), true)
		r.send(p)
		r.expectDisconnect(0x97)
	}
	cp := connectPacket("c", true)
	cp.Properties.User = props(most + 1).User
	r = dialRaw(t, src)
	r.send(cp)
	r.expectEnd()
}

// TestRepeatedProperties: a property that may be there once only is there twice.
func TestRepeatedProperties(t *testing.T) {
	t.Parallel()
	src := open(t, broker.Config{})
	for _, props := range []string{
		"\x01\x00\x01\x00", "\x02\x00\x00\x00\x01\x02\x00\x00\x00\x01", "\x0b\x01\x0b\x01", "\x03\x00\x00\x03\x00\x00",
	} {
		r := connectRaw(t, src, "c", true)
		_, err := r.nc.Write(append([]byte{0x30, byte(4 + len(props)), 0, 1, 't', byte(len(props))}, props...))
		require.NoError(t, err)
		r.expectDisconnect(0x82)
	}
	for _, props := range []string{"\x7f\x00", "\x01", "\x26\x00\x01", "\x0b\xff\xff\xff\xff\x00"} {
		r := connectRaw(t, src, "c", true)
		_, err := r.nc.Write(append([]byte{0x30, byte(4 + len(props)), 0, 1, 't', byte(len(props))}, props...))
		require.NoError(t, err)
		r.expectDisconnect(0x81)
	}
}

// subscribePacket makes a SUBSCRIBE packet, which paho's encoder is slow to make.
func subscribePacket(filters []string) []byte {
	body := []byte{0, 1, 0}
	for _, f := range filters {
		body = binary.BigEndian.AppendUint16(body, uint16(len(f)))
		body = append(body, f...)
		body = append(body, 1)
	}
	return append(header(0x82, len(body)), body...)
}

// TestEqualFilters: a filter that is in a SUBSCRIBE packet many times is one
// subscription, brings the retained messages once, and is stored once.
func TestEqualFilters(t *testing.T) {
	const times, topics = 20_000, 1000
	store := new(memoryStore)
	src := open(t, broker.Config{Store: store})
	drain(t, src)
	pub := connectRaw(t, src, "pub", true)
	for i := range topics {
		pub.say(fmt.Sprint("r/", i), strings.Repeat("x", 100), true)
	}
	sub := connectRaw(t, src, "sub", false)
	filters := make([]string, times)
	for i := range filters {
		filters[i] = "r/#"
	}
	size := grown(t, func() {
		_, err := sub.nc.Write(subscribePacket(filters))
		require.NoError(t, err)
		require.Equal(t, bytes.Repeat([]byte{1}, times), sub.expect(packets.SUBACK).Content.(*packets.Suback).Reasons)
	})
	require.Less(t, size, int64(8<<20))
	require.Equal(t, 1, src.Stats().Subscriptions)
	for range topics {
		sub.hear(strings.Repeat("x", 100))
	}
	sub.pong()
	require.Eventually(t, func() bool { // that messages are acknowledged is stored, too
		total := 0
		for key, value := range store.crash().entries {
			if !strings.HasPrefix(key, "retained/") {
				total += len(key) + len(value)
			}
		}
		return total < 10_000
	}, patience, time.Millisecond)
}

// TestManySubscribes: a client that subscribes again and again and does not read
// holds no retained messages in memory.
func TestManySubscribes(t *testing.T) {
	const times, topics = 3000, 1000
	src := open(t, broker.Config{Limits: broker.Limits{WriteTimeout: patientWrites, SubscriberInflight: 50}})
	drain(t, src)
	pub := connectRaw(t, src, "pub", true)
	for i := range topics {
		pub.say(fmt.Sprint("r/", i), strings.Repeat("x", 1000), true)
	}
	sub := connectRaw(t, src, "sub", true)
	require.NoError(t, sub.nc.(*net.TCPConn).SetReadBuffer(4096))
	size := grown(t, func() {
		w := bufio.NewWriter(sub.nc)
		for i := range times {
			_, err := w.Write(subscribePacket([]string{"r/#", fmt.Sprint("r/+/", i%900)}))
			require.NoError(t, err)
		}
		require.NoError(t, w.Flush()) // it fits the sockets' buffers
		require.Eventually(t, func() bool { return src.Stats().Subscriptions > 100 }, patience, time.Millisecond)
		require.LessOrEqual(t, src.Stats().Subscriptions, 901)
		require.LessOrEqual(t, src.Stats().OutboxMessages, 50+64) // and those of one step
	})
	require.Less(t, size, int64(16<<20))
	sub.drop()
}

// TestPlainHTTP: connections to a WebSocket port are counted and bounded from their
// first byte, and HTTP requests that do not ask for a WebSocket end them.
func TestPlainHTTP(t *testing.T) {
	t.Parallel()
	src := open(t, broker.Config{
		Listeners: []broker.Listener{{URL: "ws://127.0.0.1:0/mqtt"}},
		Limits:    broker.Limits{Clients: 5, ConnectTimeout: patientWrites},
	})
	for _, request := range []string{
		"GET /mqtt HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST /mqtt HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n",
		"GET /mqtt HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 1\r\n\r\n",
	} {
		r := dialRaw(t, src)
		_, err := io.WriteString(r.nc, request)
		require.NoError(t, err)
		require.NoError(t, r.nc.SetReadDeadline(time.Now().Add(patience)))
		got, err := io.ReadAll(r.r)
		require.NoError(t, err, request)
		require.Regexp(t, "^HTTP/1.1 4", string(got))
		require.Contains(t, string(got), "Connection: close")
	}
	r := dialRaw(t, src)
	_, _ = io.WriteString(r.nc, "GET /mqtt HTTP/1.1\r\n"+strings.Repeat("X: "+strings.Repeat("x", 1000)+"\r\n", 100))
	r.expectEnd() // a header without end
	require.Eventually(t, func() bool { return src.Stats().Connections == 0 }, patience, time.Millisecond)
	for range 5 {
		dialRaw(t, src)
	}
	require.Eventually(t, func() bool { return src.Stats().Connections == 5 }, patience, time.Millisecond)
	dialRaw(t, src).expectEnd()
	require.Equal(t, map[string]int64{"clients": 1}, src.Stats().RejectedBy)

	slow := open(t, broker.Config{
		Listeners: []broker.Listener{{URL: "ws://127.0.0.1:0/mqtt"}},
		Limits:    broker.Limits{ConnectTimeout: 20 * time.Millisecond},
	})
	dialRaw(t, slow).expectEnd()
}

// TestFewLogLines: what anybody can cause again and again is logged now and then.
func TestFewLogLines(t *testing.T) {
	t.Parallel()
	var lines lineCounter
	src := open(t, broker.Config{
		Logger: lines.logger(), Limits: broker.Limits{Sessions: 1, HalfOpen: 10},
		Authenticate: func(_ context.Context, l broker.Login) error {
			if l.Username == "eve" {
				return broker.ErrNotAuthenticated
			}
			return nil
		},
	})
	connectRaw(t, src, "a", true)
	for i := range 50 {
		for _, packet := range []string{
			"\x10\x0d\x00\x04MQTT\x04\x02\x00\x01\x00\x01c",                 // no room for a session, and a short keep-alive
			"\x10\x12\x00\x04MQTT\x04\x82\x00\x01\x00\x01c\x00\x03eve",      // not let in
			"\x10\x0d\x00\x04MQTT\x09\x02\x00\x01\x00\x01c", "\x82\x00", "", // nonsense
		} {
			r := dialRaw(t, src)
			_, err := io.WriteString(r.nc, packet)
			require.NoError(t, err, i)
			if packet == "" {
				r.drop()
				continue
			}
			r.expectEnd()
		}
	}
	require.LessOrEqual(t, lines.count(), 10)
}

// TestBlockedPublishersEnd: a client that reconnects while its messages wait for its
// window leaves nothing behind.
func TestBlockedPublishersEnd(t *testing.T) {
	src := open(t, broker.Config{Limits: broker.Limits{PublisherMessages: 1}})
	before := runtime.NumGoroutine()
	for i := range 50 {
		r := connectRaw(t, src, "c", false)
		r.publish(0, 0, "x")
		r.publish(0, 0, "y")
		if i == 0 {
			require.Eventually(t, func() bool { return src.Stats().HeldBack == 1 }, patience, time.Millisecond)
		}
	}
	require.Eventually(t, func() bool { return src.Stats().Connections == 1 }, patience, time.Millisecond)
	require.LessOrEqual(t, runtime.NumGoroutine(), before+10)
	require.Equal(t, 1, src.Stats().Unsettled)
	require.NotZero(t, src.Stats().LostBy["disconnected"])
}

// TestPingsTogether: each ping is answered, and those that come together, or before
// the beginning of another packet, do not wait.
func TestPingsTogether(t *testing.T) {
	t.Parallel()
	src := open(t, broker.Config{})
	r := connectRaw(t, src, "c", true)
	for _, n := range []int{1, 2, 3000} {
		for _, tail := range []string{"", "\xc0"} {
			_, err := io.WriteString(r.nc, strings.Repeat("\xc0\x00", n)+tail)
			require.NoError(t, err)
			for range n {
				r.expect(packets.PINGRESP)
			}
			if tail != "" {
				_, err = r.nc.Write([]byte{0})
				require.NoError(t, err)
				r.expect(packets.PINGRESP)
			}
		}
	}
}
