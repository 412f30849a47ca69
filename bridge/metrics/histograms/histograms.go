// Package histograms shows the times that a pipeline's sinks take as histograms of
// OpenTelemetry. Package metrics shows all other figures.
//
// The engine counts durations itself, so that they cost the messages next to
// nothing, and the API of OpenTelemetry has no instrument that shows a histogram
// which exists already. A producer of the SDK can: give [New] to a reader or an
// exporter, such as with the option WithProducer of the Prometheus exporter.
package histograms

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/bridge/metrics"
)

// New returns a producer of three histograms in seconds, with the attribute
// "sink": sluice.sink.latency, sluice.sink.queue_wait and sluice.sink.request_time;
// bridge.SinkStats says what they count. Bounds are powers of two, from 128 µs to
// 134 s.
func New(p metrics.Source) metric.Producer {
	return &producer{source: p, start: time.Now()}
}

type producer struct {
	source metrics.Source
	start  time.Time
}

// figures are the histograms.
var figures = []struct {
	name, text string
	of         func(*bridge.SinkStats) *bridge.Histogram
}{
	{
		"sluice.sink.latency", "Time from a message's receipt until its record was stored.",
		func(s *bridge.SinkStats) *bridge.Histogram { return &s.Latency },
	},
	{
		"sluice.sink.queue_wait", "Time from a record's arrival in the queue until its first write began.",
		func(s *bridge.SinkStats) *bridge.Histogram { return &s.QueueWait },
	},
	{
		"sluice.sink.request_time", "Time of a write.",
		func(s *bridge.SinkStats) *bridge.Histogram { return &s.RequestTime },
	},
}

// The bounds shown are the upper ones of these buckets of bridge.Histogram; all
// below the first are in its count.
const firstBucket, lastBucket = 7, 27

// bounds are in seconds.
var bounds = func() (list []float64) {
	for i := firstBucket; i <= lastBucket; i++ {
		list = append(list, (time.Duration(1) << i * time.Microsecond).Seconds())
	}
	return list
}()

// Produce implements metric.Producer.
func (p *producer) Produce(context.Context) ([]metricdata.ScopeMetrics, error) {
	stats, now := p.source.Stats(), time.Now()
	scope := metricdata.ScopeMetrics{Scope: instrumentation.Scope{Name: "github.com/sluiceio/sluice/bridge/metrics"}}
	for _, f := range figures {
		data := metricdata.Histogram[float64]{Temporality: metricdata.CumulativeTemporality}
		for name, s := range stats.Sinks {
			data.DataPoints = append(data.DataPoints, p.point(name, f.of(&s), now))
		}
		if len(data.DataPoints) > 0 {
			scope.Metrics = append(scope.Metrics, metricdata.Metrics{Name: f.name, Description: f.text, Unit: "s", Data: data})
		}
	}
	if len(scope.Metrics) == 0 {
		return nil, nil
	}
	return []metricdata.ScopeMetrics{scope}, nil
}

func (p *producer) point(sink string, h *bridge.Histogram, now time.Time) metricdata.HistogramDataPoint[float64] {
	counts := make([]uint64, len(bounds)+1)
	i := 0
	for _, n := range h.Buckets {
		counts[max(0, min(i-firstBucket, len(bounds)))] += n
		i++
	}
	point := metricdata.HistogramDataPoint[float64]{
		Attributes: attribute.NewSet(attribute.String("sink", sink)),
		StartTime:  p.start, Time: now,
		Count: h.Count(), Sum: h.Sum().Seconds(), Bounds: bounds, BucketCounts: counts,
	}
	if h.Count() > 0 {
		point.Max = metricdata.NewExtrema(h.Max().Seconds())
	}
	return point
}
