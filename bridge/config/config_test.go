package config

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
)

const complete = `
pipeline: {drain_timeout: 10s, health_check_interval: 0, workers: 2}
sources:
  plant:
    type: mqtt
    servers: mqtt://localhost:1883
    client_id: bridge-1
    password: ${env:PASSWORD}
    session_expiry: 7d
    filters:
      - t/#
      - {topic: u/#, qos: 0}
sinks:
  kinesis:
    type: kinesis
    region: eu-west-1
    stream_name: readings
    aws_access_key_id: AKIA
    aws_secret_access_key: "${env:SECRET}"
    aggregate: ${env:AGGREGATE}
    aggregate_bytes: 25KB
    ordering: relaxed
    resource_opts:
      batch_time: 0
      inflight_window: 8
      request_ttl: infinity
      fallback: dead
  dead:
    type: kinesis
    region: eu-west-1
    stream_name: dead
    resource_opts: {on_full: drop_oldest}
rules:
  hot:
    sql: |
      SELECT payload.temp AS temp, payload.id AS clientid
      FROM "t/#"
      WHERE temp > 20
    actions:
      - sink: kinesis
        partition_key: ${clientid}
        payload_template: ${.}
        undefined_key: topic
  off:
    enable: false
    sql: SELECT * FROM "v/#"
    actions: [{sink: dead, key: k, best_effort: true, attributes: {a: "${topic}"}}]
`

func environment(name string) (string, bool) {
	text, ok := map[string]string{"PASSWORD": "hunter2", "SECRET": "topsecret", "AGGREGATE": "true", "TIME": "forever"}[name]
	return text, ok
}

var testOptions = Options{LookupEnv: environment}

