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
// undefined as the string "undefined", floats in the shortest form that reads
// back as they are, text in UTF-8 with every byte that is not UTF-8 replaced by
// U+FFFD. A map or list that is still JSON text is brought into the same form.
func AppendJSON(dst []byte, v Value) []byte { return appendJSON(dst, v, math.MaxInt) }

// AppendJSON is the function AppendJSON for text that counts against the budget:
// it stops soon after dst has become longer than what is left of that, so that
// what shares its parts cannot fill the memory. The caller spends what it keeps.
func (a *Arena) AppendJSON(dst []byte, v Value) []byte { return appendJSON(dst, v, a.Left()) }

func appendJSON(dst []byte, v Value, most int) []byte {
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
		return appendJSONFloat(dst, math.Float64frombits(v.n))
	case KindString:
		return AppendQuoted(dst, v.AsString())
	case KindBits:
		return AppendQuoted(dst, view(appendBits(nil, v)))
	}
	if v.form == rawJSON {
		dst, _ = appendRaw(dst, v.raw(), 0, 0)
		return dst
	}
	if v.kind == KindMap {
		return appendObject(dst, v.pairs(), most)
	}
	dst = append(dst, '[')
	for i, e := range v.list() {
		if i > 0 {
			dst = append(dst, ',')
		}
		if dst = appendJSON(dst, e, most); len(dst) > most {
			return dst
		}
	}
	return append(dst, ']')
}

// appendObject appends a JSON object of the pairs in the order given.
func appendObject(dst []byte, pairs []Pair, most int) []byte {
	dst = append(dst, '{')
	for i := range pairs {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(AppendQuoted(dst, pairs[i].Key), ':')
		if dst = appendJSON(dst, pairs[i].Value, most); len(dst) > most {
			return dst
		}
	}
	return append(dst, '}')
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
// returns the position behind it; depth is how deep it is in the text.
func appendRaw(dst, text []byte, i, depth int) ([]byte, int) {
	switch text[i] {
	case '{':
		return appendRawObject(dst, text, i, depth)
	case '[':
		dst = append(dst, '[')
		for i = jsonx.Space(text, i+1); text[i] != ']'; {
			if text[i] == ',' {
				dst = append(dst, ',')
				i = jsonx.Space(text, i+1)
			}
			dst, i = appendRaw(dst, text, i, depth+1)
			i = jsonx.Space(text, i)
		}
		return append(dst, ']'), i + 1
	}
	end, kind := jsonx.Skip(text, i)
	switch kind {
	case jsonx.Float:
		if !shortest(text[i:end]) {
			f, _ := strconv.ParseFloat(view(text[i:end]), 64)
			return appendJSONFloat(dst, f), end
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
// when they do not come in order. An object that is too large or too deep for
// that, or has names with escape sequences, is decoded.
func appendRawObject(dst, text []byte, i, depth int) ([]byte, int) {
	if depth >= lazyDepth {
		return appendDecoded(dst, text, i, depth)
	}
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
			return appendDecoded(dst[:start], text, open, depth)
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
		dst, i = appendRaw(dst, text, jsonx.Space(text, jsonx.Space(text, end)+1), depth+1)
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
