package tracing_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/bridge/bridgetest"
	"github.com/sluiceio/sluice/bridge/tracing"
	"github.com/sluiceio/sluice/sink/republish"
	"github.com/sluiceio/sluice/sink/spool"
)

var quiet = slog.New(slog.DiscardHandler)

const (
	sampled   = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	unsampled = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
)

func copying(sink string) bridge.Rule {
	return bridge.RuleFunc(func(out *bridge.Out, m *bridge.Message) error {
		out.Add(bridge.Record{Sink: sink, Key: []byte("k"), Data: m.Payload, Dest: "stream"})
		return nil
	}, "#")
}

// message is one with user properties, given as names and values.
func message(payload string, user ...string) bridge.Message {
	m := bridge.Message{Topic: "t/1", ClientID: "c1", Payload: []byte(payload), Received: time.Now()}
	for i := 0; i < len(user); i += 2 {
		if m.Props == nil {
			m.Props = new(bridge.Properties)
		}
		m.Props.User = append(m.Props.User, bridge.UserProperty{Key: user[i], Value: user[i+1]})
	}
	return m
}

// run sends messages through a pipeline with a tracer and returns the spans that
// have ended.
func run(t *testing.T, tr tracing.Config, cfg bridge.Config, msgs ...bridge.Message) []sdk.ReadOnlySpan {
	t.Helper()
	spans := tracetest.NewSpanRecorder()
	if tr.TracerProvider == nil {
		tr.TracerProvider = sdk.NewTracerProvider(sdk.WithSpanProcessor(spans))
	}
	tracer, err := tracing.New(tr)
	require.NoError(t, err)
	src := new(bridgetest.Source)
	cfg.Sources, cfg.Logger, cfg.Workers = map[string]bridge.Source{"mqtt": src}, quiet, 1
	p, err := bridge.New(cfg)
	require.NoError(t, err)
	p.Trace(tracer)
	src.Publish(msgs...)
	src.End()
	require.NoError(t, p.Run(t.Context()))
	require.Len(t, spans.Started(), len(spans.Ended()), "all spans have ended")
	return spans.Ended()
}

// attrs returns the attributes of a span as text.
func attrs(s sdk.ReadOnlySpan) map[string]string {
	out := map[string]string{}
	for _, a := range s.Attributes() {
		out[string(a.Key)] = a.Value.String()
	}
	return out
}

func named(t *testing.T, spans []sdk.ReadOnlySpan, name string) sdk.ReadOnlySpan {
	t.Helper()
	for _, s := range spans {
		if s.Name() == name {
			return s
		}
	}
	require.Fail(t, "no span", name)
	return nil
}

// TestSpans follows a message with a parent through a rule that works, one that
// fails, and a write that fails once.
func TestSpans(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sink := &bridgetest.Sink{Fault: func(_ int, r *bridge.Record) (f bridgetest.Fault) {
			if r.Attempt == 0 {
				f.Err = errors.New("no route")
			}
			return f
		}}
		spans := run(t, tracing.Config{}, bridge.Config{
			Rules: map[string]bridge.Rule{
				"copy": copying(""),
				"fail": bridge.RuleFunc(func(*bridge.Out, *bridge.Message) error { return errors.New("no number") }, "#"),
			},
			Sinks: map[string]bridge.Sink{"kinesis": sink},
		}, message("hello", "traceparent", sampled, "tracestate", "a=b"))
		require.Len(t, spans, 4)
		root := named(t, spans, "process mqtt")
		require.Equal(t, trace.SpanKindConsumer, root.SpanKind())
		require.Equal(t, "0af7651916cd43dd8448eb211c80319c", root.SpanContext().TraceID().String())
		require.Equal(t, "b7ad6b7169203331", root.Parent().SpanID().String())
		require.Equal(t, "a=b", root.SpanContext().TraceState().String())
		require.Equal(t, map[string]string{
			"messaging.system": "mqtt", "messaging.operation.type": "process", "messaging.destination.name": "t/1",
			"messaging.client.id": "c1", "messaging.message.body.size": "5", "sluice.source": "mqtt", "sluice.qos": "0",
		}, attrs(root))
		for _, s := range spans[:3] {
			require.Equal(t, root.SpanContext().SpanID(), s.Parent().SpanID(), s.Name())
		}
		require.Equal(t, map[string]string{"sluice.rule": "copy", "sluice.records": "1"}, attrs(named(t, spans, "rule copy")))
		require.Equal(t, "no number", named(t, spans, "rule fail").Status().Description)

		sent := named(t, spans, "send kinesis")
		require.Equal(t, trace.SpanKindProducer, sent.SpanKind())
		got := attrs(sent)
		require.Equal(t, map[string]string{
			"messaging.operation.type": "send", "messaging.destination.name": "stream", "messaging.message.body.size": "5",
			"sluice.sink": "kinesis", "sluice.rule": "copy", "sluice.outcome": "stored", "sluice.attempts": "2", "sluice.queue_wait": "0",
		}, got)
		require.Len(t, sent.Events(), 2)
		require.Contains(t, fmt.Sprint(sent.Events()[0].Attributes), "no route")
		require.False(t, root.EndTime().Before(sent.EndTime()), "the message is settled when its record is stored")
	})
}

