package rule_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/rule"
)

func limited(t *testing.T, limits rule.Limits, sql string, actions ...rule.Action) *rule.Rule {
	t.Helper()
	engine, err := rule.NewEngine(rule.EngineConfig{Limits: limits})
	require.NoError(t, err)
	r, err := rule.New(rule.Config{Name: "r", SQL: sql, Engine: engine, Actions: actions})
	require.NoError(t, err, sql)
	return r
}

func listOf(n int) *bridge.Message { return message(`{"a":[` + strings.Repeat("1,", n-1) + `1]}`) }

func TestRecordsCountAgainstTheBudget(t *testing.T) {
	t.Parallel()
	r := limited(t, rule.Limits{Memory: 100_000}, "FOREACH\n  payload.a\nFROM t", rule.Action{Data: "${.}"})
	require.NoError(t, r.Apply(new(bridge.Out), listOf(3)))
	out := new(bridge.Out)
	err := r.Apply(out, listOf(1000))
	require.EqualError(t, err, `rule r: the records at 2:3: budget "memory" exceeded: too much data, the limit is 100000 bytes`)
	require.ErrorIs(t, err, rule.ErrBudget)
	require.Zero(t, out.Len())
	var fault *rule.EvalError
	require.ErrorAs(t, err, &fault)
	require.Equal(t, []int{2, 3}, []int{fault.Line, fault.Column})
	require.NoError(t, r.Apply(new(bridge.Out), listOf(3)), "the next message has a budget of its own")

	// What is beside the content counts too, and so do all parts of a record.
	for _, a := range []rule.Action{{Data: "x"}, {Key: "${topic}", Data: "-"}, {Data: "-", Attrs: map[string]string{"a": "${item}"}}, {Dest: "${item}", HashKey: "${item}"}} {
		r := limited(t, rule.Limits{Memory: 10_000}, "FOREACH payload.a FROM t", a)
		require.NoError(t, r.Apply(new(bridge.Out), listOf(10)))
		require.ErrorIs(t, r.Apply(new(bridge.Out), listOf(100)), rule.ErrBudget)
	}
}

func TestTheBudgetGrowsWithTheMessage(t *testing.T) {
	t.Parallel()
	r := limited(t, rule.Limits{}, `SELECT payload FROM t`, rule.Action{Data: strings.Repeat("${payload}", 50)})
	for _, size := range []int{1000, 80_000, 300_000} {
		require.NoError(t, r.Apply(new(bridge.Out), message(strings.Repeat("x", size))), size)
	}
	r = limited(t, rule.Limits{}, `SELECT payload FROM t`, rule.Action{Data: strings.Repeat("${payload}", 101)})
	require.ErrorContains(t, r.Apply(new(bridge.Out), message(strings.Repeat("x", 100_000))), "the limit is 10001")
	r = limited(t, rule.Limits{}, `SELECT payload FROM t`, rule.Action{Data: "${payload}${payload}"})
	require.NoError(t, r.Apply(new(bridge.Out), message(strings.Repeat("x", 20<<20))), "a large message is passed on")
}

func TestErrorsNameTheBudgetAndThePlace(t *testing.T) {
	t.Parallel()
	long := fmt.Sprintf(`{"s":"%s","a":[1,2,3,4]}`, strings.Repeat("a", 2000))
	for sql, want := range map[string]string{
		"SELECT topic,\n pad(payload.s, 999999) AS p FROM t":                `rule r: SELECT pad(payload.s, 999999) at 2:2: pad: budget "memory" exceeded: too much data, the limit is 40000 bytes`,
		`SELECT 1 FROM t WHERE pad(payload.s, 999999) = 'x'`:                `rule r: WHERE pad(payload.s, 999999) = 'x' at 1:23: pad: budget "memory" exceeded: too much data, the limit is 40000 bytes`,
		`FOREACH payload.a DO item FROM t`:                                  `rule r: FOREACH at 1:9: budget "rows" exceeded: 4 items, the limit is 3`,
		`SELECT jq('"x" * 100000', payload) AS x FROM t WHERE payload.none`: ``,
		`SELECT jq('last(range(1e12))', payload) AS x FROM t`:               `rule r: SELECT jq('last(range(1e12))', payload) at 1:8: jq: budget "time" exceeded: the jq program runs too long, the limit is 5ms`,
		`SELECT regex_match(payload.s, '(?=a)(a+)+b') AS x FROM t`:          `rule r: SELECT regex_match(payload.s, '(?=a)(a+)+b') at 1:8: regex_match: budget "regex" exceeded: the regular expression takes too long, the limit is 2ms`,
		`SELECT regex_replace(payload.s, 'a', '0123456789') AS x FROM t`:    `rule r: SELECT regex_replace(payload.s, 'a', '0123456789') at 1:8: regex_replace: budget "memory" exceeded: too much data, the limit is 40000 bytes`,
		`SELECT bitsl(payload.a[1], 9000000) AS x FROM t`:                   `rule r: SELECT bitsl(payload.a[1], 9000000) at 1:8: bitsl: budget "integer" exceeded: the integer is too large, the limit is 1048576 bits`,
		`SELECT kv_store_put('k', payload.s) AS x FROM t`:                   `rule r: SELECT kv_store_put('k', payload.s) at 1:8: kv_store_put: budget "kv_bytes" exceeded: the store is full, the limit is 500 bytes`,
		`SELECT proc_dict_put('k', payload.s) AS x FROM t`:                  `rule r: SELECT proc_dict_put('k', payload.s) at 1:8: proc_dict_put: budget "kv_bytes" exceeded: the value is too large, the limit is 250 bytes`,
	} {
		engine, err := rule.NewEngine(rule.EngineConfig{Limits: rule.Limits{Memory: 40_000, Rows: 3, Regex: 2 * time.Millisecond, JQ: 5 * time.Millisecond, KVBytes: 500}})
		require.NoError(t, err)
		r, err := rule.New(rule.Config{Name: "r", SQL: sql, Engine: engine, Actions: []rule.Action{{}}})
		if want == "" {
			require.Error(t, err, sql)
			continue
		}
		require.NoError(t, err, sql)
		err = r.Apply(new(bridge.Out), message(long))
		require.ErrorContains(t, err, want, sql)
		require.ErrorIs(t, err, rule.ErrBudget, sql)
		require.Less(t, len(err.Error()), 400, "the input is no part of an error")
	}
}

