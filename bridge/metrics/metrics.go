package metrics

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/sink"
)

// Source is what is measured; a *bridge.Pipeline is one.
type Source interface {
	Stats() bridge.Stats
}

// Options turns on what Register does not export by default. The zero value is a good choice.
type Options struct {
	// PerShard exports the share of the load that each part of a sink gets, such
	// as a shard of a Kinesis stream, and its refusals, for sinks that tell them
	// (sink.Sharder): two series for every shard. The source must have a method
	// Config, as *bridge.Pipeline has.
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
	sources, rules, sinks, rest := b.sources(), b.rules(), b.sinks(), b.rest()
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
		rest(o, &s)
		shards(o)
		return nil
	}, b.all...)
}

// rest returns what observes how records ended and what was left untold.
func (b *builder) rest() func(metric.Observer, *bridge.Stats) {
	ended, err := b.meter.Int64ObservableCounter("sluice.sink.ended", metric.WithUnit("{record}"),
		metric.WithDescription("Records that have ended, by how."))
	b.keep("sluice.sink.ended", ended, err)
	untold, err := b.meter.Int64ObservableCounter("sluice.untold", metric.WithUnit("{event}"),
		metric.WithDescription("Calls of hooks and lines of the log that were left out because those were too slow."))
	b.keep("sluice.untold", untold, err)
	own := map[string]metric.Int64ObservableCounter{}
	for _, kind := range []string{"source", "sink"} {
		name := "sluice." + kind + ".own"
		c, err := b.meter.Int64ObservableCounter(name, metric.WithDescription("Counters that the "+kind+" keeps itself, by name, such as messages lost before they were read."))
		b.keep(name, c, err)
		own[kind] = c
	}
	observeOwn := func(o metric.Observer, kind, part string, counts map[string]uint64) {
		for name, n := range counts {
			o.ObserveInt64(own[kind], int64(n), metric.WithAttributes(attribute.String(kind, part), attribute.String("name", name)))
		}
	}
	return func(o metric.Observer, s *bridge.Stats) {
		o.ObserveInt64(untold, int64(s.Untold))
		for name, source := range s.Sources {
			observeOwn(o, "source", name, source.Counts)
		}
		for name, sink := range s.Sinks {
			observeOwn(o, "sink", name, sink.Counts)
			for outcome, n := range sink.Ended {
				o.ObserveInt64(ended, int64(n), metric.WithAttributes(
					attribute.String("sink", name), attribute.String("outcome", bridge.Outcome(outcome).String())))
			}
		}
	}
}

