package broker_test

import (
	"io"
	"testing"

	"github.com/eclipse/paho.golang/packets"
	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/source/broker"
)

// TestWillWithoutPayload: MQTT allows it, and retained it ends what was retained.
func TestWillWithoutPayload(t *testing.T) {
	t.Parallel()
	src := open(t, broker.Config{})
	r := dialRaw(t, src)
	cp := connectPacket("c", true)
	cp.WillFlag, cp.WillTopic, cp.WillQOS = true, "will", 1
	cp.WillProperties = &packets.Properties{}
	r.send(cp)
	r.expect(packets.CONNACK)
	r.drop()
	m := read(t, src, 1)[0]
	require.Equal(t, "will", m.Topic)
	require.Empty(t, m.Payload)
}

func TestEmptyPassword(t *testing.T) {
	t.Parallel()
	src := open(t, broker.Config{})
	r := dialRaw(t, src)
	cp := connectPacket("c", true)
	cp.UsernameFlag, cp.Username, cp.PasswordFlag = true, "ann", true
	r.send(cp)
	require.Zero(t, r.expect(packets.CONNACK).Content.(*packets.Connack).ReasonCode)
}

// TestEnhancedAuthentication: there is none, and clients that ask for it are told.
func TestEnhancedAuthentication(t *testing.T) {
	t.Parallel()
	src := open(t, broker.Config{})
	r := dialRaw(t, src)
	cp := connectPacket("c", true)
	cp.Properties.AuthMethod, cp.Properties.AuthData = "SCRAM-SHA-1", []byte("x")
	r.send(cp)
	require.Equal(t, byte(0x8c), r.expect(packets.CONNACK).Content.(*packets.Connack).ReasonCode)
	r.expectEnd()

	r = connectRaw(t, src, "c", true)
	r.send(&packets.Auth{ReasonCode: 0x19, Properties: &packets.Properties{AuthMethod: "SCRAM-SHA-1"}})
	r.expectDisconnect(0x82)
}

func TestTopicAliases(t *testing.T) {
	t.Parallel()
	src := open(t, broker.Config{Limits: broker.Limits{TopicAliases: 2}})
	sub := connect(t, src, "sub")
	sub.subscribe("#", 1)
	r := dialRaw(t, src)
	r.send(connectPacket("c", true))
	require.Equal(t, uint16(2), *r.expect(packets.CONNACK).Content.(*packets.Connack).Properties.TopicAliasMaximum)
	publish := func(topic string, alias uint16) {
		r.send(&packets.Publish{Topic: topic, Properties: &packets.Properties{TopicAlias: &alias}})
	}
	publish("a/long/topic", 1)
	publish("b", 2)
	publish("", 1)
	publish("c", 1)
	publish("", 1)
	for _, want := range []string{"a/long/topic", "b", "a/long/topic", "c", "c"} {
		require.Equal(t, want, read(t, src, 1)[0].Topic)
		got := receive(t, sub.got)
		require.Equal(t, want, got.Topic)
		require.Nil(t, got.Properties.TopicAlias)
	}
	publish("d", 3)
	r.expectDisconnect(0x94)

	r = connectRaw(t, src, "c", true) // aliases end with the connection
	publish("", 1)
	r.expectDisconnect(0x82)
}

// TestLongKeepAlive: one and a half times the longest keep-alive does not fit 16 bits,
// and the client need not choose another.
func TestLongKeepAlive(t *testing.T) {
	t.Parallel()
	src := open(t, broker.Config{})
	for _, keepAlive := range []uint16{65535, 43691, 0} {
		r := dialRaw(t, src)
		cp := connectPacket("c", true)
		cp.KeepAlive = keepAlive
		r.send(cp)
		require.Nil(t, r.expect(packets.CONNACK).Content.(*packets.Connack).Properties.ServerKeepAlive, keepAlive)
		r.pong()
	}
}

// TestMalformedPackets: a packet that cannot be decoded ends one connection.
func TestMalformedPackets(t *testing.T) {
	t.Parallel()
	src := open(t, broker.Config{})
	for _, packet := range []string{
		"\x82\x06\x00\x01\x00\x00\x01a", // a filter without options
		"\x82\x07\x00\x01\x00\x00\x01ab\x01",
		"\x32\x03\x00\x09t",
		"\xf0\xff\xff\xff\x7f",
		"\x00\x00",
	} {
		r := connectRaw(t, src, "c", true)
		_, err := r.nc.Write([]byte(packet))
		require.NoError(t, err)
		r.expectEnd()
	}
	connectRaw(t, src, "c", true).pong()
}

// TestUnreleasedMessagesAreLimited: identifiers that the client never releases count against
// its receive maximum.
func TestUnreleasedMessagesAreLimited(t *testing.T) {
	t.Parallel()
	src := open(t, broker.Config{EarlyAck: true, Limits: broker.Limits{ReceiveMaximum: 3}})
	drain(t, src)
	r := connectRaw(t, src, "c", true)
	for id := range uint16(3) {
		r.publish(id+1, 2, "x")
		r.expectPubrec(id + 1)
	}
	r.publish(3, 2, "x") // again
	r.expectPubrec(3)
	r.publish(9, 2, "x")
	r.expectDisconnect(0x93)
}

func TestSubscribeErrors(t *testing.T) {
	t.Parallel()
	src := open(t, broker.Config{})
	for _, p := range []packets.Packet{
		&packets.Subscribe{PacketID: 0, Subscriptions: []packets.SubOptions{{Topic: "a"}}, Properties: &packets.Properties{}},
		&packets.Subscribe{PacketID: 1, Properties: &packets.Properties{}},
		&packets.Subscribe{PacketID: 1, Subscriptions: []packets.SubOptions{{Topic: "$share/g/a", NoLocal: true}}, Properties: &packets.Properties{}},
		&packets.Unsubscribe{PacketID: 1, Properties: &packets.Properties{}},
	} {
		r := connectRaw(t, src, "c", true)
		r.send(p)
		r.expectDisconnect(0x82)
	}
	r := connectRaw(t, src, "c", true)
	r.send(&packets.Unsubscribe{PacketID: 1, Topics: []string{"never"}, Properties: &packets.Properties{}})
	require.Equal(t, []byte{0x11}, r.expect(packets.UNSUBACK).Content.(*packets.Unsuback).Reasons)
}

// TestEmptyTopics: a topic that is empty, with no alias or one that the client has not
// set, is refused; no message comes of it and no acknowledgement.
func TestEmptyTopics(t *testing.T) {
	t.Parallel()
	src := open(t, broker.Config{})
	for qos := range byte(3) {
		for _, alias := range []uint16{0, 1, 32, 33} {
			r := connectRaw(t, src, "c", true)
			p := &packets.Publish{QoS: qos, PacketID: uint16(qos), Properties: &packets.Properties{}}
			want := byte(0x82)
			if alias > 0 {
				p.Properties.TopicAlias = &alias
			}
			if alias > 32 { // more than the broker has announced
				want = 0x94
			}
			r.send(p)
			r.expectDisconnect(want)
		}
	}
	old := dialRaw(t, src)
	_, err := old.nc.Write([]byte("\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01c" + "\x32\x05\x00\x00\x00\x01x"))
	require.NoError(t, err)
	got, err := io.ReadAll(old.r)
	require.NoError(t, err)
	require.Equal(t, "\x20\x02\x00\x00", string(got))
	require.Zero(t, src.Stats().Received)
}