func TestBuild(t *testing.T) {
	t.Parallel()
	def, err := Parse("bridge.yaml", []byte(complete), testOptions)
	require.NoError(t, err)
	require.Equal(t, []string{"hot", "off"}, def.Rules())
	require.Empty(t, def.Warnings())

	m := def.sources["plant"].def.(*mqttSource).config(def.context("plant", nil))
	require.Equal(t, []string{"mqtt://localhost:1883"}, m.Brokers)
	require.Equal(t, "hunter2", m.Password)
	require.Equal(t, "168h0m0s", m.SessionExpiry.String())
	require.Len(t, m.Filters, 2)
	require.EqualValues(t, 1, m.Filters[0].QoS)
	require.EqualValues(t, 0, m.Filters[1].QoS)
	k, err := def.sinks["kinesis"].def.(*kinesisSink).config(Context{})
	require.NoError(t, err)
	require.True(t, k.Aggregate, "a boolean from outside")
	require.Equal(t, 25<<10, k.AggregateBytes)
	require.Equal(t, "relaxed", k.Ordering.String())
	require.Equal(t, "topsecret", k.SecretAccessKey)

	cfg, err := def.Build(slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	defer closeAll(cfg)
	require.NoError(t, cfg.Validate())
	require.Len(t, cfg.Rules, 1, "one is off")
	require.Equal(t, bridge.QueueConfig{BatchTime: -1, InFlight: 8, Fallback: "dead"}, cfg.Queues["kinesis"])
	require.Equal(t, bridge.DropOldest, cfg.Queues["dead"].OnFull)
	require.Equal(t, "10s", cfg.DrainTimeout.String())
	require.Negative(t, cfg.CheckInterval)
	require.Equal(t, 2, cfg.Workers)
	_, err = bridge.New(cfg)
	require.NoError(t, err)
}

func TestSubscriptionsFollowTheRules(t *testing.T) {
	t.Parallel()
	text := strings.Replace(complete, "    filters:\n      - t/#\n      - {topic: u/#, qos: 0}\n", "", 1)
	def, err := Parse("", []byte(text), testOptions)
	require.NoError(t, err)
	m := def.sources["plant"].def.(*mqttSource).config(def.context("plant", nil))
	require.Len(t, m.Filters, 1, "the topics of rules that are off are not subscribed to")
	require.Equal(t, "t/#", m.Filters[0].Filter)
}

func TestJSON(t *testing.T) {
	t.Parallel()
	_, err := Parse("bridge.json", []byte(`{
		"sources": {"b": {"type": "broker", "listeners": ["mqtt://127.0.0.1:0", {"url": "ws://127.0.0.1:0/mqtt"}]}},
		"sinks": {"k": {"type": "kinesis", "stream_name": "s", "region": "eu-west-1"}},
		"rules": {"r": {"sql": "SELECT clientid FROM \"$events/client/connected\"", "actions": [{"key": "${clientid}"}]}}
	}`), Options{})
	require.NoError(t, err)
}

// breaks are changes to the whole definition and what they are answered with.
var breaks = []struct {
	name, old, new string
	want           []string
}{
	{"section", "pipeline:", "pipelines:", []string{`2:1: pipelines: unknown section; did you mean "pipeline"?`}},
	{"no sources", "sources:", "pipeline2:", []string{
		`1:1: sources: at least one source is needed`, `3:1: pipeline2: unknown section; did you mean "pipeline"?`,
	}},
	{"pipeline key", "workers: 2", "worker: 2", []string{`2:58: pipeline.worker: unknown key; did you mean "workers"?`}},
	{"pipeline time", "drain_timeout: 10s", "drain_timeout: ten", []string{`2:27: pipeline.drain_timeout: "ten" is not a time such as 5s, 1m30s, 100ms or 7d`}},
	{"time without unit", "drain_timeout: 10s", "drain_timeout: 10", []string{`2:27: pipeline.drain_timeout: "10" is not a time such as 5s, 1m30s, 100ms or 7d`}},
	{"negative time", "drain_timeout: 10s", "drain_timeout: -10s", []string{`2:27: pipeline.drain_timeout: "-10s" is negative`}},
	{"workers", "workers: 2", "workers: -1", []string{`2:67: pipeline.workers: "-1" is not a whole number from 0 on`}},
	{"type", "type: mqtt", "type: mqt", []string{`5:11: sources.plant.type: there is no source of type "mqt"; did you mean "mqtt"?`}},
	{"other type", "type: mqtt", "type: kafka", []string{`5:11: sources.plant.type: there is no source of type "kafka"; there are broker, mqtt`}},
	{"no type", "    type: mqtt\n", "", []string{`4:3: sources.plant: type is missing; there are broker, mqtt`}},
	{"key of a source", "client_id:", "clientid:", []string{`7:5: sources.plant.clientid: unknown key; did you mean "client_id"?`}},
	{"server", "mqtt://localhost:1883", "http://localhost", []string{`6:14: sources.plant.servers[0]: "http://localhost": the scheme is not one of mqtt, mqtts, ws, wss, unix`}},
	{"no servers", "    servers: mqtt://localhost:1883\n", "", []string{`4:3: sources.plant.servers: at least one URL is needed, such as mqtt://localhost:1883`}},
	{"servers", "servers: mqtt://localhost:1883", "servers: {a: b}", []string{`6:14: sources.plant.servers: must be text, not a mapping`}},
	{"client id", "    client_id: bridge-1\n", "", []string{`4:3: sources.plant.client_id: a session needs a name; set clean_start to do without the messages of the time away`}},
	{"boolean", "client_id: bridge-1", "client_id: bridge-1\n    clean_start: maybe", []string{`8:18: sources.plant.clean_start: must be true or false, not text`}},
	{"qos", "qos: 0", "qos: 3", []string{`12:27: sources.plant.filters[1].qos: "3" is none of 0, 1, 2`}},
	{"filter", "- t/#", "- t/#/x", []string{`11:9: sources.plant.filters[0]: topic filter "t/#/x": "#" must be the last level (at byte 2)`}},
	{"list", "    filters:\n      - t/#\n      - {topic: u/#, qos: 0}\n", "    filters: t/#\n", []string{`10:14: sources.plant.filters: must be a list, not text`}},
	{"CA", "client_id: bridge-1", "client_id: bridge-1\n    ssl: {cacertfile: /no/such}", []string{`8:23: sources.plant.ssl.cacertfile: open /no/such: no such file or directory`}},
	{"certificate", "client_id: bridge-1", "client_id: bridge-1\n    ssl: {certfile: /dev/null}", []string{`8:21: sources.plant.ssl.certfile: it and ssl.keyfile are needed together`}},
	{"not for sources", "client_id: bridge-1", "client_id: bridge-1\n    resource_opts: {}", []string{`8:5: sources.plant.resource_opts: only sinks have it`}},
	{"environment", "env:PASSWORD", "env:PASSWRD", []string{`8:15: sources.plant.password: the environment variable PASSWRD is not set`}},
	{"file", "env:PASSWORD", "file:/no/such", []string{`8:15: sources.plant.password: open /no/such: no such file or directory`}},
	{"type from outside", "session_expiry: 7d", "session_expiry: ${env:TIME}", []string{`9:21: sources.plant.session_expiry: the value from outside is not valid here`}},
	{"given twice", "region: eu-west-1\n    stream_name: dead", "region: eu-west-1\n    region: eu-west-2\n    stream_name: dead", []string{`31:5: sinks.dead.region: is given twice`}},
	{"name given twice", "  dead:", "  kinesis:", []string{`28:3: sinks.kinesis: is given twice`, `47:22: rules.off.actions[0].sink: there is no sink "dead"`}},
	{"stream", "stream_name: readings", "stream_name: read ings", []string{`17:18: sinks.kinesis.stream_name: "read ings" is not a stream name: 1 to 128 letters, digits and _ . -`}},
	{"endpoint", "stream_name: readings", "endpoint: localhost", []string{`17:15: sinks.kinesis.endpoint: "localhost" is not an http or https URL`}},
	{"keys", "    aws_access_key_id: AKIA\n", "", []string{`14:3: sinks.kinesis.aws_access_key_id: aws_access_key_id and aws_secret_access_key go together`}},
	{"size", "25KB", "25 apples", []string{`21:22: sinks.kinesis.aggregate_bytes: "25 apples" is not a size such as 25KB, 256MB or a number of bytes`}},
	{"size beyond", "25KB", "25MB", []string{`21:22: sinks.kinesis.aggregate_bytes: 26214400 is not between 1024 and 1048576`}},
	{"ordering", "relaxed", "loose", []string{`22:15: sinks.kinesis.ordering: "loose" is none of relaxed, strict`}},
	{"slots", "ordering: relaxed", "slots: 3", []string{`22:12: sinks.kinesis.slots: 3 is not a power of two`}},
	{"queue key", "inflight_window: 8", "inflight_windw: 8", []string{`25:7: sinks.kinesis.resource_opts.inflight_windw: unknown key; did you mean "inflight_window"?`}},
	{"window", "inflight_window: 8", "inflight_window: many", []string{`25:24: sinks.kinesis.resource_opts.inflight_window: "many" is not a whole number from 0 on`}},
	{"ttl", "request_ttl: infinity", "request_ttl: 0", []string{`26:20: sinks.kinesis.resource_opts.request_ttl: nothing lives for no time; write infinity for no limit`}},
	{"on full", "drop_oldest", "drop", []string{`32:30: sinks.dead.resource_opts.on_full: "drop" is none of block, drop_newest, drop_oldest`}},
	{"fallback", "fallback: dead", "fallback: deadd", []string{`27:17: sinks.kinesis.resource_opts.fallback: there is no sink "deadd"; did you mean "dead"?`}},
	{"own fallback", "fallback: dead", "fallback: kinesis", []string{`27:17: sinks.kinesis.resource_opts.fallback: a sink cannot be its own fallback`}},
	{"fallbacks in a circle", "on_full: drop_oldest", "fallback: kinesis", []string{
		`27:17: sinks.kinesis.resource_opts.fallback: the fallback of "dead" comes back to kinesis`,
		`32:31: sinks.dead.resource_opts.fallback: the fallback of "kinesis" comes back to dead`,
	}},
	{"in-flight bytes", "inflight_window: 8", "inflight_bytes: few", []string{`25:23: sinks.kinesis.resource_opts.inflight_bytes: "few" is not a size such as 25KB, 256MB or a number of bytes`}},
	{"fallback of all rules", "workers: 2", "rule_fallback: deat", []string{`2:73: pipeline.rule_fallback: there is no sink "deat"; did you mean "dead"?`}},
	{"fallback of a rule", "enable: false", "fallback: ded", []string{`45:15: rules.off.fallback: there is no sink "ded"; did you mean "dead"?`}},
	{"sink for the rest", "workers: 2", "unmatched: nowhere", []string{`2:69: pipeline.unmatched: there is no sink "nowhere"`}},
	{"keep failed", "workers: 2", "keep_failed: 2", []string{`2:71: pipeline.keep_failed: must be true or false, not a number`}},
	{"buffer without directory", "inflight_window: 8", "buffer_mode: durable", []string{`25:20: sinks.kinesis.resource_opts.buffer_mode: it needs a buffer_dir`}},
	{"directory without buffer", "inflight_window: 8", "buffer_dir: /tmp", []string{`25:19: sinks.kinesis.resource_opts.buffer_dir: it needs buffer_mode durable or volatile_offload`}},
	{"buffer mode", "inflight_window: 8", "buffer_mode: disk", []string{`25:20: sinks.kinesis.resource_opts.buffer_mode: "disk" is none of durable, memory_only, volatile_offload`}},
	{"SQL", "WHERE temp > 20", "WHERE temp >> 20", []string{`38:19: rules.hot.sql: expected an expression, found >`}},
	{"SQL in one line", `SELECT * FROM "v/#"`, `SELECT lowr(topic) FROM "v/#"`, []string{`46:17: rules.off.sql: there is no function lowr (did you mean lower? Names of functions are case-sensitive)`}},
	{"quoted SQL", `SELECT * FROM "v/#"`, `'SELECT nosuch(topic) FROM "v/#"'`, []string{`46:18: rules.off.sql: there is no function nosuch`}},
	{"no SQL", "    sql: SELECT * FROM \"v/#\"\n", "", []string{`44:3: rules.off: sql is missing`}},
	{"no actions", "    actions: [{sink: dead, key: k, best_effort: true, attributes: {a: \"${topic}\"}}]\n", "", []string{`44:3: rules.off: actions are missing; a rule without any does nothing`}},
	{"event", `SELECT * FROM "v/#"`, `SELECT * FROM "$events/client/connected"`, []string{`46:10: rules.off.sql: "$events/client/connected" is seen by a source of type broker only; a client of a broker gets published messages`}},
	{"sink", "sink: kinesis", "sink: kinesiss", []string{`40:15: rules.hot.actions[0].sink: there is no sink "kinesiss"; did you mean "kinesis"?`}},
	{"no sink", "      - sink: kinesis\n        partition_key", "      - partition_key", []string{`40:9: rules.hot.actions[0]: sink is missing; there are dead, kinesis`}},
	{"two names", "partition_key: ${clientid}", "partition_key: ${clientid}\n        key: x", []string{`41:24: rules.hot.actions[0].partition_key: is the same option as key; give one of them`}},
	{"key policy", "undefined_key: topic", "undefined_key: drop", []string{`43:24: rules.hot.actions[0].undefined_key: "drop" is none of constant, error, random, topic`}},
	{"action key", "payload_template:", "payload_templat:", []string{`42:9: rules.hot.actions[0].payload_templat: unknown key; did you mean "payload_template"?`}},
	{"alias", "region: eu-west-1\n    stream_name: dead", "region: *r\n    stream_name: dead", []string{`30:13: sinks.dead.region: anchors, aliases and tags are not supported; write the value out`}},
	{"merge", "stream_name: dead", "<<: {a: b}", []string{`31:5: sinks.dead.<<: merging is not supported; write the values out`}},
	{"name", "  dead:", "  de.ad:", []string{`27:17: sinks.kinesis.resource_opts.fallback: there is no sink "dead"; did you mean "de.ad"?`, `28:3: sinks.de.ad: a name must not be empty nor contain dots or spaces`, `47:22: rules.off.actions[0].sink: there is no sink "dead"; did you mean "de.ad"?`}},
	{"not a mapping", "  dead:\n", "  dead: 5\n  dead2:\n", []string{`28:9: sinks.dead: must be a mapping, not a number`}},
	{"syntax", "    region: eu-west-1\n    stream_name: readings", "    region: [eu-west-1\n    stream_name: readings", []string{`16:5: a bracket is not closed, or a comma is missing (',' or ']' must be specified)`}},
	{"tabs", "    region: eu-west-1\n    stream_name: readings", "\tregion: eu-west-1", []string{`16:1: indent with spaces, not with tabs (found character '\t' that cannot start any token)`}},
	{"two documents", "rules:\n", "---\nrules:\n", []string{`34:1: a second document; there must be one`}},
}

func TestBreaks(t *testing.T) {
	t.Parallel()
	for _, b := range breaks {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			require.Contains(t, complete, b.old)
			require.Equal(t, b.want, messages(strings.Replace(complete, b.old, b.new, 1)))
		})
	}
}

