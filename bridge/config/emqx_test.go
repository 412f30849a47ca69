package config

import (
	"strings"
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

// emqxFile is the same as emqxExport in EMQX's file format, as emqx ctl conf show
// prints it.
const emqxFile = `
# Loaded from data/configs/cluster.hocon
actions {
  http {web {connector = web, enable = true}}
  kinesis {
    readings {
      connector = aws
      enable = true
      parameters {
        partition_key = "${clientid}"
        payload_template = "${.}"
        stream_name = readings
      }
      resource_opts {
        batch_size = 100
        batch_time = 100ms
        health_check_timeout = 60s
        query_mode = async
        request_ttl = 45s
        worker_pool_size = 16
      }
    }
  }
}
connectors {
  http {aws {url = "http://localhost"}}
  kinesis {
    aws {
      aws_access_key_id = AKIA1
      aws_secret_access_key = "******"
      enable = true
      endpoint = "https://kinesis.eu-west-1.amazonaws.com"
      max_retries = 2
      pool_size = 8
    }
  }
}
node {cookie = "emqxsecretcookie", name = "emqx@127.0.0.1"}
rule_engine {
  ignore_sys_message = true
  rules {
    "my.rule" {
      actions = [
        "kinesis:readings",
        "http:web",
        {args {}, function = republish}
      ]
      enable = true
      sql = """~
        SELECT
          *
        FROM
          "t/#"~"""
    }
  }
}
`

const imported = `sources:
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
`

func TestImportEMQX(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ text, want string }{
		"API":  {emqxExport, imported},
		"file": {emqxFile, strings.Replace(imported, `SELECT * FROM "t/#"`, "SELECT\n        *\n      FROM\n        \"t/#\"", 1)},
	} {
		out, notes, err := ImportEMQX([]byte(c.text))
		require.NoError(t, err, name)
		require.Equal(t, c.want, string(out), name)
		require.ElementsMatch(t, []string{
			"sinks.readings.aws_secret_access_key: set AWS_SECRET_ACCESS_KEY, or leave out both keys and use a role",
			"sinks.readings.resource_opts.query_mode has no counterpart and is left out",
			"sinks.readings.resource_opts.request_ttl: records are dropped after 45s, as in EMQX; without it none is",
			"sinks.readings.resource_opts.worker_pool_size has no counterpart and is left out",
			"connector aws: max_retries has no counterpart: what may succeed later is tried until it does, and connections are opened as needed",
			"connector aws: pool_size has no counterpart: what may succeed later is tried until it does, and connections are opened as needed",
			`action web: type "http" has no counterpart and is left out`,
			"rule my_rule: action http:web is not among the Kinesis actions and is left out",
			`rule my_rule: action "republish" has no counterpart here and is left out`,
			"rules.my_rule.actions[0].partition_key: warning: ${clientid} is undefined: a source of type mqtt does not learn who published; say by clientid_from of the source which user property or level of the topic has it, or use ${topic} or a part of the payload",
			"sources.emqx: fill in the address of the broker, and user name and password if it asks for them",
		}, notes, name)
		_, err = Parse("imported", out, Options{LookupEnv: func(string) (string, bool) { return "x", true }})
		require.NoError(t, err, name)
	}
}

// A bridge of the time before connectors and actions, which forwards a topic.
func TestImportEMQXBridge(t *testing.T) {
	t.Parallel()
	out, notes, err := ImportEMQX([]byte(`
bridges.kinesis_producer.old {
  enable = false
  local_topic = "up/#"
  aws_access_key_id = AKIA1
  aws_secret_access_key = "file:///run/secrets/aws"
  endpoint = "kinesis.eu-west-1.amazonaws.com"
  stream_name = 7, partition_key = key, payload_template = "${payload}"
  fallback_actions = [{kind = reference, type = kinesis, name = old}, {kind = republish, args {topic = x}}]
}`))
	require.NoError(t, err)
	require.Equal(t, `sources:
  emqx:
    type: mqtt
    servers: mqtt://localhost:1883
    client_id: sluice
sinks:
  old:
    type: kinesis
    stream_name: "7"
    endpoint: https://kinesis.eu-west-1.amazonaws.com
    aws_access_key_id: AKIA1
    aws_secret_access_key: ${file:/run/secrets/aws}
    resource_opts:
      fallback: old
rules:
  old_local_topic:
    sql: |
      SELECT * FROM "up/#"
    actions:
    - sink: old
      partition_key: key
      payload_template: ${payload}
      undefined_key: constant
`, string(out))
	require.Equal(t, []string{
		"action old: the fallback republish has no counterpart and is left out; a sink has one fallback, which is a sink",
		"action old is disabled in EMQX; here it is not: disable the rules that use it, or take it out of them",
		"rules.old_local_topic takes the place of the bridge's local_topic",
		"sources.emqx: fill in the address of the broker, and user name and password if it asks for them",
		"definition:12:28: sinks.old.aws_secret_access_key: open /run/secrets/aws: no such file or directory",
		"definition:14:17: sinks.old.resource_opts.fallback: a sink cannot be its own fallback",
	}, notes)
}

func TestImportEMQXFails(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`connectors { kinesis { } }`:           "there are no actions and no rules in it",
		`{}`:                                   "there are no actions and no rules in it",
		`[]`:                                   `an object such as {"connectors": […], "actions": […], "rules": […]} is expected`,
		`{"actions": 5}`:                       "actions: a list, or objects by type and name, are expected",
		`{"rules": ["r"]}`:                     "rules: [0]: an object is expected",
		"actions {kinesis {a = 1}}":            "actions: kinesis.a: an object is expected",
		"rule_engine {rules {r = 1}}":          "rule_engine.rules.r: an object is expected",
		"actions {\n  kinesis {\n    a = ${b}": ":3:9: substitution is not supported: write the value, or put a template in quotes",
		`{"actions": [}`:                       ":1:14: a value is expected, not '}'",
	} {
		_, _, err := ImportEMQX([]byte(text))
		require.EqualError(t, err, want, text)
	}
}

// A rule that would not run is told about.
func TestImportEMQXChecks(t *testing.T) {
	t.Parallel()
	_, notes, err := ImportEMQX([]byte(`{"rules": [{"id": "r", "sql": "SELECT nosuch(topic) FROM \"t/#\"", "actions": []}]}`))
	require.NoError(t, err)
	require.Contains(t, notes, "definition:10:14: rules.r.sql: there is no function nosuch")
}
