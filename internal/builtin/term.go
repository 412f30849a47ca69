package builtin

import (
	"encoding/binary"
	"math"
	"math/big"
	"slices"
	"strconv"

	"github.com/sluiceio/sluice/internal/value"
)

func termFunctions() []Function {
	return []Function{
		{
			Name: "term_encode", Args: params("x", Any), Min: 1, Pure: true, Call: termEncode,
			Doc: "x in Erlang's external term format.", Examples: []Example{{Expr: "bin2hexstr(term_encode(5))", Result: `"836105"`}},
		},
		{
			Name: "term_decode", Args: params("b", String), Min: 1, Pure: true, Call: termDecode,
			Doc:      "The value of bytes in Erlang's external term format. Tuples, processes, functions and atoms other than true, false, null and undefined are errors.",
			Examples: []Example{{Expr: `term_decode(term_encode([1, 'a', 2.5]))`, Result: `[1,"a",2.5]`}, {Expr: "term_decode('x')", Error: true}},
		},
	}
}

// appendTerm writes a value as Erlang's shell does. Pretty shows printable text as
// text instead of numbers.
func appendTerm(dst []byte, v value.Value, pretty bool) []byte {
	switch v.Kind() {
	case value.KindString:
		return appendBinaryTerm(dst, v.AsString(), pretty)
	case value.KindFloat:
		f, _ := v.AsFloat()
		return value.AppendShort(dst, f)
	case value.KindList:
		elements := v.Elements(nil)
		if pretty && len(elements) > 0 {
			if s, ok := latinText(elements); ok {
				return appendQuotedTerm(dst, s)
			}
		}
		dst = append(dst, '[')
		for i, e := range elements {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendTerm(dst, e, pretty)
		}
		return append(dst, ']')
	case value.KindMap:
		dst = append(dst, "#{"...)
		for i, p := range v.Pairs(nil) {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(appendTerm(dst, value.String(p.Key), pretty), " => "...)
			dst = appendTerm(dst, p.Value, pretty)
		}
		return append(dst, '}')
	}
	return value.AppendText(dst, v)
}

func appendBinaryTerm(dst []byte, s string, pretty bool) []byte {
	dst = append(dst, "<<"...)
	if pretty && s != "" && !slices.ContainsFunc(bytesOf(s), func(b byte) bool { return !latinPrintable(int64(b)) }) {
		return append(appendQuotedTerm(dst, s), ">>"...)
	}
	for i := range len(s) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendUint(dst, uint64(s[i]), 10)
	}
	return append(dst, ">>"...)
}

// latinText returns the Latin-1 text that a list of printable characters makes.
func latinText(elements []value.Value) (string, bool) {
	var b []byte
	for _, e := range elements {
		i, ok := e.AsInt()
		if !ok || !latinPrintable(i) {
			return "", false
		}
		b = append(b, byte(i))
	}
	return string(b), true
}

func latinPrintable(i int64) bool {
	return i >= ' ' && i <= '~' || i >= 0xa0 && i <= 0xff || i >= '\b' && i <= '\r' || i == 0x1b
}

