package broker_test

import (
	"fmt"
	"testing"

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
