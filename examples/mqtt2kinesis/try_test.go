package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const tryDefinition = `
sources:
  plant: {type: mqtt, client_id: c, servers: "mqtts://broker.example.com", filters: [devices/#], clientid_from: {topic_level: 2}}
  local: {type: broker}
sinks:
  kinesis: {type: kinesis, region: eu-west-1, stream_name: readings, resource_opts: {request_ttl: infinity, buffer_mode: durable, buffer_dir: /no/such/buffer}}
  out: {type: file, path: /no/such/out}
rules:
  hot:
    sql: SELECT payload.temp AS temp, clientid, username, topic FROM "devices/#" WHERE temp > 20
    actions:
      - {sink: kinesis, key: $<clientid>, payload: "$<temp> of $<username>"}
      - {sink: kinesis, stream_name: "all-$<clientid>", key: $<topic>, explicit_hash_key: "17", attributes: {n: "a b"}}
  raw:
    enable: false
    sql: SELECT payload FROM "raw"
    actions: [{sink: out, payload: $<payload>}]
  joined:
    sql: SELECT clientid, event FROM "$events/client/connected"
    actions: [{sink: out}]
  copies:
    sql: SELECT peerhost, qos, retain FROM "$sources/broker:local"
    actions: [{sink: out}]
`

// A rule of a definition is tried with what its source gives, and what would be sent
// is shown with its place and key.
func TestTry(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, bytes := filepath.Join(dir, "bridge.yaml"), filepath.Join(dir, "payload")
	write(t, path, tryDefinition)
	write(t, bytes, "\x00\xff\x01")
	for _, c := range []struct {
		args           string
		code           int
		stdout, stderr string
	}{
		{`-rule hot -source plant -topic devices/d7/x -payload {"temp":21}`, 0, "sink kinesis, to readings, key d7\n21 of undefined\n" +
			"sink kinesis, to all-d7, key devices/d7/x, hash key 17, n=a b\n" +
			`{"clientid":"d7","temp":21,"topic":"devices/d7/x","username":"undefined"}` + "\n", ""},
		{`-rule hot -source local -clientid me -username you -topic devices/d7/x -payload {"temp":21}`, 0, "key me\n21 of you\n", ""},
		{`-rule hot -topic devices/d7/x -payload {"temp":2}`, 1, "", "temp > 20"},
		{`-rule hot -topic devices/d7/x -payload no`, 1, "", "payload"},
		{`-rule hot -topic other -payload {}`, 2, "", `rule hot is on "devices/#", which "other" does not match`},
		{`-rule hot -source plant -topic other -payload {}`, 2, "", `source plant does not subscribe to "other"`},
		{`-rule hot -source plant -username u -topic devices/d7/x -payload {}`, 2, "", "source plant: it is of type mqtt, which does not learn who published"},
		{`-rule hot -source nowhere -topic devices/d7/x`, 2, "", `there is no source "nowhere"`},
		{`-rule hto -topic devices/d7/x`, 2, "", `there is no rule "hto"; did you mean "hot"?`},
		{`-topic devices/d7/x`, 2, "", "-rule is missing; there are copies, hot, joined, raw"},
		{`-rule hot -topic devices/+`, 2, "", "devices/+"},
		{"-rule raw -topic raw -payload-file " + bytes, 0, "sink out\nbase64:AP8B\n", ""},
		{"-rule raw -topic raw -payload-file -", 0, "sink out\nfrom standard input\n", ""},
		{"-rule raw -topic raw -payload-file /no/such", 2, "", "/no/such"},
		{"-rule raw -topic raw -payload x -payload-file -", 2, "", "exclude each other"},
		{"-rule raw -topic raw -json -payload-file " + bytes, 0, `"rule":"raw","data_base64":"AP8B"}`, ""},
		{"-rule raw -topic raw -steps -payload x", 0, "sink out\nx\n", "row → "},
		{"-rule joined -event $events/client/connected -clientid me", 0, `{"clientid":"me","event":"client.connected"}`, ""},
		{"-rule joined -event $events/client/connectd", 2, "", `there is no event "$events/client/connectd"`},
		{"-rule joined -source plant -event $events/client/connected", 2, "", "published messages only"},
		{"-rule copies -topic any -source local -qos 2", 0, `{"peerhost":"127.0.0.1","qos":2`, ""},
		{"-rule copies -source plant -topic devices/1", 2, "", "rule copies is on"},
		{"-rule raw -qos 3", 2, "", "-qos: 3 is not 0, 1 or 2"},
		{"-rule raw -sql x", 2, "", "-sql: the rule is that of -config"},
	} {
		var out, errs output
		p := &program{lookup: os.LookupEnv, stdin: strings.NewReader("from standard input"), stdout: &out, stderr: &errs}
		code := p.run(t.Context(), append([]string{"test", "-config", path}, strings.Fields(c.args)...))
		require.Equal(t, c.code, code, "%s: %s", c.args, errs.String())
		require.Contains(t, out.String(), c.stdout, c.args)
		require.Contains(t, errs.String(), c.stderr, c.args)
	}
	require.NoDirExists(t, "/no/such")
	code, _, stderr := execute(t, "test", "-sql", "SELECT 1", "-rule", "x")
	require.Equal(t, 2, code)
	require.Contains(t, stderr, "-rule: it needs -config")
	code, stdout, _ := execute(t, "test", "-sql", `SELECT payload FROM "t/#"`, "-template", "${payload}", "-payload-file", bytes)
	require.Equal(t, 0, code)
	require.Equal(t, `\u0000\xff\u0001`+"\n", stdout)
}
