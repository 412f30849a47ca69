package broker_test

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/bridge/bridgetest"
	"github.com/sluiceio/sluice/sink/republish"
	"github.com/sluiceio/sluice/source/broker"
)

func TestPublish(t *testing.T) {
	t.Parallel()
	src := open(t, broker.Config{})
	sub := connect(t, src, "sub")
	sub.subscribe("t/#", 2)
	format, expiry := byte(1), uint32(60)
	payload := []byte("x")
	require.NoError(t, src.Publish(t.Context(), &bridge.Message{
		Topic: "t/1", Payload: payload, QoS: 2, Retain: true, ClientID: "rule",
		Props: &bridge.Properties{
			PayloadFormat: &format, MessageExpiry: &expiry, ContentType: "text", ResponseTopic: "re",
			CorrelationData: []byte("c"), User: []bridge.UserProperty{{Key: "k", Value: "v"}},
		},
	}))
	payload[0] = '!' // the caller's again
	p := receive(t, sub.got)
	require.Equal(t, "x", string(p.Payload))
	require.Equal(t, byte(2), p.QoS)
	require.Equal(t, "text", p.Properties.ContentType)
	require.Equal(t, "re", p.Properties.ResponseTopic)
	require.Equal(t, "c", string(p.Properties.CorrelationData))
	require.Equal(t, format, *p.Properties.PayloadFormat)
	require.LessOrEqual(t, *p.Properties.MessageExpiry, expiry)
	require.Equal(t, "v", p.Properties.User.Get("k"))

	late := connect(t, src, "late")
	late.subscribe("t/1", 1)
	require.True(t, receive(t, late.got).Retain)
	require.Zero(t, src.Stats().Received, "no rule sees it")

	for _, m := range []bridge.Message{{Topic: "t/#"}, {Topic: "$SYS/x"}, {Topic: "$events/client/connected"}, {Topic: "t", QoS: 3}} {
		require.ErrorIs(t, src.Publish(t.Context(), &m), bridge.ErrPermanent, m.Topic)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, src.Publish(ctx, &bridge.Message{Topic: "t"}), context.Canceled)
	closeSource(t, src)
	require.Error(t, src.Publish(t.Context(), &bridge.Message{Topic: "t"}))
}

// TestPublishNeverWaits for the queue, which nobody reads here.
func TestPublishNeverWaits(t *testing.T) {
	t.Parallel()
	src := open(t, broker.Config{QueueMessages: 2, ReadPublished: true, Events: []string{"$events/message/dropped"}})
	r := connectRaw(t, src, "c", true)
	for range 5 {
		r.publish(0, 0, "outside")
	}
	require.Eventually(t, func() bool { return src.Stats().QueueMessages == 2 }, patience, time.Millisecond)
	var err error
	n := 0
	for ; err == nil; n++ {
		err = src.Publish(t.Context(), &bridge.Message{Topic: "t", Payload: []byte("inside")})
	}
	require.ErrorIs(t, err, bridge.ErrThrottled)
	require.Greater(t, n, 100, "some room is set aside")
	for outside := 0; outside < 5; {
		if m := read(t, src, 1)[0]; m.Event == "" && string(m.Payload) == "outside" {
			outside++
		}
	}
}

func TestPublishWaitsForTheStore(t *testing.T) {
	t.Parallel()
	store := new(memoryStore)
	src := open(t, broker.Config{Store: store})
	r := connectRaw(t, src, "sub", false)
	r.send(&packets.Subscribe{PacketID: 1, Subscriptions: []packets.SubOptions{{Topic: "t", QoS: 1}}, Properties: &packets.Properties{}})
	r.expect(packets.SUBACK)
	require.NoError(t, src.Publish(t.Context(), &bridge.Message{Topic: "t", QoS: 1, Payload: []byte("precious")}))
	found := false
	for _, v := range store.crash().entries {
		found = found || bytes.Contains([]byte(v), []byte("precious"))
	}
	require.True(t, found)
}

// TestRulesOfPublishedMessages: a rule publishes into the broker that it reads, and
// another rule applies to that; the first one passes over what it made itself.
func TestRulesOfPublishedMessages(t *testing.T) {
	t.Parallel()
	src, err := broker.New(broker.Config{Listeners: []broker.Listener{{URL: "mqtt://127.0.0.1:0"}}, ReadPublished: true, QueueMessages: 1, Logger: quiet()})
	require.NoError(t, err)
	require.NoError(t, src.Open(t.Context()))
	again, err := republish.New(republish.Config{Publisher: into(src)})
	require.NoError(t, err)
	store := new(bridgetest.Sink)
	action := func(sink, dest string) func(*bridge.Out, *bridge.Message) error {
		return func(out *bridge.Out, m *bridge.Message) error {
			out.Add(bridge.Record{Sink: sink, Rule: sink, Dest: dest, Data: m.Payload})
			return nil
		}
	}
	p, err := bridge.New(bridge.Config{
		Sources: map[string]bridge.Source{"broker": src},
		Rules: map[string]bridge.Rule{
			"again": republish.Guard("again", bridge.RuleFunc(action("again", "t/again"), "t/#")),
			"store": bridge.RuleFunc(action("store", "records"), "t/again"),
		},
		Sinks:  map[string]bridge.Sink{"again": again, "store": store},
		Logger: quiet(),
	})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- p.Run(ctx) }()
	const n = 500
	r := connectRaw(t, src, "device", true)
	go func() {
		for i := range n {
			_, _ = (&packets.Publish{Topic: "t/1", PacketID: uint16(i + 1), QoS: 1, Payload: fmt.Append(nil, i), Properties: &packets.Properties{}}).WriteTo(r.nc)
		}
	}()
	for range n {
		r.expect(packets.PUBACK)
	}
	require.Eventually(t, func() bool { return len(store.Records()) >= n }, patience, time.Millisecond)
	cancel()
	require.NoError(t, receive(t, ran))
	require.Len(t, store.Records(), n)
}

// into is a Publisher of package republish that publishes into a broker.
func into(src *broker.Source) republish.Publisher {
	return republish.PublisherFunc(func(ctx context.Context, m *republish.Message) error {
		return src.Publish(ctx, &bridge.Message{Topic: m.Topic, Payload: m.Payload, QoS: m.QoS, Retain: m.Retain, Props: m.Props})
	})
}

// A sink that publishes what rules make into the broker whose messages they read.
func ExampleSource_Publish() {
	src, err := broker.New(broker.Config{Listeners: []broker.Listener{{URL: "mqtt://127.0.0.1:0"}}, Logger: quiet()})
	if err != nil {
		fmt.Println(err)
		return
	}
	sink, err := republish.New(republish.Config{
		Publisher: republish.PublisherFunc(func(ctx context.Context, m *republish.Message) error {
			return src.Publish(ctx, &bridge.Message{Topic: m.Topic, Payload: m.Payload, QoS: m.QoS, Retain: m.Retain, Props: m.Props})
		}),
	})
	fmt.Println(sink != nil, err)
	// Output: true <nil>
}
