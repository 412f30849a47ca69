package metrics

import (
	"context"
	"errors"
	"fmt"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/sluiceio/sluice/bridge"
)

// Source is what is measured; a *bridge.Pipeline is one.
type Source interface {
	Stats() bridge.Stats
}

// Register exports the counters of p through instruments of the meter. They are
// read when the exporter collects, so they cost the messages nothing. Unregister
// the result when the pipeline has ended.
//
// The names are those of EMQX with "sluice." in front; the attribute "source",
// "rule" or "sink" tells the part. The table of docs/operations.md lists them.
func Register(p Source, meter metric.Meter) (metric.Registration, error) {
	b := builder{meter: meter}
	sources, rules, sinks := b.sources(), b.rules(), b.sinks()
	if err := errors.Join(b.errs...); err != nil {
		return nil, err
	}
	return meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		s := p.Stats()
		observe(o, "source", s.Sources, sources)
		observe(o, "rule", s.Rules, rules)
		observe(o, "sink", s.Sinks, sinks)
		return nil
	}, b.all...)
}

// figure is an instrument and the number it shows.
type figure[T any] struct {
	counter metric.Int64ObservableCounter
	gauge   metric.Int64ObservableGauge
	seconds metric.Float64ObservableGauge
	value   func(*T) float64
	attrs   []attribute.KeyValue
}

func observe[T any](o metric.Observer, kind string, parts map[string]T, figures []figure[T]) {
	for name, stats := range parts {
		for i := range figures {
			f := &figures[i]
			with := metric.WithAttributes(append([]attribute.KeyValue{attribute.String(kind, name)}, f.attrs...)...)
			v := f.value(&stats)
			switch {
			case f.counter != nil:
				o.ObserveInt64(f.counter, int64(v), with)
			case f.gauge != nil:
				o.ObserveInt64(f.gauge, int64(v), with)
			default:
				o.ObserveFloat64(f.seconds, v, with)
			}
		}
	}
}

// builder makes instruments and collects what goes wrong.
type builder struct {
	meter metric.Meter
	all   []metric.Observable
	errs  []error
}

func (b *builder) keep(name string, i metric.Observable, err error) {
	if err != nil {
		b.errs = append(b.errs, fmt.Errorf("metric %s: %w", name, err))
		return
	}
	b.all = append(b.all, i)
}

func counter[T any](b *builder, name, unit, text string, value func(*T) uint64) figure[T] {
	i, err := b.meter.Int64ObservableCounter(name, metric.WithUnit(unit), metric.WithDescription(text))
	b.keep(name, i, err)
	return figure[T]{counter: i, value: func(s *T) float64 { return float64(value(s)) }}
}

func gauge[T any](b *builder, name, unit, text string, value func(*T) int) figure[T] {
	i, err := b.meter.Int64ObservableGauge(name, metric.WithUnit(unit), metric.WithDescription(text))
	b.keep(name, i, err)
	return figure[T]{gauge: i, value: func(s *T) float64 { return float64(value(s)) }}
}

// quantiles are three figures of one histogram.
func quantiles[T any](b *builder, name, text string, h func(*T) *bridge.Histogram) (list []figure[T]) {
	i, err := b.meter.Float64ObservableGauge(name, metric.WithUnit("s"), metric.WithDescription(text))
	b.keep(name, i, err)
	for _, q := range []float64{0.5, 0.99, 1} {
		list = append(list, figure[T]{
			seconds: i,
			value:   func(s *T) float64 { return h(s).Quantile(q).Seconds() },
			attrs:   []attribute.KeyValue{attribute.Float64("quantile", q)},
		})
	}
	return list
}

func (b *builder) sources() []figure[bridge.SourceStats] {
	type S = bridge.SourceStats
	return []figure[S]{
		counter(b, "sluice.source.received", "{message}", "Messages read from the source.", func(s *S) uint64 { return s.Received }),
		counter(b, "sluice.source.bytes", "By", "Payload bytes read from the source.", func(s *S) uint64 { return s.Bytes }),
		counter(b, "sluice.source.unmatched", "{message}", "Messages that no rule wanted.", func(s *S) uint64 { return s.Unmatched }),
		gauge(b, "sluice.source.connected", "", "1 if the source is connected.", func(s *S) int { return connected(s.Health) }),
	}
}

