package jsonx

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"strconv"
	"unicode/utf8"
	"unsafe"
)

// MaxDepth is how deep arrays and objects may nest in a document. It bounds the
// stack that reading a hostile document takes; encoding/json allows 10,000.
const MaxDepth = 1000

// MaxSize is the length limit of a document in bytes. An MQTT packet cannot
// carry more than 256 MiB.
const MaxSize = 1<<31 - 1

// MaxDigits is how many digits an integer may have, which is about 2^20 bits.
// Reading longer ones would take noticeable time.
const MaxDigits = 315_652

// SyntaxError says where and why a text is not acceptable JSON.
type SyntaxError struct {
	Offset int    // in bytes, from 0
	Msg    string // what is wrong there
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("invalid JSON at byte %d: %s", e.Offset, e.Msg)
}

// Kind is the kind of a JSON text.
type Kind uint8

// The kinds. Escaped is a string that has escape sequences; String is one whose
// content is its text between the quotes. Float is a number with a fraction or
// an exponent.
const (
	Missing Kind = iota
	Null
	False
	True
	Int
	Float
	String
	Escaped
	Array
	Object
)

// Span is a value's place in a document.
type Span struct {
	Start, End int32 // doc[Start:End] is its text, quotes and brackets included
	Kind       Kind
	// Rest is the number of steps of the path that were left when a string
	// was met on the way: the span is then that string's, which may hold JSON
	// of its own. It is 0 for a value at the very end of its path.
	Rest uint8
}

// Text returns the text of the span in doc.
func (s Span) Text(doc []byte) []byte { return doc[s.Start:s.End] }

// Valid returns nil when doc is one JSON value, and a *SyntaxError otherwise.
func Valid(doc []byte) error {
	s := scanner{doc: doc}
	return s.document(nil)
}

// scanner reads one document. Its methods return the position behind what they
// have read, or -1 after they have noted what is wrong.
type scanner struct {
	doc   []byte
	out   []Span
	depth int
	at    int    // of the mistake
	msg   string // the mistake
}

func (s *scanner) fail(at int, msg string) int {
	s.at, s.msg = at, msg
	return -1
}

// unexpected notes that the byte at i does not fit.
func (s *scanner) unexpected(i int, want string) int {
	if i >= len(s.doc) {
		return s.fail(i, "unexpected end, "+want)
	}
	return s.fail(i, "unexpected "+strconv.QuoteRune(rune(s.doc[i]))+", "+want)
}

func (s *scanner) document(root *node) error {
	if len(s.doc) > MaxSize {
		return &SyntaxError{MaxSize, "document too long"}
	}
	i, _ := s.value(space(s.doc, 0), root)
	if i >= 0 {
		if i = space(s.doc, i); i == len(s.doc) {
			return nil
		}
		s.unexpected(i, "the document should end here")
	}
	return &SyntaxError{s.at, s.msg}
}

// space returns the position of the first byte from i on that is not white space.
func space(b []byte, i int) int {
	for i < len(b) && b[i] <= ' ' && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return i
}

// value reads the value at i and puts what n asks for of it, unless n is nil.
func (s *scanner) value(i int, n *node) (end int, kind Kind) {
	if i >= len(s.doc) {
		return s.unexpected(i, "a value is missing"), Missing
	}
	switch c := s.doc[i]; c {
	case '"':
		end, kind = s.string(i)
	case '{':
		end, kind = s.object(i, n), Object
	case '[':
		end, kind = s.array(i, n), Array
	case 't':
		end, kind = s.word(i, "true"), True
	case 'f':
		end, kind = s.word(i, "false"), False
	case 'n':
		end, kind = s.word(i, "null"), Null
	default:
		if c != '-' && c-'0' > 9 {
			return s.unexpected(i, "a value is missing"), Missing
		}
		end, kind = s.number(i)
	}
	if n != nil && end >= 0 {
		n.put(s.out, Span{Start: int32(i), End: int32(end), Kind: kind})
	}
	return end, kind
}

func (s *scanner) word(i int, w string) int {
	if len(s.doc)-i < len(w) || string(s.doc[i:i+len(w)]) != w {
		return s.fail(i, "a value is missing, did you mean "+w+"?")
	}
	return i + len(w)
}

func (s *scanner) object(i int, n *node) int {
	if s.depth++; s.depth > MaxDepth {
		return s.fail(i, "nested too deeply")
	}
	b := s.doc
	i = space(b, i+1)
	if i < len(b) && b[i] == '}' {
		s.depth--
		return i + 1
	}
	for {
		if i >= len(b) || b[i] != '"' {
			return s.unexpected(i, "a member's name is missing")
		}
		end, kind := s.string(i)
		if end < 0 {
			return -1
		}
		var child *node
		if n != nil && n.members != nil {
			child = n.member(b[i+1:end-1], kind == Escaped)
		}
		if i = space(b, end); i >= len(b) || b[i] != ':' {
			return s.unexpected(i, "a colon is missing")
		}
		if child != nil {
			child.forget(s.out)
		}
		if i, _ = s.value(space(b, i+1), child); i < 0 {
			return -1
		}
		if i = space(b, i); i >= len(b) {
			return s.unexpected(i, "the object is not closed")
		}
		if b[i] == '}' {
			s.depth--
			return i + 1
		}
		if b[i] != ',' {
			return s.unexpected(i, "a comma or closing brace is missing")
		}
		i = space(b, i+1)
	}
}

