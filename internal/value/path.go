package value

import (
	"slices"
	"strings"

	"github.com/sluiceio/sluice/internal/jsonx"
)

// Member returns the member of a map with this name; undefined when there is none
// or v is no map. A string is not looked into: see Parse.
func (v Value) Member(a *Arena, name string) Value {
	if v.kind != KindMap {
		return Undefined()
	}
	if v.form == rawJSON {
		return a.rawMember(v.raw(), name)
	}
	pairs := v.pairs()
	if len(pairs) <= 8 {
		for i := range pairs {
			if pairs[i].Key == name {
				return pairs[i].Value
			}
		}
		return Undefined()
	}
	i, ok := slices.BinarySearchFunc(pairs, name, func(p Pair, k string) int { return strings.Compare(p.Key, k) })
	if !ok {
		return Undefined()
	}
	return pairs[i].Value
}

// rawMember finds a member in the text of an object; the last of its name wins.
func (a *Arena) rawMember(text []byte, name string) Value {
	a.Work(len(text))
	from, to, found := 0, 0, jsonx.Missing
	var buf [64]byte
	for i := jsonx.Space(text, 1); text[i] != '}'; {
		end, kind := jsonx.StringEnd(text, i)
		key := text[i+1 : end-1]
		if kind == jsonx.Escaped {
			key = jsonx.Unescape(buf[:0], key)
		}
		i = jsonx.Space(text, jsonx.Space(text, end)+1)
		end, kind = jsonx.Skip(text, i)
		if string(key) == name {
			from, to, found = i, end, kind
		}
		if i = jsonx.Space(text, end); text[i] == ',' {
			i = jsonx.Space(text, i+1)
		}
	}
	return a.FromJSON(text[from:to:to], found)
}

// Element returns the element of a list at index i, counted from 0, or from the
// end when i is negative (-1 is the last); undefined when there is none or v is no
// list.
func (v Value) Element(a *Arena, i int) Value {
	if v.kind != KindList {
		return Undefined()
	}
	if v.form != rawJSON {
		l := v.list()
		if i < 0 {
			i += len(l)
		}
		if i < 0 || i >= len(l) {
			return Undefined()
		}
		return l[i]
	}
	text := v.raw()
	a.Work(len(text))
	if i < 0 {
		if i += count(text); i < 0 {
			return Undefined()
		}
	}
	at := jsonx.Space(text, 1)
	for ; text[at] != ']'; i-- {
		if i == 0 {
			end, kind := jsonx.Skip(text, at)
			return a.FromJSON(text[at:end:end], kind)
		}
		at = nextItem(text, at)
	}
	return Undefined()
}

// Parse returns what v is when a path leads into it: the decoded value when v is
// a string that holds JSON, undefined when it is a string that does not, and v
// itself when it is no string. JSON that is a string holding JSON is decoded too.
func (v Value) Parse(a *Arena) Value {
	for v.kind == KindString {
		v = v.ParseOnce(a)
	}
	return v
}

// ParseOnce is Parse without looking into a string that the string v holds.
func (v Value) ParseOnce(a *Arena) Value {
	if v.kind != KindString {
		return v
	}
	d, err := a.DecodeString(v.AsString())
	if err != nil {
		return Undefined()
	}
	return d
}
