package jsonx

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
)

// KindAt returns the kind of the value that starts at text[i], which must be
// valid. It tells Int from Float and String from Escaped only through Skip.
func KindAt(text []byte, i int) Kind {
	switch text[i] {
	case '{':
		return Object
	case '[':
		return Array
	case '"':
		return String
	case 't':
		return True
	case 'f':
		return False
	case 'n':
		return Null
	}
	return Int
}

// Space returns the position of the first byte from i on that is not white space.
func Space(text []byte, i int) int { return space(text, i) }

// Skip returns the end of the value that starts at text[i], which must be valid,
// and its kind.
func Skip(text []byte, i int) (end int, kind Kind) {
	switch text[i] {
	case '"':
		return StringEnd(text, i)
	case '{':
		return closing(text, i), Object
	case '[':
		return closing(text, i), Array
	case 't':
		return i + 4, True
	case 'f':
		return i + 5, False
	case 'n':
		return i + 4, Null
	}
	kind = Int
	for ; i < len(text); i++ {
		switch c := text[i]; {
		case c-'0' <= 9 || c == '-' || c == '+':
		case c == '.' || c|0x20 == 'e':
			kind = Float
		default:
			return i, kind
		}
	}
	return i, kind
}

// closing returns the position behind the bracket that closes the one at i.
func closing(text []byte, i int) int {
	depth := 0
	for {
		switch weight := brackets[text[i]]; weight {
		case 0:
			i++
		case quote:
			i, _ = StringEnd(text, i)
		default:
			i++
			if depth += int(weight); depth == 0 {
				return i
			}
		}
	}
}

// brackets says by how much a byte outside strings changes the depth of nesting.
var brackets = [256]int8{'"': quote, '{': 1, '[': 1, '}': -1, ']': -1}

const quote = 2

// StringEnd returns the position behind the string that starts at text[i], which
// must be valid, and whether it is a plain String or Escaped.
func StringEnd(text []byte, i int) (end int, kind Kind) {
	kind = String
	i++
	for {
		for len(text)-i >= 8 {
			w := binary.LittleEndian.Uint64(text[i:])
			quote, slash := w^'"'*ones, w^'\\'*ones
			m := ((quote-ones) & ^quote | (slash-ones) & ^slash) & highs
			if m != 0 {
				i += bits.TrailingZeros64(m) >> 3
				break
			}
			i += 8
		}
		switch text[i] {
		case '"':
			return i + 1, kind
		case '\\':
			kind = Escaped
			i += 2
		default:
			i++
		}
	}
}

// EscapeLen returns the length of the escape sequence that s starts with, which is
// valid: 12 when it is the first half of a surrogate pair whose second follows.
func EscapeLen(s []byte) int {
	if s[1] != 'u' {
		return 2
	}
	if len(s) >= 12 && s[6] == '\\' && s[7] == 'u' && utf16.DecodeRune(hex4(s[2:]), hex4(s[8:])) != utf8.RuneError {
		return 12
	}
	return 6
}

// Unescape appends the content of a valid JSON string, given without its quotes,
// to dst. An escaped half of a surrogate pair becomes U+FFFD, as in encoding/json.
func Unescape(dst, s []byte) []byte {
	for i := 0; i < len(s); {
		c := s[i]
		if c != '\\' {
			dst = append(dst, c)
			i++
			continue
		}
		switch c = s[i+1]; c {
		case 'b':
			c = '\b'
		case 'f':
			c = '\f'
		case 'n':
			c = '\n'
		case 'r':
			c = '\r'
		case 't':
			c = '\t'
		case 'u':
			r := hex4(s[i+2:])
			i += 6
			if utf16.IsSurrogate(r) {
				var low rune = -1
				if len(s)-i >= 6 && s[i] == '\\' && s[i+1] == 'u' {
					low = hex4(s[i+2:])
				}
				if r = utf16.DecodeRune(r, low); r != utf8.RuneError {
					i += 6
				}
			}
			dst = utf8.AppendRune(dst, r)
			continue
		}
		dst = append(dst, c)
		i += 2
	}
	return dst
}

// Plain returns how many of the 8 bytes of w, the first in its low bits, come before
// one that a JSON string cannot hold as it is or that is outside ASCII.
func Plain(w uint64) int { return bits.TrailingZeros64(odd(w)) >> 3 }
