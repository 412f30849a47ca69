package broker_test

import (
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"
	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/source/broker"
)

// stuck connects a subscriber to "big" that reads nothing more, and returns once
// its connection is full: the broker waits in a write to it.
func stuck(t *testing.T, src *broker.Source, id string, clean bool, pub *raw) *raw {
	t.Helper()
	sub := dialRaw(t, src)
	require.NoError(t, sub.nc.(*net.TCPConn).SetReadBuffer(4096))
	sub.send(connectPacket(id, clean))
	sub.expect(packets.CONNACK)
	sub.send(&packets.Subscribe{PacketID: 1, Subscriptions: []packets.SubOptions{{Topic: "big", QoS: 1}}, Properties: &packets.Properties{}})
	sub.expect(packets.SUBACK)
	for i := range 100 { // far more than the kernel's buffers hold
		pub.send(&packets.Publish{Topic: "big", PacketID: uint16(i + 1), QoS: 1, Payload: make([]byte, 256<<10), Properties: &packets.Properties{}})
		pub.expectPuback(uint16(i+1), 0)
	}
	return sub
}

// patientWrites is a WriteTimeout that no test waits for.
const patientWrites = time.Hour

// TestStuckSubscriberHoldsNobodyUp: publishers and other subscribers go on while a
// write to one subscriber does not.
func TestStuckSubscriberHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	src := open(t, broker.Config{Limits: broker.Limits{WriteTimeout: patientWrites}})
	drain(t, src)
	pub := connectRaw(t, src, "pub", true)
	other := connect(t, src, "other")
	other.subscribe("#", 1)
	sub := stuck(t, src, "stuck", true, pub)
	for range 100 {
		require.Len(t, receive(t, other.got).Payload, 256<<10)
	}
	sub.drop()
}

// TestHalfOpenConnectionIsTakenOver: a device whose old connection nobody closed,
// with a write to it under way, comes back and gets what it missed.
func TestHalfOpenConnectionIsTakenOver(t *testing.T) {
	t.Parallel()
	src := open(t, broker.Config{Events: []string{"$events/client/disconnected"}, EarlyAck: true, Limits: broker.Limits{WriteTimeout: patientWrites, PublisherBytes: 64 << 20}})
	pub := connectRaw(t, src, "pub", true)
	stuck(t, src, "sub", false, pub)
	sub := connectRaw(t, src, "sub", false)
	ids := make(map[uint16]bool)
	for range 100 {
		p := sub.expect(packets.PUBLISH).Content.(*packets.Publish)
		require.Len(t, p.Payload, 256<<10)
		require.False(t, ids[p.PacketID])
		ids[p.PacketID] = true
		sub.send(&packets.Puback{PacketID: p.PacketID, Properties: &packets.Properties{}})
	}
	sub.pong()
	require.Equal(t, "takenover", readEvent(t, src, "$events/client/disconnected").Columns["reason"])
}

// TestCloseWithStuckSubscriber: Close ends although a write does not.
func TestCloseWithStuckSubscriber(t *testing.T) {
	t.Parallel()
	src := open(t, broker.Config{EarlyAck: true, Limits: broker.Limits{WriteTimeout: patientWrites, PublisherBytes: 64 << 20}})
	stuck(t, src, "sub", true, connectRaw(t, src, "pub", true))
	closeSource(t, src)
}

// TestReconnectingWhileTheQueueIsFull: a device that is held back by a full queue
// and reconnects gets its CONNACK, and its messages are handed out once.
func TestReconnectingWhileTheQueueIsFull(t *testing.T) {
	t.Parallel()
	src := open(t, broker.Config{QueueMessages: 1})
	r := connectRaw(t, src, "c", false)
	for range 5 {
		for id := range uint16(3) {
			r.publish(id+1, 2, fmt.Sprint(id))
		}
		require.Eventually(t, func() bool { return src.Stats().QueueMessages == 1 }, patience, time.Millisecond)
		r = connectRaw(t, src, "c", false)
	}
	for id := range uint16(3) {
		r.publish(id+1, 2, fmt.Sprint(id))
	}
	for id := range uint16(3) {
		m := read(t, src, 1)[0]
		require.Equal(t, fmt.Sprint(id), string(m.Payload))
		m.Delivery.Done(bridge.Stored, nil)
		r.expectPubrec(id + 1)
	}
	require.EqualValues(t, 3, src.Stats().Received)
}

