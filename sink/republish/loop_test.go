package republish_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/bridge/bridgetest"
	"github.com/sluiceio/sluice/sink/republish"
	"github.com/sluiceio/sluice/source/broker"
)

// circle runs rules whose sink publishes to their own source, until all has come
// to an end, and returns what was published.
func circle(t *testing.T, cfg republish.Config, first bridge.Message, rules map[string]bridge.Rule) ([]republish.Message, bridge.SinkStats) {
	t.Helper()
	src := new(bridgetest.Source)
	var published []republish.Message
	cfg.Concurrency, cfg.Logger = 1, quiet()
	cfg.Publisher = republish.PublisherFunc(func(_ context.Context, m *republish.Message) error {
		if len(published) == 1000 {
			return bridge.Permanent(fmt.Errorf("the test has seen enough"))
		}
		c := *m
		c.Payload = append([]byte(nil), m.Payload...)
		published = append(published, c)
		src.Publish(bridge.Message{Topic: c.Topic, Payload: c.Payload, Props: c.Props})
		return nil
	})
	sink, err := republish.New(cfg)
	require.NoError(t, err)
	dead := make(chan struct{}, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	p, err := bridge.New(bridge.Config{
		Sources: map[string]bridge.Source{"s": src},
		Rules:   rules,
		Sinks: map[string]bridge.Sink{"again": sink, "dead": bridge.SinkFunc(func(context.Context, *bridge.Batch) error {
			select {
			case dead <- struct{}{}:
			default:
			}
			return nil
		})},
		Queues: map[string]bridge.QueueConfig{"again": {Fallback: "dead", InFlight: 1}},
		Logger: quiet(),
	})
	require.NoError(t, err)
	src.Publish(first)
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	<-dead
	src.End()
	require.NoError(t, <-ended)
	return published, p.Stats().Sinks["again"]
}

// doubles is the rule SELECT payload FROM "t/#" with the payload twice.
func doubles(to, filter string) bridge.Rule {
	return bridge.RuleFunc(func(out *bridge.Out, m *bridge.Message) error {
		out.Add(bridge.Record{Sink: "again", Dest: to, Data: append(append([]byte(nil), m.Payload...), m.Payload...)})
		return nil
	}, filter)
}

func TestRuleThatFeedsItselfComesToAnEnd(t *testing.T) {
	t.Parallel()
	published, stats := circle(t, republish.Config{}, bridge.Message{Topic: "t/1", Payload: []byte("123456789012")},
		map[string]bridge.Rule{"echo": doubles("t/again", "t/#")})
	require.Len(t, published, republish.DefaultMaxHops)
	require.Len(t, published[len(published)-1].Payload, 12<<republish.DefaultMaxHops)
	require.EqualValues(t, 1, stats.Ended[bridge.DeadLettered])
}

func TestRulesThatFeedEachOtherComeToAnEnd(t *testing.T) {
	t.Parallel()
	published, _ := circle(t, republish.Config{MaxHops: 6}, bridge.Message{Topic: "a", Payload: []byte("1")},
		map[string]bridge.Rule{"ab": doubles("b", "a"), "ba": doubles("a", "b")})
	require.Len(t, published, 6)
}

func TestGrowthOfWhatComesBackIsBounded(t *testing.T) {
	t.Parallel()
	published, _ := circle(t, republish.Config{MaxHops: 30, MaxGrowth: 1000}, bridge.Message{Topic: "t/1", Payload: []byte("123456789012")},
		map[string]bridge.Rule{"echo": doubles("t/again", "t/#")})
	require.Len(t, published[len(published)-1].Payload, 768)
}

// A device that claims a count of its own gains nothing by it.
func TestHopsOfADeviceDoNotBeginAnew(t *testing.T) {
	t.Parallel()
	for _, claim := range []string{"0", "-1", "1e3", "", "99999999999999999999", "3"} {
		published, _ := circle(t, republish.Config{}, bridge.Message{
			Topic: "t/1", Payload: []byte("1"),
			Props: &bridge.Properties{User: []bridge.UserProperty{{Key: bridge.HopsProperty, Value: claim}}},
		}, map[string]bridge.Rule{"echo": doubles("t/again", "t/#")})
		require.LessOrEqual(t, len(published), republish.DefaultMaxHops, claim)
	}
}

// The count goes over the wire and comes back. With QoS 0, because this broker
// acknowledges a message when what was made of it is acknowledged, which here is
// the next one on the same connection.
func TestLoopThroughABrokerComesToAnEnd(t *testing.T) {
	src, err := broker.New(broker.Config{Listeners: []broker.Listener{{URL: "mqtt://127.0.0.1:0"}}, Logger: quiet()})
	require.NoError(t, err)
	require.NoError(t, src.Open(t.Context()))
	client, err := republish.NewClient(republish.ClientConfig{Brokers: []string{"mqtt://" + src.Addr().String()}, Logger: quiet()})
	require.NoError(t, err)
	s, err := republish.New(republish.Config{Publisher: client, Logger: quiet()})
	require.NoError(t, err)
	require.NoError(t, s.Open(t.Context()))
	require.Eventually(t, func() bool { return s.Check(t.Context()) == nil }, 10*time.Second, 5*time.Millisecond)
	sizes := make(chan int, 1000)
	dead := make(chan error, 1)
	p, err := bridge.New(bridge.Config{
		Sources: map[string]bridge.Source{"broker": src},
		Rules: map[string]bridge.Rule{"echo": bridge.RuleFunc(func(out *bridge.Out, m *bridge.Message) error {
			sizes <- len(m.Payload)
			out.Add(bridge.Record{
				Sink: "again", Dest: "t/again", Data: append(append([]byte(nil), m.Payload...), m.Payload...),
				Attrs: []bridge.Attr{{Name: "qos", Value: []byte("0")}},
			})
			return nil
		}, "t/#")},
		Sinks: map[string]bridge.Sink{"again": s, "dead": bridge.SinkFunc(func(context.Context, *bridge.Batch) error {
			dead <- nil
			return nil
		})},
		Queues: map[string]bridge.QueueConfig{"again": {Fallback: "dead"}},
		Logger: quiet(),
	})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	require.NoError(t, client.Publish(t.Context(), &republish.Message{Topic: "t/1", Payload: []byte("123456789012"), QoS: 1}))
	<-dead
	cancel()
	require.NoError(t, <-done)
	close(sizes)
	var got []int
	for n := range sizes {
		got = append(got, n)
	}
	require.Equal(t, []int{12, 24, 48, 96, 192}, got)
}