// messages returns the errors of a definition, without the file's name.
func messages(text string) []string {
	_, err := Parse("f", []byte(text), testOptions)
	if err == nil {
		return nil
	}
	return strings.Split(strings.TrimPrefix(strings.ReplaceAll(err.Error(), "\nf:", "\n"), "f:"), "\n")
}

func TestNotADefinition(t *testing.T) {
	t.Parallel()
	require.Equal(t, []string{"1:1: there is nothing in it"}, messages(""))
	require.Equal(t, []string{"1:1: there is nothing in it"}, messages("# a comment\n"))
	require.Equal(t, []string{"1:1: must be a mapping of sources, sinks and rules, not text"}, messages("hello"))
	require.Equal(t, []string{"1:1: sinks: at least one sink is needed", "1:1: sources: at least one source is needed"}, messages("rules: {}"))
	_, err := Load("/no/such/file", testOptions)
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestErrorsAreStructured(t *testing.T) {
	t.Parallel()
	_, err := Parse("f.yaml", []byte(strings.Replace(complete, "relaxed", "loose", 1)), testOptions)
	var e *Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, "f.yaml", e.File)
	require.Equal(t, 22, e.Line)
	require.Equal(t, 15, e.Column)
	require.Equal(t, "sinks.kinesis.ordering", e.Path)
}