func TestFunctionsOfTheUserSpend(t *testing.T) {
	t.Parallel()
	engine, err := rule.NewEngine(rule.EngineConfig{
		Limits: rule.Limits{Memory: 1000},
		Functions: []rule.Function{rule.Func1("times", func(c *rule.Call, n int64) (any, error) {
			if err := c.Spend(int(n)); err != nil {
				return nil, err
			}
			return strings.Repeat("x", int(n)), nil
		})},
	})
	require.NoError(t, err)
	r, err := rule.New(rule.Config{SQL: `SELECT times(payload.n) AS x FROM t`, Engine: engine, Actions: []rule.Action{{}}})
	require.NoError(t, err)
	require.NoError(t, r.Apply(new(bridge.Out), message(`{"n":100}`)))
	require.ErrorIs(t, r.Apply(new(bridge.Out), message(`{"n":1000000000}`)), rule.ErrBudget)
}

func TestJQUnbounded(t *testing.T) {
	t.Parallel()
	r := limited(t, rule.Limits{Memory: 100_000, JQUnbounded: true, Time: time.Minute}, `SELECT jq('[range(.n)] | length', payload) AS x FROM t`, rule.Action{})
	require.NoError(t, r.Apply(new(bridge.Out), message(`{"n":100000}`)))
	r = limited(t, rule.Limits{Memory: 100_000, Time: time.Minute}, `SELECT jq('[range(.n)] | length', payload) AS x FROM t`, rule.Action{})
	require.ErrorIs(t, r.Apply(new(bridge.Out), message(`{"n":100000}`)), rule.ErrBudget)
}

func TestLimitsMustNotBeNegative(t *testing.T) {
	t.Parallel()
	_, err := rule.NewEngine(rule.EngineConfig{Limits: rule.Limits{JQ: -1, KVBytes: -1, Memory: -1, Regex: -1, Rows: -1, Time: -1}})
	for _, field := range []string{"JQ", "KVBytes", "Memory", "Regex", "Rows", "Time"} {
		require.ErrorContains(t, err, "field Limits."+field+": must not be negative")
	}
}

// Columns that are written in one go are what they are when each is read in between,
// which makes them be written one after the other.
func TestNestedColumns(t *testing.T) {
	t.Parallel()
	paths := []string{"a.x", "a.y", "a.x.p", "a.x.p.q", "a.y.p", "b.x", "b.y.z", "a", "payload.m", "payload.m.n", "payload.z"}
	values := []string{"1", "'t'", "payload.m", "payload.list", `'{"p":5,"k":6}'`, "topic"}
	now := time.Now()
	engine, err := rule.NewEngine(rule.EngineConfig{Now: func() time.Time { return now }})
	require.NoError(t, err)
	rapid.Check(t, func(t *rapid.T) {
		together, apart := "", ""
		if rapid.Bool().Draw(t, "star") {
			together, apart = "*, ", "*, "
		}
		n := rapid.IntRange(1, 8).Draw(t, "fields")
		for i := range n {
			path := rapid.SampledFrom(paths).Draw(t, "path")
			field := rapid.SampledFrom(values).Draw(t, "value") + " AS " + path
			together += field + ", "
			column, _, _ := strings.Cut(path, ".")
			apart += field + fmt.Sprintf(", %s AS read%d, ", column, i)
		}
		row := func(fields string) map[string]any {
			result, err := rule.Test(rule.TestInput{Engine: engine, SQL: "SELECT " + strings.TrimSuffix(fields, ", ") + ` FROM "t/#"`, Columns: map[string]any{"payload": `{"m":{"n":1,"o":2},"list":[{"p":1}],"z":"{\"w\":1}"}`}})
			if err != nil {
				return map[string]any{"error": true}
			}
			out := result.Rows[0]
			for i := range n {
				delete(out, fmt.Sprintf("read%d", i))
			}
			return out
		}
		require.Equal(t, row(apart), row(together), together)
	})
}