// TestSampling checks which messages are followed.
func TestSampling(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		ratio   float64
		sampler sdk.Sampler
		msg     bridge.Message
		want    int // of 100
	}{
		{"all", 0, sdk.AlwaysSample(), message(""), 100},
		{"none without a parent", -1, sdk.AlwaysSample(), message(""), 0},
		{"parents in any case", -1, sdk.AlwaysSample(), message("", "traceparent", sampled), 100},
		{"the parent's flag", 0, sdk.ParentBased(sdk.NeverSample()), message("", "traceparent", sampled), 100},
		{"the parent's flag is off", 0, sdk.ParentBased(sdk.AlwaysSample()), message("", "traceparent", unsampled), 0},
		{"the sampler refuses", 0, sdk.NeverSample(), message(""), 0},
		{"not a context", -1, sdk.AlwaysSample(), message("", "traceparent", "01-nonsense", "other", "x"), 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			spans := tracetest.NewSpanRecorder()
			tr, err := tracing.New(tracing.Config{
				TracerProvider: sdk.NewTracerProvider(sdk.WithSpanProcessor(spans), sdk.WithSampler(test.sampler)), Ratio: test.ratio,
			})
			require.NoError(t, err)
			for range 100 {
				if f := tr.Trace(&test.msg, nil); f != nil {
					f.Settled(bridge.Stored, nil)
				}
			}
			require.Len(t, spans.Ended(), test.want)
		})
	}
	tr, err := tracing.New(tracing.Config{TracerProvider: sdk.NewTracerProvider(), Ratio: 0.5})
	require.NoError(t, err)
	m, followed := message(""), 0
	for range 10_000 {
		if tr.Trace(&m, nil) != nil {
			followed++
		}
	}
	require.InDelta(t, 5000, followed, 500, "ten standard deviations")
}

// TestNotFollowed costs nothing to speak of.
func TestNotFollowed(t *testing.T) {
	tr, err := tracing.New(tracing.Config{TracerProvider: sdk.NewTracerProvider(), Ratio: -1})
	require.NoError(t, err)
	m := message("")
	require.Zero(t, testing.AllocsPerRun(100, func() {
		if tr.Trace(&m, nil) != nil {
			panic("it is followed")
		}
	}))
}

// TestCarry checks what records take with them, by the kind of sink.
func TestCarry(t *testing.T) {
	t.Parallel()
	carried := func(t *testing.T, how tracing.Carry, m bridge.Message) (bridgetest.Stored, []sdk.ReadOnlySpan) {
		t.Helper()
		sink := new(bridgetest.Sink)
		spans := run(t, tracing.Config{Ratio: -1, Carry: map[string]tracing.Carry{"s": how}}, bridge.Config{
			Rules: map[string]bridge.Rule{"copy": copying("")},
			Sinks: map[string]bridge.Sink{"s": sink},
		}, m)
		return sink.Records()[0], spans
	}
	header := func(s sdk.ReadOnlySpan) string {
		c := s.SpanContext()
		return "00-" + c.TraceID().String() + "-" + c.SpanID().String() + "-01"
	}
	with := func(payload string) bridge.Message {
		return message(payload, "Traceparent", sampled, "tracestate", "a=b")
	}
	for _, test := range [][2]string{
		{`{}`, `{"traceparent":"%s","tracestate":"a=b"}`},
		{` {"a":{"b":1} } `, `{"a":{"b":1},"traceparent":"%s","tracestate":"a=b"}`},
		{`[1]`, `[1]`},
		{`{"a":`, `{"a":`},
		{`{"traceparent":null}`, `{"traceparent":null}`},
		{``, ``},
	} {
		payload, want := test[0], test[1]
		r, spans := carried(t, tracing.CarryJSON, with(payload))
		if want != payload {
			want = fmt.Sprintf(want, header(named(t, spans, "send s")))
			require.True(t, json.Valid([]byte(r.Data)))
		}
		require.Equal(t, want, r.Data)
	}
	r, spans := carried(t, tracing.CarryAttributes, with("x"))
	require.Equal(t, map[string]string{"traceparent": header(named(t, spans, "send s")), "tracestate": "a=b"}, r.Attrs)
	r, spans = carried(t, tracing.CarryUserProperties, with("x"))
	require.Equal(t, header(named(t, spans, "send s")), r.Attrs[republish.UserPrefix+"traceparent"])
	r, _ = carried(t, tracing.CarryNothing, with("x"))
	require.Empty(t, r.Attrs)

	r, spans = carried(t, tracing.CarryJSON, message("{}"))
	require.Equal(t, "{}", r.Data, "it has no context and is not followed")
	require.Empty(t, spans)

	// The publisher's decision not to follow is passed on.
	sink, src := new(bridgetest.Sink), new(bridgetest.Source)
	tr, err := tracing.New(tracing.Config{
		TracerProvider: sdk.NewTracerProvider(sdk.WithSampler(sdk.ParentBased(sdk.AlwaysSample()))),
		Carry:          map[string]tracing.Carry{"s": tracing.CarryAttributes},
	})
	require.NoError(t, err)
	p, err := bridge.New(bridge.Config{
		Sources: map[string]bridge.Source{"mqtt": src}, Rules: map[string]bridge.Rule{"copy": copying("s")},
		Sinks: map[string]bridge.Sink{"s": sink}, Logger: quiet,
	})
	require.NoError(t, err)
	p.Trace(tr)
	src.Publish(message("x", "traceparent", unsampled))
	src.End()
	require.NoError(t, p.Run(t.Context()))
	require.Regexp(t, "^00-0af7651916cd43dd8448eb211c80319c-[0-9a-f]{16}-00$", sink.Records()[0].Attrs["traceparent"])
}

