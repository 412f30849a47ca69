package hocon

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

type object = map[string]any

func TestParse(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, text string
		want       object
	}{
		{"nothing", "", object{}},
		{"comments", "# a = 1\n// b = 2\n", object{}},
		{"byte order mark", "\uFEFFa = 1", object{"a": int64(1)}},
		{"braces", " { a = 1 } \n# end", object{"a": int64(1)}},
		{"separators", "a = 1\nb : 2,\n c=3 , d:4", object{"a": int64(1), "b": int64(2), "c": int64(3), "d": int64(4)}},
		{"trailing comma", "{a = 1,}", object{"a": int64(1)}},
		{"carriage returns", "a = 1\r\nb = x\r\n", object{"a": int64(1), "b": "x"}},
		{"object without separator", "a {b {c = 1}}", object{"a": object{"b": object{"c": int64(1)}}}},
		{"value on the next line", "a =\n  1", object{"a": int64(1)}},
		{"paths", `a.b."c.d" = 1`, object{"a": object{"b": object{"c.d": int64(1)}}}},
		{"merged", "a.b = 1\na {c = 2}\na = {b = 3}", object{"a": object{"b": int64(3), "c": int64(2)}}},
		{"deeply merged", "a {b {c = 1}}\na {b {d = 2}}", object{"a": object{"b": object{"c": int64(1), "d": int64(2)}}}},
		{"replaced", "a = [1]\na = x\na {b = 1}", object{"a": object{"b": int64(1)}}},
		{"path through a value", "a = 1\na.b = 2", object{"a": object{"b": int64(2)}}},
		{"scalars", "a = [true, false, null, -7, 1.5, 2e+3, x]", object{"a": []any{true, false, nil, int64(-7), 1.5, 2000.0, "x"}}},
		{"words", "a = 15s\nb = 256MB\nc = emqx@127.0.0.1\nd = us-east-1\ne = 0x10\nf = 1_000\ng = 80%", object{
			"a": "15s", "b": "256MB", "c": "emqx@127.0.0.1", "d": "us-east-1", "e": "0x10", "f": "1_000", "g": "80%",
		}},
		{"a huge number is a text", "a = 1e999", object{"a": "1e999"}},
		{"comment behind a value", "a = x # y\nb = z// y", object{"a": "x", "b": "z"}},
		{"quoted", `a = "x # // ${y} \" \\ \n \u00e9 \ud83d\ude00 \ud800"`, object{"a": "x # // ${y} \" \\ \n é 😀 \uFFFD"}},
		{"quoted number", `a = "15"`, object{"a": "15"}},
		{"joined", `a = x y "z "1`, object{"a": "xyz 1"}},
		{"lists", "a = [\n  x\n  y,\n  [z],\n {b = 1} # c\n]\nb = []", object{"a": []any{"x", "y", []any{"z"}, object{"b": int64(1)}}, "b": []any{}}},
		{"three quotes", `a = """x "y" \n ${z}"""`, object{"a": `x "y" \n ${z}`}},
		{"four quotes", `a = """x""""`, object{"a": `x"`}},
		{"indented", "a = \"\"\"~\n    SELECT\n      *\n\n    FROM \"t\"~\"\"\"\n", object{"a": "SELECT\n  *\n\nFROM \"t\""}},
		{"indented with a last line", "a = \"\"\"~\n    x\n  ~\"\"\"", object{"a": "x\n"}},
		{"indented less than the quotes", "a = \"\"\"~\n  x\n     ~\"\"\"", object{"a": "x\n   "}},
		{"indented, plain end", "a = \"\"\"~\r\n  x\"\"\"", object{"a": "x"}},
		{"tildes in a line", `a = """~"x"~"""`, object{"a": `"x"`}},
		{"a tilde of the text", `a = """~x"""`, object{"a": "~x"}},
		{"JSON", `{"a": [1, {"b": null}], "c": "\/"}`, object{"a": []any{int64(1), object{"b": nil}}, "c": "/"}},
		{"include as a key", "include = 1\nincluded { a = 2 }", object{"include": int64(1), "included": object{"a": int64(2)}}},
	} {
		got, err := Parse([]byte(c.text))
		require.NoError(t, err, c.name)
		require.Equal(t, c.want, got, c.name)
	}
}

func TestMistakes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"a = 1 }":                           "1:7: '}' is not expected here",
		"{a = 1} x":                         "1:9: 'x' is not expected here",
		"a {\n b = 1":                       "1:3: the { has no }",
		"a = [1":                            "1:5: the [ has no ]",
		"a = {b = 1]":                       "1:11: ']' is not expected here: begin another line, or put the text in quotes",
		"a = [1 {}]":                        "1:8: a comma or ] is expected, not '{'",
		"a = http://x":                      "1:9: ':' is not expected here: begin another line, or put the text in quotes",
		"a":                                 "1:2: after the key a comes =, : or {, not the end",
		"a.b\n= 1":                          "1:4: after the key a.b comes =, : or {, not the end of the line",
		"a b = 1":                           "1:3: after the key a comes =, : or {, not 'b'",
		"a. = 1":                            "1:3: a key is expected, not ' '",
		"= 1":                               "1:1: a key is expected, not '='",
		"a = ,":                             "1:5: a value is expected, not ','",
		"é = 1, ü = ":                       "1:12: a value is expected, not the end",
		"a += 1":                            "1:3: += is not supported: write the whole list",
		"a = ${b}":                          "1:5: substitution is not supported: write the value, or put a template in quotes",
		"a = x ${b}":                        "1:7: substitution is not supported: write the value, or put a template in quotes",
		"a = {} {}":                         "1:8: joining values is not supported: write one",
		"a = [] [1]":                        "1:8: joining values is not supported: write one",
		"a = \"x\ny\"":                      "1:5: the quote is not closed on its line; texts of several lines have three quotes",
		`a = """x"`:                         "1:5: the three quotes have no counterpart",
		`"""a""" = 1`:                       "1:1: a key has single quotes",
		`a = "\x"`:                          `1:6: a backslash stands before one of "\/bfnrtve or u; write \\ for a backslash`,
		`a = "\u12"`:                        `1:6: after \u come four hexadecimal digits`,
		"\ninclude \"b.conf\"":              "2:1: other files are not read: put the content in the place of this line, or use what emqx ctl conf show prints",
		"a = \xff":                          "1:5: this is not UTF-8",
		strings.Repeat("a {", 101):          "1:302: it nests deeper than 100",
		"a = " + strings.Repeat("[", 101):   "1:105: it nests deeper than 100",
		strings.Repeat("a.", 101) + "a = 1": "1:204: it nests deeper than 100",
	} {
		_, err := Parse([]byte(text))
		require.EqualError(t, err, want, text)
	}
}

// Whatever the text, Parse returns; mistakes are within it; and JSON means what
// it means to encoding/json.
func FuzzParse(f *testing.F) {
	f.Add("a.b = 1, c { d = [x, \"y\", \"\"\"~\n z\n ~\"\"\"] } # e")
	f.Add(`{"a": [1, 2.5, null, true, "\u00e9"], "b": {"c": ""}}`)
	f.Add("a = ${b}\ninclude \"c\"")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := Parse([]byte(text))
		var want object
		if json.Unmarshal([]byte(text), &want) == nil && want != nil && noClash(text) {
			if err == nil {
				again, _ := json.Marshal(got)
				var round object
				if json.Unmarshal(again, &round) != nil || !reflect.DeepEqual(round, want) {
					t.Fatalf("%q is %v, want %v", text, got, want)
				}
			} else if !strings.Contains(err.Error(), "deeper") && !strings.Contains(err.Error(), "UTF-8") {
				t.Fatalf("%q: %v", text, err)
			}
		}
		if err == nil {
			return
		}
		var e *Error
		require.ErrorAs(t, err, &e)
		lines := strings.Split(text, "\n")
		if e.Line < 1 || e.Line > len(lines) || e.Column < 1 || e.Column > len(lines[e.Line-1])+1 {
			t.Fatalf("%q: %v is not within", text, e)
		}
	})
}

// noClash leaves out what JSON and HOCON mean differently: names given twice,
// numbers beyond int64's digits, and """ after an empty text.
func noClash(text string) bool {
	return strings.Count(text, ":") < 2 && !strings.ContainsAny(text, "eE.") && !strings.Contains(text, `"""`) && len(text) < 18
}
