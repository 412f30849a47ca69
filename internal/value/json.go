package value

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/big"
	"slices"
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

// appendContent copies eight bytes at a time and then counts how many of them were
// fit to be copied.
func appendContent(dst []byte, s string) []byte {
	for len(s) >= 8 {
		w := binary.LittleEndian.Uint64(bytesOf(s))
		dst = slices.Grow(dst, 8)
		n := len(dst)
		binary.LittleEndian.PutUint64(dst[n:n+8], w)
		plain := jsonx.Plain(w)
		dst, s = dst[:n+plain], s[plain:]
		if plain < 8 {
			dst, s = appendSpecial(dst, s)
		}
	}
	for s != "" {
		if c := s[0]; c >= ' ' && c < utf8.RuneSelf && c != '"' && c != '\\' {
			dst, s = append(dst, c), s[1:]
		} else {
			dst, s = appendSpecial(dst, s)
		}
	}
	return dst
}

// appendSpecial writes the first character of s, which is outside ASCII or cannot
// stand in a string as it is.
func appendSpecial(dst []byte, s string) ([]byte, string) {
	if s[0] >= utf8.RuneSelf {
		if r, n := utf8.DecodeRuneInString(s); r != utf8.RuneError || n > 1 {
			return append(dst, s[:n]...), s[n:]
		}
	}
	return append(dst, quoted[s[0]]...), s[1:]
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

// member is where a member of an object that is being written has come to stand.
type member struct {
	name     []byte // without quotes
	from, to int    // in the output, without commas
}

// appendRawObject writes the members as they come and sorts what it has written
// when they do not come in order. An object that is too large for that, or has
// names with escape sequences, is decoded.
func appendRawObject(dst, text []byte, i int) ([]byte, int) {
	var buf [32]member
	members, sorted := buf[:0], true
	start, open := len(dst), i
	dst = append(dst, '{')
	for i = jsonx.Space(text, i+1); text[i] != '}'; {
		end, kind := jsonx.StringEnd(text, i)
		name := text[i+1 : end-1]
		n := len(members)
		inOrder := n == 0 || string(members[n-1].name) < string(name)
		if kind == jsonx.Escaped || n == len(buf) && !(sorted && inOrder) {
			end, _ = jsonx.Skip(text, open)
			v := (*Arena)(nil).FromJSON(text[open:end:end], jsonx.Object)
			return AppendObject(dst[:start], v.Pairs(nil)), end
		}
		if n == len(buf) {
			members = append(buf[:0], members[n-1]) // those before are where they belong
		}
		sorted = sorted && inOrder
		if len(dst) > start+1 {
			dst = append(dst, ',')
		}
		from := len(dst)
		dst = append(append(dst, text[i:end]...), ':')
		dst, i = appendRaw(dst, text, jsonx.Space(text, jsonx.Space(text, end)+1))
		members = append(members, member{name, from, len(dst)})
		if i = jsonx.Space(text, i); text[i] == ',' {
			i = jsonx.Space(text, i+1)
		}
	}
	if !sorted {
		dst = rearrange(dst, start+1, members)
	}
	return append(dst, '}'), i + 1
}

// rearrange brings members that were written from start on into order; of members
// with the same name the last one stays.
func rearrange(dst []byte, start int, members []member) []byte {
	slices.SortStableFunc(members, func(a, b member) int { return bytes.Compare(a.name, b.name) })
	end := len(dst)
	for i, m := range members {
		if i+1 < len(members) && bytes.Equal(m.name, members[i+1].name) {
			continue
		}
		if len(dst) > end {
			dst = append(dst, ',')
		}
		dst = append(dst, dst[m.from:m.to]...)
	}
	return dst[:start+copy(dst[start:], dst[end:])]
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
