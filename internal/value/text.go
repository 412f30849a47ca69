package value

import (
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/sluiceio/sluice/internal/jsonx"
)

// AppendText appends v as text, the way that concatenation, str() and templates
// write it: strings as they are, floats with at most 10 decimals and at least
// one, maps as JSON, lists as JSON unless they are empty or all their elements
// are printable code points, which make a text.
func AppendText(dst []byte, v Value) []byte { return appendText(dst, v, math.MaxInt) }

// AppendText is the function AppendText for text that counts against the budget,
// see Arena.AppendJSON.
func (a *Arena) AppendText(dst []byte, v Value) []byte { return appendText(dst, v, a.Left()) }

func appendText(dst []byte, v Value, most int) []byte {
	switch v.kind {
	case KindString:
		return append(dst, v.AsString()...)
	case KindUndefined:
		return append(dst, "undefined"...)
	case KindFloat:
		return AppendDecimals(dst, math.Float64frombits(v.n), 10)
	case KindBits:
		return appendBits(dst, v)
	case KindList:
		if out, ok := appendPrintable(dst, v); ok {
			return out
		}
	}
	return appendJSON(dst, v, most)
}

// Text returns v as text, in the arena unless v is a string already.
func (v Value) Text(a *Arena) string {
	if v.kind == KindString {
		return v.AsString()
	}
	return a.Keep(a.AppendText(a.Buffer(32), v))
}

// AppendDecimals appends f in fixed notation, rounded to the number of decimals,
// without trailing zeros but with at least one decimal unless decimals is 0.
func AppendDecimals(dst []byte, f float64, decimals int) []byte {
	start := len(dst)
	if decimals == 10 && math.Abs(f) < 1e5 {
		// The shortest form is the rounded one too when it has few decimals; only
		// then is it quicker.
		dst = strconv.AppendFloat(dst, f, 'f', -1, 64)
		point := len(dst)
		for i := start; i < len(dst); i++ {
			if dst[i] == '.' {
				point = i
				break
			}
		}
		switch n := len(dst) - point - 1; {
		case n < 0:
			return append(dst, ".0"...)
		case n <= decimals:
			return dst
		}
		dst = dst[:start]
	}
	dst = strconv.AppendFloat(dst, f, 'f', decimals, 64)
	if decimals == 0 {
		return dst
	}
	for dst[len(dst)-1] == '0' && dst[len(dst)-2] != '.' {
		dst = dst[:len(dst)-1]
	}
	return dst
}

// appendBits writes a bit string as Erlang does, <<159,5:3>>.
func appendBits(dst []byte, v Value) []byte {
	s, n := v.AsBits()
	dst = append(dst, "<<"...)
	for i := range len(s) - 1 {
		dst = append(strconv.AppendUint(dst, uint64(s[i]), 10), ',')
	}
	rest := n % 8
	dst = strconv.AppendUint(dst, uint64(s[len(s)-1]>>(8-rest)), 10)
	dst = append(dst, ':')
	dst = strconv.AppendUint(dst, uint64(rest), 10)
	return append(dst, ">>"...)
}

// appendPrintable appends the text that a list of printable code points stands
// for.
func appendPrintable(dst []byte, v Value) ([]byte, bool) {
	if v.form == rawJSON {
		return appendRawPrintable(dst, v.raw())
	}
	start := len(dst)
	for _, e := range v.list() {
		r, ok := e.AsInt()
		if !ok || !printable(r) {
			return dst[:start], false
		}
		dst = utf8.AppendRune(dst, rune(r))
	}
	return dst, true
}

func appendRawPrintable(dst, text []byte) ([]byte, bool) {
	start := len(dst)
	for i := jsonx.Space(text, 1); text[i] != ']'; i = nextItem(text, i) {
		end, kind := jsonx.Skip(text, i)
		if kind != jsonx.Int {
			return dst[:start], false
		}
		r, ok := parseInt(text[i:end]).AsInt()
		if !ok || !printable(r) {
			return dst[:start], false
		}
		dst = utf8.AppendRune(dst, rune(r))
	}
	return dst, true
}

// printable reports whether Erlang takes r for a printable Unicode character.
func printable(r int64) bool {
	switch {
	case r < ' ':
		return r >= '\b' && r <= '\r' || r == 0x1b
	case r <= '~':
		return true
	}
	return r >= 0xa0 && r < 0xd800 || r >= 0xe000 && r < 0xfffe || r >= 0x10000 && r <= 0x10ffff
}
