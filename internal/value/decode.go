package value

import (
	"strconv"
	"unsafe"

	"github.com/sluiceio/sluice/internal/jsonx"
)

// FromJSON returns the value of a text that is valid JSON without white space
// around it, and of the kind given. Arrays and objects stay text until somebody
// asks for their content; the Value borrows the text.
func (a *Arena) FromJSON(text []byte, kind jsonx.Kind) Value {
	switch kind {
	case jsonx.Null:
		return Null()
	case jsonx.True, jsonx.False:
		return Bool(kind == jsonx.True)
	case jsonx.Int:
		return parseInt(text)
	case jsonx.Float:
		f, err := strconv.ParseFloat(view(text), 64)
		if err != nil { // the scanner has refused what overflows
			return Undefined()
		}
		return Float(f)
	case jsonx.String:
		return Bytes(text[1 : len(text)-1])
	case jsonx.Escaped:
		return String(a.unescape(text[1 : len(text)-1]))
	case jsonx.Array:
		return Value{kind: KindList, form: rawJSON, p: unsafe.Pointer(unsafe.SliceData(text)), n: uint64(len(text))}
	case jsonx.Object:
		return Value{kind: KindMap, form: rawJSON, p: unsafe.Pointer(unsafe.SliceData(text)), n: uint64(len(text))}
	}
	return Undefined()
}

// Decode returns the value of a JSON document. Its error is a *jsonx.SyntaxError.
func (a *Arena) Decode(doc []byte) (Value, error) {
	a.Work(len(doc))
	if err := jsonx.Valid(doc); err != nil {
		return Undefined(), err
	}
	start := jsonx.Space(doc, 0)
	end, kind := jsonx.Skip(doc, start)
	return a.FromJSON(doc[start:end:end], kind), nil
}

// DecodeString is Decode for a string.
func (a *Arena) DecodeString(doc string) (Value, error) { return a.Decode(bytesOf(doc)) }

func (a *Arena) unescape(s []byte) string {
	return a.Keep(jsonx.Unescape(a.Buffer(len(s)), s))
}

// parseInt returns an integer of any length. JSON's -0 is the integer 0.
func parseInt(text []byte) Value {
	if len(text) < 19 {
		neg := text[0] == '-'
		if neg {
			text = text[1:]
		}
		var n int64
		for _, c := range text {
			n = n*10 + int64(c-'0')
		}
		if neg {
			n = -n
		}
		return Int(n)
	}
	if n, err := strconv.ParseInt(view(text), 10, 64); err == nil {
		return Int(n)
	}
	i, ok := parseBig(string(text))
	if !ok {
		return Undefined() // the scanner has refused what is too long
	}
	return BigInt(i)
}

// Len returns the number of elements of a list or members of a map.
func (v Value) Len() int {
	switch {
	case v.kind != KindList && v.kind != KindMap:
		return 0
	case v.form != rawJSON:
		return int(v.n)
	case v.kind == KindMap:
		return len(v.Pairs(nil)) // names may repeat
	}
	return count(v.raw())
}

// count returns the number of elements or members in the text of an array or
// object.
func count(text []byte) int {
	n := 0
	for i := jsonx.Space(text, 1); text[i] != ']' && text[i] != '}'; n++ {
		i = nextItem(text, i)
	}
	return n
}

// nextItem returns the start of the element or member behind the one at i, or the
// position of the closing bracket.
func nextItem(text []byte, i int) int {
	i, _ = jsonx.Skip(text, i)
	i = jsonx.Space(text, i)
	if text[i] == ':' {
		i, _ = jsonx.Skip(text, jsonx.Space(text, i+1))
		i = jsonx.Space(text, i)
	}
	if text[i] == ',' {
		i = jsonx.Space(text, i+1)
	}
	return i
}

// Elements returns the elements of a list, nil for any other kind. Those of a
// list that is JSON text are decoded one level deep, into a. The result must not
// be written to.
func (v Value) Elements(a *Arena) []Value {
	if v.kind != KindList {
		return nil
	}
	if v.form != rawJSON {
		return v.list()
	}
	text := v.raw()
	a.Work(len(text))
	out := a.Values(count(text))
	i := jsonx.Space(text, 1)
	for k := range out {
		end, kind := jsonx.Skip(text, i)
		out[k] = a.FromJSON(text[i:end:end], kind)
		if i = jsonx.Space(text, end); text[i] == ',' {
			i = jsonx.Space(text, i+1)
		}
	}
	return out
}

// Pairs returns the members of a map, sorted by key, nil for any other kind.
// Those of a map that is JSON text are decoded one level deep, into a. The result
// must not be written to.
func (v Value) Pairs(a *Arena) []Pair {
	if v.kind != KindMap {
		return nil
	}
	if v.form != rawJSON {
		return v.pairs()
	}
	text := v.raw()
	a.Work(len(text))
	out := a.Pairs(count(text))
	i := jsonx.Space(text, 1)
	for k := range out {
		end, kind := jsonx.StringEnd(text, i)
		out[k].Key = a.FromJSON(text[i:end:end], kind).AsString()
		i = jsonx.Space(text, jsonx.Space(text, end)+1)
		end, kind = jsonx.Skip(text, i)
		out[k].Value = a.FromJSON(text[i:end:end], kind)
		if i = jsonx.Space(text, end); text[i] == ',' {
			i = jsonx.Space(text, i+1)
		}
	}
	return sortPairs(out)
}
