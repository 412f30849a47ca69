package value

import (
	"math"
	"math/big"
	"unsafe"
)

// Kind is the type of a Value in the rule language.
type Kind uint8

// The kinds. Bits is a bit string whose length is no multiple of 8; one whose
// length is, is a String.
const (
	KindUndefined Kind = iota
	KindNull
	KindBool
	KindInt
	KindFloat
	KindString
	KindBits
	KindList
	KindMap
)

var kindNames = [...]string{"undefined", "null", "boolean", "integer", "float", "string", "bit string", "array", "map"}

// String returns the name of the kind as it stands in error messages.
func (k Kind) String() string { return kindNames[k] }

// Value is a value of the rule language. The zero Value is undefined.
type Value struct {
	// p points to a string's or a JSON text's first byte, a list's first
	// Value, a map's first Pair, or a big.Int.
	p unsafe.Pointer
	// n is a length (bits for a bit string), or the value itself.
	n    uint64
	kind Kind
	form form
}

// form tells representations of one kind apart.
type form uint8

const (
	plain form = iota
	bigInt
	rawJSON // list and map: p and n are valid JSON text
)

// Pair is a member of a map.
type Pair struct {
	Key   string
	Value Value
}

// Undefined returns the undefined value.
func Undefined() Value { return Value{} }

// Null returns JSON's null.
func Null() Value { return Value{kind: KindNull} }

// Bool returns a boolean.
func Bool(b bool) Value {
	v := Value{kind: KindBool}
	if b {
		v.n = 1
	}
	return v
}

// Int returns an integer.
func Int(i int64) Value { return Value{kind: KindInt, n: uint64(i)} }

// BigInt returns an integer of any size. The Value keeps i, which must not be
// changed afterwards, when an int64 cannot hold it.
func BigInt(i *big.Int) Value {
	if i.IsInt64() {
		return Int(i.Int64())
	}
	return Value{kind: KindInt, form: bigInt, p: unsafe.Pointer(i)}
}

// Float returns a float. The language has no infinities and no NaN; they become
// undefined. Finite makes them an error.
func Float(f float64) Value {
	if f-f != 0 {
		return Value{}
	}
	return Value{kind: KindFloat, n: math.Float64bits(f)}
}

// String returns a string, which may hold any bytes.
func String(s string) Value {
	return Value{kind: KindString, p: unsafe.Pointer(unsafe.StringData(s)), n: uint64(len(s))}
}

// Bytes returns a string that borrows b, which must stay unchanged as long as
// the Value is in use.
func Bytes(b []byte) Value {
	return Value{kind: KindString, p: unsafe.Pointer(unsafe.SliceData(b)), n: uint64(len(b))}
}

// Bits returns the bit string of the first n bits of s; the bits behind them
// must be 0. It is a String when n is a multiple of 8.
func Bits(s string, n int) Value {
	v := String(s[:(n+7)/8])
	if n%8 != 0 {
		v.kind, v.n = KindBits, uint64(n)
	}
	return v
}

// List returns a list of the elements, which it keeps.
func List(elements []Value) Value {
	return Value{kind: KindList, p: unsafe.Pointer(unsafe.SliceData(elements)), n: uint64(len(elements))}
}

// Map returns a map of the pairs, which it keeps and sorts by key; of pairs with
// the same key the last one stays.
func Map(pairs []Pair) Value { return sortedMap(sortPairs(pairs)) }

// sortedMap returns a map of pairs that are sorted and have different keys.
func sortedMap(pairs []Pair) Value {
	return Value{kind: KindMap, p: unsafe.Pointer(unsafe.SliceData(pairs)), n: uint64(len(pairs))}
}

// sortPairs sorts pairs by key, in place and stably, and drops those that a later
// pair with the same key replaces. Insertion sort is best for the lengths and the
// nearly sorted input that are common; long input goes the other way.
func sortPairs(p []Pair) []Pair {
	if len(p) > 32 {
		return sortManyPairs(p)
	}
	out := p[:0]
	for _, x := range p {
		i := len(out)
		for i > 0 && out[i-1].Key > x.Key {
			i--
		}
		if i > 0 && out[i-1].Key == x.Key {
			out[i-1].Value = x.Value
			continue
		}
		out = append(out, Pair{})
		copy(out[i+1:], out[i:])
		out[i] = x
	}
	return out
}

// Kind returns the kind of v.
func (v Value) Kind() Kind { return v.kind }

// IsUndefined reports whether v is undefined.
func (v Value) IsUndefined() bool { return v.kind == KindUndefined }

// IsNumber reports whether v is an integer or a float.
func (v Value) IsNumber() bool { return v.kind == KindInt || v.kind == KindFloat }

// IsBig reports whether v is an integer that an int64 cannot hold.
func (v Value) IsBig() bool { return v.form == bigInt }

// AsBool returns v as a boolean; false when it is none.
func (v Value) AsBool() bool { return v.kind == KindBool && v.n != 0 }

// AsInt returns v as an int64; ok is false when it is no integer or too large.
func (v Value) AsInt() (i int64, ok bool) {
	return int64(v.n), v.kind == KindInt && v.form == plain
}

// AsBig returns an integer as a big.Int that must not be changed; nil when v is
// no integer.
func (v Value) AsBig() *big.Int {
	switch {
	case v.kind != KindInt:
		return nil
	case v.form == bigInt:
		return (*big.Int)(v.p)
	}
	return big.NewInt(int64(v.n))
}

// AsFloat returns a number as a float64; ok is false when v is no number, or an
// integer beyond the range of float64.
func (v Value) AsFloat() (f float64, ok bool) {
	switch {
	case v.kind == KindFloat:
		return math.Float64frombits(v.n), true
	case v.kind != KindInt:
		return 0, false
	case v.form == bigInt:
		f, _ = new(big.Float).SetInt((*big.Int)(v.p)).Float64()
		return f, !math.IsInf(f, 0)
	}
	return float64(int64(v.n)), true
}

// AsString returns the content of a String, "" for every other kind. It borrows
// what v borrows.
func (v Value) AsString() string {
	if v.kind != KindString {
		return ""
	}
	return unsafe.String((*byte)(v.p), v.n)
}

// AsBits returns the bytes and the number of bits of a String or Bits.
func (v Value) AsBits() (s string, bits int) {
	switch v.kind {
	case KindString:
		return v.AsString(), 8 * int(v.n)
	case KindBits:
		return unsafe.String((*byte)(v.p), (v.n+7)/8), int(v.n)
	}
	return "", 0
}

// Raw returns the JSON text of a list or map that has not been decoded. The text
// is valid and need not be in the form that AppendJSON writes.
func (v Value) Raw() (text string, ok bool) {
	if v.form != rawJSON {
		return "", false
	}
	return unsafe.String((*byte)(v.p), v.n), true
}

// raw is Raw as bytes, which must not be written to.
func (v Value) raw() []byte { return unsafe.Slice((*byte)(v.p), v.n) }

// list returns the elements of a decoded list.
func (v Value) list() []Value { return unsafe.Slice((*Value)(v.p), v.n) }

// pairs returns the members of a decoded map.
func (v Value) pairs() []Pair { return unsafe.Slice((*Pair)(v.p), v.n) }

// view is b as a string that shares its memory.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// bytesOf is s as bytes that share its memory and must not be written to.
func bytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }
