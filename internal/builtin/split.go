package builtin

import (
	"strings"
	"unicode/utf8"

	"github.com/sluiceio/sluice/internal/value"
)

// splitFunctions make lists of texts and texts of lists.
func splitFunctions() []Function {
	return []Function{
		{
			Name: "split", Args: params("s", Text, "separator", String, "option", String), Min: 2, Pure: true, Call: split,
			Doc: "The pieces of s between separators. Empty pieces are dropped unless the option is 'notrim'; 'leading' and 'trailing' split at the first or last " +
				"separator only, 'leading_notrim' and 'trailing_notrim' do so and keep empty pieces.",
			Examples: []Example{{Expr: "split('a;;b', ';')", Result: `["a","b"]`}, {Expr: "split('a;;b', ';', 'notrim')", Result: `["a","","b"]`}, {Expr: "split('a;b;c', ';', 'trailing')", Result: `["a;b","c"]`}},
		},
		{
			Name: "tokens", Args: params("s", Text, "separators", String, "option", String), Min: 2, Pure: true, Call: tokens,
			Doc:      "The pieces of s between any of the separator characters, without empty ones. With the option 'nocrlf' line ends separate too.",
			Examples: []Example{{Expr: "tokens('a,b;;c', ',;')", Result: `["a","b","c"]`}},
		},
		{
			Name: "join_to_string", Args: params("separator", String|List, "list", List), Min: 1, Pure: true, Call: joinToString,
			Usage:    "join_to_string([separator, ]list)",
			Doc:      "The elements of an array as text (see str), with a separator between them, ', ' by default.",
			Examples: []Example{{Expr: "join_to_string('-', ['a', 1, 2.5])", Result: `"a-1-2.5"`}, {Expr: "join_to_string(['a', 'b'])", Result: `"a, b"`}},
		},
		{
			Name: "join_to_sql_values_string", Args: params("list", List), Min: 1, Pure: true, Call: joinToSQL,
			Doc:      `The elements of an array as a list of SQL literals: numbers as they are, text and booleans in single quotes with \' and \\ escaped, arrays and maps as quoted JSON, undefined as NULL.`,
			Examples: []Example{{Expr: "join_to_sql_values_string([1, 'c', null()])", Result: `"1, 'c', NULL"`}, {Expr: "join_to_sql_values_string([true])", Result: `"'true'"`}},
		},
	}
}

func split(c *Ctx, args []value.Value) (value.Value, error) {
	s, sep, option := text(args[0]), args[1].AsString(), ""
	if len(args) > 2 {
		option = args[2].AsString()
		if option == "" {
			option = "?"
		}
	}
	index, limit := strings.Index, 2
	switch option {
	case "", "notrim":
		limit = maxInt
	case "leading", "leading_notrim":
	case "trailing", "trailing_notrim":
		index = strings.LastIndex
	default:
		return value.Undefined(), bad("option must be 'notrim', 'leading', 'trailing', 'leading_notrim' or 'trailing_notrim'")
	}
	keepEmpty := strings.HasSuffix(option, "notrim")
	return c.pieces(s, limit, keepEmpty, func(s string) (end, next int) {
		if sep == "" {
			return len(s), -1
		}
		i := index(s, sep)
		if i < 0 {
			return len(s), -1
		}
		return i, i + len(sep)
	})
}

func tokens(c *Ctx, args []value.Value) (value.Value, error) {
	separators, lines := charSetOf(args[1].AsString()), false
	if len(args) > 2 {
		if lines = args[2].AsString() == "nocrlf"; !lines {
			return value.Undefined(), bad("option must be 'nocrlf'")
		}
	}
	return c.pieces(text(args[0]), maxInt, false, func(s string) (end, next int) {
		n := 1
		for i := 0; i < len(s); i, n = i+n, 1 {
			switch c := s[i]; {
			case strings.HasPrefix(s[i:], "\r\n"): // one character, which only lines can name
				if n = 2; lines {
					return i, i + 2
				}
				continue
			case lines && (c == '\r' || c == '\n'):
				return i, i + 1
			case c >= utf8.RuneSelf:
				_, n = utf8.DecodeRuneInString(s[i:])
			}
			if separators.has(s[i : i+n]) {
				return i, i + n
			}
		}
		return len(s), -1
	})
}

// pieces makes a list of up to limit parts of s. cut returns the end of the first
// part of a text and the start of the rest, -1 when there is none.
func (c *Ctx) pieces(s string, limit int, keepEmpty bool, cut func(string) (end, next int)) (value.Value, error) {
	count := func(put func(string)) {
		rest := s
		for n := 1; ; n++ {
			end, next := len(rest), -1
			if n < limit {
				end, next = cut(rest)
			}
			if end > 0 || keepEmpty {
				put(rest[:end])
			}
			if next < 0 {
				return
			}
			rest = rest[next:]
		}
	}
	n := 0
	count(func(string) { n++ })
	if err := c.room(n); err != nil {
		return value.Undefined(), err
	}
	out := c.Arena.Values(n)[:0]
	count(func(piece string) { out = append(out, value.String(piece)) })
	return value.List(out), nil
}

func joinToString(c *Ctx, args []value.Value) (value.Value, error) {
	if len(args) == 1 {
		if args[0].Kind() != value.KindList {
			return value.Undefined(), bad("a single argument must be an array")
		}
		return c.join(", ", args[0])
	}
	if args[0].Kind() != value.KindString {
		return value.Undefined(), bad("the separator must be a string")
	}
	return c.join(args[0].AsString(), args[1])
}

func (c *Ctx) join(separator string, list value.Value) (value.Value, error) {
	elements := list.Elements(c.Arena)
	b := c.Arena.Buffer(64)
	for i, e := range elements {
		if i > 0 {
			b = append(b, separator...)
		}
		b = c.Arena.AppendText(b, e)
		if err := c.Arena.Room(len(b)); err != nil {
			return value.Undefined(), err
		}
	}
	return c.keep(b)
}

func joinToSQL(c *Ctx, args []value.Value) (value.Value, error) {
	elements := args[0].Elements(c.Arena)
	b := c.Arena.Buffer(64)
	for i, e := range elements {
		if i > 0 {
			b = append(b, ", "...)
		}
		switch e.Kind() {
		case value.KindUndefined:
			b = append(b, "NULL"...)
		case value.KindString, value.KindBool:
			b = appendSQL(b, text(e))
		case value.KindInt, value.KindFloat:
			b = c.Arena.AppendText(b, e)
		default:
			b = appendSQL(b, string(c.Arena.AppendJSON(nil, e)))
		}
		if err := c.Arena.Room(len(b)); err != nil {
			return value.Undefined(), err
		}
	}
	return c.keep(b)
}

func appendSQL(dst []byte, s string) []byte {
	dst = append(dst, '\'')
	for i := range len(s) {
		if s[i] == '\'' || s[i] == '\\' {
			dst = append(dst, '\\')
		}
		dst = append(dst, s[i])
	}
	return append(dst, '\'')
}
