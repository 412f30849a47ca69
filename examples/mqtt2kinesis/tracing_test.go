package main

import (
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/bridge/tracing"
)

// environment returns a lookup in a map.
func environment(vars map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		v, ok := vars[name]
		return v, ok
	}
}

// TestSpansAreExported sends a span to a collector that is a test server.
func TestSpansAreExported(t *testing.T) {
	got := make(chan string, 10)
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- r.URL.Path + " " + string(body)
	}))
	defer collector.Close()
	vars := map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT": collector.URL, "OTEL_TRACES_SAMPLER": "always_on", "SLUICE_METRICS_PER_SHARD": "true", "SLUICE_LOG_PAYLOAD": "200",
	}
	for name, v := range vars {
		t.Setenv(name, v) // the exporter reads the environment of the process
	}
	tel, err := newTelemetry(t.Context(), environment(vars), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	require.True(t, tel.perShard)
	require.Equal(t, 200, tel.logPayload)
	tel.tracer.Trace(&bridge.Message{Source: "plant", Topic: "t"}, nil).Settled(bridge.Stored, nil)
	tel.close()
	text := <-got
	require.Contains(t, text, "/v1/traces ")
	require.Contains(t, text, "process plant")
	require.Contains(t, text, "mqtt2kinesis")
}

func TestTelemetryFromEnvironment(t *testing.T) {
	t.Parallel()
	log := slog.New(slog.DiscardHandler)
	tel, err := newTelemetry(t.Context(), environment(nil), log)
	require.NoError(t, err)
	require.Nil(t, tel.tracer, "nobody wants spans")
	tel.close()
	for _, off := range []map[string]string{
		{"OTEL_SDK_DISABLED": "true"}, {"OTEL_TRACES_EXPORTER": "none", "OTEL_TRACES_SAMPLER": "x"},
	} {
		vars := map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}
		maps.Copy(vars, off)
		tel, err := newTelemetry(t.Context(), environment(vars), log)
		require.NoError(t, err)
		require.Nil(t, tel.tracer)
	}
	for name, wrong := range map[string]string{
		"OTEL_TRACES_EXPORTER": "zipkin", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_TRACES_SAMPLER": "jaeger",
		"SLUICE_TRACE_CARRY": "kinesis=pigeon", "SLUICE_METRICS_PER_SHARD": "many", "SLUICE_LOG_PAYLOAD": "-1",
	} {
		vars := map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", name: wrong}
		_, err := newTelemetry(t.Context(), environment(vars), log)
		require.ErrorAs(t, err, new(usageError))
		require.ErrorContains(t, err, name)
	}
}

func TestSampling(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		sampler, arg string
		ratio        float64
		description  string
		err          string
	}{
		{"", "", 0.01, "ParentBased{root:AlwaysOnSampler", ""},
		{"parentbased_traceidratio", "0.5", 0.5, "ParentBased{root:AlwaysOnSampler", ""},
		{"parentbased_traceidratio", "0", -1, "ParentBased{root:AlwaysOnSampler", ""},
		{"parentbased_traceidratio", "2", 0, "", "OTEL_TRACES_SAMPLER_ARG"},
		{"traceidratio", "", 1, "AlwaysOnSampler", ""},
		{"always_off", "", 1, "AlwaysOffSampler", ""},
		{"parentbased_always_on", "", 1, "ParentBased{root:AlwaysOnSampler", ""},
		{"parentbased_always_off", "", 1, "ParentBased{root:AlwaysOffSampler", ""},
	} {
		vars := map[string]string{"OTEL_TRACES_SAMPLER": test.sampler, "OTEL_TRACES_SAMPLER_ARG": test.arg}
		cfg, s, err := sampling(func(name string) string { return vars[name] })
		if test.err != "" {
			require.ErrorContains(t, err, test.err)
			continue
		}
		require.NoError(t, err)
		require.InDelta(t, test.ratio, cfg.Ratio, 0)
		require.Contains(t, s.Description(), test.description)
	}
	carry, err := carriers("kinesis=json, hook=attributes,back=user_properties")
	require.NoError(t, err)
	require.Equal(t, map[string]tracing.Carry{
		"kinesis": tracing.CarryJSON, "hook": tracing.CarryAttributes, "back": tracing.CarryUserProperties,
		"kinesis.buffer": tracing.CarryAttributes, "hook.buffer": tracing.CarryAttributes, "back.buffer": tracing.CarryAttributes,
	}, carry)
}