// shards returns what observes the sinks' shards.
func (b *builder) shards(p Source) func(metric.Observer) {
	t, ok := p.(interface{ Config() bridge.Config })
	if !ok {
		b.errs = append(b.errs, fmt.Errorf("PerShard: %T has no method Config", p))
		return nil
	}
	share, err := b.meter.Float64ObservableGauge("sluice.sink.shard.share", metric.WithUnit("1"),
		metric.WithDescription("Part of the load of its stream that a shard gets."))
	b.keep("sluice.sink.shard.share", share, err)
	throttled, err := b.meter.Int64ObservableCounter("sluice.sink.shard.throttled", metric.WithUnit("{record}"),
		metric.WithDescription("Refusals of a shard for want of capacity."))
	b.keep("sluice.sink.shard.throttled", throttled, err)
	return func(o metric.Observer) {
		for name, s := range t.Config().Sinks {
			sharder, ok := s.(sink.Sharder)
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
		gauge(b, "sluice.source.held_back", "", "1 while the source hands out no more until messages are settled.", func(s *S) int { return flag(s.Health.State == bridge.Connected && s.Health.Reason != "") }),
	}
}

func (b *builder) rules() []figure[bridge.RuleStats] {
	type S = bridge.RuleStats
	return []figure[S]{
		counter(b, "sluice.rule.matched", "{message}", "Messages whose topic matched.", func(s *S) uint64 { return s.Matched }),
		counter(b, "sluice.rule.passed", "{message}", "Messages that gave a result.", func(s *S) uint64 { return s.Passed }),
		counter(b, "sluice.rule.failed", "{message}", "Messages without a result, for either reason.", func(s *S) uint64 { return s.Exception + s.NoResult }),
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
		counter(b, "sluice.sink.success", "{record}", "Records stored.", func(s *S) uint64 { return s.Ended[bridge.Stored] }),
		counter(b, "sluice.sink.bytes", "By", "Bytes of the records stored.", func(s *S) uint64 { return s.Bytes }),
		counter(b, "sluice.sink.failed", "{record}", "Records refused for good, and all that the fallback took.", func(s *S) uint64 { return s.Ended[bridge.Refused] + s.Ended[bridge.DeadLettered] }),
		counter(b, "sluice.sink.dropped.expired", "{record}", "Records dropped after their time to live.", func(s *S) uint64 { return s.Ended[bridge.Expired] }),
		counter(b, "sluice.sink.dropped.queue_full", "{record}", "Records dropped from a full queue.", func(s *S) uint64 { return s.Ended[bridge.Dropped] }),
		counter(b, "sluice.sink.dropped.resource_stopped", "{record}", "Records given up, unacknowledged, when the drain timed out.", func(s *S) uint64 { return s.Ended[bridge.Abandoned] }),
		counter(b, "sluice.sink.dead_lettered", "{record}", "Records that the fallback took.", func(s *S) uint64 { return s.Ended[bridge.DeadLettered] }),
		counter(b, "sluice.sink.retried", "{record}", "Records that needed more than one write.", func(s *S) uint64 { return s.Retried + s.RetriedRefused }),
		counter(b, "sluice.sink.retried.success", "{record}", "Retried records that were stored.", func(s *S) uint64 { return s.Retried }),
		counter(b, "sluice.sink.retried.failed", "{record}", "Retried records that failed.", func(s *S) uint64 { return s.RetriedRefused }),
		counter(b, "sluice.sink.ambiguous", "{record}", "Writes whose outcome is not known: possible duplicates.", func(s *S) uint64 { return s.Ambiguous }),
		counter(b, "sluice.sink.throttled", "{lane}", "Refusals for want of capacity.", func(s *S) uint64 { return s.Throttled }),
		counter(b, "sluice.sink.writes", "{call}", "Calls of the sink.", func(s *S) uint64 { return s.Writes }),
		counter(b, "sluice.sink.writes.failed", "{call}", "Calls of the sink that failed, as a whole or in part.", func(s *S) uint64 { return s.WritesFailed }),
		gauge(b, "sluice.sink.inflight", "{record}", "Records in a write.", func(s *S) int { return s.Queue.Inflight }),
		gauge(b, "sluice.sink.queuing", "{record}", "Records that wait.", func(s *S) int { return s.Queue.Waiting }),
		gauge(b, "sluice.sink.queuing_bytes", "By", "Memory of queued records.", func(s *S) int { return s.Queue.Bytes }),
		gauge(b, "sluice.sink.lanes", "{lane}", "Keys, or other order domains, that have records.", func(s *S) int { return s.Queue.Lanes }),
		gauge(b, "sluice.sink.max_records", "{record}", "Bound of the records that wait or are in a write.", func(s *S) int { return s.Queue.MaxRecords }),
		gauge(b, "sluice.sink.max_bytes", "By", "Bound of the memory of queued records.", func(s *S) int { return s.Queue.MaxBytes }),
		gauge(b, "sluice.sink.oldest", "s", "Age of the record that has been in the queue longest.", func(s *S) int { return age(s.Queue.Oldest) }),
		gauge(b, "sluice.sink.full", "", "1 while records find no room.", func(s *S) int { return flag(!s.Queue.FullSince.IsZero()) }),
		gauge(b, "sluice.sink.connected", "", "1 if the sink is connected.", func(s *S) int { return connected(s.Health) }),
	}
}

func connected(h bridge.Health) int { return flag(h.State == bridge.Connected) }

// age is how many seconds ago a time was, 0 for none.
func age(t time.Time) int {
	if t.IsZero() {
		return 0
	}
	return int(time.Since(t).Seconds())
}

func flag(on bool) int {
	if on {
		return 1
	}
	return 0
}
