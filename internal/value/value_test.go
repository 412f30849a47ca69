package value_test

import (
	"encoding/json"
	"math"
	"math/big"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/sluiceio/sluice/internal/value"
)

// parse decodes a JSON document, all the way down when deep is set.
func parse(t testing.TB, doc string, deep bool) value.Value {
	t.Helper()
	v, err := (*value.Arena)(nil).DecodeString(doc)
	require.NoError(t, err, "%q", doc)
	if deep {
		return decoded(v)
	}
	return v
}

// decoded turns raw JSON into lists and maps at every level.
func decoded(v value.Value) value.Value {
	switch v.Kind() {
	case value.KindList:
		out := append([]value.Value{}, v.Elements(nil)...)
		for i := range out {
			out[i] = decoded(out[i])
		}
		return value.List(out)
	case value.KindMap:
		out := append([]value.Pair{}, v.Pairs(nil)...)
		for i := range out {
			out[i].Value = decoded(out[i].Value)
		}
		return value.Map(out)
	}
	return v
}

func text(v value.Value) string { return string(value.AppendText(nil, v)) }
func js(v value.Value) string   { return string(value.AppendJSON(nil, v)) }

func TestAppendText(t *testing.T) {
	t.Parallel()
	for doc, want := range map[string]string{
		`null`: "null", `true`: "true", `false`: "false",
		`0`: "0", `-0`: "0", `-7`: "-7", `12345678901234567890123`: "12345678901234567890123", `9223372036854775808`: "9223372036854775808",
		`1.0`: "1.0", `2.50`: "2.5", `0.1`: "0.1", `1e3`: "1000.0", `1e22`: "10000000000000000000000.0", `-1e-11`: "-0.0",
		`3.14159265359`: "3.1415926536", `0.000000314159265359`: "0.0000003142", `123456.78901234567`: "123456.7890123457",
		`99999.5`: "99999.5", `0.00000000005`: "0.0000000001", `100.0`: "100.0",
		`"a\u00e9\n"`: "aé\n", `""`: "",
		`{}`: "{}", `{"b":1, "a":[1.0]}`: `{"a":[1.0],"b":1}`,
		`[]`: "", `[72,105]`: "Hi", `[ 72 , 105 ]`: "Hi", `[20320]`: "你", `[1,2]`: "[1,2]", `[72,"i"]`: `[72,"i"]`, `[72,0]`: "[72,0]", `[9,13]`: "\t\r",
		`[72,105.0]`: "[72,105.0]", `[[65]]`: "[[65]]", `[128]`: "[128]", `[55296]`: "[55296]", `[65,12345678901234567890]`: "[65,12345678901234567890]",
	} {
		require.Equal(t, want, text(parse(t, doc, false)), "raw %s", doc)
		require.Equal(t, want, text(parse(t, doc, true)), "decoded %s", doc)
	}
	require.Equal(t, "undefined", text(value.Undefined()))
	require.Equal(t, "<<159,1:3>>", text(value.Bits("\x9f\x20", 11)))
}

func TestAppendJSON(t *testing.T) {
	t.Parallel()
	for doc, want := range map[string]string{
		`[ 1 , 2 ]`: `[1,2]`, `[]`: `[]`, `[[],{}]`: `[[],{}]`, `[-0,-0.0,0.0]`: `[0,0.0,0.0]`,
		`{"b":1,"a":2}`: `{"a":2,"b":1}`, `{"a":1,"a":{"z":1,"y":2}}`: `{"a":{"y":2,"z":1}}`, `{"a":1,"b":2,"a":3}`: `{"a":3,"b":2}`,
		`{"\u0061":1}`: `{"a":1}`, `["\/\u4f60\u001f\"\\"]`: "[\"/你\\u001F\\\"\\\\\"]", `["\ud800"]`: "[\"\uFFFD\"]",
		`[1e3,1.50,1e21,1e22,1e-6,1e-7,123456789012345678.0]`: `[1.0e3,1.5,1.0e21,1.0e22,1.0e-6,1.0e-7,1.2345678901234568e17]`,
		`[0.001,10.0,10.50,-2.5e-10]`:                         `[0.001,10.0,10.5,-2.5e-10]`,
		`{"a":"x","ab":"y","b":{"c":[{"d":null}]}}`:           `{"a":"x","ab":"y","b":{"c":[{"d":null}]}}`,
	} {
		require.Equal(t, want, js(parse(t, doc, false)), "raw %s", doc)
		require.Equal(t, want, js(parse(t, doc, true)), "decoded %s", doc)
	}
	require.Equal(t, `["undefined"]`, js(value.List([]value.Value{{}})))
	require.Equal(t, "\"\uFFFD\\u0000\uFFFDa\"", js(value.String("\xff\x00\xfea")))
	require.Equal(t, `"\b\f\n\r\t"`, js(value.String("\b\f\n\r\t")))
}

