package config

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// What exposes more than its author may have in mind is warned of, once, where it
// stands.
func TestWarnExposed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	users, acl := filepath.Join(dir, "users"), filepath.Join(dir, "acl")
	require.NoError(t, os.WriteFile(users, []byte("a:$2a$04$n6dmKo6e4r9uwTj1OHFrOu3RkkC0c3rL1C3oDdrvcBVqTjb6QEcqW\n"), 0o600))
	require.NoError(t, os.WriteFile(acl, []byte("topic read t/#\n"), 0o600))
	const client = "{type: mqtt, client_id: c, servers: mqtt://h}"
	const file = "{type: file, path: p}"
	const sinkTTL = ", resource_opts: {request_ttl: infinity}}"
	for _, c := range []struct{ source, sink, topic, path, want string }{
		{client, file, "", "", ""},
		{"{type: broker}", file, "", "", ""},
		{"{type: broker, listeners: ['mqtt://127.0.0.1:1883', 'mqtt://[::1]:1883', 'mqtt://localhost:1884']}", file, "", "", ""},
		{"{type: broker, listeners: ['mqtt://:1883']}", file, "", "sources.s.listeners[0]", "anyone who can reach it is let in"},
		{"{type: broker, listeners: ['mqtt://127.0.0.1:1883', 'ws://0.0.0.0:80']}", file, "", "sources.s.listeners[1]", "anyone who can reach it is let in"},
		{"{type: broker, listeners: ['mqtt://[::]:1883']}", file, "", "sources.s.listeners[0]", "anyone who can reach it is let in"},
		{"{type: broker, users_file: " + users + ", acl_file: " + acl + ", listeners: ['mqtt://10.0.0.1:1883']}", file, "", "sources.s.listeners[0]", "passwords cross the network as they are; use mqtts"},
		{"{type: mqtt, client_id: c, servers: mqtt://h, username: u, password: p}", file, "", "sources.s.servers", "the password crosses the network as it is by mqtt; use mqtts"},
		{"{type: mqtt, client_id: c, servers: ['mqtts://h', 'ws://h'], password: p, username: u}", file, "", "sources.s.servers[1]", "by ws; use wss"},
		{"{type: mqtt, client_id: c, servers: tcp://h, auth: {method: m, data: d}}", file, "", "sources.s.servers", "use mqtts"},
		{"{type: mqtt, client_id: c, servers: mqtt://127.0.0.1, password: p, username: u}", file, "", "", ""},
		{"{type: mqtt, client_id: c, servers: mqtts://h, password: p, username: u}", file, "", "", ""},
		{client, "{type: mqtt, servers: mqtt://other, username: u, password: p" + sinkTTL, "a", "sinks.k.servers", "the password crosses the network as it is"},
		{client, "{type: kinesis, stream_name: s, region: r, endpoint: http://h, aws_access_key_id: a, aws_secret_access_key: b" + sinkTTL, "", "sinks.k.endpoint", "fixed keys are used over http"},
		{client, "{type: kinesis, stream_name: s, region: r, endpoint: http://127.0.0.1:4567, aws_access_key_id: a, aws_secret_access_key: b" + sinkTTL, "", "", ""},
		{client, "{type: kinesis, stream_name: s, region: r, endpoint: https://h, aws_access_key_id: a, aws_secret_access_key: b" + sinkTTL, "", "", ""},
		{client, "{type: http, url: 'http://h/', headers: {Authorization: x}" + sinkTTL, "", "sinks.k.url", "the headers are sent over http"},
		{client, "{type: http, url: 'https://h/', headers: {Authorization: x}" + sinkTTL, "", "", ""},
		{client, "{type: http, url: 'https://h/'}", "", "sinks.k", "neither request_ttl nor fallback"},
		{client, "{type: http, url: 'https://h/', resource_opts: {request_ttl: 1m}}", "", "", ""},
		{client, "{type: http, url: 'https://h/', resource_opts: {fallback: f}}, f: " + file, "", "", ""},
		{client, "{type: mqtt, servers: mqtt://H:1883" + sinkTTL, "t/again", "rules.r.actions[0].topic", `is seen by this rule again, by its filter "t/#": it ends after 4 rounds`},
		{client, "{type: mqtt, servers: mqtt://h, max_hops: 2" + sinkTTL, "t/${clientid}/x", "rules.r.actions[0].topic", `may be seen by this rule again, by its filter "t/#": it ends after 2 rounds`},
		{client, "{type: mqtt, servers: mqtt://h, unmarked: true" + sinkTTL, "t/1", "rules.r.actions[0].topic", "it never ends"},
		{client, "{type: mqtt, servers: mqtt://h" + sinkTTL, "u/again", "", ""},
		{client, "{type: mqtt, servers: mqtt://other" + sinkTTL, "t/again", "", ""},
		{"{type: broker}", "{type: mqtt, servers: mqtt://localhost" + sinkTTL, "t/again", "rules.r.actions[0].topic", "is seen by this rule again"},
	} {
		def, err := Parse("f", []byte("sources: {s: "+c.source+"}\nsinks: {k: "+c.sink+"}\n"+
			"rules: {r: {sql: 'SELECT *, 1 as clientid FROM \"t/#\"', actions: [{sink: k, key: a, topic: '"+c.topic+"'}]}}\n"), testOptions)
		require.NoError(t, err, c.source+c.sink)
		if c.want == "" {
			require.Empty(t, def.Warnings(), c)
			continue
		}
		require.Len(t, def.Warnings(), 1, c)
		require.Equal(t, c.path, def.Warnings()[0].Path)
		require.ErrorContains(t, def.Warnings()[0], "warning: ")
		require.ErrorContains(t, def.Warnings()[0], c.want)
	}
}
