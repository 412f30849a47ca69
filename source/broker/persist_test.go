package broker_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/eclipse/paho.golang/packets"
	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/source/broker"
)

// memoryStore is a Store whose contents a test can take away, as a crash does.
type memoryStore struct {
	mu      sync.Mutex
	entries map[string]string
	fail    error
	applied chan struct{} // if not nil, it gets something for each Apply
}

func (s *memoryStore) Load(f func(string, []byte) error) error {
	for _, k := range slices.Sorted(maps.Keys(s.entries)) {
		if err := f(k, []byte(s.entries[k])); err != nil {
			return err
		}
	}
	return nil
}

func (s *memoryStore) Apply(changes []broker.Change) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.applied != nil {
		s.applied <- struct{}{}
	}
	if s.fail != nil {
		return s.fail
	}
	if s.entries == nil {
		s.entries = make(map[string]string)
	}
	for _, c := range changes {
		if c.Value == nil {
			delete(s.entries, c.Key)
		} else {
			s.entries[c.Key] = string(c.Value)
		}
	}
	return nil
}

func (s *memoryStore) Close() error { return nil }

// crash returns what a process that is killed now leaves behind.
func (s *memoryStore) crash() *memoryStore {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &memoryStore{entries: maps.Clone(s.entries)}
}

// TestAcknowledgedMeansStored: at the moment that a publisher has its
// acknowledgement, and a subscriber its SUBACK, a crash does not lose what they
// rely on.
func TestAcknowledgedMeansStored(t *testing.T) {
	t.Parallel()
	store := new(memoryStore)
	src := open(t, broker.Config{Store: store})
	drain(t, src)
	sub := connectRaw(t, src, "sub", false)
	sub.send(&packets.Subscribe{PacketID: 1, Subscriptions: []packets.SubOptions{{Topic: "t", QoS: 2}, {Topic: "never", QoS: 1}}, Properties: &packets.Properties{}})
	sub.expect(packets.SUBACK)
	sub.drop()
	pub := connectRaw(t, src, "pub", true)
	for n := range 20 {
		pub.publish(uint16(n+1), 1, fmt.Sprint(n))
		pub.expectPuback(uint16(n+1), 0)

		after := open(t, broker.Config{Store: store.crash()})
		sub := connectRaw(t, after, "sub", false)
		for i := range n + 1 {
			require.Equal(t, fmt.Sprint(i), string(sub.expect(packets.PUBLISH).Content.(*packets.Publish).Payload))
		}
		sub.pong()
	}
}

// TestLongTopics: topics may be longer than what a store takes as a key, and differ
// in their last characters only.
func TestLongTopics(t *testing.T) {
	t.Parallel()
	store := new(memoryStore)
	src := open(t, broker.Config{Store: store})
	drain(t, src)
	pub := connectRaw(t, src, "pub", true)
	long := "long/" + strings.Repeat("topic", 13_000) + "/"
	for i, topic := range []string{long + "a", long + "b", long + "c", long + "b"} {
		payload := []byte(topic[len(long):])
		if i == 3 {
			payload = nil // takes b back
		}
		pub.send(&packets.Publish{Topic: topic, PacketID: uint16(i + 1), QoS: 1, Retain: true, Payload: payload, Properties: &packets.Properties{}})
		pub.expectPuback(uint16(i+1), 0)
	}
	for key := range store.crash().entries {
		require.LessOrEqual(t, len(key), 1<<10)
	}

	after := open(t, broker.Config{Store: store.crash()})
	sub := connectRaw(t, after, "sub", true)
	sub.send(&packets.Subscribe{PacketID: 1, Subscriptions: []packets.SubOptions{{Topic: "long/#", QoS: 1}}, Properties: &packets.Properties{}})
	sub.expect(packets.SUBACK)
	for _, want := range []string{"a", "c"} {
		got := sub.expect(packets.PUBLISH).Content.(*packets.Publish)
		require.Equal(t, long+want, got.Topic)
		require.Equal(t, want, string(got.Payload))
	}
	sub.pong()
}

