//go:build linux

package hostile_test

import (
	"fmt"
	"strings"
)

// jqRows are jq programs that a device, or an author, can make grow.
func jqRows() []row {
	overJQ := overAny + `|.*lists and maps nest deeper than \d+|.*budget "integer" exceeded.*`
	device := func(name, program string, payload func() string, answer string, short bool) row {
		sql := fmt.Sprintf(`SELECT jq('%s', payload) AS x FROM "t/#"`, program)
		return row{boundary: devicePayload, name: "jq: " + name, short: short, answer: answer, prepare: onMessage(sql, "", payload)}
	}
	rows := []row{
		device("an index from the device", `.arr[.i]=1`, lit(`{"arr":[],"i":536870911}`), overMemory, true),
		device("a text times a number from the device", `"x" * .n`, lit(`{"n":100000000}`), overMemory, true),
		device("a number from the device times a text", `.n * .s`, lit(`{"n":500000000,"s":"x"}`), overMemory, false),
		device("doublings by the device", `reduce range(.n) as $i ([1]; [.,.])|tostring`, lit(`{"n":40}`), overMemory, true),
		device("a range from the device", `[range(.n)]`, lit(`{"n":1000000000000}`), overJQ, false),
		device("a rectangle", `transpose`, func() string {
			return `[` + strings.Repeat("[],", 5000) + `[` + strings.Repeat("1,", 5000) + "1]]"
		}, overMemory, false),
		device("every letter replaced", `.s | gsub("";"-")`, repeated(`{"s":"`, "a", 500_000, `"}`), overJQ, true),
		device("every letter found", `[.s | match(".";"g")] | length`, repeated(`{"s":"`, "a", 500_000, `"}`), overJQ, false),
		device("a text replaced by a long one", `.s as $s | .s | gsub("a";$s)`, repeated(`{"s":"`, "a", 10_000, `"}`), overMemory, false),
		device("lists compared with lists", `.a - .b`, func() string {
			return `{"a":[` + strings.Repeat("1,", 50_000) + `1],"b":[` + strings.Repeat("2,", 50_000) + `2]}`
		}, overJQ, false),
		device("a text in a text", `.s | . as $s | indices($s[100000:])`, repeated(`{"s":"`, "a", 200_000, `"}`), overJQ, false),
		device("a number of many digits", `.s | tonumber`, repeated(`{"s":"`, "7", 1_000_000, `"}`), `.*budget "integer" exceeded.*`, false),
		device("combinations", `[combinations]`, items2(10_000, "[0,1]"), overJQ, false),
		device("many small objects", `[.[] | {a: ., b: .}] | length`, items2(100_000, `{"a":1}`), overJQ, false),
	}
	for _, program := range []string{
		`.arr[.i] |= 1`, `.arr[.i] += 1`, `.arr[.i] //= 1`, `setpath(["arr", .i]; 1)`, `.i as $i | .arr | .[$i].x = 1`, `.i as $i | pick(.arr[$i])`, `.i as $i | null | pick(.[$i])`,
		`fromstream([["arr", .i], 1], [["arr", .i]])`, `.i as $i | .arr |= (.[$i] = 1)`, `.i as $i | [.arr, .arr] | map(.[$i] = 1)`, `.i as $i | .arr | .[0][$i][$i] = 1`, `.i as $i | [[[$i], 1], [[$i]]] | fromstream(.[])`,
		`.i as $i | .arr | to_entries | .[$i].key = 1`, `[.i / 100 | range(.)] | length`, `.i as $i | reduce range(1000) as $j (.arr; .[$j * 10000] = 1)`, `.i as $i | [limit(100; repeat([] | .[100000] = 1))] | length`,
	} {
		rows = append(rows, device(program, program, lit(`{"arr":[],"i":536870911}`), overJQ, false))
	}
	for _, program := range []string{
		`reduce range(40) as $i ("x"; . + .)`, `reduce range(40) as $i ([1]; . + .) | length`, `reduce range(40) as $i ([1]; [.[], .[]]) | length`, `reduce range(60) as $i (3; . * .)`, `reduce range(40) as $i ([1]; [.,.]) | . == .`,
		`reduce range(40) as $i ([1]; [.,.]) | sort`, `reduce range(40) as $i ([1]; [.,.]) | flatten | length`, `reduce range(40) as $i ([1]; {a: ., b: .}) | tojson`, `reduce range(40) as $i ([1]; . as $x | [1, 2] | map($x)) | tojson`,
		`reduce range(40) as $i ([1]; . as $x | {a: 1, b: 1} | map_values($x)) | tojson`, `reduce range(40) as $i ([1]; [.,.]) | "\\(.)"`, `reduce range(40) as $i ([1]; [.,.]) | @json`, `reduce range(40) as $i ([1]; [.,.]) | [.] | @html`, `reduce range(40) as $i ([1]; [.,.]) | contains([1])`,
		`reduce range(40) as $i ([1]; [.,.]) | unique`, `reduce range(40) as $i ([1]; [.,.]) | group_by(.)`, `reduce range(40) as $i ([1]; [.,.]) | min, max`, `reduce range(40) as $i ([1]; [.,.]) | . - .`, `reduce range(40) as $i ([1]; [.,.]) | error`, `reduce range(40) as $i ([1]; [.,.]) | . as $x | [$x] | index([$x])`,
		`reduce range(40) as $i ({a: 1}; {a: ., b: .}) | . * .`, `reduce range(40) as $i ([1]; [.,.])`, `reduce range(40) as $i ([1]; [.,.]) | [..] | length`, `reduce range(40) as $i ([1]; [.,.]) | [paths] | length`, `reduce range(40) as $i ([1]; [.,.]) | walk(.)`, `reduce range(1000000) as $i (1; [.]) | tojson`, `reduce range(1000000) as $i (1; [.])`, `reduce range(1000000) as $i (1; {a: .}) | . == .`,
		`def f: 1 + f; f`, `def f: [f]; f`, `def f: f | f; f`, `def f: f, f; [f]`, `def f(g): f(g | g); f(.)`, `def f: {a: f}; f`, `def f: .[0] = f; [] | f`, `def f: try error catch f; f`, `def f: . as $x | f | $x; f`, `def f: [range(1000)] as $x | f | $x; f`, `def f: label $a | f, break $a; f`, `def f: reduce f as $x (0; .); f`, `def f: if f then 1 else 2 end; f`, `def f: first(f); f`, `def f: path(f); f`, `def f: "\\(f)"; f`, `def f: (f | .a) = 1; f`,
		`[recurse(., .)] | length`, `first(recurse(., .) | select(false))`, `[repeat(., .)] | length`, `until(false; (., .))`, `[while(true; ., .)] | length`, `path(recurse(., .))`, `[recurse(.[]?, .)] | length`, `walk(., .)`, `[limit(1e9; recurse(., .) | recurse(., .))] | length`, `[range(1e9) | recurse(., .; . < 5)] | length`, `reduce recurse(., .) as $x (0; . + 1)`, `[paths(., .)] | length`, `any(recurse(., .); false)`, `isempty(recurse(., .) | empty)`, `last(recurse(., .))`, `[skip(1e9; recurse(., .))]`, `"&" * 15000000 | @html | length`, `"%c" * 5000000 as $f | now | strftime($f) | length`, `reduce range(40) as $i ([1]; [.,.]) | . as $x | [[$x]] | getpath([[$x]])`,
		`[range(1e9)] | length`, `[limit(1e9; repeat(1))] | length`, `[recurse(. + 1)] | length`, `[recurse([.])] | length`, `last(range(1e12))`, `until(false; . + 1)`, `until(false; [.])`, `[while(true; . + "x")] | length`, `"" | until(false; . + "x")`, `reduce range(1e9) as $i (0; . + 1)`, `reduce range(1e9) as $i ([]; . + [$i]) | length`, `reduce range(1e9) as $i ({}; .["\\($i)"] = 1) | length`, `[foreach range(1e9) as $i (0; . + 1)] | length`,
		`[range(1000) | "x" * 1000000] | add | length`, `("x" * 1000000) as $s | [range(1000) | $s] | add | length`, `("x" * 1000000) as $s | [range(1000) | $s] | join($s) | length`, `[range(1000) | "x" * 1000000] | length`, `("x" * 1000000) as $s | [range(1000) | $s + "y"] | length`, `("x" * 1000000) as $s | [range(1000) | $s | ascii_upcase] | length`, `("x" * 1000000) as $s | [range(1000) | $s | explode] | length`, `("x" * 1000000) as $s | [range(1000) | $s | split("")] | length`, `("x" * 1000000) as $s | [range(1000) | $s[1:]] | map(length) | add`, `("x" * 1000000) as $s | [range(1000) | $s | @base64] | length`, `("x" * 1000000) as $s | [range(1000) | @uri "\\($s)"] | length`, `("x" * 1000000) as $s | [range(1000) | {($s + "\\(.)"): 1}] | length`, `("x" * 1000000) as $s | [range(1000) | {"\\($s)\\(.)": 1}] | length`, `("[" * 100000) | fromjson`, `("[1]," * 100000) | "[\\(.)1]" | fromjson | length`, `("{}," * 1000000) | "[\\(.)1]" | fromjson | length`,
		`[range(50000)] as $a | [range(1000) | $a | .[0] = 1] | length`, `[range(50000)] as $a | [range(1000) | $a | map(.)] | length`, `[range(50000)] as $a | [range(1000) | $a | sort] | length`, `[range(50000)] as $a | [range(1000) | $a | reverse] | length`, `[range(50000)] as $a | [range(1000) | $a + [1]] | length`, `[range(50000)] as $a | [range(1000) | $a | del(.[0])] | length`, `[range(50000)] as $a | def f: $a[] as $x | f; f`, `[range(50000)] as $a | [range(1000) | $a | to_entries] | length`, `[range(50000)] as $a | [range(1000) | $a | tojson] | length`, `[range(50000)] as $a | [range(1000) | $a | .[1:] = []] | length`, `[range(50000)] as $a | [$a | tostream] | length`, `[range(50000)] as $a | $a | indices($a)`, `[range(50000)] as $a | $a - $a`, `[range(50000)] as $a | $a | [.[] as $x | .[] as $y | 1] | length`, `[range(50000)] as $a | $a | combinations(2)`, `[limit(100000; repeat(input?))]`, `[splits("a")]?, [range(1e8) | select(. < 0)]`, `try (def f: 1 + f; f) catch "caught"`, `[.[]?, (try (("x" * 1000000000)) catch "caught")]`, `"x" * 1e18`, `"x" * 1e300`, `0 * "x"`, `[range(100000)] | .[range(100000)] = 1`, `pow(2; 1e300) | tojson`, `[range(0; 1; 1e-12)] | length`, `@text "\\("x" * 100000000)"`, `ltrimstr("x" * 100000000)`, `"\\(range(1e9))"`, `{(range(1e9) | tostring): 1}`, `[{a: range(1e9)}] | length`, `input_line_number`, `$ENV`, `splits("x"; null)?`, `limit(1; range(1e9))`, `first(range(1e12))`, `getpath([range(100000)])`, `[1] | getpath([536870911])`, `tojson * 100000000`, `now | strftime("%Y" * 10000000)`, `"a" | test("((a{1000}){1000}){1000}")`, `[range(1e6)] | .[1e5:] |= map([., .]) | length`, `halt_error`, `[range(3000)] | [.[] as $x | .[] as $y | [$x, $y]] | length`, `[range(100)] as $a | [$a[] as $b | $a[] as $c | $a[] as $d | $a[] as $e | 1] | length`, `ascii`, `@sh "\\([range(1e6)])"`, `[range(1e6)] | @csv | length`, `[[range(1e5)]] | .[0] as $x | [range(1000) | $x] | flatten | length`, `[range(1e5)] as $x | [range(1000) | [$x, $x]] | map(add(.[])) | length`, `[range(1e5) | tostring] as $x | [range(1000) | $x | implode?] | length`,
	} {
		sql := fmt.Sprintf(`SELECT jq('%s', '0') AS x FROM "t/#"`, strings.ReplaceAll(program, `\\`, `\`))
		short := program == `def f: 1 + f; f` || program == `reduce range(40) as $i ([1]; [.,.]) | . == .`
		// The constants are folded, so most are refused when they are compiled.
		rows = append(rows, row{boundary: statement, name: "jq: " + program, short: short, answer: ".+", prepare: compiled(lit(sql), "{}")})
	}
	return rows
}

func items2(n int, item string) func() string {
	return func() string { return `[` + strings.Repeat(item+",", n-1) + item + `]` }
}
