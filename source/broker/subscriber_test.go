package broker_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"
	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/source/broker"
)

func TestOrdinarySubscribers(t *testing.T) {
	t.Parallel()
	src := open(t, broker.Config{})
	drain(t, src)
	pub, sub := connect(t, src, "pub"), connect(t, src, "sub")
	sub.subscribe("a/+", 2)
	shared := connect(t, src, "shared")
	shared.subscribe("$share/g/a/#", 1)
	for qos := range byte(3) {
		payload := fmt.Sprint("qos ", qos)
		pub.publish("a/b", qos, payload)
		m := receive(t, sub.got)
		require.Equal(t, payload, string(m.Payload))
		require.Equal(t, qos, m.QoS)
		require.Equal(t, payload, string(receive(t, shared.got).Payload))
	}
	_, err := sub.Unsubscribe(t.Context(), &paho.Unsubscribe{Topics: []string{"a/+"}})
	require.NoError(t, err)
	pub.publish("a/b", 1, "unheard")
	receive(t, shared.got)
	require.Empty(t, sub.got)
}

func TestRetainedMessages(t *testing.T) {
	t.Parallel()
	src := open(t, broker.Config{})
	drain(t, src)
	pub := connect(t, src, "pub")
	for _, payload := range []string{"old", "new"} {
		_, err := pub.Publish(t.Context(), &paho.Publish{Topic: "r/1", QoS: 1, Retain: true, Payload: []byte(payload)})
		require.NoError(t, err)
	}
	sub := connect(t, src, "sub")
	sub.subscribe("r/#", 1)
	m := receive(t, sub.got)
	require.Equal(t, "new", string(m.Payload))
	require.True(t, m.Retain)
}

func TestNoLocal(t *testing.T) {
	t.Parallel()
	src := open(t, broker.Config{})
	drain(t, src)
	c, other := connect(t, src, "c"), connect(t, src, "other")
	_, err := c.Subscribe(t.Context(), &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: "#", QoS: 1, NoLocal: true}}})
	require.NoError(t, err)
	c.publish("t", 1, "own")
	other.publish("t", 1, "other's")
	require.Equal(t, "other's", string(receive(t, c.got).Payload))
}