// TestSessionsOutliveTheProcess: subscriptions with their options, messages in all
// states of QoS 1 and 2 in both directions, and retained messages.
func TestSessionsOutliveTheProcess(t *testing.T) {
	t.Parallel()
	store := new(memoryStore)
	src := open(t, broker.Config{Store: store})
	sub := connectRaw(t, src, "sub", false)
	id := 7
	sub.send(&packets.Subscribe{
		PacketID: 1, Subscriptions: []packets.SubOptions{{Topic: "t", QoS: 2, RetainAsPublished: true}},
		Properties: &packets.Properties{SubscriptionIdentifier: &id},
	})
	sub.expect(packets.SUBACK)
	pub := connectRaw(t, src, "pub", false)
	expiry, format := uint32(3600), byte(1)
	props := &packets.Properties{
		MessageExpiry: &expiry, PayloadFormat: &format, ContentType: "text", ResponseTopic: "re",
		CorrelationData: []byte("c"), User: []packets.User{{Key: "k", Value: "1"}, {Key: "k", Value: "2"}},
	}
	for n, qos := range []byte{1, 1, 2, 2, 2} {
		pub.send(&packets.Publish{Topic: "t", PacketID: uint16(n + 1), QoS: qos, Retain: n == 4, Payload: fmt.Append(nil, n), Properties: props})
		read(t, src, 1)[0].Delivery.Done(bridge.Stored, nil)
		pub.next() // no PUBREL, so that the broker keeps the identifier
	}
	got := make([]*packets.Publish, 5)
	for n := range got {
		got[n] = sub.expect(packets.PUBLISH).Content.(*packets.Publish)
	}
	// 0 is done, 1 not acknowledged, 2 done, 3 received and not released, 4 open.
	sub.send(&packets.Puback{PacketID: got[0].PacketID, Properties: &packets.Properties{}})
	for _, n := range []int{2, 3} {
		sub.send(&packets.Pubrec{PacketID: got[n].PacketID, Properties: &packets.Properties{}})
		sub.expect(packets.PUBREL)
	}
	sub.send(&packets.Pubcomp{PacketID: got[2].PacketID, Properties: &packets.Properties{}})
	sub.pong()
	closeSource(t, src)

	src = open(t, broker.Config{Store: store.crash()})
	sub = dialRaw(t, src)
	sub.send(connectPacket("sub", false))
	require.True(t, sub.expect(packets.CONNACK).Content.(*packets.Connack).SessionPresent)
	one := sub.expect(packets.PUBLISH).Content.(*packets.Publish)
	require.Equal(t, "1", string(one.Payload))
	require.True(t, one.Duplicate)
	require.Equal(t, got[3].PacketID, sub.expect(packets.PUBREL).Content.(*packets.Pubrel).PacketID)
	four := sub.expect(packets.PUBLISH).Content.(*packets.Publish)
	require.Equal(t, got[4].PacketID, four.PacketID, "a client knows a QoS 2 message by it")
	require.Equal(t, "4", string(four.Payload))
	require.True(t, four.Retain)
	require.LessOrEqual(t, *four.Properties.MessageExpiry, expiry)
	four.Properties.MessageExpiry = &expiry
	require.Equal(t, &id, four.Properties.SubscriptionIdentifier)
	four.Properties.SubscriptionIdentifier = nil
	require.Equal(t, props, four.Properties)
	sub.pong()

	pub = connectRaw(t, src, "pub", false)
	pub.publish(5, 2, "4") // settled by the earlier process
	pub.expectPubrec(5)
	require.Zero(t, src.Stats().Received)
	pub.send(&packets.Pubrel{PacketID: 5, Properties: &packets.Properties{}})
	pub.expect(packets.PUBCOMP)
	pub.publish(5, 2, "new")
	require.Equal(t, "new", string(read(t, src, 1)[0].Payload))
	require.Equal(t, "new", string(sub.expect(packets.PUBLISH).Content.(*packets.Publish).Payload), "the subscription is there")

	other := connectRaw(t, src, "other", true)
	other.send(&packets.Subscribe{PacketID: 1, Subscriptions: []packets.SubOptions{{Topic: "#", QoS: 1}}, Properties: &packets.Properties{}})
	other.expect(packets.SUBACK)
	kept := other.expect(packets.PUBLISH).Content.(*packets.Publish)
	require.Equal(t, "4", string(kept.Payload))
	require.True(t, kept.Retain)
}