// Wherever a value from outside ends up, no error shows it.
func TestSecretsStaySecret(t *testing.T) {
	t.Parallel()
	const secret = "s3cr\"et v\\alue"
	file := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(file, []byte(secret+"\n"), 0o600))
	opts := Options{LookupEnv: func(string) (string, bool) { return secret, true }}
	for _, line := range strings.Split(complete, "\n") {
		key, value, ok := strings.Cut(line, ": ")
		if !ok || strings.Contains(value, "{") && !strings.Contains(value, "$") {
			continue
		}
		for _, ref := range []string{"${env:X}", "'${env:X}'", "${file:" + file + "}", "x${env:X}${topic}"} {
			_, err := Parse("f", []byte(strings.Replace(complete, line, key+": "+ref, 1)), opts)
			if err != nil {
				require.NotContains(t, err.Error(), "s3cr", "%s: %s", key, ref)
				for _, e := range leaves(err) {
					require.NotContains(t, errors.Unwrap(e).Error(), "s3cr", "%s: %s", key, ref)
				}
			}
		}
	}
}

func TestSecretFile(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(file, []byte("007\n"), 0o600))
	def, err := Parse("f", []byte(strings.Replace(complete, "${env:PASSWORD}", "${file:"+file+"}", 1)), testOptions)
	require.NoError(t, err)
	require.Equal(t, "007", def.sources["plant"].def.(*mqttSource).Password, "as it is written, though it is a number")
}