// TestThroughBuffer goes through a buffer on disk: the trace is one, and its last
// span is the one that the record tells.
func TestThroughBuffer(t *testing.T) {
	t.Parallel()
	buffer, err := spool.Open(spool.Config{Dir: t.TempDir(), MaxBytes: 1 << 20, Logger: quiet})
	require.NoError(t, err)
	spans := tracetest.NewSpanRecorder()
	tr, err := tracing.New(tracing.Config{
		TracerProvider: sdk.NewTracerProvider(sdk.WithSpanProcessor(spans)), Ratio: -1,
		Carry: map[string]tracing.Carry{"buffer": tracing.CarryAttributes, "kinesis": tracing.CarryAttributes},
	})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	src, sink := new(bridgetest.Source), &bridgetest.Sink{After: func(context.Context, *bridge.Batch) error {
		cancel()
		return nil
	}}
	p, err := bridge.New(bridge.Config{
		Sources: map[string]bridge.Source{"mqtt": src, "buffered": buffer.Source()},
		Rules: map[string]bridge.Rule{
			"copy": bridge.RuleFunc(func(out *bridge.Out, m *bridge.Message) error {
				out.Add(bridge.Record{Sink: "buffer", Data: m.Payload})
				return nil
			}, "t/#"),
			"forward": buffer.Forward("kinesis"),
		},
		Sinks:  map[string]bridge.Sink{"buffer": buffer.Sink(), "kinesis": sink},
		Logger: quiet,
	})
	require.NoError(t, err)
	p.Trace(tr)
	src.Publish(message("x", "traceparent", sampled))
	require.NoError(t, p.Run(ctx))
	chain := []string{"process mqtt", "send buffer", "process buffered", "send kinesis"}
	parent := "b7ad6b7169203331"
	for _, name := range chain {
		s := named(t, spans.Ended(), name)
		require.Equal(t, "0af7651916cd43dd8448eb211c80319c", s.SpanContext().TraceID().String())
		require.Equal(t, parent, s.Parent().SpanID().String(), name)
		parent = s.SpanContext().SpanID().String()
	}
	got := sink.Records()[0].Attrs
	require.Equal(t, "00-0af7651916cd43dd8448eb211c80319c-"+parent+"-01", got["traceparent"])
	require.Len(t, got, 1)
}

func TestValidate(t *testing.T) {
	t.Parallel()
	_, err := tracing.New(tracing.Config{Ratio: math.NaN(), Carry: map[string]tracing.Carry{"s": 9}})
	require.ErrorContains(t, err, "field Ratio")
	require.ErrorContains(t, err, `field Carry["s"]`)
	for c := tracing.CarryNothing; c <= tracing.CarryJSON; c++ {
		var again tracing.Carry
		text, err := c.MarshalText()
		require.NoError(t, err)
		require.NoError(t, again.UnmarshalText(text))
		require.Equal(t, c, again)
	}
	require.ErrorContains(t, new(tracing.Carry).UnmarshalText([]byte("pigeon")), `no way "pigeon"`)
}

// A record of a followed message tells its readers the trace.
func Example() {
	spans := tracetest.NewInMemoryExporter() // in a program, one that sends them
	provider := sdk.NewTracerProvider(sdk.WithSyncer(spans))
	tracer, err := tracing.New(tracing.Config{
		TracerProvider: provider,
		Ratio:          0.001, // of the messages whose publishers have not decided
		Carry:          map[string]tracing.Carry{"memory": tracing.CarryJSON},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	src, sink := new(bridgetest.Source), new(bridgetest.Sink)
	p, err := bridge.New(bridge.Config{
		Sources: map[string]bridge.Source{"devices": src},
		Rules:   map[string]bridge.Rule{"all": copying("memory")},
		Sinks:   map[string]bridge.Sink{"memory": sink},
		Logger:  quiet,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	p.Trace(tracer)
	src.Publish(message(`{"temp":41}`, "traceparent", sampled))
	src.End()
	if err := p.Run(context.Background()); err != nil {
		fmt.Println(err)
	}
	for _, s := range spans.GetSpans() {
		fmt.Println(s.Name)
	}
	fmt.Println(sink.Records()[0].Data[:51])
	// Output:
	// rule all
	// send memory
	// process devices
	// {"temp":41,"traceparent":"00-0af7651916cd43dd8448eb
}