// TestNothingIsLeftInTheStore of sessions that have ended, messages that are
// acknowledged, and retained messages that are taken back.
func TestNothingIsLeftInTheStore(t *testing.T) {
	t.Parallel()
	store := new(memoryStore)
	src := open(t, broker.Config{Store: store})
	drain(t, src)
	r := connectRaw(t, src, "c", false)
	r.send(&packets.Subscribe{PacketID: 1, Subscriptions: []packets.SubOptions{{Topic: "t", QoS: 1}}, Properties: &packets.Properties{}})
	r.expect(packets.SUBACK)
	pub := connectRaw(t, src, "pub", false)
	for _, payload := range []string{"x", ""} {
		pub.send(&packets.Publish{Topic: "t", PacketID: 1, QoS: 1, Retain: true, Payload: []byte(payload), Properties: &packets.Properties{}})
		pub.expectPuback(1, 0)
		r.expect(packets.PUBLISH)
	}
	require.Len(t, store.crash().entries, 5, "two sessions, a subscription, two messages")
	connectRaw(t, src, "pub", true)
	connectRaw(t, src, "c", true)
	closeSource(t, src)
	require.Empty(t, store.entries)
}

// TestStoreThatFails holds publishers back until it works again, and nothing is
// lost then.
func TestStoreThatFails(t *testing.T) {
	t.Parallel()
	store := &memoryStore{applied: make(chan struct{}, 1000)}
	src := open(t, broker.Config{Store: store})
	drain(t, src)
	sub := connectRaw(t, src, "sub", false)
	sub.send(&packets.Subscribe{PacketID: 1, Subscriptions: []packets.SubOptions{{Topic: "t", QoS: 1}}, Properties: &packets.Properties{}})
	sub.expect(packets.SUBACK)
	sub.drop()
	store.mu.Lock()
	store.fail = errors.New("no space left")
	for len(store.applied) > 0 {
		<-store.applied
	}
	store.mu.Unlock()
	pub := connectRaw(t, src, "pub", true)
	pub.publish(1, 1, "a")
	receive(t, store.applied)
	receive(t, store.applied) // tried again
	pub.publish(2, 1, "b")
	pub.pong()
	store.mu.Lock()
	store.fail = nil
	store.mu.Unlock()
	pub.expectPuback(1, 0)
	pub.expectPuback(2, 0)
	after := open(t, broker.Config{Store: store.crash()})
	sub = connectRaw(t, after, "sub", false)
	require.Equal(t, "a", string(sub.expect(packets.PUBLISH).Content.(*packets.Publish).Payload))
	require.Equal(t, "b", string(sub.expect(packets.PUBLISH).Content.(*packets.Publish).Payload))
}

func TestDamagedStore(t *testing.T) {
	t.Parallel()
	for key, value := range map[string]string{
		"session/0000000000000001":              "{",
		"session/x":                             "{}",
		"retained/t":                            "",
		"out/0000000000000001/0000000000000001": "x",
		"in/0000000000000001/x":                 "",
		"something":                             "",
	} {
		store := &memoryStore{entries: map[string]string{
			"session/0000000000000001": `{"client":"c","expiry":3600000000000}`, key: value,
		}}
		src, err := broker.New(broker.Config{Listeners: []broker.Listener{{URL: "mqtt://127.0.0.1:0"}}, Store: store, Logger: quiet()})
		require.NoError(t, err)
		require.ErrorContains(t, src.Open(t.Context()), key)
		require.NoError(t, src.Close(t.Context()))
	}
}
