package republish_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/bridge/bridgetest"
	"github.com/sluiceio/sluice/internal/mqttfake"
	"github.com/sluiceio/sluice/sink/republish"
	"github.com/sluiceio/sluice/source/broker"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func ExampleGuard() {
	r := republish.Guard("echo", bridge.RuleFunc(func(out *bridge.Out, m *bridge.Message) error {
		out.Add(bridge.Record{Dest: m.Topic + "/again", Data: m.Payload})
		return nil
	}, "t/#"))
	apply := func(m bridge.Message) {
		var out bridge.Out
		_ = r.Apply(&out, &m)
		fmt.Println(out.Len())
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
			s := &suiteSink{memory: new(bridgetest.Sink)}
			var err error
			s.Sink, err = republish.New(republish.Config{Publisher: republish.PublisherFunc(s.publish)})
			require.NoError(t, err)
			return s
		},
		Stored: func(_ *testing.T, s bridge.Sink) []bridgetest.Stored { return s.(*suiteSink).memory.Records() },
		Fail: func(_ *testing.T, s bridge.Sink, data string) {
			s.(*suiteSink).hook(func(_ context.Context, m *republish.Message) error {
				if string(m.Payload) != data {
					return nil
				}
				s.(*suiteSink).answer = nil // once
				return errors.New("not now")
			})
		},
		Block: func(_ *testing.T, s bridge.Sink) func() {
			s.(*suiteSink).hook(func(ctx context.Context, _ *republish.Message) error { <-ctx.Done(); return ctx.Err() })
			return func() { s.(*suiteSink).hook(nil) }
		},
		Dest:   "test/topic",
		NoKeys: true,
	})
}

// suiteSink publishes into memory.
type suiteSink struct {
	*republish.Sink
	memory *bridgetest.Sink
	mu     sync.Mutex
	answer func(context.Context, *republish.Message) error
}

func (s *suiteSink) hook(answer func(context.Context, *republish.Message) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = answer
}

func (s *suiteSink) publish(ctx context.Context, m *republish.Message) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := ctx.Err()
	if err == nil && s.answer != nil {
		err = s.answer(ctx, m)
	}
	if err != nil {
		return err
	}
	var b bridge.Batch
	b.Add(bridge.Record{Data: m.Payload, Lane: uint64(m.Payload[0])})
	return s.memory.Write(ctx, &b)
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
	b := &bridge.Batch{Records: []bridge.Record{
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
	}}
	require.NoError(t, s.Write(t.Context(), b))
	failed := bridgetest.Failed(b)
	require.Len(t, failed, 2)
	require.ErrorIs(t, failed[4], bridge.ErrPermanent)
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
		require.NoError(t, s.Write(t.Context(), &b), tc.name)
		failed := bridgetest.Failed(&b)
		require.Len(t, failed, tc.failed, tc.name)
		require.Contains(t, failed, 7)
	}
}

func TestAPanicOfThePublisherIsHeld(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	s, err := republish.New(republish.Config{
		Publisher: republish.PublisherFunc(func(context.Context, *republish.Message) error { panic("oops") }),
		Logger:    slog.New(slog.NewTextHandler(&log, nil)),
	})
	require.NoError(t, err)
	for range 3 {
		require.ErrorIs(t, bridgetest.Write(t.Context(), s, &bridge.Batch{Records: []bridge.Record{{Dest: "t"}}}), bridge.ErrAmbiguous)
	}
	require.Equal(t, 1, strings.Count(log.String(), "oops"), "once per interval")
	require.Contains(t, log.String(), "republish_test.go", "the stack")
}

// TestLocal publishes to an embedded broker, whose own rules then see the message
// unless they are guarded.
func TestLocal(t *testing.T) {
	src, err := broker.New(broker.Config{Listeners: []broker.Listener{{URL: "mqtt://127.0.0.1:0"}}, ReadPublished: true, Logger: quiet()})
	require.NoError(t, err)
	s, err := republish.New(republish.Config{Publisher: republish.Local(src)})
	require.NoError(t, err)
	applied := make(chan string, 100)
	again := func(name string) bridge.Rule {
		return bridge.RuleFunc(func(out *bridge.Out, m *bridge.Message) error {
			applied <- name + " " + string(m.Payload)
			if string(m.Payload) != "stop" {
				out.Add(bridge.Record{Dest: m.Topic, Data: m.Payload})
			}
			return nil
		}, "t")
	}
	p, err := bridge.New(bridge.Config{
		Sources: map[string]bridge.Source{"devices": src},
		Rules:   map[string]bridge.Rule{"echo": republish.Guard("echo", again("echo"))},
		Sinks:   map[string]bridge.Sink{"broker": s}, Logger: quiet(),
	})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- p.Run(ctx) }()
	require.Eventually(t, func() bool { return src.Check(t.Context()) == nil }, 10*time.Second, 5*time.Millisecond)
	require.NoError(t, src.Publish(t.Context(), &bridge.Message{Topic: "t", Payload: []byte("1"), QoS: 1}))
	require.Equal(t, "echo 1", <-applied)
	require.Eventually(t, func() bool { return p.Stats().Sources["devices"].Received == 2 }, 10*time.Second, 5*time.Millisecond)
	cancel()
	require.NoError(t, <-done)
	require.Empty(t, applied, "the guard stops what the rule has published itself")
	require.EqualValues(t, 1, p.Stats().Sinks["broker"].Ended[bridge.Stored])
}

