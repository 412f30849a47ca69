package jq_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/itchyny/gojq"
	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/internal/jq"
	"github.com/sluiceio/sluice/internal/value"
)

// plain runs a program with gojq as it is.
func plain(t *testing.T, source, input string) (out []any, failed bool) {
	t.Helper()
	q, err := gojq.Parse(source)
	require.NoError(t, err, source)
	code, err := gojq.Compile(q)
	require.NoError(t, err, source)
	var v any
	require.NoError(t, json.Unmarshal([]byte(input), &v))
	for iter := code.Run(v); ; {
		x, ok := iter.Next()
		if !ok {
			return out, false
		}
		if _, failed = x.(error); failed {
			return out, true
		}
		out = append(out, x)
	}
}

func budget() jq.Budget {
	return jq.Budget{Bytes: 64 << 20, Value: 16 << 20, Deadline: time.Now().Add(time.Minute)}
}

func run(t *testing.T, source, input string, b jq.Budget) (out []any, err error) {
	t.Helper()
	p, err := jq.Compile(source)
	require.NoError(t, err, source)
	var v any
	require.NoError(t, json.Unmarshal([]byte(input), &v))
	err = p.Run(v, b, func(x any) error {
		out = append(out, x)
		return nil
	})
	return out, err
}

const document = `{"a":[3,1,2,{"b":"x"},[4,5]],"s":"foo bar  baz","n":7,"o":{"k":1,"l":{"m":[true,null]}},"rows":[{"id":1,"v":"p"},{"id":2,"v":"q"},{"id":1,"v":"r"}]}`

var programs = []string{
	`.`, `.a[]`, `.a[0], .a[-1], .a[1:3], .a[5]`, `.a[]?`, `.s[]?`, `.n + 1, .n * 2, .n / 2, .n % 4, 1 - .n, -(.n)`, `.s + "x" + .s`, `.s * 3`, `"-" * .n`, `.a + .a, .a - [3]`, `.o * {"l":{"z":1}}`, `.o + {"k":2}`,
	`.s / " "`, `(1,2) + (10,20)`, `(1,2) * (10,20)`, `[.a[] | numbers] | sort, add, min, max, length`, `.a == .a, .a < .s, .n == 7, (.a|.[0]) >= 3`, `[.[] | type]`, `{a: .n, "b": .s, (.s): 1, "x\(.n)": 2, n, $__loc__}`, `{(.a[3].b, "y"): (1, 2)}`,
	`.n as $x | [$x, $x]`, `. as {a: [$x, $y], $n} | [$x, $y, $n]`, `.a as [$x] ?// $x | [$x]`, `. as {"s": $t, ("o", "n"): $u} | [$t, $u]`, `"\(.n) and \(.s) \(.a)"`, `@json "v=\(.o)"`, `@csv "\([1,"a"])"`, `@base64 "x\(.s)y"`, `.s | @uri, @html, @base64, (@base64 | @base64d), @sh`, `.a | @json, @text`, `[1,"a",null] | @csv, @tsv`,
	`.n = 8`, `.a[0] = 9`, `.a[7] = 1`, `.o.l.m[0] |= not`, `.a[0] += 5`, `.n -= 1, .n *= 2, .n /= 7, .n %= 4`, `.zz //= 3, .n //= 3`, `.a |= map(numbers)`, `.a[] |= tostring`, `(.a[], .n) = 0`, `.o |= with_entries(.value |= tostring)`, `.a |= (.[0] = 1 | .[1] = 2)`, `.x.y.z = 1`, `.a[1:3] = ["p"]`, `.a[1:3] |= map(. + 1)`, `.n = (1, 2)`, `.n += (1, 2)`, `.rows[] |= select(.id == 1)`, `.o[] |= empty`, `.a[.n - 7] = 5`, `.[("n", "s")] = 1`,
	`map(type)`, `.rows | map(.id), map({id}), map(select(.id > 1))`, `map_values(1)`, `.rows | group_by(.id), unique_by(.id), sort_by(.v), min_by(.id), max_by(.v), (.[0] | to_entries)`, `.rows | map({key: .v, value: .id}) | from_entries`, `with_entries(.key |= ascii_upcase)`, `[paths]`, `[leaf_paths?]`, `[paths(type == "number")]`, `[..]`, `[.. | numbers]`, `walk(if type == "number" then . + 1 else . end)`, `del(.a), del(.a[0, 2]), del(.rows[] | .v)`, `delpaths([["a", 0], ["n"]])`, `to_entries | length`, `pick(.o.l), pick(.a[1])`, `[tostream] | length`, `fromstream(tostream)`, `[.a | tostream] | fromstream(.[])`, `getpath(["o", "l", "m"])`, `setpath(["o", "k"]; 5), setpath([]; 1)`, `path(.a[0]), [path(..)] | length`, `path(first(.a[], .n))`, `try path(map(.)) catch "no path"`, `path(.a | select(.[0] + 1 > 2))`, `[path(.a[] | select(type == "number"))]`, `path(if .n > 1 then .a else .s end)`, `path(getpath(["a", 1]))`, `[limit(3; .a[])], first(.a[]), [.a[] | select(. == 1)], isempty(.a[]), [skip(2; .a[])], nth(1; .a[]), last(.a[])`,
	`reduce .rows[] as $r (0; . + $r.id)`, `reduce .rows[] as {id: $i, v: $v} ({}; .[$v] += $i)`, `[foreach .rows[] as $r (0; . + $r.id; [., $r.v])]`, `[range(5)], [range(1; 9; 3)]`, `[.rows[] | .id] | unique, add, reverse, (map([.]) | transpose)`, `def f: . + 1; .n | f | f`, `def f(g): g | g; .n | f(. * 2)`, `def f($x; $y): $x + $y; f(1, 2; 10, 20)`, `def fac: if . <= 1 then 1 else . * (. - 1 | fac) end; [.n | fac]`, `def split(f): [f]; split(1, 2)`, `def index(f; g): f - g; index(5; 3)`, `[recurse(if . < 3 then . + 1 else empty end)]?`, `.n | [recurse(if . < 9 then . + 1 else empty end)], [while(. < 10; . + 1)], until(. > 20; . * 2), [limit(3; repeat(.))]`,
	`def f: 3; f + f`, `def f: .n; f = 4`, `def f($x): $x; def g: 2; f(g) * g`, `[def f: 1; f, f + 1]`, `.n as $x | def h: $x + 1; h * h`, `def f: def f($x): .; f(.x) | .n; f += f`, `.a[range(6)] = 1`, `.q[range(3000)] = 1 | .q | length`, `.a[{"start": 0, "end": 1}, {"start": 1, "end": 2}] = ["z"]`, `[.a[range(3)], 1] | .[range(3)] |= 2`, `(.u[2], .v[2], .u[4]) = 1`, `nan * "x"`, `(-1, 0, 0.5, 1.5) * "ab"`,
	`label $out | foreach .a[] as $x (0; . + 1; if . > 2 then ., break $out else . end)`, `try error("x") catch ., try error({a: 1}) catch .a`, `.a[3].b.c?`, `try (.n | keys) catch "E"`, `(.n, .s) | tojson | fromjson`, `.s | test("o+"), test("BAR"; "i"), [match("(?<x>o+)( )?"; "g")], capture("(?<first>\\w+) (?<second>\\w+)"), [scan("\\w+")], [scan("(b)(a)")], sub("o"; "0"), gsub("[aeiou]"; "<\(.)>"), gsub("(?<v>[aeiou])"; "<\(.v)>"), gsub(""; "-"), gsub("o*"; "."), [splits(" +")], split(" +"; null), [sub("(?<v>o)"; .v + "1", .v + "2")], gsub("zz"; "y"), gsub("\\b"; "|")`, `"aéa" | [match("a"; "g").offset], gsub("a"; "b")`, `.s | split(" "), index("b"), rindex("b"), indices("b"), ltrimstr("foo"), rtrimstr("baz"), startswith("f"), explode, (explode | implode), ascii_upcase, ascii_downcase, length, utf8bytelength, trim`, `.a | index(1), indices([1, 2]), contains([3]), inside([3,1,2,{"b":"x"},[4,5],6]), flatten, flatten(1), any, all, join(",")?`, `.a[[1, 2]]`, `["a", 1, null, true] | join("-")`, `.rows | INDEX(.id), INDEX(.[]; .v), [JOIN(INDEX(.id); .id | tostring)]`, `[[1,2],[3,4]] | [combinations]`, `[[0,1] | combinations(2)]`, `[.a[] | tostring], [.a[] | tojson]`, `"12" | tonumber`, `"1e3" | tonumber`, `[1,2,3] | IN(2), IN(.[]; 2, 3), any(. > 2), bsearch(2)`, `.. |= (if type == "number" then . + 1 else . end)`, `[splits("a")]?`, `0 | strftime("%Y"), todate`, `input?`, `$ENV | type`, `ltrimstr(1)`, `limit(0; 1)`, `[.[]?.id?]`, `.rows[].id`, `.rows[1:][].v`, `.["a"][0]`, `."s"`, `.a | first, last, nth(1)`, `env | type`, `halt`, `tojson | length`, `@text`, `[.rows[] | {(.v): .id}] | add`, `add(.rows[].id)`, `null | add`, `.o | has("k"), keys, length, del(.k)`, `ascii`, `splits("x")?`, `. as [$a] ?// {a: $a} | $a`, `if . then 1 end, (if false then 1 elif true then 2 else 3 end)`, `.a as [$h, $i] | $h - $i`, `[.rows[] | .id as $i | .v as $v | "\($i)=\($v)"] | join("&")`, `1 as $x | 2 as $y | [$x, $y, $__loc__.line]`, `.n | . as $n | [., $n] | add`, `{} | .a += 1, .b *= 2, .c = "x\(1 + 1)"`, `{"a b": 1} | ."a b", .["a b"]`, `.s | ascii_downcase | @json "q: \(.)"`, `to_entries[] | select(.key == "n") | .value`,
}

func TestProgramsMeanWhatTheyMeanInGojq(t *testing.T) {
	t.Parallel()
	for _, source := range programs {
		q, err := gojq.Parse(source)
		require.NoError(t, err, source)
		if _, err = gojq.Compile(q); err != nil {
			_, mine := jq.Compile(source)
			require.EqualError(t, mine, err.Error(), source)
			continue
		}
		want, failed := plain(t, source, document)
		got, err := run(t, source, document, budget())
		require.NotErrorIs(t, err, value.ErrBudget, source)
		require.Equal(t, want, got, source)
		if !strings.Contains(source, "halt") {
			require.Equal(t, failed, err != nil, "%s: %v", source, err)
		}
	}
}