// TestSlowSubscriberWithSmallWindow: the server itself sends a few of these out
// of order and then stalls.
func TestSlowSubscriberWithSmallWindow(t *testing.T) {
	t.Parallel()
	const n, window = 2000, 10
	src := open(t, broker.Config{})
	drain(t, src)
	sub := dialRaw(t, src)
	cp := connectPacket("sub", true)
	receiveMaximum := uint16(window)
	cp.Properties.ReceiveMaximum = &receiveMaximum
	sub.send(cp)
	sub.expect(packets.CONNACK)
	sub.send(&packets.Subscribe{PacketID: 1, Subscriptions: []packets.SubOptions{{Topic: "#", QoS: 2}}, Properties: &packets.Properties{}})
	sub.expect(packets.SUBACK)

	pub := connect(t, src, "pub")
	done := make(chan error, 1)
	go func() {
		for i := range n {
			if _, err := pub.Publish(t.Context(), &paho.Publish{Topic: "t", QoS: byte(1 + i%2), Payload: fmt.Append(nil, i)}); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	var open []*packets.Publish // not acknowledged
	for i := 0; i < n; {
		if len(open) == window || i+len(open) == n { // nothing more may come
			if i+len(open) < n {
				sub.pong()
			}
			p := open[0]
			open = open[1:]
			i++
			if p.QoS == 1 {
				sub.send(&packets.Puback{PacketID: p.PacketID, Properties: &packets.Properties{}})
				continue
			}
			sub.send(&packets.Pubrec{PacketID: p.PacketID, Properties: &packets.Properties{}})
			for {
				cp := sub.next()
				if cp.Type == packets.PUBREL {
					break
				}
				open = append(open, cp.Content.(*packets.Publish))
			}
			sub.send(&packets.Pubcomp{PacketID: p.PacketID, Properties: &packets.Properties{}})
			continue
		}
		p := sub.expect(packets.PUBLISH).Content.(*packets.Publish)
		require.Equal(t, fmt.Sprint(i+len(open)), string(p.Payload))
		open = append(open, p)
	}
	require.NoError(t, receive(t, done))
}

// TestResumedSessionKeepsOrder: what a subscriber missed comes in order, and so
// does what it had got and not acknowledged.
func TestResumedSessionKeepsOrder(t *testing.T) {
	t.Parallel()
	const n = 300
	src := open(t, broker.Config{})
	drain(t, src)
	sub := connectRaw(t, src, "sub", false)
	sub.send(&packets.Subscribe{PacketID: 1, Subscriptions: []packets.SubOptions{{Topic: "#", QoS: 1}}, Properties: &packets.Properties{}})
	sub.expect(packets.SUBACK)
	pub := connect(t, src, "pub")
	for i := range n {
		if i == n/2 {
			sub.expect(packets.PUBLISH)
			sub.drop()
		}
		pub.publish("t", 1, fmt.Sprint(i))
	}
	for range 2 { // twice: the first time nothing is acknowledged
		sub = connectRaw(t, src, "sub", false)
		for i := range n {
			p := sub.expect(packets.PUBLISH).Content.(*packets.Publish)
			require.Equal(t, fmt.Sprint(i), string(p.Payload))
		}
		sub.drop()
	}
}

// TestClientThatPublishesAndSubscribes uses the same packet identifiers in both
// directions, which the server mixes up.
func TestClientThatPublishesAndSubscribes(t *testing.T) {
	t.Parallel()
	src := open(t, broker.Config{})
	drain(t, src)
	r := connectRaw(t, src, "c", false)
	r.send(&packets.Subscribe{PacketID: 9, Subscriptions: []packets.SubOptions{{Topic: "out", QoS: 1}}, Properties: &packets.Properties{}})
	r.expect(packets.SUBACK)
	pub := connect(t, src, "pub")
	pub.publish("out", 1, "precious")
	id := r.expect(packets.PUBLISH).Content.(*packets.Publish).PacketID
	for _, qos := range []byte{1, 2} {
		r.publish(id, qos, "x")
		r.next()
	}
	r.drop()
	r = connectRaw(t, src, "c", false)
	p := r.expect(packets.PUBLISH).Content.(*packets.Publish)
	require.Equal(t, "precious", string(p.Payload), "it was never acknowledged")
	require.True(t, p.Duplicate)
}

// TestFilters: "#" matches the parent level too, of subscriptions and of retained
// messages, and leading wildcards match no topic that starts with "$".
func TestFilters(t *testing.T) {
	t.Parallel()
	src := open(t, broker.Config{})
	drain(t, src)
	pub := connect(t, src, "pub")
	for _, topic := range []string{"a", "a/b", "$x", "$x/b"} {
		_, err := pub.Publish(t.Context(), &paho.Publish{Topic: topic, QoS: 1, Retain: true, Payload: []byte(topic)})
		require.NoError(t, err)
	}
	for filter, want := range map[string][]string{
		"#": {"a", "a/b"}, "+": {"a"}, "+/#": {"a", "a/b"}, "a/#": {"a", "a/b"}, "a/+": {"a/b"}, "a/+/#": {"a/b"},
		"+/b": {"a/b"}, "$x/#": {"$x", "$x/b"}, "$x": {"$x"},
	} {
		sub := connect(t, src, "sub "+filter)
		sub.subscribe(filter, 1)
		for _, topic := range want {
			require.Equal(t, topic, string(receive(t, sub.got).Payload), filter)
		}
		for _, topic := range []string{"a", "a/b", "$x", "$x/b"} {
			pub.publish(topic, 1, topic)
		}
		for _, topic := range want {
			require.Equal(t, topic, string(receive(t, sub.got).Payload), filter)
		}
		require.Empty(t, sub.got, filter)
	}
}

// TestUnsubscribingWhatOthersHave: the server counts that as one subscription less
// and stops looking for subscribers at none.
func TestUnsubscribingWhatOthersHave(t *testing.T) {
	t.Parallel()
	src := open(t, broker.Config{})
	drain(t, src)
	sub, other := connect(t, src, "sub"), connect(t, src, "other")
	sub.subscribe("t", 1)
	_, err := other.Unsubscribe(t.Context(), &paho.Unsubscribe{Topics: []string{"t"}})
	require.NoError(t, err)
	other.publish("t", 1, "x")
	require.Equal(t, "x", string(receive(t, sub.got).Payload))
}

// TestOverlappingSubscriptions: a client gets a message once, with the highest QoS
// and all identifiers.
func TestOverlappingSubscriptions(t *testing.T) {
	t.Parallel()
	src := open(t, broker.Config{})
	drain(t, src)
	sub := connectRaw(t, src, "sub", true)
	for id, filter := range []string{"", "a/b", "a/+", "#"} {
		if id > 0 {
			sub.send(&packets.Subscribe{
				PacketID: 1, Subscriptions: []packets.SubOptions{{Topic: filter, QoS: byte(id % 3)}},
				Properties: &packets.Properties{SubscriptionIdentifier: &id},
			})
			sub.expect(packets.SUBACK)
		}
	}
	connect(t, src, "pub").publish("a/b", 2, "x")
	p := sub.expect(packets.PUBLISH)
	require.Equal(t, byte(2), p.Content.(*packets.Publish).QoS)
	sub.pong()
}

// TestSharedSubscriptions: each message goes to one member of the group, those of a
// topic to the same as long as the members are the same, in order; members that are
// not connected get nothing while others are.
func TestSharedSubscriptions(t *testing.T) {
	t.Parallel()
	const topics, rounds = 40, 20
	src := open(t, broker.Config{Events: []string{"$events/client/disconnected"}})
	gone := connectRaw(t, src, "gone", false)
	gone.send(&packets.Subscribe{PacketID: 1, Subscriptions: []packets.SubOptions{{Topic: "$share/g/#", QoS: 1}}, Properties: &packets.Properties{}})
	gone.expect(packets.SUBACK)
	gone.send(&packets.Disconnect{Properties: &packets.Properties{}})
	readEvent(t, src, "$events/client/disconnected")
	drain(t, src)
	var members []*client
	for i := range 3 {
		m := connect(t, src, fmt.Sprint("member ", i))
		m.subscribe("$share/g/#", 1)
		members = append(members, m)
	}
	alone := connect(t, src, "alone")
	alone.subscribe("$share/h/#", 1)
	pub := connect(t, src, "pub")
	for round := range rounds {
		for i := range topics {
			pub.publish(fmt.Sprint("t/", i), 1, fmt.Sprint(round))
		}
	}
	owner, next, busy := make(map[string]int), make(map[string]int), make(map[int]bool)
	for range topics * rounds {
		receive(t, alone.got)
		var p *paho.Publish
		var who int
		select {
		case p = <-members[0].got:
		case p = <-members[1].got:
			who = 1
		case p = <-members[2].got:
			who = 2
		case <-time.After(patience):
			require.FailNow(t, "nothing arrived")
		}
		if first, known := owner[p.Topic]; known {
			require.Equal(t, first, who, p.Topic)
		}
		owner[p.Topic], busy[who] = who, true
		require.Equal(t, fmt.Sprint(next[p.Topic]), string(p.Payload), p.Topic)
		next[p.Topic]++
	}
	require.Len(t, busy, 3, "the members divide the work")
}

// TestUserPropertiesReachSubscribers that want no information about problems: the
// server would leave them out.
func TestUserPropertiesReachSubscribers(t *testing.T) {
	t.Parallel()
	src := open(t, broker.Config{})
	drain(t, src)
	sub := dialRaw(t, src)
	cp := connectPacket("sub", true)
	none := byte(0)
	cp.Properties.RequestProblemInfo = &none
	sub.send(cp)
	sub.expect(packets.CONNACK)
	sub.send(&packets.Subscribe{PacketID: 1, Subscriptions: []packets.SubOptions{{Topic: "t"}}, Properties: &packets.Properties{}})
	sub.expect(packets.SUBACK)
	user := []packets.User{{Key: "k", Value: "v"}}
	pub := connectRaw(t, src, "pub", true)
	pub.send(&packets.Publish{Topic: "t", Properties: &packets.Properties{User: user}})
	require.Equal(t, user, sub.expect(packets.PUBLISH).Content.(*packets.Publish).Properties.User)
}

// TestExpiredSessionLeavesNothing: its subscriptions end, and the client starts
// anew.
func TestExpiredSessionLeavesNothing(t *testing.T) {
	t.Parallel()
	src := open(t, broker.Config{EarlyAck: true, Events: []string{"$events/session/unsubscribed", "$events/message/dropped"}})
	r := dialRaw(t, src)
	cp := connectPacket("c", false)
	second := uint32(1)
	cp.Properties.SessionExpiryInterval = &second
	r.send(cp)
	r.expect(packets.CONNACK)
	r.send(&packets.Subscribe{PacketID: 1, Subscriptions: []packets.SubOptions{{Topic: "t", QoS: 1}}, Properties: &packets.Properties{}})
	r.expect(packets.SUBACK)
	r.drop()
	require.Equal(t, "t", readEvent(t, src, "$events/session/unsubscribed").Columns["topic"])
	connectRaw(t, src, "pub", true).publish(1, 1, "x")
	require.Equal(t, "no_subscribers", readEvent(t, src, "$events/message/dropped").Columns["reason"])
	r = dialRaw(t, src)
	r.send(connectPacket("c", false))
	require.False(t, r.expect(packets.CONNACK).Content.(*packets.Connack).SessionPresent)
}
