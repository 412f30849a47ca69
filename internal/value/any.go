package value

import (
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/sluiceio/sluice/internal/jsonx"
)

// FromAny returns x, made of Go's own types, as a Value: nil is null; booleans,
// integers, floats, strings, []byte, *big.Int, json.Number, json.RawMessage, and
// []any, []string, map[string]any and map[string]string of them; a Value is
// itself. Strings and bytes are borrowed, lists and maps are made in a. A type
// that is not listed, an infinity or NaN is an error.
func (a *Arena) FromAny(x any) (Value, error) {
	switch x := x.(type) {
	case nil:
		return Null(), nil
	case Value:
		return x, nil
	case bool:
		return Bool(x), nil
	case string:
		return String(x), nil
	case []byte:
		return Bytes(x), nil
	case *big.Int:
		return BigInt(x), nil
	case float64:
		return Finite(x)
	case float32:
		return Finite(float64(x))
	case json.Number:
		return a.fromNumber(string(x))
	case json.RawMessage:
		return a.Decode(x)
	case []any:
		return fromSlice(a, x)
	case []string:
		return fromSlice(a, x)
	case map[string]any:
		return fromMap(a, x)
	case map[string]string:
		return fromMap(a, x)
	}
	return fromInteger(x)
}

func fromInteger(x any) (Value, error) {
	switch x := x.(type) {
	case int:
		return Int(int64(x)), nil
	case int8:
		return Int(int64(x)), nil
	case int16:
		return Int(int64(x)), nil
	case int32:
		return Int(int64(x)), nil
	case int64:
		return Int(x), nil
	case uint8:
		return Int(int64(x)), nil
	case uint16:
		return Int(int64(x)), nil
	case uint32:
		return Int(int64(x)), nil
	case uint:
		return Uint(uint64(x)), nil
	case uint64:
		return Uint(x), nil
	}
	return Undefined(), fmt.Errorf("a value of Go type %T has no counterpart in the rule language", x)
}

// Uint returns an integer.
func Uint(u uint64) Value {
	if u>>63 == 0 {
		return Int(int64(u))
	}
	return BigInt(new(big.Int).SetUint64(u))
}

// fromNumber takes every form of number that JSON has.
func (a *Arena) fromNumber(s string) (Value, error) {
	v, err := a.DecodeString(s)
	if err != nil || !v.IsNumber() {
		return Undefined(), &numberError{clip(s)}
	}
	return v, nil
}

func fromSlice[T any](a *Arena, x []T) (Value, error) {
	out := a.Values(len(x))
	for i, e := range x {
		v, err := a.FromAny(e)
		if err != nil {
			return Undefined(), err
		}
		out[i] = v
	}
	return List(out), nil
}

func fromMap[T any](a *Arena, x map[string]T) (Value, error) {
	out := a.Pairs(len(x))
	i := 0
	for k, e := range x {
		v, err := a.FromAny(e)
		if err != nil {
			return Undefined(), err
		}
		out[i] = Pair{k, v}
		i++
	}
	return Map(out), nil
}

// Any returns v in Go's own types, sharing no memory with it: nil for undefined
// and null, bool, int64, *big.Int for integers that an int64 cannot hold, float64,
// string, []any and map[string]any. A bit string is the text that AppendText
// writes.
func (v Value) Any() any {
	switch v.kind {
	case KindBool:
		return v.n != 0
	case KindInt:
		if v.form == bigInt {
			return new(big.Int).Set((*big.Int)(v.p))
		}
		return int64(v.n)
	case KindFloat:
		f, _ := v.AsFloat()
		return f
	case KindString:
		return strings.Clone(v.AsString())
	case KindBits:
		return string(appendBits(nil, v))
	case KindList:
		elements := v.Tree().list()
		out := make([]any, len(elements))
		for i, e := range elements {
			out[i] = e.Any()
		}
		return out
	case KindMap:
		pairs := v.Tree().pairs()
		out := make(map[string]any, len(pairs))
		for _, p := range pairs {
			out[strings.Clone(p.Key)] = p.Value.Any()
		}
		return out
	}
	return nil
}

// MaxDepth is how deep lists and maps may nest in a value that is kept from one
// evaluation to the next. It bounds the stack that walking through a value takes.
const MaxDepth = jsonx.MaxDepth

// ErrDepth says that lists and maps nest deeper than MaxDepth.
var ErrDepth = fmt.Errorf("lists and maps nest deeper than %d", MaxDepth)

// CheckDepth returns ErrDepth when lists and maps nest too deeply in v. JSON text
// that has not been decoded counts as one.
func (v Value) CheckDepth() error {
	if v.deeper(MaxDepth) {
		return ErrDepth
	}
	return nil
}

func (v Value) deeper(than int) bool {
	if v.kind != KindList && v.kind != KindMap || v.form == rawJSON {
		return false
	}
	if than == 0 {
		return true
	}
	if v.kind == KindList {
		return slices.ContainsFunc(v.list(), func(e Value) bool { return e.deeper(than - 1) })
	}
	return slices.ContainsFunc(v.pairs(), func(p Pair) bool { return p.Value.deeper(than - 1) })
}

// Clone returns a copy of v on the heap that borrows nothing.
func (v Value) Clone() Value {
	switch v.kind {
	case KindString:
		return String(strings.Clone(v.AsString()))
	case KindBits:
		s, n := v.AsBits()
		return Bits(strings.Clone(s), n)
	}
	if text, ok := v.Raw(); ok {
		c := String(strings.Clone(text))
		c.kind, c.form = v.kind, rawJSON
		return c
	}
	switch v.kind {
	case KindList:
		out := make([]Value, v.n)
		for i, e := range v.list() {
			out[i] = e.Clone()
		}
		return List(out)
	case KindMap:
		out := make([]Pair, v.n)
		for i, p := range v.pairs() {
			out[i] = Pair{strings.Clone(p.Key), p.Value.Clone()}
		}
		return sortedMap(out)
	}
	return v
}
