package config

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// Parts that are right by themselves, and do not go together.
func TestWiring(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.Symlink(dir, dir+"/link"))
	const file, http = "{type: file, path: p}", ", resource_opts: {request_ttl: infinity}}"
	mqtt := func(id, server, more string) string {
		return "{type: mqtt, client_id: " + id + ", servers: '" + server + "'" + more + "}"
	}
	listen := func(urls string) string { return "{type: broker, listeners: [" + urls + "]}" }
	const rule = `{r: {sql: 'SELECT * FROM "t/#"', actions: [{sink: k}]}}`
	from := func(filter string) string {
		return `{r: {sql: 'SELECT * FROM "` + filter + `"', actions: [{sink: k}]}}`
	}
	for name, c := range map[string]struct {
		sources, sinks, rules string
		refused, warned       string
	}{
		"one of each": {"a: " + client, "k: " + file, rule, "", ""},

		"filters that cover":              {"a: " + mqtt("c", "mqtt://h", ", filters: [t/#]"), "k: " + file, from("t/+"), "", ""},
		"shared filters that cover":       {"a: " + mqtt("c", "mqtt://h", ", filters: [$share/g/#]"), "k: " + file, from("t/+"), "", ""},
		"filters of another source cover": {"a: " + mqtt("c", "mqtt://h", ", filters: [x]") + ", b: {type: broker}", "k: " + file, rule, "", ""},
		"filters that do not cover":       {"a: " + mqtt("c", "mqtt://h", ", filters: [u/#, v]"), "k: " + file, rule, `3:34: rules.r.sql: no source subscribes to anything that "t/#" matches; the filters are "u/#", "v"`, ""},
		"filters that cover a part":       {"a: " + mqtt("c", "mqtt://h", ", filters: [t/1, u]"), "k: " + file, rule, "", `3:34: rules.r.sql: warning: of "t/#" only what matches "t/1" is subscribed to`},
		"all that is subscribed":          {"a: " + mqtt("c", "mqtt://h", ", filters: [t/1, u]"), "k: " + file, from("#"), "", ""},
		"no wildcard reaches $":           {"a: " + mqtt("c", "mqtt://h", ", filters: ['#']"), "k: " + file, from("$SYS/#"), "no source subscribes to anything", ""},
		"two filters, one not covered":    {"a: " + mqtt("c", "mqtt://h", ", filters: [t/#]"), "k: " + file, `{r: {sql: 'SELECT * FROM "t/#", "u/x"', actions: [{sink: k}]}}`, `3:41: rules.r.sql: no source subscribes to anything that "u/x"`, ""},

		"messages of a source":             {"a: " + mqtt("c", "mqtt://h", ", filters: [t/#]"), "k: " + file, from("$sources/mqtt:a"), "", ""},
		"messages of a source, old":        {"a: " + mqtt("c", "mqtt://h", ", filters: [t/#]"), "k: " + file, from("$bridges/mqtt:a"), "", ""},
		"messages of a source by name":     {"a: " + mqtt("c", "mqtt://h", ", filters: [t/#]"), "k: " + file, from("$sources/a"), "", ""},
		"messages of no source":            {"plant: " + mqtt("c", "mqtt://h", ", filters: [t/#]"), "k: " + file, from("$sources/mqtt:plan"), `rules.r.sql: there is no source "$sources/mqtt:plan"; did you mean "$sources/mqtt:plant"?`, ""},
		"messages of nothing like it":      {"a: " + mqtt("c", "mqtt://h", ", filters: [t/#]"), "k: " + file, from("$sources/mqtt:elsewhere"), `there is no source "$sources/mqtt:elsewhere"; there are $sources/a, $sources/mqtt:a`, ""},
		"messages of a source, wrong type": {"a: " + mqtt("c", "mqtt://h", ", filters: [t/#]"), "k: " + file, from("$bridges/broker:a"), `there is no source "$bridges/broker:a"`, ""},

		"client id twice":                 {"a: " + client + ", b: " + mqtt("c", "tcp://LOCALHOST:1883", ""), "k: " + file, rule, "sources.b.client_id: the client id at this broker is that of sources.a.client_id already", ""},
		"client id of a sink":             {"a: " + client, "k: {type: mqtt, client_id: c, servers: mqtt://127.0.0.1" + http, `{r: {sql: 'SELECT * FROM "t/#"', actions: [{sink: k, topic: u}]}}`, "sinks.k.client_id: the client id at this broker is that of sources.a.client_id already", ""},
		"client id at another broker":     {"a: " + client + ", b: " + mqtt("c", "mqtt://other", ""), "k: " + file, rule, "", ""},
		"another client id at the broker": {"a: " + client + ", b: " + mqtt("d", "mqtt://localhost", ""), "k: " + file, rule, "", ""},

		"port twice":                 {"a: " + listen("'mqtt://127.0.0.1:1883', 'ws://localhost:1883'"), "k: " + file, rule, "sources.a.listeners[1]: the port is that of sources.a.listeners[0] already", ""},
		"port of the default":        {"a: {type: broker}, b: " + listen("'mqtt://127.0.0.1:1883'"), "k: " + file, rule, "sources.b.listeners[0]: the port is that of sources.a already", ""},
		"default twice":              {"a: {type: broker}, b: {type: broker}", "k: " + file, rule, "sources.b: the port is that of sources.a already", ""},
		"port of all addresses":      {"a: " + listen("'mqtt://127.0.0.1:1884', 'mqtt://0.0.0.0:1884'"), "k: " + file, rule, "sources.a.listeners[1]: the port is that of sources.a.listeners[0] already", ""},
		"port of another address":    {"a: " + listen("'mqtt://127.0.0.1:1884', 'mqtt://127.0.0.2:1884', 'mqtt://127.0.0.1:1885'"), "k: " + file, rule, "", ""},
		"any free port":              {"a: " + listen("'mqtt://127.0.0.1:0', 'mqtt://127.0.0.1:0'"), "k: " + file, rule, "", ""},
		"socket twice":               {"a: " + listen("'unix:///tmp/s', 'unix:///tmp/./s'"), "k: " + file, rule, "sources.a.listeners[1]: the socket is that of sources.a.listeners[0] already", ""},
		"file twice":                 {"a: " + client, "k: {type: file, path: p}, l: {type: file, path: ./p}", rule, "sinks.l.path: the file is that of sinks.k.path already", ""},
		"file twice by a link":       {"a: " + client, "k: {type: file, path: " + dir + "/p}, l: {type: file, path: " + dir + "/link/p}", rule, "sinks.l.path: the file is that of sinks.k.path already", ""},
		"file and sessions":          {"a: {type: broker, session_file: p}", "k: " + file, rule, "sinks.k.path: the file is that of sources.a.session_file already", ""},
		"directory twice":            {"a: " + client, "k: {type: http, url: 'https://h', resource_opts: {request_ttl: infinity, buffer_mode: durable, buffer_dir: d}}, l: {type: http, url: 'https://h', resource_opts: {request_ttl: infinity, buffer_mode: durable, buffer_dir: ./d}}", rule, "sinks.l.resource_opts.buffer_dir: the directory is that of sinks.k.resource_opts.buffer_dir already", ""},
		"unused sink":                {"a: " + client, "k: " + file + ", l: {type: file, path: q}", rule, "", "sinks.l: warning: nothing is sent to it: no action names it, and it is no fallback"},
		"sink of a rule that is off": {"a: " + client, "k: " + file + ", l: {type: file, path: q}", `{r: {sql: 'SELECT * FROM "t/#"', actions: [{sink: k}]}, s: {enable: false, sql: 'SELECT * FROM "t/#"', actions: [{sink: l}]}}`, "", ""},
		"fallback of a rule":         {"a: " + client, "k: " + file + ", l: {type: file, path: q}", `{r: {sql: 'SELECT * FROM "t/#"', fallback: l, actions: [{sink: k}]}}`, "", ""},
		"fallback of a sink":         {"a: " + client, "k: {type: file, path: p, resource_opts: {fallback: l}}, l: {type: file, path: q}", rule, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := "sources: {" + c.sources + "}\nsinks: {" + c.sinks + "}\nrules: " + c.rules + "\n"
			list := messages(text)
			if c.refused != "" {
				require.NotEmpty(t, list)
				require.Contains(t, list[0], c.refused)
				return
			}
			require.Empty(t, list)
			list = warningsOf(t, text)
			if c.warned == "" {
				require.Empty(t, list)
				return
			}
			require.Len(t, list, 1)
			require.Contains(t, list[0], c.warned)
		})
	}
}

// A reference that is not closed, or names nothing, is refused where it stands,
// whatever it is in.
func TestBadReferences(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		`"${env:NAME"`:             `2:62: sinks.k.path: ${env: is not closed; write ${env:NAME}`,
		`"a ${file:/run/x"`:        `2:64: sinks.k.path: ${file: is not closed; write ${file:NAME}`,
		`"${env:PASSWORD}${env:X"`: `2:77: sinks.k.path: ${env: is not closed; write ${env:NAME}`,
		`"${env:}"`:                `2:62: sinks.k.path: ${env:} names nothing; write ${env:NAME}`,
		`"${env:A and ${id}"`:      `2:61: sinks.k.path: the environment variable A and ${id is not set`,
	} {
		require.Contains(t, messages("sources: {a: {type: broker}}\nsinks: {k: {type: file, format: json, max_size_mb: 1, path: "+value+"}}\n"+
			`rules: {r: {sql: 'SELECT * FROM "t"', actions: [{}]}}`), want)
	}
	require.Equal(t, filepath.Join("/", "x"), realPath("/./x"))
}
