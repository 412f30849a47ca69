//go:build linux

package hostile_test

import (
	"strings"

	"github.com/sluiceio/sluice/bridge/config"
)

// definitionRows are texts of definitions, in YAML, JSON and HOCON.
func definitionRows() []row {
	read := func(parse func([]byte) error) func(name string, text func() string, answer string, short bool) row {
		return func(name string, text func() string, answer string, short bool) row {
			return row{boundary: definition, name: name, short: short, answer: answer, prepare: func() func() string {
				data := []byte(text())
				return func() string {
					err := parse(data)
					if failure := parse([]byte("sources: {}")); failure == nil {
						return "an empty definition is taken"
					}
					if err != nil {
						// Each problem has a line of its own.
						return err.Error()[:min(len(err.Error()), 900)]
					}
					return ok
				}
			}}
		}
	}
	yaml := read(func(text []byte) error {
		_, err := config.Parse("f", text, config.Options{LookupEnv: func(string) (string, bool) { return strings.Repeat("x", 10_000), true }})
		return err
	})
	hocon := read(func(text []byte) error {
		_, _, err := config.ImportEMQX(text)
		return err
	})
	const (
		deep    = ".*nests deeper than.*"
		large   = ".*more than 1048576.*"
		entries = ".*more than 50000 entries.*"
		some    = ".+"
	)
	return []row{
		yaml("200,000 brackets", repeated("", "[", 200_000, ""), deep, true),
		yaml("200,000 braces", repeated("", "{a: ", 200_000, ""), deep, false),
		yaml("JSON that is deep", repeated("", `{"a":[`, 100_000, ""), deep, true),
		yaml("dashes", repeated("", "- ", 200_000, "a"), deep, false),
		yaml("question marks", repeated("", "? ", 200_000, "a"), deep, false),
		yaml("colons", repeated("", ": ", 200_000, "a"), some, false),
		yaml("indentation", func() string {
			var b strings.Builder
			for i := range 1400 {
				b.WriteString(strings.Repeat(" ", i) + "a:\n")
			}
			return b.String()
		}, deep, false),
		yaml("a billion laughs", func() string {
			var b strings.Builder
			b.WriteString("a0: &a0 [x, x]\n")
			for i := range 30 {
				n, m := string(rune('A'+i)), "0"
				if i > 0 {
					m = string(rune('A' + i - 1))
				}
				b.WriteString("a" + n + ": &a" + n + " [*a" + m + ", *a" + m + ", *a" + m + "]\n")
			}
			return b.String()
		}, some, true),
		yaml("merge keys", repeated("a: &a {x: y}\n", "b: {<<: *a}\n", 10_000, ""), some, false),
		yaml("an anchor in itself", lit("a: &a [*a]\n"), some, false),
		yaml("200,000 keys", repeated("", "a: b\n", 200_000, ""), entries, true),
		yaml("200,000 keys in JSON", repeated("{", `"a":1,`, 170_000, `"b":1}`), entries, false),
		yaml("49,000 sinks", func() string {
			return "sinks: {" + strings.Repeat("a: , ", 49_000) + "}"
		}, some, false),
		yaml("4 MiB", repeated("a: ", "x", 4*mib, ""), large, true),
		yaml("a text of 1 MB", repeated("a: '", "''", 500_000, "'"), some, false),
		yaml("escapes", repeated(`a: "`, `\x41`, 250_000, `"`), some, false),
		yaml("a block of 400,000 lines", repeated("a: |\n", " x\n", 340_000, ""), some, false),
		yaml("tabs", repeated("", "\t", 1_000_000, ""), some, false),
		yaml("comments", repeated("", "#\n", 500_000, ""), some, false),
		yaml("documents", repeated("", "---\n", 250_000, ""), some, false),
		yaml("tags", repeated("a: ", "!x ", 300_000, ""), some, false),
		yaml("directives", repeated("", "%YAML 1.2\n", 100_000, "---\na: b\n"), some, false),
		yaml("a variable, often", repeated("sinks: {f: {type: file, path: '", "${env:X}", 100_000, "'}}"), some, true),
		yaml("beginnings of variables", repeated("sinks: {f: {type: file, path: '", "${", 400_000, "'}}"), some, false),
		yaml("a number of 1 MB", repeated("workers: ", "9", 1_000_000, ""), some, false),
		yaml("a duration of 1 MB", repeated("drain_timeout: ", "9h", 500_000, ""), some, false),
		yaml("bytes that are not UTF-8", repeated("a: ", "\xff", 1_000_000, ""), some, false),
		yaml("a byte order of two", repeated("\xff\xfe", "a\x00", 500_000, ""), some, false),
		hocon("HOCON braces", repeated("", "a{", mib/2, ""), deep, true),
		hocon("HOCON brackets", repeated("a=", "[", mib/2, ""), deep, false),
		hocon("a HOCON path", repeated("", "a.", mib/2-2, "a=1"), deep, true),
		hocon("HOCON substitutions", repeated("a=x\n", "a=${a}${a}\n", 30, ""), some, true),
		hocon("a HOCON substitution of others", func() string {
			var b strings.Builder
			b.WriteString("a0=xxxxxxxxxx\n")
			for i := range 25 {
				b.WriteString("a" + string(rune('A'+i)) + "=${a" + string(rune('A'+max(0, i-1))) + "}${a0}${a" + string(rune('A'+max(0, i-1))) + "}\n")
			}
			return b.String()
		}, some, false),
		hocon("HOCON includes", repeated("", "include \"/dev/zero\"\n", 40_000, ""), some, false),
		hocon("HOCON quotes", repeated("a=", `"""`, 300_000, ""), some, false),
		hocon("HOCON concatenations", repeated("a=", "x ", 500_000, ""), some, false),
		hocon("4 MiB of HOCON", repeated("a=", "x", 4*mib, ""), large, false),
		hocon("HOCON keys", repeated("", "a=1\n", 250_000, ""), some, false),
		hocon("HOCON appended lists", repeated("a=[1]\n", "a+=1\n", 150_000, ""), some, false),
		hocon("HOCON objects that are merged", repeated("", "a{b=1}\n", 140_000, ""), some, false),
	}
}
