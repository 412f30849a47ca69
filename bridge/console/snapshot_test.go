package console

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/bridge/bridgetest"
	"github.com/sluiceio/sluice/sink"
)

// BenchmarkSnapshot is what a second of looking costs with 100 rules, 20 sinks
// and 512 shards. One hundredth of a core would be 10 ms.
func BenchmarkSnapshot(b *testing.B) {
	rules, sinks := map[string]bridge.Rule{}, map[string]bridge.Sink{}
	for i := range 100 {
		rules[fmt.Sprintf("rule-%03d", i)] = bridge.RuleFunc(func(*bridge.Out, *bridge.Message) error { return nil }, "a/#")
	}
	for i := range 20 {
		sinks[fmt.Sprintf("sink-%02d", i)] = bridge.SinkFunc(func(context.Context, *bridge.Batch) error { return nil })
	}
	p, err := bridge.New(bridge.Config{
		Sources: map[string]bridge.Source{"mqtt": &bridgetest.Source{}}, Rules: rules, Sinks: sinks,
		Logger: slog.New(slog.DiscardHandler),
	})
	require.NoError(b, err)
	loads := make([]sink.ShardLoad, 512)
	for i := range loads {
		loads[i] = sink.ShardLoad{Dest: "stream", Shard: fmt.Sprintf("shardId-%012d", i), Share: 1.0 / 512}
	}
	s := newSampler(Config{Pipeline: p, Shards: map[string]func() []sink.ShardLoad{
		"sink-00": func() []sink.ShardLoad { return loads },
	}})
	h := newHub(b.Context(), s)
	now := time.Now()
	size := 0
	b.ReportAllocs()
	for b.Loop() {
		now = now.Add(time.Second)
		snap := s.take(now)
		data, err := json.Marshal(snap)
		require.NoError(b, err)
		h.publish(frame{snapshot: data}, &snap)
		size = len(data)
	}
	b.ReportMetric(float64(size), "bytes/snapshot")
}

func TestTextIsCutBetweenCharacters(t *testing.T) {
	t.Parallel()
	long := make([]byte, 0, 3*maxText)
	for len(long) < 2*maxText {
		long = append(long, "€"...)
	}
	for shift := range 4 {
		got := textOf(append([]byte("aaaa"[:shift]), long...))
		require.False(t, got.Base64, shift)
		require.Greater(t, len(got.Text), maxText-4)
	}
	require.Equal(t, Text{Text: "/w==", Base64: true, Size: 1}, textOf([]byte{0xff}))
	require.Equal(t, Text{}, textOf(nil))
}

// TestRatesAreThoseOfTheCounters: five seconds of a known load.
func TestRatesAreThoseOfTheCounters(t *testing.T) {
	t.Parallel()
	source := &bridgetest.Source{}
	p, err := bridge.New(bridge.Config{
		Sources: map[string]bridge.Source{"mqtt": source},
		Rules: map[string]bridge.Rule{"half": bridge.RuleFunc(func(out *bridge.Out, m *bridge.Message) error {
			if m.Topic == "keep" {
				out.Add(bridge.Record{Data: m.Payload})
			}
			return nil
		}, "#")},
		Sinks:  map[string]bridge.Sink{"out": bridge.SinkFunc(func(context.Context, *bridge.Batch) error { return nil })},
		Logger: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	s := newSampler(Config{Pipeline: p})
	now := time.Now()
	s.take(now)
	for range 100 {
		source.Publish(bridge.Message{Topic: "keep", Payload: []byte("12345")}, bridge.Message{Topic: "drop"})
	}
	source.End()
	require.NoError(t, p.Run(t.Context()))
	snap := s.take(now.Add(4 * time.Second))
	require.InDelta(t, 50, snap.Sources["mqtt"].Rate, 1e-9)
	require.InDelta(t, 125, snap.Sources["mqtt"].BytesRate, 1e-9)
	require.InDelta(t, 50, snap.Rules["half"].Rate, 1e-9)
	require.InDelta(t, 25, snap.Rules["half"].PassedRate, 1e-9)
	require.InDelta(t, 25, snap.Sinks["out"].StoredRate, 1e-9)
	require.Equal(t, p.Stats().Sinks["out"].Ended[bridge.Stored], snap.Sinks["out"].Success)

	h := newHub(t.Context(), s)
	h.publish(frame{}, &snap)
	past := h.past()
	require.Equal(t, []float64{25}, past.Sinks["out"].Stored)
	require.Equal(t, []float64{50}, past.Rules["half"].Matched)
	require.Equal(t, []float64{125}, past.Sources["mqtt"].Bytes)
}