func TestKindsAndAccess(t *testing.T) {
	t.Parallel()
	v := parse(t, `{"l":[1,{"x":2},"s"],"s":"{\"in\":[true]}","e\u0041":1,"d":1,"d":2}`, false)
	for _, v := range []value.Value{v, decoded(v)} {
		require.Equal(t, value.KindMap, v.Kind())
		require.Equal(t, 4, v.Len())
		require.Equal(t, "2", text(v.Member(nil, "d")))
		require.Equal(t, "1", text(v.Member(nil, "eA")))
		require.True(t, v.Member(nil, "none").IsUndefined())
		l := v.Member(nil, "l")
		require.Equal(t, 3, l.Len())
		require.Equal(t, "2", text(l.Element(nil, 1).Member(nil, "x")))
		require.Equal(t, "s", text(l.Element(nil, -1)))
		require.True(t, l.Element(nil, 3).IsUndefined())
		require.True(t, l.Element(nil, -4).IsUndefined())
		require.True(t, l.Member(nil, "x").IsUndefined())
		require.True(t, v.Element(nil, 0).IsUndefined())
		require.Equal(t, "true", text(v.Member(nil, "s").Parse(nil).Member(nil, "in").Element(nil, 0)))
	}
	require.True(t, value.String("no json").Parse(nil).IsUndefined())
	require.Equal(t, value.KindString, value.Bits("ab", 16).Kind())
	require.Equal(t, value.KindUndefined, value.Float(math.NaN()).Kind())
}

func TestManyMembersAreSorted(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		keys := rapid.SliceOfN(rapid.StringMatching(`[a-f]{0,2}`), 0, 80).Draw(t, "keys")
		want := map[string]int64{}
		pairs := []value.Pair{}
		for i, k := range keys {
			want[k] = int64(i)
			pairs = append(pairs, value.Pair{Key: k, Value: value.Int(int64(i))})
		}
		m := value.Map(pairs)
		if m.Len() != len(want) {
			t.Fatalf("%d members, want %d", m.Len(), len(want))
		}
		last := ""
		for i, p := range m.Pairs(nil) {
			if i > 0 && p.Key <= last {
				t.Fatalf("%q after %q", p.Key, last)
			}
			last = p.Key
			if n, _ := m.Member(nil, p.Key).AsInt(); n != want[p.Key] {
				t.Fatalf("%q is %d, want %d", p.Key, n, want[p.Key])
			}
		}
	})
}

func TestPut(t *testing.T) {
	t.Parallel()
	var a value.Arena
	m := parse(t, `{"b":1,"d":2}`, false)
	require.Equal(t, `{"a":9,"b":1,"d":2}`, js(a.Put(m, "a", value.Int(9))))
	require.Equal(t, `{"b":9,"d":2}`, js(a.Put(m, "b", value.Int(9))))
	require.Equal(t, `{"b":1,"d":2,"e":9}`, js(a.Put(m, "e", value.Int(9))))
	require.Equal(t, `{"b":1,"d":2}`, js(m))
	require.Equal(t, `{"x":null}`, js(a.Put(value.Map(nil), "x", value.Null())))
}

func TestArenaLimitAndReuse(t *testing.T) {
	t.Parallel()
	a := value.Arena{Limit: 1000}
	require.NoError(t, a.Room(1000))
	require.ErrorIs(t, a.Room(1001), value.ErrLimit)
	s := a.String(strings.Repeat("x", 900))
	u := a.String(strings.Repeat("y", 101))
	require.ErrorIs(t, a.Err(), value.ErrLimit)
	require.Equal(t, strings.Repeat("x", 900), s.AsString())
	require.Equal(t, strings.Repeat("y", 101), u.AsString())
	a.Reset()
	require.NoError(t, a.Err())
}

