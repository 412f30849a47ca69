package rule_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/rule"
)

// TestAliasPayload: an alias named payload, or one into it, does not hide the
// message's payload.
func TestAliasPayload(t *testing.T) {
	t.Parallel()
	const payload = `{"s":"x","i":42,"j":"{\"i\":7}"}`
	for sql, want := range map[string]string{
		`SELECT payload.s AS payload, payload.i AS i FROM "t/#"`:                                         `{"i":42,"payload":"x"}`,
		`SELECT 'x' AS payload FROM "t/#" WHERE payload.i = 42`:                                          `{"payload":"x"}`,
		`SELECT topic AS payload FROM "t/#" WHERE payload.i = 42 AND payload = 't/a'`:                    `{"payload":"t/a"}`,
		`SELECT payload.i AS i, 'x' AS payload, payload.s AS s FROM "t/#" WHERE payload.s = 'x'`:         `{"i":42,"payload":"x","s":"x"}`,
		`SELECT payload.i AS i, '{"i":1}' AS payload, payload.i AS again FROM "t/#"`:                     `{"again":42,"i":42,"payload":"{\"i\":1}"}`,
		`SELECT '{"i":1}' AS payload, payload.i AS i FROM "t/#" WHERE payload.i = 42`:                    `{"i":1,"payload":"{\"i\":1}"}`,
		`SELECT payload.j AS payload, payload.i AS i FROM "t/#"`:                                         `{"i":42,"payload":"{\"i\":7}"}`,
		`SELECT 1 AS payload.new, payload.i AS i, payload.new AS n FROM "t/#" WHERE payload.s = 'x'`:     `{"i":42,"n":1,"payload":{"new":1}}`,
		`SELECT 1 AS payload.i, payload.i AS i FROM "t/#" WHERE payload.i = 42`:                          `{"i":1,"payload":{"i":1}}`,
		`SELECT payload.s AS payload, 5 AS payload.new FROM "t/#"`:                                       `{"payload":{"i":42,"j":"{\"i\":7}","new":5,"s":"x"}}`,
		`SELECT flags AS payload, payload.mine AS m, payload.i AS i FROM "t/#" WHERE payload.i = 42`:     `{"i":42,"m":true,"payload":{"mine":true}}`,
		`SELECT payload.list AS payload, payload[1] AS first, payload.i AS i FROM "t/#"`:                 `{"first":"undefined","i":42,"payload":"undefined"}`,
		`FOREACH payload.s AS payload, [1] AS n DO n, payload.i AS i, payload AS p FROM "t/#"`:           `{"i":42,"n":1,"p":"x"}`,
		`FOREACH [1] AS n DO n AS payload, payload.i AS i INCASE payload.i = 42 FROM "t/#"`:              `{"i":42,"payload":1}`,
		`SELECT payload.s AS payload, CASE WHEN payload.i = 42 THEN 'yes' ELSE 'no' END AS c FROM "t/#"`: `{"c":"yes","payload":"x"}`,
	} {
		result, err := rule.Test(rule.TestInput{SQL: sql, Columns: map[string]any{"payload": payload, "flags": map[string]any{"mine": true}}})
		require.NoError(t, err, sql)
		require.Equal(t, []string{want}, result.JSON, sql)
	}
}

// TestPayloadOfForeach: FOREACH over a path into the payload leaves the rest of it.
func TestPayloadOfForeach(t *testing.T) {
	t.Parallel()
	const payload = `{"l":[1],"s":"x","at":{"l":[2],"t":"y"}}`
	for sql, want := range map[string]string{
		`FOREACH payload.l DO payload FROM "t/#"`:                                               `{"payload":{"at":{"l":[2],"t":"y"},"l":[1],"s":"x"}}`,
		`FOREACH payload.l DO payload AS p, item, payload.s AS s FROM "t/#"`:                    `{"item":1,"p":{"at":{"l":[2],"t":"y"},"l":[1],"s":"x"},"s":"x"}`,
		`FOREACH payload.at.l DO payload.at AS i INCASE payload.at.t = 'y' FROM "t/#"`:          `{"i":{"l":[2],"t":"y"}}`,
		`FOREACH payload.s, payload.l DO payload FROM "t/#"`:                                    `{"payload":{"at":{"l":[2],"t":"y"},"l":[1],"s":"x"}}`,
		`FOREACH payload.l AS x DO payload FROM "t/#"`:                                          `{"payload":"{\"l\":[1],\"s\":\"x\",\"at\":{\"l\":[2],\"t\":\"y\"}}"}`,
		`FOREACH payload.l DO json_encode(payload) AS j, map_get('s', payload) AS s FROM "t/#"`: `{"j":"{\"at\":{\"l\":[2],\"t\":\"y\"},\"l\":[1],\"s\":\"x\"}","s":"x"}`,
	} {
		result, err := rule.Test(rule.TestInput{SQL: sql, Columns: map[string]any{"payload": payload}})
		require.NoError(t, err, sql)
		require.Equal(t, []string{want}, result.JSON, sql)
	}
}

// TestPayloadThatIsAString: JSON in a JSON string is read by statements like any
// other; templates decode a text once, as in EMQX, in the tester and in actions.
func TestPayloadThatIsAString(t *testing.T) {
	t.Parallel()
	for payload, want := range map[string]string{
		`{"a":{"b":[1,2]}}`: "1 2 [1,2] [1,2]", `{"a":"{\"b\":[1,2]}"}`: "1 2 [1,2] [1,2]",
		`"{\"a\":{\"b\":[1,2]}}"`: "1 2 [1,2] undefined", `"\"{\\\"a\\\":{\\\"b\\\":[1,2]}}\""`: "1 2 [1,2] undefined", `{"a":"\"{\\\"b\\\":[1,2]}\""}`: "1 2 [1,2] undefined",
	} {
		in := rule.TestInput{
			SQL:      `SELECT payload.a.b[1] AS x, payload.a.b[-1] AS y, map_get('a.b', payload) AS z, * FROM "t/#" WHERE payload.a.b[2] = 2`,
			Columns:  map[string]any{"payload": payload},
			Template: "${x} ${y} ${z} ${payload.a.b}",
		}
		result, err := rule.Test(in)
		require.NoError(t, err, payload)
		require.Equal(t, []string{want}, result.Rendered, payload)

		var out bridge.Out
		require.NoError(t, newRule(t, in.SQL, rule.Action{Data: in.Template}).Apply(&out, message(payload)))
		require.Equal(t, want, string(out.Records()[0].Data), payload)
	}
}
