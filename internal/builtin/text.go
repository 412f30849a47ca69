package builtin

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/rivo/uniseg"

	"github.com/sluiceio/sluice/internal/value"
)

func textFunctions() []Function {
	return append(splitFunctions(),
		Function{
			Name: "lower", Args: params("s", Text), Min: 1, Pure: true, Call: lower,
			Doc: "s in lower case.", Examples: []Example{{Expr: "lower('ÀB')", Result: `"àb"`}},
		},
		Function{
			Name: "upper", Args: params("s", Text), Min: 1, Pure: true, Call: upper,
			Doc: "s in upper case.", Examples: []Example{{Expr: "upper('straße')", Result: `"STRASSE"`}, {Expr: "upper(true)", Result: `"TRUE"`}},
		},
		Function{
			Name: "trim", Args: params("s", Text), Min: 1, Pure: true, Call: trimmer(true, true),
			Doc: "s without white space at both ends.", Examples: []Example{{Expr: "trim('  a b ')", Result: `"a b"`}},
		},
		Function{
			Name: "ltrim", Args: params("s", Text), Min: 1, Pure: true, Call: trimmer(true, false),
			Doc: "s without white space at its beginning.", Examples: []Example{{Expr: "ltrim('  a ')", Result: `"a "`}},
		},
		Function{
			Name: "rtrim", Args: params("s", Text, "chars", String), Min: 1, Pure: true, Call: trimmer(false, true),
			Doc:      "s without white space, or without any of the given characters, at its end.",
			Examples: []Example{{Expr: "rtrim(' a ')", Result: `" a"`}, {Expr: "rtrim('abcxyx', 'xy')", Result: `"abc"`}},
		},
		Function{
			Name: "rm_prefix", Args: params("s", Any&^(Undefined|Null), "prefix", String), Min: 2, Pure: true, Call: rmPrefix,
			Doc:      "s without the prefix, if it begins with it. What is no text begins with none, and is returned as it is.",
			Examples: []Example{{Expr: "rm_prefix('foo/bar', 'foo/')", Result: `"bar"`}, {Expr: "rm_prefix(12, '1')", Result: "12"}},
		},
		Function{
			Name: "reverse", Args: params("s", Text), Min: 1, Pure: true, Call: reverse,
			Doc:      "s from its end to its beginning, by grapheme clusters. EMQX refuses text outside Latin-1.",
			Examples: []Example{{Expr: "reverse('hello')", Result: `"olleh"`}, {Expr: "reverse('你好')", Result: `"好你"`}},
		},
		Function{
			Name: "strlen", Args: params("s", Text), Min: 1, Pure: true, Call: strlen,
			Doc:      "The length in grapheme clusters, which is what a reader calls characters.",
			Examples: []Example{{Expr: "strlen('你好')", Result: "2"}},
		},
		Function{
			Name: "substr", Args: params("s", Text, "start", Int, "length", Int), Min: 2, Pure: true, Call: substr,
			Doc:      "The part of s from start, counted from 0 in grapheme clusters, to its end or with the length given.",
			Examples: []Example{{Expr: "substr('hello world!', 6, 5)", Result: `"world"`}, {Expr: "substr('abc', 10)", Result: `""`}, {Expr: "substr('abc', -1)", Error: true}},
		},
		Function{
			Name: "pad", Args: params("s", Text, "length", Int, "where", String, "chars", String), Min: 2, Pure: true, Call: pad,
			Doc:      "s filled up to a length, in grapheme clusters, at its end: 'trailing', the default, at its beginning: 'leading', or at 'both'. It is filled with spaces or with chars, which counts as 1 however long it is.",
			Examples: []Example{{Expr: "pad('abc', 5)", Result: `"abc  "`}, {Expr: "pad('abc', 8, 'both', '*')", Result: `"**abc***"`}},
		},
		Function{
			Name: "replace", Args: params("s", Text, "search", String, "by", String, "where", String), Min: 3, Pure: true, Call: replace,
			Doc:      "s with every ('all', the default), the first ('leading') or the last ('trailing') occurrence of a text replaced.",
			Examples: []Example{{Expr: "replace('ab..cd..ef', '..', '*')", Result: `"ab*cd*ef"`}, {Expr: "replace('ab..cd..ef', '..', '*', 'trailing')", Result: `"ab..cd*ef"`}},
		},
		Function{
			Name: "find", Args: params("s", Text, "sub", String, "where", String), Min: 2, Pure: true, Call: find,
			Doc:      "The rest of s from the first ('leading', the default) or last ('trailing') occurrence of a text; empty when there is none.",
			Examples: []Example{{Expr: "find('a, b, c', ', ')", Result: `", b, c"`}, {Expr: "find('a, b, c', ', ', 'trailing')", Result: `", c"`}},
		},
		Function{
			Name: "ascii", Args: params("s", Text), Min: 1, Pure: true, Call: ascii,
			Doc: "The first byte of s.", Examples: []Example{{Expr: "ascii('ab')", Result: "97"}, {Expr: "ascii('')", Error: true}},
		},
		Function{
			Name: "concat", Args: params("a", Any, "b", Any), Min: 1, Pure: true, Call: concat, Usage: "concat(a, b) or concat(list)",
			Doc:      "Two values, or the elements of an array, as text (see str), joined.",
			Examples: []Example{{Expr: "concat('a', 1)", Result: `"a1"`}, {Expr: "concat(['a', 1, true])", Result: `"a1true"`}},
		},
		Function{
			Name: "unescape", Args: params("s", Text), Min: 1, Pure: true, Call: unescape,
			Doc:      `s with the escape sequences \n \t \r \b \f \v \a \' \" \? \\ and \x with a code point in hexadecimal replaced by what they stand for. SQL texts have no escapes of their own.`,
			Examples: []Example{{Expr: `unescape('\x41\t')`, Result: `"A\t"`}, {Expr: `unescape('\L')`, Error: true}},
		},
	)
}

