package histograms_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/stretchr/testify/require"
	exporter "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/bridge/metrics"
	"github.com/sluiceio/sluice/bridge/metrics/histograms"
)

type fixed bridge.Stats

func (f *fixed) Stats() bridge.Stats { return bridge.Stats(*f) }

func collect(t *testing.T, p metrics.Source) map[string]metricdata.HistogramDataPoint[float64] {
	reader := metric.NewManualReader(metric.WithProducer(histograms.New(p)))
	metric.NewMeterProvider(metric.WithReader(reader))
	var rm metricdata.ResourceMetrics
	require.NoError(t, reader.Collect(t.Context(), &rm))
	got := map[string]metricdata.HistogramDataPoint[float64]{}
	for _, scope := range rm.ScopeMetrics {
		for _, m := range scope.Metrics {
			require.Equal(t, "s", m.Unit)
			for _, point := range m.Data.(metricdata.Histogram[float64]).DataPoints {
				sink, _ := point.Attributes.Value("sink")
				got[m.Name+" "+sink.AsString()] = point
			}
		}
	}
	return got
}

// TestProduce shows durations at the edges of buckets.
func TestProduce(t *testing.T) {
	t.Parallel()
	var h bridge.Histogram
	for d, n := range map[time.Duration]int{ // the first below 1 µs, the second from 64 µs to 128 µs
		0: 1, 100 * time.Microsecond: 2, 200 * time.Microsecond: 3, 100 * time.Second: 1, 200 * time.Second: 1, time.Hour: 2,
	} {
		for range n {
			h.Observe(d)
		}
	}
	p := &fixed{Sinks: map[string]bridge.SinkStats{"a": {Latency: h}, "b": {QueueWait: h, RequestTime: h}}}
	got := collect(t, p)
	require.Len(t, got, 6)
	point := got["sluice.sink.latency a"]
	require.EqualValues(t, 10, point.Count)
	require.InDelta(t, 7500.0008, point.Sum, 1e-3)
	longest, ok := point.Max.Value()
	require.True(t, ok)
	require.InDelta(t, 3600, longest, 0)
	require.InDelta(t, 128e-6, point.Bounds[0], 1e-12)
	require.InDelta(t, 134.217728, point.Bounds[20], 1e-9)
	require.Len(t, point.BucketCounts, 22)
	require.Equal(t, []uint64{3, 3}, point.BucketCounts[:2])
	require.Equal(t, []uint64{1, 3}, point.BucketCounts[20:], "the last has no bound")
	require.EqualValues(t, 10, got["sluice.sink.request_time b"].Count)
	require.Zero(t, got["sluice.sink.queue_wait a"].Count)
	require.Empty(t, collect(t, new(fixed)))
}

// The histograms beside the counters, through the Prometheus exporter.
func Example() {
	stats := bridge.SinkStats{Ended: [bridge.Abandoned + 1]uint64{bridge.Stored: 2}}
	stats.Latency.Observe(time.Millisecond)
	stats.Latency.Observe(3 * time.Millisecond)
	var p metrics.Source = &fixed{Sinks: map[string]bridge.SinkStats{"kinesis": stats}} // in a program, a *bridge.Pipeline
	registry := prometheus.NewRegistry()
	reader, err := exporter.New(exporter.WithRegisterer(registry), exporter.WithProducer(histograms.New(p)), exporter.WithoutScopeInfo())
	if err != nil {
		fmt.Println(err)
		return
	}
	meters := metric.NewMeterProvider(metric.WithReader(reader))
	if _, err := metrics.Register(p, meters.Meter("example"), metrics.Options{}); err != nil {
		fmt.Println(err)
		return
	}
	page := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(page, httptest.NewRequestWithContext(context.Background(), "GET", "/metrics", nil))
	for line := range bytes.Lines(page.Body.Bytes()) {
		if bytes.HasPrefix(line, []byte("sluice_sink_success")) || bytes.HasPrefix(line, []byte("sluice_sink_latency_seconds_bucket{sink=\"kinesis\",le=\"0.00")) {
			fmt.Print(string(line))
		}
	}
	// Output:
	// sluice_sink_latency_seconds_bucket{sink="kinesis",le="0.000128"} 0
	// sluice_sink_latency_seconds_bucket{sink="kinesis",le="0.000256"} 0
	// sluice_sink_latency_seconds_bucket{sink="kinesis",le="0.000512"} 0
	// sluice_sink_latency_seconds_bucket{sink="kinesis",le="0.001024"} 1
	// sluice_sink_latency_seconds_bucket{sink="kinesis",le="0.002048"} 1
	// sluice_sink_latency_seconds_bucket{sink="kinesis",le="0.004096"} 2
	// sluice_sink_latency_seconds_bucket{sink="kinesis",le="0.008192"} 2
	// sluice_sink_success_total{sink="kinesis"} 2
}
