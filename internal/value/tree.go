package value

import (
	"math"

	"github.com/sluiceio/sluice/internal/jsonx"
)

// lazyDepth is how deep lists and maps are taken out of their text one level at a
// time. Each level walks over all that is in it, so that a text that nests deeper
// would cost its length times its depth; below, it is decoded in one pass.
const lazyDepth = 16

// Tree returns v with everything in it decoded, on the heap. It is for what goes
// through a value at all depths.
func (v Value) Tree() Value {
	if v.form != rawJSON {
		return v
	}
	t, _ := decodeAll(v.raw(), 0)
	return t
}

// decodeAll returns the value at text[i], decoded at all depths, and the position
// behind it.
func decodeAll(text []byte, i int) (Value, int) {
	switch text[i] {
	case '[':
		var list []Value
		for i = jsonx.Space(text, i+1); text[i] != ']'; {
			if text[i] == ',' {
				i = jsonx.Space(text, i+1)
			}
			var v Value
			v, i = decodeAll(text, i)
			list = append(list, v)
			i = jsonx.Space(text, i)
		}
		return List(list), i + 1
	case '{':
		var pairs []Pair
		for i = jsonx.Space(text, i+1); text[i] != '}'; {
			if text[i] == ',' {
				i = jsonx.Space(text, i+1)
			}
			end, kind := jsonx.StringEnd(text, i)
			p := Pair{Key: (*Arena)(nil).FromJSON(text[i:end:end], kind).AsString()}
			p.Value, i = decodeAll(text, jsonx.Space(text, jsonx.Space(text, end)+1))
			pairs = append(pairs, p)
			i = jsonx.Space(text, i)
		}
		return Map(pairs), i + 1
	}
	end, kind := jsonx.Skip(text, i)
	return (*Arena)(nil).FromJSON(text[i:end:end], kind), end
}

// appendDecoded appends the object or array at text[i], which is depth levels
// below the beginning, by way of its values.
func appendDecoded(dst, text []byte, i, depth int) ([]byte, int) {
	if depth >= lazyDepth {
		v, end := decodeAll(text, i)
		return appendJSON(dst, v, math.MaxInt), end
	}
	end, kind := jsonx.Skip(text, i)
	v := (*Arena)(nil).FromJSON(text[i:end:end], kind)
	dst = append(dst, '{')
	for k, p := range v.Pairs(nil) {
		if k > 0 {
			dst = append(dst, ',')
		}
		dst = append(AppendQuoted(dst, p.Key), ':')
		if p.Value.form == rawJSON {
			dst, _ = appendRaw(dst, p.Value.raw(), 0, depth+1)
		} else {
			dst = AppendJSON(dst, p.Value)
		}
	}
	return append(dst, '}'), end
}

// Extent is about how many bytes there are to go through in order to compare,
// search or render v; shared parts count each time. It costs nothing: the parts
// of a list or map that is not text count as if they were small.
func (v Value) Extent() int {
	switch v.kind {
	case KindString:
		return int(v.n)
	case KindBits:
		return int(v.n / 8)
	case KindList, KindMap:
		if v.form == rawJSON {
			return int(v.n)
		}
		return 32 * int(v.n)
	case KindInt:
		if v.form == bigInt {
			return v.AsBig().BitLen() / 8
		}
	}
	return 0
}