// mapRunes appends s to a buffer of the arena through f; plain ASCII that f leaves
// alone costs no copy.
func (c *Ctx) mapRunes(s string, changes func(byte) bool, f func(dst []byte, r rune) []byte) (value.Value, error) {
	i := 0
	for i < len(s) && s[i] < utf8.RuneSelf && !changes(s[i]) {
		i++
	}
	if i == len(s) {
		return value.String(s), nil
	}
	b := append(c.Arena.Buffer(len(s)), s[:i]...)
	for i < len(s) {
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 {
			b = append(b, s[i])
		} else {
			b = f(b, r)
		}
		i += n
	}
	return c.keep(b)
}

func lower(c *Ctx, args []value.Value) (value.Value, error) {
	return c.mapRunes(text(args[0]), func(b byte) bool { return b-'A' < 26 }, appendLower)
}

func appendLower(dst []byte, r rune) []byte {
	if r == 'İ' {
		return append(dst, "i\u0307"...)
	}
	return utf8.AppendRune(dst, unicode.ToLower(r))
}

func upper(c *Ctx, args []value.Value) (value.Value, error) {
	return c.mapRunes(text(args[0]), func(b byte) bool { return b-'a' < 26 }, appendUpper)
}

func appendUpper(dst []byte, r rune) []byte {
	if r >= utf8.RuneSelf {
		if s, ok := upperSpecial[r]; ok {
			return append(dst, s...)
		}
	}
	return utf8.AppendRune(dst, unicode.ToUpper(r))
}

// isSpace reports whether a grapheme cluster is white space (the property
// Pattern_White_Space, as in EMQX, and the line end CR LF).
func isSpace(cluster string) bool {
	switch cluster {
	case "\t", "\n", "\v", "\f", "\r", " ", "\r\n", "\u0085", "\u200e", "\u200f", "\u2028", "\u2029":
		return true
	}
	return false
}

func trimmer(leading, trailing bool) Func {
	return func(_ *Ctx, args []value.Value) (value.Value, error) {
		s, drop := text(args[0]), isSpace
		if len(args) > 1 {
			chars := charSetOf(args[1].AsString())
			drop = func(cluster string) bool { return utf8.RuneCountInString(cluster) == 1 && chars.has(cluster) }
		}
		if leading {
			for s != "" {
				n := clusterLen(s)
				if !drop(s[:n]) {
					break
				}
				s = s[n:]
			}
		}
		if trailing {
			s = trimEnd(s, drop)
		}
		return value.String(s), nil
	}
}

// fewChars is the length up to which searching a text beats a set of its characters.
const fewChars = 64

// charSet is the characters of a text, and the bytes that it consists of.
type charSet struct {
	chars string
	bytes *[256]bool
	runes map[rune]bool
}

