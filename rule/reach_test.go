package rule_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/rule"
)

// TestOnlyWhatIsReached: OR, AND and CASE evaluate what they need, and a constant
// that fails in a branch is a warning.
func TestOnlyWhatIsReached(t *testing.T) {
	t.Parallel()
	for sql, warning := range map[string]string{
		`SELECT CASE WHEN payload.n = 1 THEN 'one' ELSE 1/0 END AS x FROM "t/#"`:                              `1:48: division by zero, whenever this is reached`,
		`SELECT CASE payload.n WHEN 1 THEN 'one' WHEN 1/0 THEN 'two' END AS x FROM "t/#"`:                     `1:46: division by zero, whenever this is reached`,
		`SELECT CASE WHEN payload.n = 1 THEN 'one' WHEN 'a' - 1 > 2 THEN 'two' END AS x FROM "t/#"`:           `1:48: cannot apply - to string and integer, whenever this is reached`,
		`SELECT CASE WHEN payload.n = 1 THEN 'one' ELSE upper(1) END AS x FROM "t/#"`:                         `1:54: upper: argument 1 (s) must be boolean or string, not integer, whenever this is reached`,
		`SELECT CASE WHEN payload.n = 1 THEN 'one' ELSE pad(topic, 9, 'left') END AS x FROM "t/#"`:            `1:62: pad: bad argument: 'left' must be 'trailing', 'leading' or 'both', whenever this is reached (did you mean 'leading'?)`,
		`SELECT CASE WHEN payload.n = 1 THEN 'one' ELSE [5..3] END AS x FROM "t/#"`:                           `1:48: the range ends before it starts, whenever this is reached`,
		`SELECT CASE WHEN true THEN 'one' ELSE nosuch(1) END AS x FROM "t/#"`:                                 `1:39: there is no function nosuch`,
		`SELECT CASE WHEN 1 = 2 THEN nosuch(1) ELSE 'one' END AS x FROM "t/#"`:                                `1:29: there is no function nosuch`,
		`SELECT 'one' AS x FROM "t/#" WHERE payload.n = 1 OR 1/0 = 1`:                                         `1:53: division by zero, whenever this is reached`,
		`SELECT 'one' AS x FROM "t/#" WHERE 1 = 1 OR nosuch(1)`:                                               `1:45: there is no function nosuch`,
		`SELECT 'one' AS x FROM "t/#" WHERE NOT (payload.n = 2 AND 1/0 = 1)`:                                  `1:59: division by zero, whenever this is reached`,
		`FOREACH [1] AS i DO CASE WHEN i = 1 THEN 'one' ELSE 1/0 END AS x INCASE i = 1 OR 1/0 = 1 FROM "t/#"`: `1:53: division by zero, whenever this is reached`,
		`SELECT concat('o', CASE WHEN payload.n = 1 THEN 'ne' ELSE 1/0 END) AS x FROM "t/#"`:                  `1:59: division by zero, whenever this is reached`,
		`SELECT CASE WHEN payload.n = 1 THEN 'one' ELSE CASE WHEN 1 = 1 THEN 1/0 END END AS x FROM "t/#"`:     `1:69: division by zero, whenever this is reached`,
		`SELECT CASE WHEN payload.n = 1 OR payload.n = 2 AND 1/0 = 1 THEN 'one' END AS x FROM "t/#"`:          `1:53: division by zero, whenever this is reached`,
	} {
		result, err := rule.Test(rule.TestInput{SQL: sql, Columns: map[string]any{"payload": `{"n":1}`}})
		require.NoError(t, err, sql)
		require.Equal(t, []string{`{"x":"one"}`}, result.JSON, sql)
		require.NotEmpty(t, result.Warnings, sql)
		require.Equal(t, warning, result.Warnings[0].Summary(), sql)
	}
	_, err := rule.Test(rule.TestInput{SQL: `SELECT CASE WHEN payload.n = 1 THEN 'one' ELSE 1/0 END AS x FROM "t/#"`, Columns: map[string]any{"payload": `{"n":2}`}})
	require.ErrorContains(t, err, "division by zero")
}

