package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/bridge/bridgetest"
	"github.com/sluiceio/sluice/sink"
)

// sharded is a sink that tells its shards.
type sharded struct{ bridgetest.Sink }

func (*sharded) Shards() []sink.ShardLoad { return []sink.ShardLoad{{Dest: "s", Shard: "0"}} }

func (*sharded) Counts() map[string]uint64 { return map[string]uint64{"refused": 1} }

// counting is a source that counts by itself.
type counting struct{ *bridgetest.Source }

func (counting) Counts() map[string]uint64 { return map[string]uint64{"dropped_qos0": 1} }

// exported returns the names of all series that the daemon exports.
func exported(t *testing.T) map[string]bool {
	t.Helper()
	src := new(bridgetest.Source)
	p, err := bridge.New(bridge.Config{
		Sources: map[string]bridge.Source{"in": counting{src}},
		Rules:   map[string]bridge.Rule{"a": bridge.RuleFunc(func(*bridge.Out, *bridge.Message) error { return nil }, "#")},
		Sinks:   map[string]bridge.Sink{"a": new(sharded)},
	})
	require.NoError(t, err)
	s := &status{current: p, perShard: true}
	handler, err := s.handler()
	require.NoError(t, err)
	page := httptest.NewRecorder()
	handler.ServeHTTP(page, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	names := map[string]bool{}
	for _, m := range metricType.FindAllStringSubmatch(page.Body.String(), -1) {
		names[m[1]] = true
		if m[2] == "histogram" {
			names[m[1]+"_bucket"] = true
		}
	}
	return names
}

var (
	metricType = regexp.MustCompile(`(?m)^# TYPE (\w+) (\w+)$`)
	metricName = regexp.MustCompile(`\bsluice_\w+`)
)

// TestDeployedMetrics checks that the dashboard, the alert rules and the
// documentation name metrics that there are, and the documentation all of them.
func TestDeployedMetrics(t *testing.T) {
	t.Parallel()
	names := exported(t)

	text, err := os.ReadFile("deploy/grafana-dashboard.json")
	require.NoError(t, err)
	require.True(t, json.Valid(text))
	used := metricName.FindAllString(string(text), -1)
	require.Greater(t, len(used), 20)
	for _, name := range used {
		require.True(t, names[name], "the dashboard has %s", name)
	}
	require.Contains(t, used, "sluice_sink_latency_seconds_bucket")

	text, err = os.ReadFile("deploy/prometheus-rules.yaml")
	require.NoError(t, err)
	var rules struct {
		Groups []struct {
			Rules []struct {
				Alert, Expr, For string
				Annotations      map[string]string
			}
		}
	}
	require.NoError(t, yaml.Unmarshal(text, &rules))
	docs, err := os.ReadFile("../../docs/operations.md")
	require.NoError(t, err)
	for _, r := range rules.Groups[0].Rules {
		used := metricName.FindAllString(r.Expr, -1)
		require.NotEmpty(t, used, r.Alert)
		for _, name := range used {
			require.True(t, names[name], "alert %s has %s", r.Alert, name)
		}
		require.NotEmpty(t, r.Annotations["summary"], r.Alert)
		if r.For != "" {
			_, err := time.ParseDuration(r.For)
			require.NoError(t, err, r.Alert)
		}
		require.Contains(t, string(docs), "| "+r.Alert+" |", "the runbook")
	}

	for _, name := range metricName.FindAllString(string(docs), -1) {
		require.True(t, names[name], "the documentation has %s", name)
	}
	for name := range names {
		if strings.HasPrefix(name, "sluice_") && !strings.HasSuffix(name, "_bucket") {
			require.Contains(t, string(docs), "`"+name+"`")
		}
	}
}