func charSetOf(chars string) charSet {
	s := charSet{chars: chars}
	if len(chars) <= fewChars {
		return s
	}
	s.bytes, s.runes = new([256]bool), make(map[rune]bool)
	for i := range len(chars) {
		s.bytes[chars[i]] = true
	}
	for _, r := range chars {
		s.runes[r] = true
	}
	return s
}

// has reports whether a character, or a byte that is part of none, is in the set.
func (s *charSet) has(char string) bool {
	switch {
	case s.bytes == nil:
		return strings.Contains(s.chars, char)
	case len(char) == 1:
		return s.bytes[char[0]]
	}
	r, _ := utf8.DecodeRuneInString(char)
	return s.runes[r]
}

// trimEnd drops clusters from the end of s. Clusters can only be found from the
// front, so it remembers where the last run of droppable ones began.
func trimEnd(s string, drop func(string) bool) string {
	end := 0
	for i := 0; i < len(s); {
		n := clusterLen(s[i:])
		if !drop(s[i : i+n]) {
			end = i + n
		}
		i += n
	}
	return s[:end]
}

// clusterLen returns the length in bytes of the grapheme cluster that s, which is
// not empty, begins with.
func clusterLen(s string) int {
	if s[0] < utf8.RuneSelf && s[0] != '\r' && (len(s) == 1 || s[1] < utf8.RuneSelf) {
		return 1
	}
	cluster, _, _, _ := uniseg.FirstGraphemeClusterInString(s, -1)
	return len(cluster)
}

// clusters returns the number of grapheme clusters of s.
func clusters(s string) int {
	n := 0
	for s != "" {
		s = s[clusterLen(s):]
		n++
	}
	return n
}

// skipClusters returns s without its first n grapheme clusters.
func skipClusters(s string, n int) string {
	for ; n > 0 && s != ""; n-- {
		s = s[clusterLen(s):]
	}
	return s
}

func rmPrefix(_ *Ctx, args []value.Value) (value.Value, error) {
	if !Text.Takes(args[0].Kind()) {
		return args[0], nil
	}
	return value.String(strings.TrimPrefix(text(args[0]), args[1].AsString())), nil
}

func reverse(c *Ctx, args []value.Value) (value.Value, error) {
	s := text(args[0])
	b := c.Arena.Buffer(len(s))[:len(s)]
	for i := len(s); s != ""; {
		n := clusterLen(s)
		i -= n
		copy(b[i:], s[:n])
		s = s[n:]
	}
	return c.keep(b)
}

func strlen(_ *Ctx, args []value.Value) (value.Value, error) {
	return value.Int(int64(clusters(text(args[0])))), nil
}

func substr(_ *Ctx, args []value.Value) (value.Value, error) {
	start := intArg(args[1])
	if start < 0 {
		return value.Undefined(), bad("start must not be negative")
	}
	s := skipClusters(text(args[0]), start)
	if len(args) > 2 {
		n := intArg(args[2])
		if n < 0 {
			return value.Undefined(), bad("length must not be negative")
		}
		s = s[:len(s)-len(skipClusters(s, n))]
	}
	return value.String(s), nil
}

func pad(c *Ctx, args []value.Value) (value.Value, error) {
	s, where, chars := text(args[0]), "trailing", " "
	if len(args) > 2 {
		where = args[2].AsString()
	}
	if len(args) > 3 {
		chars = args[3].AsString()
	}
	n := max(0, intArg(args[1])-clusters(s))
	var before int
	switch where {
	case "trailing":
	case "leading":
		before = n
	case "both":
		before = n / 2
	default:
		return value.Undefined(), bad("where must be 'leading', 'trailing' or 'both'")
	}
	if n > 0 && chars != "" {
		if err := c.Arena.Room(n); err != nil { // so that the product cannot overflow
			return value.Undefined(), err
		}
	}
	size := len(s) + n*len(chars)
	if err := c.Arena.Room(size); err != nil {
		return value.Undefined(), err
	}
	b := c.Arena.Buffer(size)
	b = appendRepeat(b, chars, before)
	b = append(b, s...)
	return c.keep(appendRepeat(b, chars, n-before))
}

func appendRepeat(dst []byte, s string, n int) []byte {
	if s == "" {
		return dst
	}
	for range n {
		dst = append(dst, s...)
	}
	return dst
}