// TestConstantsThatCannotWork are refused where they are reached with every message.
func TestConstantsThatCannotWork(t *testing.T) {
	t.Parallel()
	for expr, want := range map[string]string{
		`regex_match(payload.p, '(')`: "1:31: regex_match: ", `jq('.[', payload)`: "1:11: jq: ", `format_date('sec', 'Z', '%Y')`: "1:20: format_date: bad argument: 'sec' must be",
		`hash('crc32', payload.p)`: "1:13: hash: ", `sprintf('~d', payload.p)`: "1:16: sprintf: bad argument: unknown control sequence ~d", `pad(payload.p, 5, 'left')`: "did you mean 'leading'?",
		`1/0`: "division by zero", `CASE WHEN 1/0 = 1 THEN 1 END`: "division by zero", `CASE 1/0 WHEN 1 THEN 1 END`: "division by zero", `CASE WHEN topic = 1 THEN nosuch() END`: "there is no function nosuch", `[5..3]`: "the range ends",
		`now_timestamp('ms')`: "did you mean 'millisecond'?", `concat('a', topic, 'b')`: "concat([a, b, c])",
		`spb_decode(payload)`: "rule/sparkplug", `sparkplug_encode(payload)`: "rule/sparkplug", `schema_decode('x', payload)`: "no schema registry", `schema_check('x', payload)`: "no schema registry", `avro_decode('x', payload)`: "Avro",
	} {
		_, err := rule.New(rule.Config{SQL: "SELECT " + expr + ` AS x FROM "t/#"`})
		require.Len(t, rule.SyntaxErrors(err), 1, expr)
		require.ErrorContains(t, err, want, expr)
	}
	_, err := rule.New(rule.Config{SQL: `SELECT topic FROM "t/#" WHERE 1/0 = 1 OR true`})
	require.ErrorContains(t, err, "division by zero")

	r, err := rule.New(rule.Config{SQL: `SELECT base64_encode(payload, 'nopad') AS x FROM "t/#"`})
	require.NoError(t, err)
	require.Len(t, r.Warnings(), 1)
	require.Equal(t, "1:31: base64_encode: bad argument: 'nopad' must be 'no_padding' or 'urlsafe' (did you mean 'no_padding'?)", r.Warnings()[0].Summary())
}

// TestConditionsOfCase: a function that gives no boolean decides nothing in CASE,
// and fails in WHERE.
func TestConditionsOfCase(t *testing.T) {
	t.Parallel()
	for when, want := range map[string]string{
		`map_get('n', payload)`: `{"x":"else"}`, `null()`: `{"x":"else"}`, `map_get('yes', payload)`: `{"x":"then"}`, `map_get('no', payload)`: `{"x":"else"}`,
		`topic = 't/a' AND map_get('n', payload)`: `{"x":"else"}`, `topic = 'x' OR map_get('n', payload)`: `{"x":"else"}`, `topic = 't/a' OR map_get('n', payload)`: `{"x":"then"}`,
	} {
		result, err := rule.Test(rule.TestInput{SQL: "SELECT CASE WHEN " + when + ` THEN 'then' ELSE 'else' END AS x FROM "t/#"`, Columns: map[string]any{"payload": `{"n":1,"yes":true,"no":false}`}})
		require.NoError(t, err, when)
		require.Equal(t, []string{want}, result.JSON, when)
	}
	for _, when := range []string{`map_get('n', payload) AND topic = 't/a'`, `map_get('n', payload) OR topic = 't/a'`} {
		_, err := rule.Test(rule.TestInput{SQL: "SELECT CASE WHEN " + when + ` THEN 1 END AS x FROM "t/#"`, Columns: map[string]any{"payload": `{"n":1}`}})
		require.ErrorContains(t, err, "not a boolean", when)
	}
	_, err := rule.Test(rule.TestInput{SQL: `SELECT topic FROM "t/#" WHERE map_get('n', payload)`, Columns: map[string]any{"payload": `{"n":1}`}})
	require.ErrorContains(t, err, "not a boolean")
}
