package config

import (
	"testing"

	"github.com/stretchr/testify/require"
)

const emqxExport = `{
  "connectors": [{"type": "kinesis", "name": "aws", "enable": true, "endpoint": "https://kinesis.eu-west-1.amazonaws.com",
    "aws_access_key_id": "AKIA1", "aws_secret_access_key": "******", "max_retries": 2, "pool_size": 8}],
  "actions": [
    {"type": "kinesis", "name": "readings", "connector": "aws", "enable": true,
     "parameters": {"stream_name": "readings", "partition_key": "${clientid}", "payload_template": "${.}"},
     "resource_opts": {"batch_size": 100, "batch_time": "100ms", "request_ttl": "45s", "worker_pool_size": 16, "query_mode": "async", "health_check_timeout": "60s"}},
    {"type": "http", "name": "web"}],
  "rules": {"data": [{"id": "my.rule", "sql": "SELECT * FROM \"t/#\"", "enable": true,
    "actions": ["kinesis:readings", "http:web", {"function": "republish", "args": {}}]}], "meta": {}}
}`

func TestImportEMQX(t *testing.T) {
	t.Parallel()
	out, notes, err := ImportEMQX([]byte(emqxExport))
	require.NoError(t, err)
	require.Equal(t, `sources:
  emqx:
    type: mqtt
    servers: mqtt://localhost:1883
    client_id: sluice
sinks:
  readings:
    type: kinesis
    stream_name: readings
    endpoint: https://kinesis.eu-west-1.amazonaws.com
    aws_access_key_id: AKIA1
    aws_secret_access_key: ${env:AWS_SECRET_ACCESS_KEY}
    resource_opts:
      batch_size: 100
      batch_time: 100ms
      request_ttl: 45s
rules:
  my_rule:
    sql: |
      SELECT * FROM "t/#"
    actions:
    - sink: readings
      partition_key: ${clientid}
      payload_template: ${.}
      undefined_key: constant
`, string(out))
	require.Equal(t, []string{
		"sinks.readings.aws_secret_access_key: set AWS_SECRET_ACCESS_KEY, or leave out both keys and use a role",
		"sinks.readings.resource_opts.query_mode has no counterpart and is left out",
		"sinks.readings.resource_opts.request_ttl: records are dropped after 45s, as in EMQX; without it none is",
		"sinks.readings.resource_opts.worker_pool_size has no counterpart and is left out",
		"connector aws: max_retries has no counterpart: what may succeed later is tried until it does, and connections are opened as needed",
		"connector aws: pool_size has no counterpart: what may succeed later is tried until it does, and connections are opened as needed",
		`action web: type "http" has no counterpart and is left out`,
		"rule my_rule: action http:web is not among the Kinesis actions and is left out",
		`rule my_rule: action "republish" has no counterpart here and is left out`,
		"sources.emqx: fill in the address of the broker, and user name and password if it asks for them",
	}, notes)
	_, err = Parse("imported", out, Options{LookupEnv: func(string) (string, bool) { return "x", true }})
	require.NoError(t, err)
}

func TestImportEMQXFails(t *testing.T) {
	t.Parallel()
	_, _, err := ImportEMQX([]byte(`connectors { kinesis { } }`))
	require.ErrorContains(t, err, "EMQX's REST API")
	_, _, err = ImportEMQX([]byte(`{}`))
	require.EqualError(t, err, "there are no actions and no rules in it")
}

// A rule that would not run is told about.
func TestImportEMQXChecks(t *testing.T) {
	t.Parallel()
	_, notes, err := ImportEMQX([]byte(`{"rules": [{"id": "r", "sql": "SELECT nosuch(topic) FROM \"t/#\"", "actions": []}]}`))
	require.NoError(t, err)
	require.Contains(t, notes, "definition:10:14: rules.r.sql: there is no function nosuch")
}
