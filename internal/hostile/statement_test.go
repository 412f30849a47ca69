//go:build linux

package hostile_test

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/sluiceio/sluice/rule"
)

// statementRows are statements that take long to compile, or that grow.
func statementRows() []row {
	s := func(name string, sql func() string, answer string, short bool) row {
		return row{boundary: statement, name: name, short: short, answer: answer, prepare: compiled(sql, `{"a":[1,2],"x":"y","m":{"k":1}}`)}
	}
	selects := func(first string, n int, next string) func() string {
		return func() string {
			var b strings.Builder
			b.WriteString("SELECT " + first)
			for i := range n {
				b.WriteString(", " + strings.NewReplacer("#", fmt.Sprint(i), "@", fmt.Sprint(i+1), "%", "x"+strconv.FormatInt(int64(i), 36)).Replace(next))
			}
			return b.String() + ` FROM "t/#"`
		}
	}
	wrapped := func(open, content, end string, n int) func() string {
		return func() string { return `SELECT ` + nested(open, content, end, n) + ` AS x FROM "t/#"` }
	}
	return []row{
		s("30 doublings by map_put", selects("payload.m AS f0", 30, "map_put('k#', f#, f#) AS f@"), overMemory, true),
		s("30 doublings by mput", selects("payload.m AS f0", 30, "mput('k#', f#, f#) AS f@"), overMemory, false),
		s("30 doublings by map_put in one expression", wrapped("map_put('k', payload.m, ", "payload.m", ")", 30), ok, false),
		s("40 doublings by lists", selects("payload AS f0", 40, "[f#, f#] AS f@"), overMemory, true),
		s("40 doublings by columns", selects("payload.m AS f0", 40, "f# AS f@.a, f# AS f@.b"), overMemory, false),
		s("40 doublings of a column in itself", selects("payload.m AS a.x", 40, "a AS a.y, a AS a.z"), overMemory, false),
		s("40 doublings of text", selects("payload AS f0", 40, "f# + f# AS f@"), overMemory, false),
		s("40 doublings by sprintf", selects("payload AS f0", 40, "sprintf('~s~p', f#, f#) AS f@"), overMemory, false),
		s("40 doublings by json_encode", selects("payload AS f0", 40, "json_encode([f#, f#]) AS f@"), overMemory, false),
		s("40 doublings by base64", selects("payload AS f0", 100, "base64_encode(f#) AS f@"), overMemory, false),
		s("60 squares", selects("3 AS f0", 60, "f# * f# AS f@"), `.*budget "integer" exceeded.*`, false),
		s("1,000 nested columns", selects("1 AS a.first", 1000, "# AS a.b#"), ok, true),
		s("5,000 nested columns", selects("1 AS a.first", 5000, "1 AS a.%"), ok, true),
		s("3,000 nested columns of the payload", selects("*, 1 AS payload.first", 3000, "1 AS payload.%"), ok, false),
		s("4,500 columns, each nested", selects("1 AS a.first", 4500, "1 AS a%.b"), ok, false),
		s("2,000 nested columns that are read", selects("1 AS a.first", 2000, "a.first + # AS a.%"), ok+"|"+overMemory, false),
		s("200 levels of columns", func() string { return "SELECT 1 AS a" + strings.Repeat(".a", 200) + ` FROM "t/#"` }, ok, false),
		s("a padded text", lit(`SELECT pad('x', 999999999999) AS x FROM "t/#"`), `rule r: 1:8: .*budget "memory" exceeded.*`, true),
		s("a list of a range, often", wrapped("[", "[1..100000]", ",[1..100000]]", 200), ".+", false),
		s("3,500 ranges", selects("1 AS f0", 3500, "[1..100000]"), `(?s).*constants: budget "memory" exceeded.*`, true),
		s("2,000 padded texts", selects("1 AS f0", 2000, "pad('x', 16000000)"), `(?s).*budget "memory" exceeded.*`, false),
		s("1,000 jq programs", selects("1 AS f0", 1000, `jq('last(range(1e9))', '1')`), `(?s).*budget "time" exceeded.*`, false),
		s("1,000 patterns that backtrack", selects("1 AS f0", 600, `regex_match(pad('a', 1000, 'leading', 'a'), '(?=a)(a+)+b')`), `(?s).*budget "(regex|time)" exceeded.*`, false),
		{boundary: statement, name: "the tester on 20,000 rows of the whole payload", short: true, answer: `rule rule:test: the rows at 1:9: budget "memory" exceeded: .*`, prepare: func() func() string {
			payload := items(20_000, "100")()
			return func() string {
				_, err := rule.Test(rule.TestInput{SQL: `FOREACH payload.a FROM "t/#"`, Columns: map[string]any{"payload": payload}, Template: "${.}"})
				if err != nil {
					return err.Error()
				}
				return "ok"
			}
		}},
		s("parentheses", wrapped("(", "1", ")", 100_000), ".+", true),
		s("brackets", wrapped("[", "1", "]", 100_000), ".+", false),
		s("calls", wrapped("abs(", "1", ")", 100_000), ".+", false),
		s("signs", wrapped("- ", "1", "", 100_000), ".+", false),
		s("conditions", wrapped("NOT ", "true", "", 100_000), ".+", false),
		s("cases", wrapped("CASE WHEN true THEN ", "1", " END", 20_000), ".+", false),
		s("a sum of 50,000", wrapped("1 + ", "payload.n", "", 50_000), ".+", false),
		s("50,000 conditions", func() string {
			return `SELECT 1 AS x FROM "t/#" WHERE ` + strings.Repeat("qos = 1 OR ", 50_000) + "qos = 0"
		}, ".+", false),
		s("a path of 100,000 steps", func() string { return "SELECT payload" + strings.Repeat(".a", 100_000) + ` AS x FROM "t/#"` }, ".+", false),
		s("a list of 100,000 values", func() string { return `SELECT 1 AS x FROM "t/#" WHERE qos IN (` + strings.Repeat("1,", 100_000) + "1)" }, ".+", false),
		s("an integer of 4 million digits", wrapped("7", "5", "", 4_000_000), `rule r: 1:\d+: the statement is longer than \d+ bytes.*`, true),
		s("a float of 4 million digits", wrapped("7", "5.5", "", 60_000), `rule r: 1:8: .*too large.*`, false),
		s("a text without an end", func() string { return `SELECT '` + strings.Repeat("x", 4*mib) }, ".+", false),
		s("4 MiB that are no statement", repeated("", "$ ", 2*mib, ""), ".+", false),
		s("50,000 topics", func() string { return `SELECT 1 AS x FROM ` + strings.Repeat(`"a/b/c",`, 50_000) + `"t/#"` }, ".+", false),
		s("a pattern that is large", lit(`SELECT regex_match(payload.x, '((a{1000}){1000}){3}') AS x FROM "t/#"`), ".+", false),
		s("a large jq program", func() string { return `SELECT jq('` + strings.Repeat(".|", 30_000) + `.', payload) AS x FROM "t/#"` }, ".+", false),
		s("a deep jq program", func() string { return `SELECT jq('` + nested("[", "1", "]", 30_000) + `', payload) AS x FROM "t/#"` }, ".+", false),
	}
}
