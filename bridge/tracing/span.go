package tracing

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/sluiceio/sluice/bridge"
)

// following makes the spans of a message.
type following struct {
	t    *Tracer
	ctx  context.Context
	span trace.Span
	rule time.Time // when the rule at hand began
}

// Rule implements bridge.Trace.
func (f *following) Rule(string) func(step, text, result string) {
	f.rule = time.Now()
	return nil
}

// RuleDone implements bridge.Trace.
func (f *following) RuleDone(name string, records []bridge.Record, err error) {
	_, span := f.t.tracer.Start(f.ctx, "rule "+name, trace.WithTimestamp(f.rule),
		trace.WithAttributes(attribute.String("sluice.rule", name), attribute.Int("sluice.records", len(records))))
	fail(span, err)
	span.End()
}

// Record implements bridge.Trace.
func (f *following) Record(r *bridge.Record) bridge.RecordTrace {
	ctx, span := f.t.tracer.Start(f.ctx, "send "+r.Sink, trace.WithSpanKind(trace.SpanKindProducer), trace.WithAttributes(
		attribute.String("messaging.operation.type", "send"), attribute.Int("messaging.message.body.size", len(r.Data)),
		attribute.String("sluice.sink", r.Sink), attribute.String("sluice.rule", r.Rule)))
	if r.Dest != "" {
		span.SetAttributes(attribute.String("messaging.destination.name", r.Dest))
	}
	f.t.inject(ctx, r)
	return &sending{span: span}
}

// Settled implements bridge.Trace.
func (f *following) Settled(_ bridge.Outcome, err error) {
	fail(f.span, err)
	f.span.End()
}

// sending makes the span of a record.
type sending struct {
	span   trace.Span
	wait   time.Duration
	writes int
}

// Write implements bridge.RecordTrace.
func (s *sending) Write(sink string, attempt int, queued, start, end time.Time, err error) {
	if attempt == 1 {
		s.wait += start.Sub(queued)
	}
	s.writes++
	attrs := []attribute.KeyValue{
		attribute.String("sluice.sink", sink), attribute.Int("sluice.attempt", attempt),
		attribute.Float64("sluice.duration", end.Sub(start).Seconds()),
	}
	if err != nil {
		attrs = append(attrs, attribute.String("error.message", err.Error()))
	}
	s.span.AddEvent("write", trace.WithTimestamp(start), trace.WithAttributes(attrs...))
}

// Fallback implements bridge.RecordTrace.
func (s *sending) Fallback(sink string, err error) {
	s.span.AddEvent("fallback", trace.WithAttributes(
		attribute.String("sluice.sink", sink), attribute.String("error.message", err.Error())))
}

// End implements bridge.RecordTrace.
func (s *sending) End(o bridge.Outcome, err error) {
	s.span.SetAttributes(attribute.String("sluice.outcome", o.String()), attribute.Int("sluice.attempts", s.writes),
		attribute.Float64("sluice.queue_wait", s.wait.Seconds()))
	fail(s.span, err)
	s.span.End()
}

// fail marks a span as one that failed, if there is an error.
func fail(span trace.Span, err error) {
	if err != nil {
		span.RecordError(err)
		span.SetStatus(codes.Error, err.Error())
	}
}
