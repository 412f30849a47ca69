package metrics

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/sink"
)

type fixed bridge.Stats

func (f *fixed) Stats() bridge.Stats { return bridge.Stats(*f) }

func TestRegister(t *testing.T) {
	t.Parallel()
	p := &fixed{
		Untold:  6,
		Sources: map[string]bridge.SourceStats{"mqtt": {Received: 7, Health: bridge.Health{State: bridge.Connected, Reason: "its window is full"}}},
		Rules:   map[string]bridge.RuleStats{"r1": {Matched: 7, Passed: 5, NoResult: 2}, "r2": {Matched: 1}},
		Sinks: map[string]bridge.SinkStats{"kinesis": {
			Matched: 5, Ended: [bridge.Abandoned + 1]uint64{bridge.Stored: 3, bridge.Refused: 1}, WritesFailed: 4,
			Queue: bridge.QueueStats{Waiting: 2, Oldest: time.Now().Add(-time.Minute), MaxRecords: 10, FullSince: time.Now()},
		}},
	}
	reader := sdk.NewManualReader()
	reg, err := Register(p, sdk.NewMeterProvider(sdk.WithReader(reader)).Meter("test"), Options{})
	require.NoError(t, err)

	got := collect(t, reader)
	require.InDelta(t, 7, got["sluice.source.received source=mqtt"], 0)
	require.InDelta(t, 1, got["sluice.source.connected source=mqtt"], 0)
	require.InDelta(t, 1, got["sluice.source.held_back source=mqtt"], 0)
	require.InDelta(t, 7, got["sluice.rule.matched rule=r1"], 0)
	require.InDelta(t, 1, got["sluice.rule.matched rule=r2"], 0)
	require.InDelta(t, 2, got["sluice.rule.failed.no_result rule=r1"], 0)
	require.InDelta(t, 3, got["sluice.sink.success sink=kinesis"], 0)
	require.InDelta(t, 2, got["sluice.sink.queuing sink=kinesis"], 0)
	require.Zero(t, got["sluice.sink.connected sink=kinesis"])
	require.InDelta(t, 4, got["sluice.sink.writes.failed sink=kinesis"], 0)
	require.InDelta(t, 10, got["sluice.sink.max_records sink=kinesis"], 0)
	require.InDelta(t, 1, got["sluice.sink.full sink=kinesis"], 0)

	require.InDelta(t, 60, got["sluice.sink.oldest sink=kinesis"], 1)
	require.InDelta(t, 3, got["sluice.sink.ended outcome=stored,sink=kinesis"], 0)
	require.InDelta(t, 1, got["sluice.sink.ended outcome=refused,sink=kinesis"], 0)
	require.Contains(t, got, "sluice.sink.ended outcome=abandoned,sink=kinesis")
	require.InDelta(t, 6, got["sluice.untold "], 0)

	require.NoError(t, reg.Unregister())
	require.Empty(t, collect(t, reader))
}

// sharded is a pipeline with a sink that has shards.
type sharded struct {
	fixed
	bridge.Sink
}

func (s *sharded) Config() bridge.Config {
	return bridge.Config{Sinks: map[string]bridge.Sink{"kinesis": s, "other": bridge.SinkFunc(nil)}}
}

func (*sharded) Shards() []sink.ShardLoad {
	return []sink.ShardLoad{{Dest: "s", Shard: "0", Share: 0.75, Throttled: 3}, {Dest: "s", Shard: "1", Share: 0.25}}
}

func TestRegisterPerShard(t *testing.T) {
	t.Parallel()
	reader := sdk.NewManualReader()
	meter := sdk.NewMeterProvider(sdk.WithReader(reader)).Meter("test")
	_, err := Register(new(fixed), meter, Options{PerShard: true})
	require.ErrorContains(t, err, "no method Config")
	reg, err := Register(new(sharded), meter, Options{})
	require.NoError(t, err)
	require.Equal(t, map[string]float64{"sluice.untold ": 0}, collect(t, reader), "only when asked")
	require.NoError(t, reg.Unregister())
	_, err = Register(new(sharded), meter, Options{PerShard: true})
	require.NoError(t, err)
	require.Equal(t, map[string]float64{
		"sluice.untold ": 0,
		"sluice.sink.shard.share dest=s,shard=0,sink=kinesis":     0.75,
		"sluice.sink.shard.share dest=s,shard=1,sink=kinesis":     0.25,
		"sluice.sink.shard.throttled dest=s,shard=0,sink=kinesis": 3,
		"sluice.sink.shard.throttled dest=s,shard=1,sink=kinesis": 0,
	}, collect(t, reader))
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