func (s *scanner) array(i int, n *node) int {
	if s.depth++; s.depth > MaxDepth {
		return s.fail(i, "nested too deeply")
	}
	b := s.doc
	i = space(b, i+1)
	if i < len(b) && b[i] == ']' {
		s.depth--
		return i + 1
	}
	for index := 0; ; index++ {
		var child *node
		if n != nil && n.elements != nil {
			child = n.element(index)
		}
		if i, _ = s.value(i, child); i < 0 {
			return -1
		}
		if i = space(b, i); i >= len(b) {
			return s.unexpected(i, "the array is not closed")
		}
		if b[i] == ']' {
			s.depth--
			return i + 1
		}
		if b[i] != ',' {
			return s.unexpected(i, "a comma or closing bracket is missing")
		}
		i = space(b, i+1)
	}
}

// number reads a number and refuses one that overflows a float64.
func (s *scanner) number(i int) (int, Kind) {
	b, start, kind := s.doc, i, Int
	if b[i] == '-' {
		i++
	}
	switch {
	case i < len(b) && b[i] == '0':
		i++
	case i < len(b) && b[i]-'1' < 9:
		i = digits(b, i)
	default:
		return s.unexpected(i, "a digit is missing"), Missing
	}
	whole := i - start
	if i < len(b) && b[i] == '.' {
		kind = Float
		frac := i + 1
		if i = digits(b, frac); i == frac {
			return s.unexpected(i, "a digit is missing"), Missing
		}
	}
	exponent := 0
	if i < len(b) && b[i]|0x20 == 'e' {
		kind = Float
		if i++; i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		first := i
		if i = digits(b, i); i == first {
			return s.unexpected(i, "a digit is missing"), Missing
		}
		exponent = i - first
	}
	if kind == Int && whole > MaxDigits {
		return s.fail(start, "an integer of more than "+strconv.Itoa(MaxDigits)+" digits"), Missing
	}
	if kind == Float && (exponent > 2 || whole > 200) {
		if _, err := strconv.ParseFloat(view(b[start:i]), 64); err != nil {
			return s.fail(start, "number out of range"), Missing
		}
	}
	return i, kind
}

func digits(b []byte, i int) int {
	for i < len(b) && b[i]-'0' <= 9 {
		i++
	}
	return i
}

// Eight bytes at a time: each of the constants repeats one byte.
const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// odd marks the bytes of w, by their high bit, that are no plain string content:
// quotes, backslashes, control characters and bytes outside ASCII. Bytes above
// an odd one may be marked wrongly, the lowest mark is right.
func odd(w uint64) uint64 {
	quote := w ^ '"'*ones
	slash := w ^ '\\'*ones
	return (w | (w - 0x20*ones) | (quote - ones) | (slash - ones)) & highs
}

// string reads the string whose opening quote is at i.
func (s *scanner) string(i int) (int, Kind) {
	b, kind := s.doc, String
	start := i
	i++
	for {
		for len(b)-i >= 8 {
			m := odd(binary.LittleEndian.Uint64(b[i:]))
			if m != 0 {
				i += bits.TrailingZeros64(m) >> 3
				break
			}
			i += 8
		}
		if i >= len(b) {
			return s.fail(start, "the string is not closed"), Missing
		}
		switch c := b[i]; {
		case c == '"':
			return i + 1, kind
		case c == '\\':
			kind = Escaped
			n := escape(b[i:])
			if n == 0 {
				return s.fail(i, "unknown escape sequence"), Missing
			}
			i += n
		case c < ' ':
			return s.fail(i, "control character in a string"), Missing
		case c < utf8.RuneSelf:
			i++
		default:
			r, n := utf8.DecodeRune(b[i:])
			if r == utf8.RuneError && n < 2 {
				return s.fail(i, "not UTF-8"), Missing
			}
			i += n
		}
	}
}

// escape returns the length of the escape sequence that b starts with, 0 when it
// is none.
func escape(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if len(b) >= 6 && hex4(b[2:6]) >= 0 {
			return 6
		}
	}
	return 0
}

// hex4 returns the value of four hexadecimal digits, -1 when they are not.
func hex4(b []byte) rune {
	var r rune
	for _, c := range b[:4] {
		switch {
		case c-'0' <= 9:
			c -= '0'
		case c|0x20-'a' < 6:
			c = c | 0x20 - 'a' + 10
		default:
			return -1
		}
		r = r<<4 | rune(c)
	}
	return r
}

// view is b as a string without a copy, for use while b is unchanged.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