// TestRetainedFlood: a new subscriber gets all retained messages, in the order they
// were published, with QoS 0 too and with the smallest window.
func TestRetainedFlood(t *testing.T) {
	t.Parallel()
	const topics = 5000
	src := open(t, broker.Config{EarlyAck: true, QueueMessages: topics, Limits: broker.Limits{SubscriberQueue: 10, SubscriberInflight: 100, PublisherMessages: topics}})
	pub := connectRaw(t, src, "pub", true)
	go func() {
		for i := range topics {
			p := &packets.Publish{Topic: fmt.Sprint("r/", i), QoS: byte(i % 2), Retain: true, Payload: []byte("x"), Properties: &packets.Properties{}}
			if p.QoS > 0 {
				p.PacketID = uint16(i)
			}
			if _, err := p.WriteTo(pub.nc); err != nil {
				return
			}
			if p.QoS > 0 {
				if _, err := packets.ReadPacket(pub.r); err != nil {
					return
				}
			}
		}
	}()
	read(t, src, topics)
	one := uint16(1)
	for qos := range byte(2) {
		sub := dialRaw(t, src)
		cp := connectPacket("sub", true)
		cp.Properties.ReceiveMaximum = &one
		sub.send(cp)
		sub.expect(packets.CONNACK)
		sub.send(&packets.Subscribe{PacketID: 1, Subscriptions: []packets.SubOptions{{Topic: "r/#", QoS: qos}}, Properties: &packets.Properties{}})
		sub.expect(packets.SUBACK)
		for i := range topics {
			p := sub.expect(packets.PUBLISH).Content.(*packets.Publish)
			require.Equal(t, fmt.Sprint("r/", i), p.Topic)
			require.True(t, p.Retain)
			if p.QoS > 0 {
				sub.send(&packets.Puback{PacketID: p.PacketID, Properties: &packets.Properties{}})
			}
		}
		sub.pong()
	}
	require.Zero(t, src.Stats().Undelivered)
}

// TestReconnectingSubscriberMissesNothing: a subscriber that reconnects all the
// time while messages come gets each of them, the first time in order.
func TestReconnectingSubscriberMissesNothing(t *testing.T) {
	t.Parallel()
	const n = 3000
	src := open(t, broker.Config{})
	drain(t, src)
	sub := connectRaw(t, src, "sub", false)
	sub.send(&packets.Subscribe{PacketID: 1, Subscriptions: []packets.SubOptions{{Topic: "#", QoS: 1}}, Properties: &packets.Properties{}})
	sub.expect(packets.SUBACK)
	pub := connect(t, src, "pub")
	done := make(chan error, 1)
	go func() {
		for i := range n {
			if _, err := pub.Publish(t.Context(), &paho.Publish{Topic: "t", QoS: 1, Payload: fmt.Append(nil, i)}); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	next := 0
	for i := 0; next < n; i++ {
		p := sub.expect(packets.PUBLISH).Content.(*packets.Publish)
		var got int
		_, err := fmt.Sscan(string(p.Payload), &got)
		require.NoError(t, err)
		require.LessOrEqual(t, got, next)
		if got == next {
			next++
		}
		sub.send(&packets.Puback{PacketID: p.PacketID, Properties: &packets.Properties{}})
		if i%20 == 19 {
			if i%40 == 19 {
				sub.drop()
			}
			sub = connectRaw(t, src, "sub", false)
		}
	}
	require.NoError(t, receive(t, done))
}
