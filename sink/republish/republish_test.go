package republish_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/bridge/bridgetest"
	"github.com/sluiceio/sluice/sink/republish"
	"github.com/sluiceio/sluice/source/broker"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func ExampleGuard() {
	r := republish.Guard("echo", bridge.RuleFunc(func(out *bridge.Batch, m *bridge.Message) error {
		out.Add(bridge.Record{Dest: m.Topic + "/again", Data: m.Payload})
		return nil
	}, "t/#"))
	apply := func(m bridge.Message) {
		var out bridge.Batch
		_ = r.Apply(&out, &m)
		fmt.Println(len(out.Records))
	}
	apply(bridge.Message{Topic: "t/1"})
	apply(bridge.Message{Topic: "t/1/again", Props: &bridge.Properties{
		User: []bridge.UserProperty{{Key: republish.MarkProperty, Value: "echo"}},
	}})
	// Output:
	// 1
	// 0
}

func TestConfigReportsEverything(t *testing.T) {
	t.Parallel()
	err := republish.Config{Concurrency: -1, Timeout: -1}.Validate()
	for _, field := range []string{"Publisher", "Concurrency", "Timeout"} {
		require.ErrorContains(t, err, field+":")
	}
	err = republish.ClientConfig{Brokers: []string{"mqtt://u:secret@host", "\x00secret"}, KeepAlive: -1}.Validate()
	require.ErrorContains(t, err, "Brokers[0]")
	require.ErrorContains(t, err, "Brokers[1]")
	require.ErrorContains(t, err, "KeepAlive")
	require.NotContains(t, err.Error(), "secret")
	_, err = republish.NewClient(republish.ClientConfig{})
	require.ErrorContains(t, err, "Brokers")
	_, err = republish.New(republish.Config{})
	require.ErrorContains(t, err, "Publisher")
}

func TestSuite(t *testing.T) {
	bridgetest.TestSink(t, bridgetest.SinkSuite{
		New: func(t *testing.T) bridge.Sink {
			memory := new(bridgetest.Sink)
			s, err := republish.New(republish.Config{Publisher: republish.PublisherFunc(
				func(ctx context.Context, m *republish.Message) error {
					if err := ctx.Err(); err != nil {
						return err
					}
					var b bridge.Batch
					b.Add(bridge.Record{Data: m.Payload, Lane: uint64(m.Payload[0])})
					return memory.Write(ctx, &b)
				})})
			require.NoError(t, err)
			return suiteSink{s, memory}
		},
		Stored: func(_ *testing.T, s bridge.Sink) []bridgetest.Stored { return s.(suiteSink).memory.Records() },
		Dest:   "test/topic",
		NoKeys: true,
	})
}

type suiteSink struct {
	*republish.Sink
	memory *bridgetest.Sink
}

func TestAttributesBecomeThePacket(t *testing.T) {
	t.Parallel()
	var got []republish.Message
	s, err := republish.New(republish.Config{Publisher: republish.PublisherFunc(func(_ context.Context, m *republish.Message) error {
		got = append(got, *m)
		return nil
	})})
	require.NoError(t, err)
	attr := func(name, value string) bridge.Attr { return bridge.Attr{Name: name, Value: []byte(value)} }
	err = s.Write(t.Context(), &bridge.Batch{Records: []bridge.Record{
		{Dest: "a", Data: []byte("1")},
		{Dest: "b", Rule: "r", Attrs: []bridge.Attr{
			attr("qos", "2"), attr("retain", "true"), attr("user:a", "1"), attr("content_type", "text"), attr("response_topic", "re"),
			attr("correlation_data", "c"), attr("message_expiry", "60"), attr("payload_format", "1"), attr("other", "x"),
		}},
		{Dest: "c", Attrs: []bridge.Attr{
			attr("qos", "3"), attr("retain", "yes"), attr("message_expiry", "soon"), attr("payload_format", "2"), attr("response_topic", "#"),
		}},
		{Dest: "a/#"},
		{Dest: ""},
	}})
	var failed *bridge.BatchError
	require.ErrorAs(t, err, &failed)
	require.Len(t, failed.Failed, 2)
	require.ErrorIs(t, err, bridge.ErrPermanent)
	expiry, format := uint32(60), byte(1)
	require.Equal(t, []republish.Message{
		{Topic: "a", Payload: []byte("1"), QoS: 1},
		{Topic: "b", QoS: 2, Retain: true, Props: &bridge.Properties{
			PayloadFormat: &format, MessageExpiry: &expiry, ContentType: "text", ResponseTopic: "re", CorrelationData: []byte("c"),
			User: []bridge.UserProperty{{Key: "a", Value: "1"}, {Key: republish.MarkProperty, Value: "r"}},
		}},
		{Topic: "c", QoS: 1},
	}, got)
}

