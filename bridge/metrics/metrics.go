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

// Options are what Register need not do. The zero value is a good choice.
type Options struct {
	// PerShard exports the share of the load that each part of a sink gets, such
	// as a shard of a Kinesis stream, and its refusals, for sinks that tell them
	// (bridge.Sharder): two series for every shard. The source must have a method
	// Topology, as *bridge.Pipeline has.
	PerShard bool
}

// Register exports the counters of p through instruments of the meter. They are
// read when the exporter collects, so they cost the messages nothing. Unregister
// the result when the pipeline has ended. Histograms are in package histograms.
//
// The names are those of EMQX with "sluice." in front; the attribute "source",
// "rule" or "sink" tells the part. The table of docs/operations.md lists them.
func Register(p Source, meter metric.Meter, opts Options) (metric.Registration, error) {
	b := builder{meter: meter}
	sources, rules, sinks := b.sources(), b.rules(), b.sinks()
	shards := func(metric.Observer) {}
	if opts.PerShard {
		shards = b.shards(p)
	}
	if err := errors.Join(b.errs...); err != nil {
		return nil, err
	}
	return meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		s := p.Stats()
		observe(o, "source", s.Sources, sources)
		observe(o, "rule", s.Rules, rules)
		observe(o, "sink", s.Sinks, sinks)
		shards(o)
		return nil
	}, b.all...)
}

// shards returns what observes the sinks' shards.
func (b *builder) shards(p Source) func(metric.Observer) {
	t, ok := p.(interface{ Topology() bridge.Topology })
	if !ok {
		b.errs = append(b.errs, fmt.Errorf("PerShard: %T has no method Topology", p))
		return nil
	}
	share, err := b.meter.Float64ObservableGauge("sluice.sink.shard.share", metric.WithUnit("1"),
		metric.WithDescription("Part of the load of its stream that a shard gets."))
	b.keep("sluice.sink.shard.share", share, err)
	throttled, err := b.meter.Int64ObservableCounter("sluice.sink.shard.throttled", metric.WithUnit("{record}"),
		metric.WithDescription("Refusals of a shard for want of capacity."))
	b.keep("sluice.sink.shard.throttled", throttled, err)
	return func(o metric.Observer) {
		for name, s := range t.Topology().Sinks {
			sharder, ok := s.(bridge.Sharder)
			if !ok {
				continue
			}
			for _, sh := range sharder.Shards() {
				with := metric.WithAttributes(attribute.String("sink", name), attribute.String("dest", sh.Dest), attribute.String("shard", sh.Shard))
				o.ObserveFloat64(share, sh.Share, with)
				o.ObserveInt64(throttled, int64(sh.Throttled), with)
			}
		}
	}
}

// figure is an instrument and the number it shows.
type figure[T any] struct {
	counter metric.Int64ObservableCounter
	gauge   metric.Int64ObservableGauge
	value   func(*T) int64
}

func observe[T any](o metric.Observer, kind string, parts map[string]T, figures []figure[T]) {
	for name, stats := range parts {
		with := metric.WithAttributeSet(attribute.NewSet(attribute.String(kind, name)))
		for i := range figures {
			f := &figures[i]
			if f.counter != nil {
				o.ObserveInt64(f.counter, f.value(&stats), with)
			} else {
				o.ObserveInt64(f.gauge, f.value(&stats), with)
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
	return figure[T]{counter: i, value: func(s *T) int64 { return int64(value(s)) }}
}

func gauge[T any](b *builder, name, unit, text string, value func(*T) int) figure[T] {
	i, err := b.meter.Int64ObservableGauge(name, metric.WithUnit(unit), metric.WithDescription(text))
	b.keep(name, i, err)
	return figure[T]{gauge: i, value: func(s *T) int64 { return int64(value(s)) }}
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
	return []figure[S]{
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
		counter(b, "sluice.sink.writes.failed", "{call}", "Calls of the sink that failed, as a whole or in part.", func(s *S) uint64 { return s.WritesFailed }),
		gauge(b, "sluice.sink.inflight", "{record}", "Records in a write.", func(s *S) int { return s.Inflight }),
		gauge(b, "sluice.sink.queuing", "{record}", "Records that wait.", func(s *S) int { return s.Queuing }),
		gauge(b, "sluice.sink.queuing_bytes", "By", "Memory of queued records.", func(s *S) int { return s.QueuingBytes }),
		gauge(b, "sluice.sink.lanes", "{lane}", "Keys, or other order domains, that have records.", func(s *S) int { return s.Lanes }),
		gauge(b, "sluice.sink.max_records", "{record}", "Bound of the records that wait or are in a write.", func(s *S) int { return s.MaxRecords }),
		gauge(b, "sluice.sink.max_bytes", "By", "Bound of the memory of queued records.", func(s *S) int { return s.MaxBytes }),
		gauge(b, "sluice.sink.full", "", "1 while records find no room.", func(s *S) int { return flag(!s.FullSince.IsZero()) }),
		gauge(b, "sluice.sink.connected", "", "1 if the sink is connected.", func(s *S) int { return connected(s.Health) }),
	}
}

func connected(h bridge.Health) int { return flag(h.State == bridge.Connected) }

func flag(on bool) int {
	if on {
		return 1
	}
	return 0
}