// appendQuotedTerm writes printable Latin-1 text in double quotes.
func appendQuotedTerm(dst []byte, s string) []byte {
	const chars, names = "\b\t\n\v\f\r\x1b\"\\", `btnvfre"\`
	dst = append(dst, '"')
	for i := range len(s) {
		c := s[i]
		for j := range len(chars) {
			if c == chars[j] {
				dst, c = append(dst, '\\'), names[j]
				break
			}
		}
		dst = append(dst, c)
	}
	return append(dst, '"')
}

// The tags of the external term format
// (https://www.erlang.org/doc/apps/erts/erl_ext_dist.html).
const (
	termVersion     = 131
	tagNewFloat     = 70
	tagBitBinary    = 77
	tagSmallInteger = 97
	tagInteger      = 98
	tagAtom         = 100
	tagNil          = 106
	tagString       = 107
	tagList         = 108
	tagBinary       = 109
	tagSmallBig     = 110
	tagLargeBig     = 111
	tagSmallAtom    = 115
	tagMap          = 116
	tagAtomUTF8     = 118
	tagSmallAtomU   = 119
)

func termEncode(c *Ctx, args []value.Value) (value.Value, error) {
	return c.keep(appendExternal(append(c.Arena.Buffer(64), termVersion), args[0].Tree()))
}

func appendExternal(dst []byte, v value.Value) []byte {
	be := binary.BigEndian
	switch v.Kind() {
	case value.KindInt:
		return appendExternalInt(dst, v)
	case value.KindFloat:
		f, _ := v.AsFloat()
		return be.AppendUint64(append(dst, tagNewFloat), math.Float64bits(f))
	case value.KindString:
		s := v.AsString()
		return append(be.AppendUint32(append(dst, tagBinary), uint32(len(s))), s...)
	case value.KindBits:
		s, n := v.AsBits()
		return append(append(be.AppendUint32(append(dst, tagBitBinary), uint32(len(s))), byte(n%8)), s...)
	case value.KindList:
		elements := v.Elements(nil)
		if len(elements) > 0 {
			dst = be.AppendUint32(append(dst, tagList), uint32(len(elements)))
			for _, e := range elements {
				dst = appendExternal(dst, e)
			}
		}
		return append(dst, tagNil)
	case value.KindMap:
		pairs := v.Pairs(nil)
		dst = be.AppendUint32(append(dst, tagMap), uint32(len(pairs)))
		for _, p := range pairs {
			dst = appendExternal(appendExternal(dst, value.String(p.Key)), p.Value)
		}
		return dst
	}
	name := value.AppendText(nil, v)
	return append(append(dst, tagSmallAtomU, byte(len(name))), name...)
}

func appendExternalInt(dst []byte, v value.Value) []byte {
	be := binary.BigEndian
	i, small := v.AsInt()
	switch {
	case small && i >= 0 && i <= 255:
		return append(dst, tagSmallInteger, byte(i))
	case small && i >= math.MinInt32 && i <= math.MaxInt32:
		return be.AppendUint32(append(dst, tagInteger), uint32(int32(i)))
	}
	n := v.AsBig()
	digits := n.Bytes()
	slices.Reverse(digits)
	if len(digits) <= 255 {
		dst = append(dst, tagSmallBig, byte(len(digits)))
	} else {
		dst = be.AppendUint32(append(dst, tagLargeBig), uint32(len(digits)))
	}
	sign := byte(0)
	if n.Sign() < 0 {
		sign = 1
	}
	return append(append(dst, sign), digits...)
}

func termDecode(c *Ctx, args []value.Value) (value.Value, error) {
	s := args[0].AsString()
	if s == "" || s[0] != termVersion {
		return value.Undefined(), bad("the bytes are no external term")
	}
	d := termDecoder{c: c, s: s[1:]}
	v, err := d.value(0)
	if err == nil && d.s != "" {
		err = bad("bytes are left over behind the term")
	}
	return v, err
}

// termDecoder reads a term from the front of s.
type termDecoder struct {
	c *Ctx
	s string
}

var errShortTerm = bad("the term is cut off")

// take returns the next n bytes.
func (d *termDecoder) take(n int) (string, error) {
	if n < 0 || n > len(d.s) {
		return "", errShortTerm
	}
	b := d.s[:n]
	d.s = d.s[n:]
	return b, nil
}

// uint returns a big-endian number of n bytes.
func (d *termDecoder) uint(n int) (int, error) {
	b, err := d.take(n)
	u := 0
	for i := range len(b) {
		u = u<<8 | int(b[i])
	}
	return u, err
}

func (d *termDecoder) value(depth int) (value.Value, error) {
	tag, err := d.uint(1)
	if err != nil {
		return value.Undefined(), err
	}
	if depth > 1000 {
		return value.Undefined(), bad("the term is nested too deeply")
	}
	switch tag {
	case tagSmallInteger:
		n, err := d.uint(1)
		return value.Int(int64(n)), err
	case tagInteger:
		n, err := d.uint(4)
		return value.Int(int64(int32(n))), err
	case tagSmallBig:
		return d.big(1)
	case tagLargeBig:
		return d.big(4)
	case tagNewFloat:
		b, err := d.take(8)
		if err != nil {
			return value.Undefined(), err
		}
		return value.Finite(math.Float64frombits(binary.BigEndian.Uint64([]byte(b))))
	case tagBinary:
		b, err := d.sized(4)
		return value.String(b), err
	case tagBitBinary:
		return d.bits()
	case tagAtom, tagAtomUTF8:
		return d.atom(2)
	case tagSmallAtom, tagSmallAtomU:
		return d.atom(1)
	case tagNil:
		return value.List(nil), nil
	case tagString, tagList:
		return d.list(tag, depth)
	case tagMap:
		return d.mapping(depth)
	}
	return value.Undefined(), bad("a term of type %d has no counterpart", tag)
}

// sized returns bytes whose number stands before them in n bytes.
func (d *termDecoder) sized(n int) (string, error) {
	size, err := d.uint(n)
	if err != nil {
		return "", err
	}
	return d.take(size)
}

func (d *termDecoder) big(n int) (value.Value, error) {
	size, err := d.uint(n)
	if err != nil {
		return value.Undefined(), err
	}
	if size > value.MaxBits/8 {
		return value.Undefined(), value.ErrTooBig
	}
	b, err := d.take(size + 1)
	if err != nil {
		return value.Undefined(), err
	}
	digits := []byte(b[1:])
	slices.Reverse(digits)
	i := new(big.Int).SetBytes(digits)
	if b[0] != 0 {
		i.Neg(i)
	}
	return value.BigInt(i), nil
}

func (d *termDecoder) bits() (value.Value, error) {
	size, err := d.uint(4)
	if err != nil {
		return value.Undefined(), err
	}
	b, err := d.take(size + 1)
	if err != nil || size == 0 || b[0] < 1 || b[0] > 8 {
		return value.Undefined(), errShortTerm
	}
	unused := 8 - int(b[0])
	last := b[size] >> unused << unused
	return value.Bits(b[1:size]+string([]byte{last}), 8*size-unused), nil
}

func (d *termDecoder) atom(n int) (value.Value, error) {
	name, err := d.sized(n)
	if err != nil {
		return value.Undefined(), err
	}
	switch name {
	case "true", "false":
		return value.Bool(name == "true"), nil
	case "null":
		return value.Null(), nil
	case "undefined":
		return value.Undefined(), nil
	}
	return value.Undefined(), bad("the atom %q has no counterpart", clip(name))
}

func (d *termDecoder) list(tag, depth int) (value.Value, error) {
	if tag == tagString {
		b, err := d.sized(2)
		if err == nil {
			err = d.c.room(len(b))
		}
		if err != nil {
			return value.Undefined(), err
		}
		out := d.c.Arena.Values(len(b))
		for i := range out {
			out[i] = value.Int(int64(b[i]))
		}
		return value.List(out), nil
	}
	n, err := d.uint(4)
	if err != nil || n > len(d.s) { // each element has a byte at least
		return value.Undefined(), errShortTerm
	}
	if err := d.c.room(n); err != nil {
		return value.Undefined(), err
	}
	out := d.c.Arena.Values(n)
	for i := range out {
		if out[i], err = d.value(depth + 1); err != nil {
			return value.Undefined(), err
		}
	}
	tail, err := d.uint(1)
	if err == nil && tail != tagNil {
		err = bad("an improper list has no counterpart")
	}
	return value.List(out), err
}

func (d *termDecoder) mapping(depth int) (value.Value, error) {
	n, err := d.uint(4)
	if err != nil || 2*n > len(d.s) {
		return value.Undefined(), errShortTerm
	}
	if err := d.c.room(2 * n); err != nil {
		return value.Undefined(), err
	}
	out := d.c.Arena.Pairs(n)
	for i := range out {
		k, err := d.value(depth + 1)
		if err != nil {
			return value.Undefined(), err
		}
		if out[i].Value, err = d.value(depth + 1); err != nil {
			return value.Undefined(), err
		}
		out[i].Key = k.Text(d.c.Arena)
	}
	return value.Map(out), nil
}