func TestALaneStopsAtItsFailure(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		fail   error
		failed int
	}{
		{"again", errors.New("later"), 3},
		{"permanent", bridge.Permanent(errors.New("never")), 1},
	} {
		s, err := republish.New(republish.Config{Publisher: republish.PublisherFunc(func(_ context.Context, m *republish.Message) error {
			if m.Topic == "1/2" {
				return tc.fail
			}
			return nil
		})})
		require.NoError(t, err)
		var b bridge.Batch
		for lane := range 3 {
			for i := range 5 {
				b.Add(bridge.Record{Dest: fmt.Sprintf("%d/%d", lane, i), Lane: uint64(lane)})
			}
		}
		var failed *bridge.BatchError
		require.ErrorAs(t, s.Write(t.Context(), &b), &failed, tc.name)
		require.Len(t, failed.Failed, tc.failed, tc.name)
		require.Equal(t, 7, failed.Failed[0].Index)
	}
}

func TestAPanicOfThePublisherIsHeld(t *testing.T) {
	t.Parallel()
	s, err := republish.New(republish.Config{Publisher: republish.PublisherFunc(func(context.Context, *republish.Message) error { panic("oops") })})
	require.NoError(t, err)
	require.ErrorIs(t, s.Write(t.Context(), &bridge.Batch{Records: []bridge.Record{{Dest: "t"}}}), bridge.ErrAmbiguous)
}

// TestClient publishes to the embedded broker and reads there what arrives.
func TestClient(t *testing.T) {
	src, err := broker.New(broker.Config{Listeners: []broker.Listener{{URL: "mqtt://127.0.0.1:0"}}, Logger: quiet()})
	require.NoError(t, err)
	require.NoError(t, src.Open(t.Context()))
	client, err := republish.NewClient(republish.ClientConfig{Brokers: []string{"mqtt://" + src.Addr().String()}, ClientID: "republish", Logger: quiet()})
	require.NoError(t, err)
	require.Error(t, client.Check(t.Context()))
	require.Error(t, client.Publish(t.Context(), &republish.Message{Topic: "t"}), "not opened")
	s, err := republish.New(republish.Config{Publisher: client})
	require.NoError(t, err)
	require.NoError(t, s.Open(t.Context()))
	require.Eventually(t, func() bool { return s.Check(t.Context()) == nil }, 10*time.Second, 5*time.Millisecond)

	var b bridge.Batch
	for i := range 100 {
		b.Add(bridge.Record{
			Dest: fmt.Sprintf("t/%d", i%10), Data: fmt.Append(nil, i), Lane: 7, Rule: "r",
			Attrs: []bridge.Attr{{Name: "qos", Value: fmt.Append(nil, i%3)}, {Name: "user:n", Value: fmt.Append(nil, i)}},
		})
	}
	written := make(chan error, 1)
	go func() { written <- s.Write(t.Context(), &b) }()
	msgs := make([]bridge.Message, 100)
	for n := 0; n < 100; {
		got, err := src.Read(t.Context(), msgs[:100-n])
		require.NoError(t, err)
		for _, m := range msgs[:got] {
			require.Equal(t, fmt.Sprint(n), string(m.Payload))
			require.Equal(t, fmt.Sprintf("t/%d", n%10), m.Topic)
			require.Equal(t, byte(n%3), m.QoS)
			require.Contains(t, m.Props.User, bridge.UserProperty{Key: "n", Value: fmt.Sprint(n)})
			require.Contains(t, m.Props.User, bridge.UserProperty{Key: republish.MarkProperty, Value: "r"})
			m.Delivery.Done(nil)
			n++
		}
	}
	require.NoError(t, <-written)
	require.NoError(t, s.Close(t.Context()))
	require.Error(t, client.Publish(t.Context(), &republish.Message{Topic: "t"}), "closed")
	require.NoError(t, src.Close(t.Context()))
}
