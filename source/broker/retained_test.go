package broker_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/source/broker"
)

// retain opens a broker with retained messages "0", "1", … below "r/".
func retain(t *testing.T, cfg broker.Config, n int) (src *broker.Source, pub *raw) {
	t.Helper()
	src = open(t, cfg)
	drain(t, src)
	pub = connectRaw(t, src, "pub", true)
	for i := range n {
		pub.say(fmt.Sprint("r/", i), fmt.Sprint(i), true)
	}
	return src, pub
}

// window connects a client with a persistent session that takes one message at a
// time.
func window(t *testing.T, src *broker.Source, id string) *raw {
	t.Helper()
	one := uint16(1)
	cp := connectPacket(id, false)
	cp.Properties.ReceiveMaximum = &one
	r, _ := enter(t, src, cp)
	return r
}

// TestRetainedBeforeLater: what is published after the SUBACK comes behind the
// retained messages, a retained message that was replaced meanwhile comes once, and
// a connection in between changes nothing.
func TestRetainedBeforeLater(t *testing.T) {
	t.Parallel()
	const n = 300 // several steps of a scan
	src, pub := retain(t, broker.Config{}, n)
	sub := window(t, src, "sub")
	sub.subscribe("r/#", 1)
	pub.say(fmt.Sprint("r/", n-1), "new", true)
	pub.say("r/x", "live", false)
	for i := range n - 1 {
		if i%100 == 50 {
			sub.drop()
			sub = window(t, src, "sub")
		}
		sub.hear(fmt.Sprint(i))
	}
	sub.hear("new")
	sub.hear("live")
	sub.pong()
	require.Zero(t, src.Stats().Undelivered)
}

// gatedStore is a store that applies nothing while the gate is locked.
type gatedStore struct {
	memoryStore
	gate sync.Mutex
}

func (s *gatedStore) Apply(changes []broker.Change) error {
	s.gate.Lock()
	defer s.gate.Unlock()
	return s.memoryStore.Apply(changes)
}

// TestPublishedDuringSubscribe: what is published while a SUBSCRIBE is under way
// comes behind the SUBACK and the retained messages.
func TestPublishedDuringSubscribe(t *testing.T) {
	t.Parallel()
	store := new(gatedStore)
	src, pub := retain(t, broker.Config{Store: store}, 1)
	sub := connectRaw(t, src, "sub", false)
	sub.pong()
	store.gate.Lock()
	_, err := sub.nc.Write(subscribePacket([]string{"r/#"}))
	require.NoError(t, err)
	require.Eventually(t, func() bool { return src.Stats().Subscriptions == 1 }, patience, time.Millisecond)
	pub.send(&packets.Publish{Topic: "r/x", Payload: []byte("live"), Properties: &packets.Properties{}})
	pub.pong()
	store.gate.Unlock()
	sub.expect(packets.SUBACK)
	sub.hear("0")
	sub.hear("live")
}

// TestRetainedBehindALimit: retained messages that the client does not acknowledge
// wait for it, whatever comes behind them.
func TestRetainedBehindALimit(t *testing.T) {
	t.Parallel()
	const n = 200
	src, pub := retain(t, broker.Config{Limits: broker.Limits{SubscriberInflight: 200, SubscriberBytes: 100_000}}, n)
	sub := connectRaw(t, src, "sub", false)
	sub.subscribe("#", 1)
	first := sub.expect(packets.PUBLISH).Content.(*packets.Publish)
	for range 50 { // more than there is room for
		pub.say("live", strings.Repeat("x", 1000), false)
	}
	require.LessOrEqual(t, src.Stats().OutboxMessages, 200)
	sub.send(&packets.Puback{PacketID: first.PacketID, Properties: &packets.Properties{}})
	for i := 1; i < n; i++ {
		sub.hear(fmt.Sprint(i))
	}
	sub.hear(strings.Repeat("x", 1000)) // as many as there was room for
}

// TestRetainedOnce: several new subscriptions that a retained message matches bring
// it once, with the highest QoS and all their identifiers.
func TestRetainedOnce(t *testing.T) {
	t.Parallel()
	src, _ := retain(t, broker.Config{}, 1)
	sub := connectRaw(t, src, "sub", true)
	id := 7
	sub.send(&packets.Subscribe{
		PacketID: 1, Subscriptions: []packets.SubOptions{{Topic: "r/0"}, {Topic: "r/+", QoS: 1}, {Topic: "#", QoS: 1}, {Topic: "x"}},
		Properties: &packets.Properties{SubscriptionIdentifier: &id},
	})
	sub.expect(packets.SUBACK)
	p := sub.expect(packets.PUBLISH).Content.(*packets.Publish)
	require.Equal(t, byte(1), p.QoS)
	require.True(t, p.Retain)
	sub.pong()
	sub.subscribe("r/0", 1) // again
	sub.hear("0")
	sub.pong()
}

// TestUnsubscribedWhileScanning: no more retained messages come.
func TestUnsubscribedWhileScanning(t *testing.T) {
	t.Parallel()
	const n = 300
	src, pub := retain(t, broker.Config{}, n)
	sub := window(t, src, "sub")
	sub.subscribe("end", 1)
	sub.subscribe("r/#", 1)
	sub.hear("0")
	first := sub.expect(packets.PUBLISH).Content.(*packets.Publish)
	sub.send(&packets.Unsubscribe{PacketID: 2, Topics: []string{"r/#"}, Properties: &packets.Properties{}})
	sub.expect(packets.UNSUBACK)
	pub.say("end", "end", false)
	sub.send(&packets.Puback{PacketID: first.PacketID, Properties: &packets.Properties{}})
	for got := 2; ; got++ { // what was taken already still comes
		p := sub.expect(packets.PUBLISH).Content.(*packets.Publish)
		sub.send(&packets.Puback{PacketID: p.PacketID, Properties: &packets.Properties{}})
		if p.Topic == "end" {
			break
		}
		require.Less(t, got, n/2)
	}
	sub.pong()
}

// TestRetainedAfterACrash: a subscriber that has its SUBACK gets the retained
// messages although the process dies before they are sent.
func TestRetainedAfterACrash(t *testing.T) {
	t.Parallel()
	const n = 200
	store := new(memoryStore)
	src, _ := retain(t, broker.Config{Store: store}, n)
	sub := window(t, src, "sub")
	sub.subscribe("r/#", 1)
	left := store.crash()

	after := open(t, broker.Config{Store: left})
	drain(t, after)
	sub = window(t, after, "sub")
	seen := make(map[string]bool)
	for len(seen) < n {
		p := sub.expect(packets.PUBLISH).Content.(*packets.Publish)
		seen[string(p.Payload)] = true
		sub.send(&packets.Puback{PacketID: p.PacketID, Properties: &packets.Properties{}})
	}
	require.Len(t, seen, n)
}
