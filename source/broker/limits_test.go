package broker_test

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/source/broker"
)

// TestSubscriberBytes: what waits for a subscriber is bounded in bytes, which come
// free when it acknowledges.
func TestSubscriberBytes(t *testing.T) {
	t.Parallel()
	src := open(t, broker.Config{Limits: broker.Limits{SubscriberBytes: 10_000}})
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
	half, large := strings.Repeat("x", 6_000), strings.Repeat("y", 20_000)
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

// TestLevels: topics and filters have a limit of levels.
func TestLevels(t *testing.T) {
	t.Parallel()
	src := open(t, broker.Config{Limits: broker.Limits{TopicLevels: 3}})
	drain(t, src)
	r := connectRaw(t, src, "c", true)
	r.say("a/b/c", "x", false)
	r.send(&packets.Subscribe{PacketID: 1, Subscriptions: []packets.SubOptions{{Topic: "a/b/#"}, {Topic: "a/b/c/#"}, {Topic: "///"}}, Properties: &packets.Properties{}})
	require.Equal(t, []byte{0, 0x8f, 0x8f}, r.expect(packets.SUBACK).Content.(*packets.Suback).Reasons)
	r.send(&packets.Publish{Topic: "a/b/c/d", Properties: &packets.Properties{}})
	r.expectDisconnect(0x90)

	src = open(t, broker.Config{})
	r = connectRaw(t, src, "c", true)
	r.send(&packets.Publish{Topic: strings.Repeat("/", 65_000), Properties: &packets.Properties{}})
	r.expectDisconnect(0x90)
}

// TestSubscriptionLimits: what a client has beyond the limits is refused, and comes
// free by UNSUBSCRIBE.
func TestSubscriptionLimits(t *testing.T) {
	t.Parallel()
	src := open(t, broker.Config{Limits: broker.Limits{Subscriptions: 2, SubscriptionsTotal: 3}})
	subscribe := func(r *raw, want []byte, filters ...string) {
		t.Helper()
		_, err := r.nc.Write(subscribePacket(filters))
		require.NoError(t, err)
		require.Equal(t, want, r.expect(packets.SUBACK).Content.(*packets.Suback).Reasons)
	}
	a, b := connectRaw(t, src, "a", true), connectRaw(t, src, "b", true)
	subscribe(a, []byte{1, 1, 0x97, 1}, "1", "2", "3", "1")
	subscribe(a, []byte{1}, "2") // again
	subscribe(b, []byte{1, 0x97}, "1", "2")
	require.Equal(t, 3, src.Stats().Subscriptions)
	a.send(&packets.Unsubscribe{PacketID: 1, Topics: []string{"1"}, Properties: &packets.Properties{}})
	a.expect(packets.UNSUBACK)
	subscribe(b, []byte{1}, "2")
	a.drop()
	require.Eventually(t, func() bool { return src.Stats().Subscriptions == 2 }, patience, time.Millisecond)
	src = open(t, broker.Config{Limits: broker.Limits{Subscriptions: 3}})
	long := "1/2/3/4/5" // counts twice
	c, d := connectRaw(t, src, "c", true), connectRaw(t, src, "d", true)
	subscribe(c, []byte{1, 1, 1, 0x97}, long, "1/2/3/4", long, "a")
	c.send(&packets.Unsubscribe{PacketID: 1, Topics: []string{long}, Properties: &packets.Properties{}})
	c.expect(packets.UNSUBACK)
	subscribe(c, []byte{1, 1, 0x97}, "a", "b", "c")
	subscribe(d, []byte{1, 0x97}, strings.Repeat("/", 50), "a") // alone
}

// TestSessionLimit: clients that have no session are refused when there are too
// many; those that have one, and those after others have ended, are not.
func TestSessionLimit(t *testing.T) {
	t.Parallel()
	src := open(t, broker.Config{Limits: broker.Limits{Sessions: 2}})
	a := connectRaw(t, src, "a", false)
	connectRaw(t, src, "b", true)
	a.drop()
	r := dialRaw(t, src)
	r.send(connectPacket("c", true))
	require.Equal(t, byte(0x97), r.expect(packets.CONNACK).Content.(*packets.Connack).ReasonCode)
	r.expectEnd()
	old := dialRaw(t, src)
	_, err := old.nc.Write([]byte("\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01c"))
	require.NoError(t, err)
	got, err := io.ReadAll(old.r)
	require.NoError(t, err)
	require.Equal(t, "\x20\x02\x00\x03", string(got))
	require.Equal(t, map[string]int64{"sessions": 2}, src.Stats().RejectedBy)
	require.Equal(t, 2, src.Stats().Sessions)

	a = connectRaw(t, src, "a", false)
	zero := uint32(0)
	a.send(&packets.Disconnect{Properties: &packets.Properties{SessionExpiryInterval: &zero}})
	a.expectEnd()
	require.Eventually(t, func() bool { return src.Stats().Sessions == 1 }, patience, time.Millisecond)
	connectRaw(t, src, "c", true)
}

// TestUnreleasedOfOldClients: clients before MQTT 5 have a limit of QoS 2 messages
// that they do not release.
func TestUnreleasedOfOldClients(t *testing.T) {
	t.Parallel()
	src := open(t, broker.Config{Limits: broker.Limits{Unreleased: 5}})
	drain(t, src)
	r := dialRaw(t, src)
	_, err := r.nc.Write([]byte("\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01c"))
	require.NoError(t, err)
	_, err = io.ReadFull(r.r, make([]byte, 4))
	require.NoError(t, err)
	for id := range byte(6) {
		_, err := r.nc.Write([]byte{0x34, 6, 0, 1, 't', 0, id + 1, 'x'})
		require.NoError(t, err)
		if id < 5 {
			_, err = io.ReadFull(r.r, make([]byte, 4))
			require.NoError(t, err)
		}
	}
	r.expectEnd()
}

// wordBytes is the size of what most of a structure consists of.
const wordBytes = strconv.IntSize / 8

// TestSubscribersBytes: many sessions that get the same small messages have a limit
// together, and a message that waits for all of them counts once.
func TestSubscribersBytes(t *testing.T) {
	t.Parallel()
	const sessions = 50
	src := open(t, broker.Config{Limits: broker.Limits{SubscribersBytes: 200_000}})
	drain(t, src)
	for i := range sessions {
		r := connectRaw(t, src, fmt.Sprint("sub-", i), false)
		r.subscribe("#", 1)
		r.drop()
	}
	require.Eventually(t, func() bool { return src.Stats().Connections == 0 }, patience, time.Millisecond)
	pub := connectRaw(t, src, "pub", true)
	pub.say("t", strings.Repeat("x", 100_000), false)
	require.Eventually(t, func() bool { return src.Stats().OutboxBytes > 100_000+sessions*8*wordBytes }, patience, time.Millisecond)
	require.Equal(t, 1, src.Stats().OutboxMessages)
	require.Zero(t, src.Stats().Undelivered)
	require.Less(t, src.Stats().OutboxBytes, 150_000)
	for range 100 {
		pub.say("t", "x", false)
	}
	require.Eventually(t, func() bool { return src.Stats().Undelivered > 1000 }, patience, time.Millisecond)
	st := src.Stats()
	require.LessOrEqual(t, st.OutboxBytes, 200_000)
	require.Equal(t, st.Undelivered, st.UndeliveredBy["queue_full"])
	for i := range sessions {
		connectRaw(t, src, fmt.Sprint("sub-", i), true)
	}
	require.Zero(t, src.Stats().OutboxBytes)
	require.Zero(t, src.Stats().OutboxMessages)
}