func (b *builder) rules() []figure[bridge.RuleStats] {
	type S = bridge.RuleStats
	return []figure[S]{
		counter(b, "sluice.rule.matched", "{message}", "Messages whose topic matched.", func(s *S) uint64 { return s.Matched }),
		counter(b, "sluice.rule.passed", "{message}", "Messages that gave a result.", func(s *S) uint64 { return s.Passed }),
		counter(b, "sluice.rule.failed", "{message}", "Messages without a result, for either reason.", func(s *S) uint64 { return s.Failed }),
		counter(b, "sluice.rule.failed.exception", "{message}", "Messages for which the rule failed.", func(s *S) uint64 { return s.Exception }),
		counter(b, "sluice.rule.failed.no_result", "{message}", "Messages that the rule dropped.", func(s *S) uint64 { return s.NoResult }),
		counter(b, "sluice.rule.actions.total", "{record}", "Records made.", func(s *S) uint64 { return s.Actions }),
		counter(b, "sluice.rule.actions.success", "{record}", "Records stored.", func(s *S) uint64 { return s.ActionsSuccess }),
		counter(b, "sluice.rule.actions.failed", "{record}", "Records that failed or were dropped.", func(s *S) uint64 { return s.ActionsFailed }),
		counter(b, "sluice.rule.actions.discarded", "{record}", "Records for sinks that were disabled.", func(s *S) uint64 { return s.ActionsDiscarded }),
	}
}

func (b *builder) sinks() []figure[bridge.SinkStats] {
	type S = bridge.SinkStats
	list := []figure[S]{
		counter(b, "sluice.sink.matched", "{record}", "Records addressed to the sink.", func(s *S) uint64 { return s.Matched }),
		counter(b, "sluice.sink.success", "{record}", "Records stored.", func(s *S) uint64 { return s.Success }),
		counter(b, "sluice.sink.bytes", "By", "Bytes of the records stored.", func(s *S) uint64 { return s.Bytes }),
		counter(b, "sluice.sink.failed", "{record}", "Records given up after a permanent error.", func(s *S) uint64 { return s.Failed }),
		counter(b, "sluice.sink.dropped.expired", "{record}", "Records dropped after their time to live.", func(s *S) uint64 { return s.Dropped.Expired }),
		counter(b, "sluice.sink.dropped.queue_full", "{record}", "Records dropped from a full queue.", func(s *S) uint64 { return s.Dropped.QueueFull }),
		counter(b, "sluice.sink.dropped.resource_stopped", "{record}", "Records given up, unacknowledged, when the drain timed out.", func(s *S) uint64 { return s.Dropped.Stopped }),
		counter(b, "sluice.sink.dead_lettered", "{record}", "Failed or dropped records that the fallback took.", func(s *S) uint64 { return s.DeadLettered }),
		counter(b, "sluice.sink.retried", "{record}", "Records that needed more than one write.", func(s *S) uint64 { return s.Retried }),
		counter(b, "sluice.sink.retried.success", "{record}", "Retried records that were stored.", func(s *S) uint64 { return s.RetriedSuccess }),
		counter(b, "sluice.sink.retried.failed", "{record}", "Retried records that failed.", func(s *S) uint64 { return s.RetriedFailed }),
		counter(b, "sluice.sink.ambiguous", "{record}", "Writes whose outcome is not known: possible duplicates.", func(s *S) uint64 { return s.Ambiguous }),
		counter(b, "sluice.sink.throttled", "{lane}", "Refusals for want of capacity.", func(s *S) uint64 { return s.Throttled }),
		counter(b, "sluice.sink.writes", "{call}", "Calls of the sink.", func(s *S) uint64 { return s.Writes }),
		gauge(b, "sluice.sink.inflight", "{record}", "Records in a write.", func(s *S) int { return s.Inflight }),
		gauge(b, "sluice.sink.queuing", "{record}", "Records that wait.", func(s *S) int { return s.Queuing }),
		gauge(b, "sluice.sink.queuing_bytes", "By", "Memory of queued records.", func(s *S) int { return s.QueuingBytes }),
		gauge(b, "sluice.sink.connected", "", "1 if the sink is connected.", func(s *S) int { return connected(s.Health) }),
	}
	list = append(list, quantiles(b, "sluice.sink.latency", "Time from receipt to storage, quantiles since the start.",
		func(s *S) *bridge.Histogram { return &s.Latency })...)
	return append(list, quantiles(b, "sluice.sink.request_time", "Time of a write, quantiles since the start.",
		func(s *S) *bridge.Histogram { return &s.RequestTime })...)
}

func connected(h bridge.Health) int {
	if h.State == bridge.Connected {
		return 1
	}
	return 0
}
