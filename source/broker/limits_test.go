package broker_test

import (
	"strings"
	"testing"

	"github.com/eclipse/paho.golang/packets"
	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/source/broker"
)

// TestSubscriberBytes: what waits for a subscriber is bounded in bytes, which come
// free when it acknowledges.
func TestSubscriberBytes(t *testing.T) {
	t.Parallel()
	src := open(t, broker.Config{Limits: broker.Limits{SubscriberBytes: 100}})
	drain(t, src)
	sub := connectRaw(t, src, "sub", false)
	sub.send(&packets.Subscribe{PacketID: 1, Subscriptions: []packets.SubOptions{{Topic: "t", QoS: 1}}, Properties: &packets.Properties{}})
	sub.expect(packets.SUBACK)
	pub := connectRaw(t, src, "pub", true)
	get := func(want string) {
		t.Helper()
		m := sub.expect(packets.PUBLISH).Content.(*packets.Publish)
		require.Equal(t, want, string(m.Payload))
		sub.send(&packets.Puback{PacketID: m.PacketID, Properties: &packets.Properties{}})
	}
	half, large := strings.Repeat("x", 60), strings.Repeat("y", 200)
	sub.drop()
	for i, payload := range []string{half, half, "small"} {
		pub.publish(uint16(i+1), 1, payload)
		pub.expectPuback(uint16(i+1), 0)
	}
	require.EqualValues(t, 1, src.Stats().Undelivered)
	sub = connectRaw(t, src, "sub", false)
	get(half)
	get("small")
	sub.pong()
	for _, payload := range []string{half, large} { // the last alone is more than the bound
		pub.publish(1, 1, payload)
		pub.expectPuback(1, 0)
		get(payload)
		sub.pong()
	}
	for _, payload := range []string{half, large, half} {
		pub.publish(0, 0, payload)
		m := sub.expect(packets.PUBLISH).Content.(*packets.Publish)
		require.Equal(t, payload, string(m.Payload))
	}
	require.EqualValues(t, 1, src.Stats().Undelivered)
}

// TestRetainedBytes: a message that there is no room for is delivered, and not
// retained; the one before it would be out of date and goes, too.
func TestRetainedBytes(t *testing.T) {
	t.Parallel()
	src := open(t, broker.Config{Limits: broker.Limits{RetainedBytes: 5000}})
	drain(t, src)
	pub, live := connectRaw(t, src, "pub", true), connectRaw(t, src, "live", true)
	subscribe := &packets.Subscribe{PacketID: 1, Subscriptions: []packets.SubOptions{{Topic: "#", QoS: 1}}, Properties: &packets.Properties{}}
	live.send(subscribe)
	live.expect(packets.SUBACK)
	for i, m := range []struct {
		topic string
		size  int
	}{{"a", 1000}, {"b", 5000}, {"a", 5000}, {"c", 3000}, {"c", 3000}, {"c", 0}, {"d", 3000}} {
		pub.send(&packets.Publish{Topic: m.topic, PacketID: uint16(i + 1), QoS: 1, Retain: true, Payload: make([]byte, m.size), Properties: &packets.Properties{}})
		pub.expectPuback(uint16(i+1), 0)
		require.Len(t, live.expect(packets.PUBLISH).Content.(*packets.Publish).Payload, m.size)
	}
	require.EqualValues(t, 2, src.Stats().NotRetained)
	late := connectRaw(t, src, "late", true)
	late.send(subscribe)
	late.expect(packets.SUBACK)
	require.Equal(t, "d", late.expect(packets.PUBLISH).Content.(*packets.Publish).Topic)
	late.pong()
}
