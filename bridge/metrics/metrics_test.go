package metrics

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/sluiceio/sluice/bridge"
)

type fixed bridge.Stats

func (f *fixed) Stats() bridge.Stats { return bridge.Stats(*f) }

func TestRegister(t *testing.T) {
	t.Parallel()
	p := &fixed{
		Sources: map[string]bridge.SourceStats{"mqtt": {Received: 7, Health: bridge.Health{State: bridge.Connected}}},
		Rules:   map[string]bridge.RuleStats{"r1": {Matched: 7, Passed: 5, Failed: 2, NoResult: 2}, "r2": {Matched: 1}},
		Sinks:   map[string]bridge.SinkStats{"kinesis": {Matched: 5, Success: 3, Queuing: 2}},
	}
	reader := sdk.NewManualReader()
	reg, err := Register(p, sdk.NewMeterProvider(sdk.WithReader(reader)).Meter("test"))
	require.NoError(t, err)

	got := collect(t, reader)
	require.InDelta(t, 7, got["sluice.source.received source=mqtt"], 0)
	require.InDelta(t, 1, got["sluice.source.connected source=mqtt"], 0)
	require.InDelta(t, 7, got["sluice.rule.matched rule=r1"], 0)
	require.InDelta(t, 1, got["sluice.rule.matched rule=r2"], 0)
	require.InDelta(t, 2, got["sluice.rule.failed.no_result rule=r1"], 0)
	require.InDelta(t, 3, got["sluice.sink.success sink=kinesis"], 0)
	require.InDelta(t, 2, got["sluice.sink.queuing sink=kinesis"], 0)
	require.Zero(t, got["sluice.sink.connected sink=kinesis"])
	require.Contains(t, got, "sluice.sink.latency quantile=0.99,sink=kinesis")

	require.NoError(t, reg.Unregister())
	require.Empty(t, collect(t, reader))
}

func collect(t *testing.T, reader *sdk.ManualReader) map[string]float64 {
	var rm metricdata.ResourceMetrics
	require.NoError(t, reader.Collect(t.Context(), &rm))
	got := map[string]float64{}
	for _, scope := range rm.ScopeMetrics {
		for _, m := range scope.Metrics {
			switch d := m.Data.(type) {
			case metricdata.Sum[int64]:
				require.True(t, d.IsMonotonic)
				for _, p := range d.DataPoints {
					got[m.Name+" "+p.Attributes.Encoded(attributeText{})] = float64(p.Value)
				}
			case metricdata.Gauge[int64]:
				for _, p := range d.DataPoints {
					got[m.Name+" "+p.Attributes.Encoded(attributeText{})] = float64(p.Value)
				}
			case metricdata.Gauge[float64]:
				for _, p := range d.DataPoints {
					got[m.Name+" "+p.Attributes.Encoded(attributeText{})] = p.Value
				}
			}
		}
	}
	return got
}

func TestRates(t *testing.T) {
	t.Parallel()
	p := &fixed{Sources: map[string]bridge.SourceStats{"mqtt": {Received: 100}}}
	r := NewRates(p)
	now := time.Now()
	r.sample(now)
	require.Equal(t, Rate{}, r.Snapshot().Sources["mqtt"], "what was before the first sample does not count")
	count := uint64(100)
	for range 60 {
		count += 500
		p.Sources = map[string]bridge.SourceStats{"mqtt": {Received: count}}
		now = now.Add(time.Second)
		r.sample(now)
	}
	got := r.Snapshot().Sources["mqtt"]
	require.InDelta(t, 500, got.Now, 1)
	require.InDelta(t, 500, got.Max, 1)
	require.InDelta(t, 225, got.Last5, 25, "a minute is 45 %% of the five-minute mean")
	for range 60 {
		now = now.Add(time.Second)
		r.sample(now)
	}
	got = r.Snapshot().Sources["mqtt"]
	require.InDelta(t, 0, got.Now, 1)
	require.InDelta(t, 500, got.Max, 1)

	p.Sources = map[string]bridge.SourceStats{"mqtt": {Received: 3}} // the rule was reset
	r.sample(now.Add(time.Second))
	require.GreaterOrEqual(t, r.Snapshot().Sources["mqtt"].Now, 0.0)
	p.Sources = nil
	r.sample(now.Add(2 * time.Second))
	require.Empty(t, r.Snapshot().Sources)
}