// refusing is a broker that answers every PUBLISH of QoS 1 or 2 with a reason
// code; 0 takes it, and cut closes the connection instead.
func refusing(t *testing.T, code *atomic.Int32, cut *atomic.Bool) *republish.Client {
	t.Helper()
	b := mqttfake.New(mqttfake.Options{Hook: func(e mqttfake.Event) mqttfake.Action {
		p, ok := e.Packet.Content.(*packets.Publish)
		switch {
		case !ok || !e.FromPeer:
			return mqttfake.Action{}
		case cut.Load():
			return mqttfake.Action{Cut: true}
		case code.Load() == 0:
			return mqttfake.Action{}
		}
		answer := packets.PUBACK << 4
		if p.QoS == 2 {
			answer = packets.PUBREC << 4
		}
		return mqttfake.Action{Skip: true, Raw: []byte{answer, 3, byte(p.PacketID >> 8), byte(p.PacketID), byte(code.Load())}}
	}})
	t.Cleanup(b.Close)
	addr, err := b.Listen()
	require.NoError(t, err)
	c, err := republish.NewClient(republish.ClientConfig{Brokers: []string{"mqtt://" + addr}, ClientID: "r", Logger: quiet()})
	require.NoError(t, err)
	require.NoError(t, c.Open(t.Context()))
	t.Cleanup(func() { require.NoError(t, c.Close(context.Background())) })
	connected(t, c)
	return c
}

func connected(t *testing.T, c *republish.Client) {
	t.Helper()
	require.Eventually(t, func() bool { return c.Check(t.Context()) == nil }, 30*time.Second, 5*time.Millisecond)
}

func TestRefusals(t *testing.T) {
	var code atomic.Int32
	c := refusing(t, &code, new(atomic.Bool))
	for _, tc := range []struct {
		code byte
		mark error
		text string
	}{
		{packets.PubackNotAuthorized, bridge.ErrPermanent, "not authorized"},
		{packets.PubackTopicNameInvalid, bridge.ErrPermanent, "topic name"},
		{packets.PubackPayloadFormatInvalid, bridge.ErrPermanent, "payload format"},
		{packets.PubackQuotaExceeded, bridge.ErrThrottled, "quota"},
		{packets.PubackUnspecifiedError, nil, "unspecified"},
		{0, nil, ""},
	} {
		code.Store(int32(tc.code))
		for qos := byte(1); qos <= 2; qos++ {
			err := c.Publish(t.Context(), &republish.Message{Topic: "t/1", QoS: qos})
			if tc.code == 0 {
				require.NoError(t, err, "the client goes on after refusals")
				continue
			}
			require.ErrorContains(t, err, tc.text, "QoS %d, code %#x", qos, tc.code)
			require.ErrorContains(t, err, "t/1")
			if tc.mark != nil {
				require.ErrorIs(t, err, tc.mark, "QoS %d, code %#x", qos, tc.code)
			} else {
				require.NotErrorIs(t, err, bridge.ErrPermanent, "it is tried again")
			}
			require.NotErrorIs(t, err, bridge.ErrAmbiguous, "a refusal leaves no doubt")
		}
	}
}

// TestLostConnection breaks the connection in the middle of a publish: nobody
// knows what became of the message, and the client connects again.
func TestLostConnection(t *testing.T) {
	for qos := byte(1); qos <= 2; qos++ {
		var cut atomic.Bool
		c := refusing(t, new(atomic.Int32), &cut)
		cut.Store(true)
		err := c.Publish(t.Context(), &republish.Message{Topic: "t", QoS: qos})
		require.ErrorIs(t, err, bridge.ErrAmbiguous)
		cut.Store(false)
		require.Eventually(t, func() bool {
			return c.Publish(t.Context(), &republish.Message{Topic: "t", QoS: qos}) == nil
		}, 30*time.Second, 10*time.Millisecond)
	}
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
			m.Delivery.Done(bridge.Stored, nil)
			n++
		}
	}
	require.NoError(t, <-written)
	require.NoError(t, s.Close(t.Context()))
	require.Error(t, client.Publish(t.Context(), &republish.Message{Topic: "t"}), "closed")
	require.NoError(t, src.Close(t.Context()))
}
