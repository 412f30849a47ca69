package rule_test

import (
	"encoding/json"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/rule"
)

// FuzzApply checks that no statement and no payload makes the evaluator panic, and
// that what it renders of a row is JSON.
func FuzzApply(f *testing.F) {
	for _, w := range workloads {
		f.Add(w.sql, w.payload)
	}
	for _, sql := range []string{
		`SELECT *, payload.a[-1].b AS x.y[0], 1 AS payload.z FROM "t/#" WHERE x.y[1] != 'q' OR payload.z IN (1, [2], 'a')`,
		`SELECT payload, payload.a[1..-1], [3..1] AS r, -payload.a + 'x' FROM "t/#"`,
		`FOREACH payload.a AS x, x AS payload DO *, payload.b AS x[-0], x.c AS x INCASE x > 1 OR NOT x FROM "#"`,
		`SELECT upper(payload.a) + str([payload]) AS x, nth(1, split(topic, '/')) AS y, jq('.a', payload) AS z, map_put('a.b', x, payload) AS w FROM "t/#"`,
		`SELECT format_date('second', 'Z', '%Y', payload.a) AS a, sprintf('~p ~s', [payload.a], 'x') AS s, subbits(payload, 3, 7) AS b FROM t`,
		`FOREACH payload DO item, item.a.b[item] AS item.c FROM t`,
	} {
		f.Add(sql, `{"a":[{"b":1},{"b":"{\"c\":2}"}]}`)
	}
	f.Fuzz(func(t *testing.T, sql, payload string) {
		r, err := rule.New(rule.Config{SQL: sql, Actions: []rule.Action{{Key: "${payload.a}-${x.y}", UndefinedKey: rule.KeyTopic}}})
		if err != nil {
			return
		}
		m := message(payload)
		var out bridge.Out
		if r.Apply(&out, m) != nil {
			return
		}
		for _, rec := range out.Records() {
			require.True(t, json.Valid(rec.Data), "%s", rec.Data)
			require.True(t, utf8.Valid(rec.Data))
		}
		require.NotEmpty(t, r.Explain())
	})
}

// TestPathsAgreeWithEncodingJSON reads random paths of random documents both ways.
func TestPathsAgreeWithEncodingJSON(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		doc := genJSON(t, 3)
		text, err := json.Marshal(doc)
		require.NoError(t, err)
		path := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "1", "-1"}), 1, 4).Draw(t, "path")
		sql, want, found := "payload", doc, true
		for _, step := range path {
			switch step {
			case "a", "b":
				sql += "." + step
				m, _ := want.(map[string]any)
				want, found = m[step], found && hasKey(m, step)
			default:
				sql += "[" + step + "]"
				l, _ := want.([]any)
				want, found = nil, found && len(l) > 0
				if found && step == "1" {
					want = l[0]
				} else if found {
					want = l[len(l)-1]
				}
			}
		}
		result, err := rule.Test(rule.TestInput{
			SQL: "SELECT " + sql + ` AS r FROM "t/#"`, Columns: map[string]any{"payload": string(text)},
		})
		require.NoError(t, err)
		got := result.Rows[0]["r"]
		if !found {
			require.Equal(t, rule.Undefined{}, got, "%s of %s", sql, text)
			return
		}
		require.Equal(t, want, got, "%s of %s", sql, text)
	})
}

func hasKey(m map[string]any, key string) bool { _, ok := m[key]; return ok }

func genJSON(t *rapid.T, depth int) any {
	switch kind := rapid.IntRange(0, 6).Draw(t, "kind"); {
	case kind == 0:
		return nil
	case kind == 1:
		return rapid.Bool().Draw(t, "bool")
	case kind == 2:
		return rapid.Int64().Draw(t, "int")
	case kind == 3 || depth == 0:
		return rapid.SampledFrom([]string{"", "x", "é\n\"", "\u0001"}).Draw(t, "string")
	case kind == 4:
		out := []any{}
		for range rapid.IntRange(0, 3).Draw(t, "n") {
			out = append(out, genJSON(t, depth-1))
		}
		return out
	default:
		out := map[string]any{}
		for _, k := range rapid.SliceOfDistinct(rapid.SampledFrom([]string{"a", "b", "c"}), func(s string) string { return s }).Draw(t, "keys") {
			out[k] = genJSON(t, depth-1)
		}
		return out
	}
}
