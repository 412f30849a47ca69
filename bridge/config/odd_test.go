package config

import (
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// oneRule is a definition with one source, sink and rule.
func oneRule(source, sql, action string) string {
	return "sources: {s: " + source + "}\nsinks: {f: {type: file, path: p}}\n" +
		"rules:\n  r:\n    sql: " + sql + "\n    actions: [" + action + "]\n"
}

const client, embedded = "{type: mqtt, servers: mqtt://localhost, client_id: c}", "{type: broker}"

// A sink that stores IDs is given them, or there is a warning.
func TestActionWithoutID(t *testing.T) {
	t.Parallel()
	text := func(ids, attributes string) string {
		return "sources: {s: " + embedded + "}\nsinks: {k: {type: kinesis, stream_name: s, region: eu-west-1, ids: " + ids + ", resource_opts: {request_ttl: infinity}}}\n" +
			"rules:\n  r:\n    sql: SELECT * FROM \"t/#\"\n    actions: [{key: k, attributes: {" + attributes + "}}]\n"
	}
	warned := func(text string) bool {
		for _, w := range warningsOf(t, text) {
			if strings.Contains(w, "gives no attribute sluice-id") {
				require.Contains(t, w, "6:15: rules.r.actions[0]: warning:")
				return true
			}
		}
		return false
	}
	require.True(t, warned(text("true", "sluice_id: x")))
	require.False(t, warned(text("true", "sluice-id: x")))
	require.False(t, warned(text("false", "")))
}

// Keys that never have a value are refused, and other templates are warned of, at
// the placeholder.
func TestTemplatesWithoutValue(t *testing.T) {
	t.Parallel()
	const unknown, missing, fails = "does not learn who published; say by clientid_from of the source", "selects no column", "every message would fail"
	for _, c := range []struct {
		sql, template, source string
		at                    int    // where in the template
		says                  string // empty if nothing is wrong
	}{
		{`SELECT * FROM "t/#"`, "$<topic>", client, 0, ""},
		{`SELECT * FROM "t/#"`, "${clientid}", client, 0, unknown},
		{`SELECT * FROM "t/#"`, "$<clientid>", client, 0, "$<clientid> is undefined"},
		{`SELECT * FROM "t/#"`, "a-${username.x}", client, 2, "say by username_from"},
		{`SELECT * FROM "t/#"`, "${peerhost}", client, 0, "take a part of the topic or of the payload"},
		{`SELECT * FROM "t/#"`, "${clientid}", embedded, 0, ""},
		{`SELECT * FROM "t/#"`, "${clientid}", client + ", b: " + embedded, 0, ""},
		{`SELECT * FROM "t/#"`, "${clientid}", strings.Replace(client, "}", ", clientid_from: {topic_level: 1}}", 1), 0, ""},
		{`SELECT * FROM "t/#"`, "${clientid}", strings.Replace(client, "}", ", username_from: {topic_level: 1}}", 1), 0, unknown},
		{`SELECT * FROM "t/#"`, "${username}", strings.Replace(client, "}", ", username_from: {user_property: u}}", 1), 0, ""},
		{`SELECT payload.id AS clientid, clientid AS d FROM "t/#"`, "${d}${clientid}", client, 0, ""},
		{`SELECT *, payload.id AS clientid FROM "t/#"`, "${clientid}", client, 0, ""},
		{`SELECT payload.a, 'x' FROM "t/#"`, "${payload.a}${x}${.}", client, 0, ""},
		{`SELECT payload.a AS a FROM "t/#"`, "${b}", embedded, 0, missing},
		{`SELECT payload.a AS a FROM "t/#"`, "x${a}${b.c}", client, 5, missing},
		{`SELECT payload.temp AS temp FROM "t/#"`, "${tmep}", client, 0, "did you mean $<temp>?"},
		{`FOREACH payload.l FROM "t/#"`, "${item}${topic}", client, 0, ""},
		{`FOREACH payload.l AS e FROM "t/#"`, "${e}${clientid}", client, 4, unknown},
		{`FOREACH payload.l AS e DO e.x AS x FROM "t/#"`, "${x}", client, 0, ""},
		{`FOREACH payload.l AS e DO e.x AS x FROM "t/#"`, "${topic}", client, 0, missing},
	} {
		// In a key it is a mistake, elsewhere, or with another policy, a warning.
		for _, option := range []string{"key", "undefined_key: topic, key", "topic", "explicit_hash_key", "payload", "attributes: {a"} {
			action := "{" + option + `: "` + c.template + `"}`
			path := option[strings.LastIndex(option, " ")+1:]
			if path == "{a" {
				action, path = action+"}", "attributes.a"
			}
			text := oneRule(c.source, c.sql, action)
			var list []string
			if option == "key" {
				list = messages(text)
			} else {
				list = warningsOf(t, text)
			}
			if c.says == "" {
				require.Empty(t, list, action)
				continue
			}
			require.Len(t, list, 1, action)
			column := len(`    actions: [{`) + len(option) + len(`: "`) + 1 + c.at
			require.True(t, strings.HasPrefix(list[0], "6:"+strconv.Itoa(column)+": rules.r.actions[0]."+path+": "), "%s: %s", action, list[0])
			require.Contains(t, list[0], c.says)
			require.Equal(t, option == "key", strings.Contains(list[0], fails))
			require.Equal(t, option != "key", strings.Contains(list[0], "warning: "))
		}
	}
}

// warningsOf returns the warnings of a definition that is right, without the file's
// name.
func warningsOf(t *testing.T, text string) (list []string) {
	t.Helper()
	def, err := Parse("f", []byte(text), testOptions)
	require.NoError(t, err, text)
	for _, w := range def.Warnings() {
		list = append(list, strings.TrimPrefix(w.Error(), "f:"))
	}
	return list
}

// What is odd about a statement or a template is said where it stands.
func TestOddRules(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ sql, action, want string }{
		{`SELECT tmep FROM "t/#" WHERE payload.temp > 1`, "{}", "5:17: rules.r.sql: warning: there is no column tmep (did you mean payload.temp?)"},
		{`SELECT paylod.temp AS temp FROM "t/#"`, "{}", "5:17: rules.r.sql: warning: there is no column paylod (did you mean payload?)"},
		{`SELECT topic FROM "t/#" WHERE payload.x = null`, "{}", "5:40: rules.r.sql: warning: null is a column that is not there"},
		{`SELECT topic FROM "t/#" WHERE topic =~ 't/#/x'`, "{}", `5:49: rules.r.sql: warning: topic filter "t/#/x": "#" must be the last level`},
		{`SELECT clientid FROM "t/#"`, "{}", "5:17: rules.r.sql: warning: clientid is undefined: a source of type mqtt"},
		{`SELECT topic FROM "t/#" WHERE username = 'x'`, "{}", "5:40: rules.r.sql: warning: username is undefined: a source of type mqtt"},
		{`SELECT concat(clientid(), topic) AS x FROM "t/#"`, "{}", "5:24: rules.r.sql: warning: clientid is undefined"},
		{`FOREACH payload.l AS e DO e, clientid FROM "t/#"`, "{}", "5:39: rules.r.sql: warning: clientid is undefined"},
		{`SELECT base64_encode(payload, 'nopad') AS x FROM "t/#"`, "{}", "5:40: rules.r.sql: warning: base64_encode: bad argument: 'nopad' must be"},
		{`SELECT CASE WHEN true THEN 1 ELSE 1/0 END AS x FROM "t/#"`, "{}", "5:44: rules.r.sql: warning: "},
		{`SELECT * FROM "t/#"`, "{payload: 'a ${topic'}", `6:28: rules.r.actions[0].payload: warning: "${topic" is not closed and stands for itself`},
		{`SELECT * FROM "t/#"`, "{payload: 'a $<topic'}", `6:28: rules.r.actions[0].payload: warning: "$<topic" is not closed and stands for itself`},
		{`SELECT * FROM "t/#"`, "{payload: '${payload.list[1]}'}", `6:26: rules.r.actions[0].payload: warning: templates have no indexes`},
		{`SELECT * FROM "t/#"`, `{payload: '{"a": $<topic>, }', template_dialect: json}`, "6:26: rules.r.actions[0].payload: warning: the template looks like JSON and is not"},
		{`SELECT * FROM "t/#"`, `{payload: '{"a" $<topic>}'}`, "6:26: rules.r.actions[0].payload: warning: the template looks like JSON and is not"},
		{`SELECT * FROM "t/#"`, `{payload: '{"l": ${payload.list}}'}`, "a list may become text (template_dialect: json escapes them)"},
		{`SELECT * FROM "t/#"`, `{payload: '{"m": "$<payload.m>"}'}`, "template_dialect: json escapes them"},
		{`SELECT * FROM "t/#"`, `{payload: '{"m": "$<payload.m>"}', template_dialect: json}`, ""},
		{"|\n      SELECT topic,\n        tmep\n      FROM \"t/#\" WHERE payload.temp > 1", "{}", "7:9: rules.r.sql: warning: there is no column tmep"},
		{`SELECT topic FROM "t/#"`, "{}", ""},
	} {
		list := warningsOf(t, oneRule(client, c.sql, c.action))
		if c.want == "" {
			require.Empty(t, list, c)
			continue
		}
		require.Len(t, list, 1, c)
		require.Contains(t, list[0], c.want)
	}
}

// Constants with which a call always fails are refused, at the constant.
func TestWrongConstants(t *testing.T) {
	t.Parallel()
	for _, call := range []string{
		`regex_match(payload, !'(')`,
		`regex_replace(payload, !'[', 'x')`,
		`jq(!'.[', payload)`,
		`format_date(!'sec', '+00:00', '%Y', 1)`,
		`date_to_unix_ts(!'minute', '%Y', payload)`,
		`hash(!'crc32', payload)`,
		`sprintf(!'~d', payload)`,
		`pad(payload, 10, !'left')`,
	} {
		list := messages(oneRule(client, "SELECT "+strings.Replace(call, "!", "", 1)+` AS x FROM "t/#"`, "{}"))
		require.Len(t, list, 1, call)
		column := strconv.Itoa(len("    sql: SELECT ") + 1 + strings.Index(call, "!"))
		require.Regexp(t, `^5:`+column+`: rules\.r\.sql: \S`, list[0])
	}
}
