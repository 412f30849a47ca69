// Package tracing follows sampled messages through a pipeline with spans of
// OpenTelemetry, and carries their trace context on.
//
// A message's publisher can send its context as the MQTT 5 user properties
// "traceparent" and "tracestate" (W3C Trace Context). The message then belongs to
// that trace; whether it is followed is decided by the sampler of the tracer
// provider, usually by the parent's flag. Of messages without a context a share
// ([Config].Ratio) is offered to the sampler.
//
// A followed message is a span "process SOURCE" from its receipt until it is
// settled, with a child "rule NAME" for every rule that it was given to and a child
// "send SINK" for every record: how long it waited, how often it was written, how
// it ended.
//
// Records take the context of their span with them, as attributes, which are the
// headers of an HTTP request, as user properties of a message that is published
// again, or as members of a JSON body, since Kinesis records have no headers
// ([Config].Carry). So the trace goes on at whoever reads them.
package tracing

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/sluiceio/sluice/bridge"
)

// Config says what a Tracer does. The zero value offers every message to the
// sampler of the global tracer provider and carries nothing on.
type Config struct {
	// TracerProvider makes the spans. Default otel.GetTracerProvider().
	TracerProvider trace.TracerProvider
	// Propagator reads the context of messages and writes that of records.
	// Default propagation.TraceContext{}, which is W3C's.
	Propagator propagation.TextMapPropagator
	// Ratio is the share of messages without a context of their own that are
	// offered to the sampler, 0 to 1. One that is not costs nanoseconds, one that
	// the sampler refuses a microsecond. Default 1; negative: none.
	Ratio float64
	// Carry says, by the name of the sink, how records take the context with
	// them. Those of a message that is not followed take that of the message, if
	// it has one. Default: not at all.
	Carry map[string]Carry
}

// Carry is how a record takes a trace context with it.
type Carry uint8

const (
	// CarryNothing leaves the record as it is.
	CarryNothing Carry = iota
	// CarryAttributes adds attributes "traceparent" and "tracestate", which are
	// headers for the HTTP sink, and go through a buffer on disk.
	CarryAttributes
	// CarryUserProperties adds attributes that the republish sink makes user
	// properties of.
	CarryUserProperties
	// CarryJSON adds members "traceparent" and "tracestate" to data that is a
	// JSON object and has none of these.
	CarryJSON
)

var carryNames = []string{"nothing", "attributes", "user_properties", "json"}

// String returns "nothing", "attributes", "user_properties" or "json".
func (c Carry) String() string {
	if int(c) < len(carryNames) {
		return carryNames[c]
	}
	return fmt.Sprintf("Carry(%d)", c)
}

// MarshalText returns what String does.
func (c Carry) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText reads what String returns.
func (c *Carry) UnmarshalText(text []byte) error {
	i := slices.Index(carryNames, string(text))
	if i < 0 {
		return fmt.Errorf("there is no way %q to carry a trace context; there are %q", text, carryNames)
	}
	*c = Carry(i)
	return nil
}

// Validate reports everything that is wrong with the configuration, each with the
// field's name.
func (c Config) Validate() error {
	var errs []error
	if c.Ratio > 1 || c.Ratio != c.Ratio {
		errs = append(errs, fmt.Errorf("field Ratio: %v is above 1", c.Ratio))
	}
	for _, sink := range slices.Sorted(maps.Keys(c.Carry)) {
		if c.Carry[sink] > CarryJSON {
			errs = append(errs, fmt.Errorf("field Carry[%q]: there is no %v", sink, c.Carry[sink]))
		}
	}
	return errors.Join(errs...)
}

// Tracer is a bridge.Tracer that makes spans of OpenTelemetry. Make one with New.
type Tracer struct {
	tracer     trace.Tracer
	propagator propagation.TextMapPropagator
	ratio      float64
	carry      map[string]Carry
}

var _ bridge.Tracer = (*Tracer)(nil)

// scope is the name under which the spans are made.
const scope = "github.com/sluiceio/sluice/bridge/tracing"

// New makes a Tracer for Pipeline.Trace.
func New(cfg Config) (*Tracer, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.TracerProvider == nil {
		cfg.TracerProvider = otel.GetTracerProvider()
	}
	if cfg.Propagator == nil {
		cfg.Propagator = propagation.TraceContext{}
	}
	if cfg.Ratio == 0 {
		cfg.Ratio = 1
	}
	return &Tracer{
		tracer: cfg.TracerProvider.Tracer(scope), propagator: cfg.Propagator,
		ratio: cfg.Ratio, carry: maps.Clone(cfg.Carry),
	}, nil
}

// Trace implements bridge.Tracer.
func (t *Tracer) Trace(m *bridge.Message, _ []string) bridge.Trace {
	ctx, sent := t.parent(m)
	if !sent && t.ratio < 1 && rand.Float64() >= t.ratio {
		return nil
	}
	start := m.Received
	if start.IsZero() {
		start = time.Now()
	}
	ctx, span := t.tracer.Start(ctx, "process "+m.Source, trace.WithSpanKind(trace.SpanKindConsumer), trace.WithTimestamp(start))
	if !span.IsRecording() {
		if !sent || len(t.carry) == 0 {
			return nil
		}
		return &passing{t, ctx}
	}
	span.SetAttributes(attribute.String("messaging.system", "mqtt"), attribute.String("messaging.operation.type", "process"),
		attribute.Int("messaging.message.body.size", len(m.Payload)),
		attribute.String("sluice.source", m.Source), attribute.Int("sluice.qos", int(m.QoS)))
	if m.Event != "" {
		span.SetAttributes(attribute.String("sluice.event", m.Event))
	}
	if m.Topic != "" {
		span.SetAttributes(attribute.String("messaging.destination.name", m.Topic))
	}
	if m.ClientID != "" {
		span.SetAttributes(attribute.String("messaging.client.id", m.ClientID))
	}
	return &following{t: t, ctx: ctx, span: span}
}

// parent returns a context with that of the message, if it has one.
func (t *Tracer) parent(m *bridge.Message) (ctx context.Context, sent bool) {
	ctx = context.Background()
	if m.Columns == nil && (m.Props == nil || len(m.Props.User) == 0) {
		return ctx, false
	}
	ctx = t.propagator.Extract(ctx, reader{m})
	return ctx, trace.SpanContextFromContext(ctx).IsValid()
}

// passing carries the context of a message that is not followed.
type passing struct {
	t   *Tracer
	ctx context.Context
}

func (p *passing) Rule(string) func(step, text, result string) { return nil }
func (p *passing) RuleDone(string, []bridge.Record, error)     {}
func (p *passing) Settled(bridge.Outcome, error)               {}

func (p *passing) Record(r *bridge.Record) bridge.RecordTrace {
	p.t.inject(p.ctx, r)
	return nil
}
