package value

import (
	"bytes"
	"math"
	"math/big"
	"strconv"
	"unicode/utf8"

	"github.com/sluiceio/sluice/internal/jsonx"
)

// AppendJSON appends v as JSON without white space: members sorted by name,
// undefined as the string "undefined", floats in their shortest form and always
// with a point or an exponent, text in UTF-8 with every byte that is not UTF-8
// replaced by U+FFFD. A map or list that is still JSON text is brought into the
// same form.
func AppendJSON(dst []byte, v Value) []byte {
	switch v.kind {
	case KindUndefined:
		return append(dst, `"undefined"`...)
	case KindNull:
		return append(dst, "null"...)
	case KindBool:
		return strconv.AppendBool(dst, v.n != 0)
	case KindInt:
		if v.form == bigInt {
			return (*big.Int)(v.p).Append(dst, 10)
		}
		return strconv.AppendInt(dst, int64(v.n), 10)
	case KindFloat:
		return appendFloat(dst, math.Float64frombits(v.n))
	case KindString:
		return AppendQuoted(dst, v.AsString())
	case KindBits:
		return AppendQuoted(dst, view(appendBits(nil, v)))
	}
	if v.form == rawJSON {
		dst, _ = appendRaw(dst, v.raw(), 0)
		return dst
	}
	if v.kind == KindMap {
		return AppendObject(dst, v.pairs())
	}
	dst = append(dst, '[')
	for i, e := range v.list() {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = AppendJSON(dst, e)
	}
	return append(dst, ']')
}

// AppendObject appends a JSON object of the pairs in the order given.
func AppendObject(dst []byte, pairs []Pair) []byte {
	dst = append(dst, '{')
	for i := range pairs {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(AppendQuoted(dst, pairs[i].Key), ':')
		dst = AppendJSON(dst, pairs[i].Value)
	}
	return append(dst, '}')
}

// appendFloat writes the shortest form that reads back as f: fixed between 1e-6
// and 1e21 and with an exponent outside, as JavaScript does, but with a decimal.
func appendFloat(dst []byte, f float64) []byte {
	if f == 0 {
		return append(dst, "0.0"...) // no minus
	}
	if abs := math.Abs(f); abs >= 1e-6 && abs < 1e21 {
		start := len(dst)
		dst = strconv.AppendFloat(dst, f, 'f', -1, 64)
		for _, c := range dst[start:] {
			if c == '.' {
				return dst
			}
		}
		return append(dst, ".0"...)
	}
	dst = strconv.AppendFloat(dst, f, 'e', -1, 64)
	if n := len(dst); dst[n-2] == '0' && dst[n-4] == 'e' { // e-07 to e-7
		dst[n-2] = dst[n-1]
		dst = dst[:n-1]
	}
	return dst
}

const upperHex = "0123456789ABCDEF"

// AppendQuoted appends s as a JSON string.
func AppendQuoted(dst []byte, s string) []byte {
	return append(appendContent(append(dst, '"'), s), '"')
}

func appendContent(dst []byte, s string) []byte {
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c < utf8.RuneSelf && c != '"' && c != '\\' {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if r != utf8.RuneError || n > 1 {
				i += n
				continue
			}
		}
		dst = append(append(dst, s[start:i]...), quoted[c]...)
		i++
		start = i
	}
	return append(dst, s[start:]...)
}

// quoted is how a byte that cannot stand for itself is written.
var quoted = func() (q [256]string) {
	for c := range q {
		switch {
		case c < ' ':
			q[c] = `\u00` + string(upperHex[c>>4]) + string(upperHex[c&15])
		case c >= utf8.RuneSelf:
			q[c] = "\uFFFD"
		}
	}
	q['\b'], q['\f'], q['\n'], q['\r'], q['\t'] = `\b`, `\f`, `\n`, `\r`, `\t`
	q['"'], q['\\'] = `\"`, `\\`
	return q
}()

// appendRaw appends the valid JSON value at text[i] in the form of AppendJSON and
// returns the position behind it.
func appendRaw(dst, text []byte, i int) ([]byte, int) {
	switch text[i] {
	case '{':
		return appendRawObject(dst, text, i)
	case '[':
		dst = append(dst, '[')
		for i = jsonx.Space(text, i+1); text[i] != ']'; {
			if text[i] == ',' {
				dst = append(dst, ',')
				i = jsonx.Space(text, i+1)
			}
			dst, i = appendRaw(dst, text, i)
			i = jsonx.Space(text, i)
		}
		return append(dst, ']'), i + 1
	}
	end, kind := jsonx.Skip(text, i)
	switch kind {
	case jsonx.Float:
		if !shortest(text[i:end]) {
			f, _ := strconv.ParseFloat(view(text[i:end]), 64)
			return appendFloat(dst, f), end
		}
	case jsonx.Escaped:
		return appendRequoted(dst, text[i+1:end-1]), end
	case jsonx.Int:
		if text[i] == '-' && text[i+1] == '0' {
			return append(dst, '0'), end
		}
	}
	return append(dst, text[i:end]...), end
}

// appendRequoted writes the content of a JSON string that has escapes again, with
// only those that are needed.
func appendRequoted(dst, s []byte) []byte {
	var char [utf8.UTFMax]byte
	dst = append(dst, '"')
	for {
		i := bytes.IndexByte(s, '\\')
		if i < 0 {
			return append(append(dst, s...), '"')
		}
		dst = append(dst, s[:i]...)
		n := jsonx.EscapeLen(s[i:])
		dst = appendContent(dst, view(jsonx.Unescape(char[:0], s[i:i+n])))
		s = s[i+n:]
	}
}

// appendRawObject copies the members as long as they come in order, which is what
// machines write, and starts over with a decoded map when they do not.
func appendRawObject(dst, text []byte, i int) ([]byte, int) {
	start, open := len(dst), i
	var last []byte
	dst = append(dst, '{')
	for i = jsonx.Space(text, i+1); text[i] != '}'; {
		end, kind := jsonx.StringEnd(text, i)
		key := text[i:end]
		if kind == jsonx.Escaped || last != nil && string(last[1:len(last)-1]) >= string(key[1:len(key)-1]) {
			end, _ = jsonx.Skip(text, open)
			v := (*Arena)(nil).FromJSON(text[open:end:end], jsonx.Object)
			return AppendObject(dst[:start], v.Pairs(nil)), end
		}
		if last != nil {
			dst = append(dst, ',')
		}
		last = key
		dst = append(append(dst, key...), ':')
		dst, i = appendRaw(dst, text, jsonx.Space(text, jsonx.Space(text, end)+1))
		if i = jsonx.Space(text, i); text[i] == ',' {
			i = jsonx.Space(text, i+1)
		}
	}
	return append(dst, '}'), i + 1
}

// shortest reports whether the text of a float is surely what appendFloat would
// write: at most 15 digits, which any float64 keeps, no exponent, no zeros at its
// end, and not so small that an exponent would be due.
func shortest(text []byte) bool {
	n := len(text)
	if text[0] == '-' {
		text = text[1:]
	}
	if n > 16 || len(text) > 2 && text[0] == '0' && text[2] == '0' {
		return false
	}
	for _, c := range text {
		if c|0x20 == 'e' {
			return false
		}
	}
	return text[len(text)-1] != '0' || text[len(text)-2] == '.' && text[0] != '0'
}
