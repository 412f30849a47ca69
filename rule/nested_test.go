package rule_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/rule"
)

// apply returns the JSON of the one row that a statement makes of a payload.
func apply(t require.TestingT, sql, payload string) string {
	r, err := rule.New(rule.Config{Name: "r1", SQL: sql, Actions: []rule.Action{{}}})
	require.NoError(t, err, sql)
	var out bridge.Out
	require.NoError(t, r.Apply(&out, message(payload)), sql)
	require.Len(t, out.Records(), 1)
	return string(out.Records()[0].Data)
}

func TestManyNestedColumns(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1000, 5000} {
		payload, want := make(map[string]int), make(map[string]any)
		var fields []string
		for i := range n {
			name := fmt.Sprintf("v%d", i)
			payload[name] = i
			want[name] = float64(i)
			fields = append(fields, fmt.Sprintf("payload.%s AS out.deep.%s", name, name))
		}
		text, err := json.Marshal(payload)
		require.NoError(t, err)
		check := func(sql string, path ...string) {
			var row map[string]any
			require.NoError(t, json.Unmarshal([]byte(apply(t, sql, string(text))), &row))
			for _, step := range path {
				row = row[step].(map[string]any)
			}
			require.Equal(t, want, row)
		}
		list := strings.Join(fields, ", ")
		check("SELECT "+list+" FROM t", "out", "deep")
		check("SELECT "+strings.ReplaceAll(list, "out.deep", "payload")+" FROM t", "payload")
		check("SELECT payload, "+strings.ReplaceAll(list, "out.deep", "payload.more")+" FROM t", "payload", "more")
		check("FOREACH [1] AS i DO "+list+" FROM t", "out", "deep")
	}
}

// TestLongLists makes the longest statements of their kind: time and memory must not
// grow with the square of the length.
func TestLongLists(t *testing.T) {
	t.Parallel()
	for _, field := range []string{"a%d", "payload.a%d", "payload.a%[1]d AS b%[1]d", "1 AS b%d", "1 AS b%d.x", "1 AS b.x%d", "'t%d'"} {
		var list strings.Builder
		for i := 0; list.Len() < 250_000; i++ {
			if i > 0 {
				list.WriteByte(',')
			}
			fmt.Fprintf(&list, field, i)
		}
		require.True(t, json.Valid([]byte(apply(t, "SELECT "+list.String()+" FROM t", "{}"))), field)
	}
	r := newRule(t, "SELECT topic FROM t"+strings.Repeat(",t", 120_000))
	require.Len(t, r.Filters(), 120_001)
}

func TestDeeplyNestedColumn(t *testing.T) {
	t.Parallel()
	const depth = 5000
	got := apply(t, "SELECT 1 AS a"+strings.Repeat(".b", depth)+" FROM t", "{}")
	require.Equal(t, `{"a":`+strings.Repeat(`{"b":`, depth)+"1"+strings.Repeat("}", depth+1), got)
}

// put is what an alias does: maps on the way are made, what is in the way goes.
func put(m map[string]any, path []string, v any) {
	for _, key := range path[:len(path)-1] {
		next, ok := m[key].(map[string]any)
		if !ok {
			next = make(map[string]any)
			m[key] = next
		}
		m = next
	}
	m[path[len(path)-1]] = v
}

// TestNestedColumnsInAnyOrder compares random lists of aliases with one put after
// the other, with columns that are read and overwritten between.
func TestNestedColumnsInAnyOrder(t *testing.T) {
	t.Parallel()
	key := rapid.SampledFrom([]string{"a", "b", "c"})
	rapid.Check(t, func(t *rapid.T) {
		want := map[string]any{}
		var fields []string
		for i := range rapid.IntRange(1, 12).Draw(t, "fields") {
			path := append([]string{"o"}, rapid.SliceOfN(key, 0, 3).Draw(t, "path")...)
			var v any = float64(i)
			text := fmt.Sprint(i)
			switch rapid.IntRange(0, 5).Draw(t, "kind") {
			case 0: // a map that may be written into
				v, text = map[string]any{"a": "x", "b": map[string]any{"c": true}}, `json_decode('{"a":"x","b":{"c":true}}')`
			case 1:
				name := fmt.Sprintf("r%d", i)
				if o, ok := want["o"].(map[string]any); ok {
					b, err := json.Marshal(o)
					require.NoError(t, err)
					var read map[string]any
					require.NoError(t, json.Unmarshal(b, &read))
					want[name] = read
					fields = append(fields, "o AS "+name)
				}
			}
			put(want, path, v)
			fields = append(fields, text+" AS "+strings.Join(path, "."))
		}
		sql := "SELECT " + strings.Join(fields, ", ") + " FROM t"
		b, err := json.Marshal(want)
		require.NoError(t, err)
		require.JSONEq(t, string(b), apply(t, sql, "{}"), sql)
	})
}

// TestNestedColumnsOfText: JSON in a text is looked into on the way to a deeper key
// by the first alias only, which makes a map of it.
func TestNestedColumnsOfText(t *testing.T) {
	t.Parallel()
	for sql, want := range map[string]string{
		`SELECT payload AS p, 1 AS p.f.a, 2 AS p.g.b FROM t`:               `{"p":{"f":{"a":1,"x":1},"g":{"b":2}}}`,
		`SELECT payload AS p, 1 AS p.n, 2 AS p.g.b FROM t`:                 `{"p":{"g":{"b":2},"n":1}}`,
		`SELECT payload, 1 AS payload.f.a, 2 AS payload.g.b FROM t`:        `{"payload":{"f":{"a":1,"x":1},"g":{"b":2,"y":2}}}`,
		`SELECT 1 AS a.x, 5 AS l[a.x], 2 AS a.y FROM t`:                    `{"a":{"x":1,"y":2},"l":[5]}`,
		`SELECT 1 AS a.x, [7, 8] AS a.l, 9 AS a.l[2], 2 AS a.y FROM t`:     `{"a":{"l":[7,9],"x":1,"y":2}}`,
		`SELECT 1 AS a.x, 'gone' AS a, 2 AS a.y FROM t`:                    `{"a":{"y":2}}`,
		`SELECT 1 AS a.x, 2 AS a.y, a.x + a.y AS sum, sum AS a.sum FROM t`: `{"a":{"sum":3,"x":1,"y":2},"sum":3}`,
	} {
		require.JSONEq(t, want, apply(t, sql, `{"f":{"x":1},"g":{"y":2}}`), sql)
	}
	_, err := rule.Test(rule.TestInput{SQL: `SELECT 1 AS a.x, 1 - topic AS a.y FROM "t/#"`})
	require.ErrorContains(t, err, "SELECT 1 - topic")
}