func TestArenaGrowsOnceAndThenDoesNotAllocate(t *testing.T) {
	var a value.Arena
	doc := []byte(`{"s":"a\nb","l":[1,2,{"x":"y"},"` + strings.Repeat("z", 5000) + `\n"],"n":1.5}`)
	var out []byte
	run := func() {
		a.Reset()
		v, _ := a.Decode(doc)
		for _, p := range v.Pairs(&a) {
			for _, e := range p.Value.Elements(&a) {
				out = value.AppendJSON(out[:0], e)
			}
			_ = p.Value.Text(&a)
		}
		out = value.AppendJSON(out[:0], a.Put(v, "new", value.Int(1)))
	}
	for range 4 {
		run()
	}
	require.Zero(t, testing.AllocsPerRun(100, run))
}

func TestCloneBorrowsNothing(t *testing.T) {
	t.Parallel()
	doc := []byte(`{"a":["b",1,{"c":"d"}]}`)
	want := string(doc)
	v, err := (*value.Arena)(nil).Decode(doc)
	require.NoError(t, err)
	flat := decoded(v)
	c, d := v.Clone(), flat.Clone()
	for i := range doc {
		doc[i] = '#'
	}
	require.Equal(t, want, js(c))
	require.Equal(t, want, js(d))
}

func TestAny(t *testing.T) {
	t.Parallel()
	huge, _ := new(big.Int).SetString("123456789012345678901234567890", 10)
	in := map[string]any{
		"nil": nil, "b": true, "i": int32(-3), "u": uint64(math.MaxUint64), "f": 1.5, "s": "x", "y": []byte("z"),
		"big": huge, "n": json.Number("1e2"), "l": []any{int64(1), []string{"q"}}, "m": map[string]string{"k": "v"},
		"raw": json.RawMessage(`[1]`), "v": value.Undefined(),
	}
	v, err := (*value.Arena)(nil).FromAny(in)
	require.NoError(t, err)
	require.Equal(t, `{"b":true,"big":123456789012345678901234567890,"f":1.5,"i":-3,"l":[1,["q"]],"m":{"k":"v"},"n":100.0,"nil":null,`+
		`"raw":[1],"s":"x","u":18446744073709551615,"v":"undefined","y":"z"}`, js(v))
	back := v.Any().(map[string]any)
	require.Equal(t, huge, back["big"])
	require.Equal(t, []any{int64(1), []any{"q"}}, back["l"])
	require.Nil(t, back["v"])
	for _, bad := range []any{make(chan int), math.Inf(1), math.NaN(), json.Number("x"), []any{struct{}{}}, map[string]any{"a": 1i}} {
		_, err := (*value.Arena)(nil).FromAny(bad)
		require.Error(t, err, "%T", bad)
	}
}

// FuzzDecode checks that every valid document reads as encoding/json reads it and
// that raw text renders as its decoded value does.
func FuzzDecode(f *testing.F) {
	for _, doc := range []string{`{"b":[1,2.50,{"a":"\u00e9"}],"a":{}}`, `[1e22,-0,1e-9]`, `"\ud83d\ude00"`, `[65,66]`, `{"a":1,"a":2}`, `[`, `{"a":[],"\u0061":[{}]}`} {
		f.Add([]byte(doc))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		v, err := (*value.Arena)(nil).Decode(doc)
		if err != nil {
			return
		}
		raw, full := js(v), js(decoded(v))
		require.Equal(t, full, raw, "%q", doc)
		require.Equal(t, text(decoded(v)), text(v), "%q", doc)
		require.True(t, utf8.ValidString(raw))
		require.True(t, value.Equal(v, decoded(v)))
		var want, got any
		if json.Unmarshal(doc, &want) != nil {
			return // an integer too large for its float64
		}
		require.NoError(t, json.Unmarshal([]byte(raw), &got))
		require.Equal(t, normal(want), normal(got), "%q", doc)
	})
}

// normal removes the difference between -0 and 0, which the language does not know.
func normal(v any) any {
	switch x := v.(type) {
	case float64:
		return x + 0
	case []any:
		for i := range x {
			x[i] = normal(x[i])
		}
	case map[string]any:
		for k := range x {
			x[k] = normal(x[k])
		}
	}
	return v
}
