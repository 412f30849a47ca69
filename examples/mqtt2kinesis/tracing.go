package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/bridge/tracing"
	"github.com/sluiceio/sluice/internal/redact"
)

// telemetry is what the environment says about metrics, logs and spans.
type telemetry struct {
	perShard   bool
	logPayload int           // bytes
	tracer     bridge.Tracer // nil when spans go nowhere
	provider   *trace.TracerProvider
	log        *slog.Logger
	secrets    redact.Secrets // of the URLs that spans go to
}

// The environment's names beside OpenTelemetry's.
const (
	envPerShard   = "SLUICE_METRICS_PER_SHARD"
	envLogPayload = "SLUICE_LOG_PAYLOAD"
	envCarry      = "SLUICE_TRACE_CARRY"
)

// sampleShare is the share of messages without a trace context that is followed
// unless OTEL_TRACES_SAMPLER says otherwise. OpenTelemetry's own default, to follow
// everything, is not for this many.
const sampleShare = 0.01

// newTelemetry reads the environment. The exporter reads what else begins with
// OTEL_ from that of the process.
func newTelemetry(ctx context.Context, lookup func(string) (string, bool), log *slog.Logger) (*telemetry, error) {
	get := func(name string) string {
		v, _ := lookup(name)
		return strings.TrimSpace(v)
	}
	t := &telemetry{log: log}
	if v := get(envPerShard); v != "" {
		var err error
		if t.perShard, err = strconv.ParseBool(v); err != nil {
			return nil, usageError{fmt.Errorf("%s: %q is not true or false", envPerShard, v)}
		}
	}
	if v := get(envLogPayload); v != "" {
		var err error
		if t.logPayload, err = strconv.Atoi(v); err != nil || t.logPayload < 0 {
			return nil, usageError{fmt.Errorf("%s: %q is not a number of bytes", envLogPayload, v)}
		}
	}
	if on, err := exportsSpans(get); err != nil || !on {
		return t, err
	}
	cfg, sampler, err := sampling(get)
	if err != nil {
		return nil, err
	}
	if cfg.Carry, err = carriers(get(envCarry)); err != nil {
		return nil, err
	}
	for _, name := range []string{"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"} {
		text := get(name)
		if u, err := url.Parse(text); text != "" && (err != nil || u.Host == "") {
			return nil, usageError{fmt.Errorf("%s: not a URL", name)} // the exporter would print it
		}
		t.secrets = redact.Of(text).And(t.secrets...)
	}
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("the exporter of spans: %w", redact.Error(err))
	}
	service := resource.NewSchemaless(attribute.String("service.name", "mqtt2kinesis"))
	if service, err = resource.Merge(service, resource.Environment()); err != nil {
		return nil, usageError{fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err)}
	}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Warn("spans are lost", "error", t.hide(err)) }))
	t.provider = trace.NewTracerProvider(trace.WithBatcher(exporter), trace.WithSampler(sampler), trace.WithResource(service))
	cfg.TracerProvider = t.provider
	if t.tracer, err = tracing.New(cfg); err != nil {
		return nil, usageError{err}
	}
	log.Info("spans are exported", "ratio", cfg.Ratio)
	return t, nil
}

// close sends the spans that are left.
func (t *telemetry) close() {
	if t.provider == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := t.provider.Shutdown(ctx); err != nil {
		t.log.Warn("spans are lost", "error", t.hide(err))
	}
}

// hide returns err without what the exporter's URLs hold.
func (t *telemetry) hide(err error) error { return t.secrets.Error(err) }

// exportsSpans reports whether there is a place that spans are to go to.
func exportsSpans(get func(string) string) (bool, error) {
	if strings.EqualFold(get("OTEL_SDK_DISABLED"), "true") {
		return false, nil
	}
	switch e := get("OTEL_TRACES_EXPORTER"); e {
	case "none":
		return false, nil
	case "otlp":
	case "":
		if get("OTEL_EXPORTER_OTLP_ENDPOINT") == "" && get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") == "" {
			return false, nil
		}
	default:
		return false, usageError{fmt.Errorf("OTEL_TRACES_EXPORTER: there is no exporter %q; use otlp or none", e)}
	}
	protocol := cmp.Or(get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"), get("OTEL_EXPORTER_OTLP_PROTOCOL"))
	if protocol != "" && protocol != "http/protobuf" {
		return false, usageError{fmt.Errorf("OTEL_EXPORTER_OTLP_PROTOCOL: %q is not supported; use http/protobuf, usually at port 4318", protocol)}
	}
	return true, nil
}

// sampling reads which messages are followed. A ratio is the tracer's rather than
// the sampler's, to whom refusing costs more.
func sampling(get func(string) string) (cfg tracing.Config, s trace.Sampler, err error) {
	cfg.Ratio = 1
	switch name := get("OTEL_TRACES_SAMPLER"); name {
	case "always_on":
		return cfg, trace.AlwaysSample(), nil
	case "always_off":
		return cfg, trace.NeverSample(), nil
	case "parentbased_always_on":
		return cfg, trace.ParentBased(trace.AlwaysSample()), nil
	case "parentbased_always_off":
		return cfg, trace.ParentBased(trace.NeverSample()), nil
	case "", "parentbased_traceidratio":
		s = trace.ParentBased(trace.AlwaysSample())
		if name == "" {
			cfg.Ratio = sampleShare
			return cfg, s, nil
		}
	case "traceidratio":
		s = trace.AlwaysSample()
	default:
		return cfg, nil, usageError{fmt.Errorf("OTEL_TRACES_SAMPLER: there is no sampler %q", name)}
	}
	if arg := get("OTEL_TRACES_SAMPLER_ARG"); arg != "" {
		cfg.Ratio, err = strconv.ParseFloat(arg, 64)
		if err != nil || !(cfg.Ratio >= 0 && cfg.Ratio <= 1) {
			return cfg, nil, usageError{fmt.Errorf("OTEL_TRACES_SAMPLER_ARG: %q is no number from 0 to 1", arg)}
		}
	}
	if cfg.Ratio == 0 {
		cfg.Ratio = -1 // none
	}
	return cfg, s, nil
}

// carriers reads "sink=json,other=attributes".
func carriers(text string) (map[string]tracing.Carry, error) {
	if text == "" {
		return nil, nil
	}
	out := make(map[string]tracing.Carry)
	var errs []error
	for entry := range strings.SplitSeq(text, ",") {
		sink, how, ok := strings.Cut(strings.TrimSpace(entry), "=")
		var c tracing.Carry
		if err := c.UnmarshalText([]byte(how)); err != nil || !ok || sink == "" {
			errs = append(errs, fmt.Errorf("%s: %q is not of the form sink=json, sink=attributes or sink=user_properties", envCarry, entry))
			continue
		}
		out[sink] = c
		if buffer := sink + ".buffer"; out[buffer] == tracing.CarryNothing {
			out[buffer] = tracing.CarryAttributes // of that sink, if it has one
		}
	}
	if len(errs) > 0 {
		return nil, usageError{errors.Join(errs...)}
	}
	return out, nil
}