func replace(c *Ctx, args []value.Value) (value.Value, error) {
	s, search, by, where := text(args[0]), args[1].AsString(), args[2].AsString(), "all"
	if len(args) > 3 {
		where = args[3].AsString()
	}
	var at int
	switch where {
	case "all", "leading":
		at = strings.Index(s, search)
	case "trailing":
		at = strings.LastIndex(s, search)
	default:
		return value.Undefined(), bad("where must be 'all', 'leading' or 'trailing'")
	}
	if at < 0 || search == "" {
		return value.String(s), nil
	}
	if where == "all" {
		grown := len(s) + strings.Count(s, search)*(len(by)-len(search))
		if err := c.Arena.Room(grown); err != nil {
			return value.Undefined(), err
		}
	}
	b := c.Arena.Buffer(len(s) + len(by))
	for {
		b = append(append(b, s[:at]...), by...)
		s = s[at+len(search):]
		if where != "all" {
			break
		}
		if at = strings.Index(s, search); at < 0 {
			break
		}
	}
	return c.keep(append(b, s...))
}

func find(_ *Ctx, args []value.Value) (value.Value, error) {
	s, sub, where := text(args[0]), args[1].AsString(), "leading"
	if len(args) > 2 {
		where = args[2].AsString()
	}
	at := 0
	switch {
	case where != "leading" && where != "trailing":
		return value.Undefined(), bad("where must be 'leading' or 'trailing'")
	case sub == "":
	case where == "leading":
		at = strings.Index(s, sub)
	default:
		at = strings.LastIndex(s, sub)
	}
	if at < 0 {
		return value.String(""), nil
	}
	return value.String(s[at:]), nil
}

func ascii(_ *Ctx, args []value.Value) (value.Value, error) {
	s := text(args[0])
	if s == "" {
		return value.Undefined(), bad("the text is empty")
	}
	return value.Int(int64(s[0])), nil
}

func concat(c *Ctx, args []value.Value) (value.Value, error) {
	if len(args) == 2 {
		return value.Concat(c.Arena, args[0], args[1])
	}
	if args[0].Kind() != value.KindList {
		return value.Undefined(), bad("a single argument must be an array, not %s", args[0].Kind())
	}
	return c.join("", args[0])
}

func unescape(c *Ctx, args []value.Value) (value.Value, error) {
	s := text(args[0])
	if !utf8.ValidString(s) {
		return value.Undefined(), bad("the text is not UTF-8")
	}
	if strings.IndexByte(s, '\\') < 0 {
		return value.String(s), nil
	}
	b := c.Arena.Buffer(len(s))
	for {
		i := strings.IndexByte(s, '\\')
		if i < 0 || i == len(s)-1 {
			return c.keep(append(b, s...))
		}
		b = append(b, s[:i]...)
		r, n := escapeSequence(s[i+1:])
		if n == 0 {
			_, size := utf8.DecodeRuneInString(s[i+1:])
			return value.Undefined(), bad("unknown escape sequence %q", s[i:i+1+size])
		}
		if !utf8.ValidRune(r) {
			return value.Undefined(), bad("the escape sequence is no Unicode character")
		}
		b = utf8.AppendRune(b, r)
		s = s[i+1+n:]
	}
}

// escapeSequence returns the character that an escape sequence, given without its
// backslash, stands for, and the sequence's length, 0 when there is none.
func escapeSequence(s string) (rune, int) {
	const names, chars = `ntrbfv'"?a\`, "\n\t\r\b\f\v'\"?\a\\"
	if i := strings.IndexByte(names, s[0]); i >= 0 {
		return rune(chars[i]), 1
	}
	if s[0] != 'x' {
		return 0, 0
	}
	var r rune
	n := 1
	for ; n < len(s); n++ {
		d := hexDigit(s[n])
		if d < 0 {
			break
		}
		if r = r<<4 | d; r > unicode.MaxRune {
			r = unicode.MaxRune + 1 // too large, and must not wrap round
		}
	}
	if n == 1 {
		return 0, 0
	}
	return r, n
}

// hexDigit returns the value of a hexadecimal digit, -1 when it is none.
func hexDigit(c byte) rune {
	switch {
	case c-'0' <= 9:
		return rune(c - '0')
	case c|0x20-'a' < 6:
		return rune(c|0x20-'a') + 10
	}
	return -1
}
