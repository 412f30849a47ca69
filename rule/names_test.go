package rule_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/rule"
)

// warnings are the texts of what the compiler found odd.
func warnings(t *testing.T, sql string, engine *rule.Engine) []string {
	t.Helper()
	r, err := rule.New(rule.Config{SQL: sql, Engine: engine})
	require.NoError(t, err, sql)
	var out []string
	for _, w := range r.Warnings() {
		out = append(out, w.Summary())
	}
	return out
}

func TestUnknownNames(t *testing.T) {
	t.Parallel()
	for sql, want := range map[string]string{
		`SELECT payload.temp AS temp FROM "t/#" WHERE tmep > 20`:            "1:46: there is no column tmep (did you mean temp?)",
		`SELECT payload.temp AS t FROM "t/#" WHERE tmep > 20`:               "1:43: there is no column tmep (did you mean payload.temp?)",
		`SELECT paylod.temp AS t FROM "t/#"`:                                "1:8: there is no column paylod (did you mean payload?)",
		`SELECT clientId FROM "t/#"`:                                        "1:8: there is no column clientId (did you mean clientid?)",
		`SELECT tmep FROM "t/#"`:                                            "1:8: there is no column tmep (what is in the payload is written payload.tmep)",
		`SELECT upper(topc) AS x FROM "t/#"`:                                "1:14: there is no column topc (did you mean topic?)",
		`FOREACH payload.list AS entry DO entyr.id AS id, entry FROM "t/#"`: "1:34: there is no column entyr (did you mean entry?)",
		`SELECT retain FROM "t/#"`:                                          "1:8: there is no column retain (did you mean flags.retain?)",
		`SELECT reason FROM "t/#"`:                                          "1:8: there is no column reason (an event message.dropped has it)",
		`SELECT flags FROM "$events/client/connected"`:                      "1:8: there is no column flags (an event message.publish has it)",
		`SELECT payload.l[idx] AS x FROM "t/#"`:                             "",
		`SELECT payload.list[0] AS x FROM "t/#"`:                            "1:20: there is no element 0: payload.list[0] is undefined (the first is [1], the last [-1])",
		`SELECT 1 AS l[0], 2 AS l[-0] FROM "t/#"`:                           "",
		`SELECT TRUE AS x FROM "t/#"`:                                       "1:8: there is no column TRUE (the constant is written true)",
		`SELECT coalesce(payload.x, NULL) AS x FROM "t/#"`:                  "1:28: there is no column NULL (undefined is written null(), and is_null(x) tests for it)",
		`SELECT topic FROM "t/#" WHERE topic = "t/1"`:                       `1:39: "t/1" is the name of a column that the event does not have (text is put in single quotes: 't/1')`,
		`SELECT payload.temp AS t FROM "t/#" WHERE payload.tmep > 20`:       "1:8: the statement reads payload.temp and payload.tmep (is one of them misspelt?)",
		`SELECT topic FROM "t/#" WHERE payload.x = null`:                    "1:31: null is a column that is not there: whatever has a value, payload.x = null is false (write is_null(payload.x), or is_null_var(payload.x) where JSON's null counts too)",
		`SELECT topic FROM "t/#" WHERE NULL != payload.x`:                   "1:31: NULL is a column that is not there: whatever has a value, NULL != payload.x is false (write is_not_null(payload.x), or is_not_null_var(payload.x) where JSON's null counts too)",
		`SELECT CASE WHEN payload.x = undefined THEN 1 END AS x FROM "t/#"`: "1:18: undefined is a column that is not there: whatever has a value, payload.x = undefined is false (write is_null(payload.x), or is_null_var(payload.x) where JSON's null counts too)",
		`SELECT topic FROM "t/#" WHERE topic =~ 't/#/x'`:                    `1:40: topic filter "t/#/x": "#" must be the last level (at byte 2); no topic matches it`,
		`SELECT topic FROM "t/#" WHERE topic =~ 'a+'`:                       `1:40: topic filter "a+": "+" must stand alone in its level (at byte 1); no topic matches it`,
		`SELECT topic FROM "t/#" WHERE topic =~ ''`:                         `1:40: topic filter "": must not be empty (at byte 0); no topic matches it`,
		`SELECT topic FROM "t/#" WHERE topic = 't/+'`:                       "1:31: = takes the wildcards of 't/+' for characters (a topic is matched with topic =~ 't/+')",
		`SELECT topic FROM "t/#" WHERE topic =~ 't/+/x'`:                    "",
		`SELECT payload.temp1 AS a, payload.temp2 AS b, payload.x FROM "t"`: "",
		`SELECT *, payload.a AS x, x AS y FROM "t/#" WHERE y = 1`:           "",
		`SELECT event, timestamp, node, metadata, client_attrs FROM "t/#"`:  "",
		`SELECT server, dup, retain, clientid FROM "$sources/mqtt:x"`:       "",
		`SELECT anything FROM "$events/my/own"`:                             "",
		`SELECT reason, qos FROM "$events/client/disconnected", "t/#"`:      "",
		`FOREACH payload DO item.x AS x, payload FROM "t/#"`:                "",
	} {
		got := warnings(t, sql, nil)
		if want == "" {
			require.Empty(t, got, sql)
			continue
		}
		require.Equal(t, []string{want}, got, sql)
	}
	engine, err := rule.NewEngine(rule.EngineConfig{Columns: []string{"tenant"}})
	require.NoError(t, err)
	require.Empty(t, warnings(t, `SELECT tenant, tenant.id FROM "t/#"`, engine))
	require.Len(t, warnings(t, `SELECT tenat FROM "t/#"`, engine), 1)
	require.Len(t, warnings(t, `SELECT nix, nix AS b, nix + 1 AS c FROM "t/#"`, nil), 1, "each name once")
}

func TestFilterThatIsNoText(t *testing.T) {
	t.Parallel()
	_, err := rule.New(rule.Config{SQL: `SELECT topic FROM "t/#" WHERE topic =~ 5`})
	require.ErrorContains(t, err, "1:40: =~ needs a topic and a topic filter")
}

// TestPrefixesOfFilters: what asks a broker for shared or delayed delivery is not in
// the topics of messages.
func TestPrefixesOfFilters(t *testing.T) {
	t.Parallel()
	for filter, want := range map[string]string{
		"$share/g/t/#": "t/#", "$share/g/+/x": "+/x", "$queue/t/1": "t/1", "$queue/#": "#", "$delayed/10/t/1": "t/1", "$share/g/$SYS/#": "$SYS/#", "$SYS/#": "$SYS/#", "t/$share/g/x": "t/$share/g/x",
	} {
		r, err := rule.New(rule.Config{SQL: `SELECT topic FROM "` + filter + `"`})
		require.NoError(t, err, filter)
		require.Equal(t, []string{want}, r.Filters(), filter)
		require.Equal(t, filter != want, len(r.Warnings()) == 1, filter)
	}
	result, err := rule.Test(rule.TestInput{SQL: `SELECT topic FROM "$share/g/t/#", "u"`, Topic: "t/1"})
	require.NoError(t, err)
	require.Len(t, result.JSON, 1)
	for filter, want := range map[string]string{
		"$share/g": "must follow the group", "$share//t": "group must not be empty", "$queue/": "must follow $queue/", "$delayed/t/1": "$delayed/seconds/topic", "$delayed/5/": "$delayed/seconds/topic", "$share/g/t/#/x": "must be the last level",
	} {
		_, err := rule.New(rule.Config{SQL: `SELECT topic FROM "` + filter + `"`})
		require.ErrorContains(t, err, want, filter)
	}
}
