package jsonx_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/internal/jsonx"
)

// oracle decodes doc with encoding/json and applies the limits of this package.
func oracle(doc []byte) (any, bool) {
	if !utf8.Valid(doc) || !json.Valid(doc) {
		return nil, false
	}
	var v any
	d := json.NewDecoder(strings.NewReader(string(doc)))
	d.UseNumber()
	if d.Decode(&v) != nil {
		return nil, false
	}
	return v, inRange(v, 0)
}

func inRange(v any, depth int) bool {
	switch v := v.(type) {
	case json.Number:
		if strings.ContainsAny(string(v), ".eE") {
			_, err := v.Float64()
			return err == nil
		}
	case []any:
		for _, x := range v {
			if !inRange(x, depth+1) {
				return false
			}
		}
	case map[string]any:
		for _, x := range v {
			if !inRange(x, depth+1) {
				return false
			}
		}
	}
	return depth < jsonx.MaxDepth
}

var documents = []string{
	`{}`, `[]`, `""`, `0`, `-0`, `-1.5e+10`, ` true `, `false`, `null`, "\t[1 , 2]\n",
	`{"a":{"b":[10,{"c":"x"}]},"a.b":1,"k\u0065y":"v"}`,
	`{"a":1,"a":{"b":2}}`, `{"a":{"b":2},"a":1}`, `{"a":{"b":2},"a":{"c":1}}`,
	`{"a":"{\"b\":2}"}`, `"\ud83d\ude00"`, `"\ud800"`, `"\u00e9 é 你好 👋"`,
	`[1,[2,[3]],{"b":[]}]`, `{"a":[{"b":1},{"b":2}]}`, `1e308`, `123456789012345678901234567890`,
	``, ` `, `{`, `[1,]`, `{"a"}`, `{"a":}`, `{"a":1,}`, `{a:1}`, `01`, `1.`, `.5`, `+1`, `-`, `1e`, `tru`, `nul`,
	`"a`, `"\x"`, `"\u12g4"`, "\"\x01\"", "\"\xff\"", `1 2`, `[1}`, `{"a":1]`, `1e999`, `-1e400`, "\"\xc3\x28\"",
}

func TestValidAgreesWithEncodingJSON(t *testing.T) {
	t.Parallel()
	for _, doc := range documents {
		_, want := decodable(doc)
		err := jsonx.Valid([]byte(doc))
		require.Equal(t, want, err == nil, "%q: %v", doc, err)
		var syntax *jsonx.SyntaxError
		require.Equal(t, !want, errors.As(err, &syntax), "%q", doc)
	}
}

// decodable also refuses floats that lose their value in a later duplicate,
// which the oracle cannot see; the table has none.
func decodable(doc string) (any, bool) { return oracle([]byte(doc)) }

func TestDepthIsBounded(t *testing.T) {
	t.Parallel()
	nest := func(n int) []byte { return []byte(strings.Repeat("[", n) + strings.Repeat("]", n)) }
	require.NoError(t, jsonx.Valid(nest(jsonx.MaxDepth)))
	require.ErrorContains(t, jsonx.Valid(nest(jsonx.MaxDepth+1)), "nested too deeply")
}

func TestErrorsNameThePlace(t *testing.T) {
	t.Parallel()
	for doc, want := range map[string]string{
		`{"a" 1}`:   `invalid JSON at byte 5: unexpected '1', a colon is missing`,
		`{"a":1`:    `invalid JSON at byte 6: unexpected end, the object is not closed`,
		`[1 2]`:     `invalid JSON at byte 3: unexpected '2', a comma or closing bracket is missing`,
		`nope`:      `invalid JSON at byte 0: a value is missing, did you mean null?`,
		`{} x`:      `invalid JSON at byte 3: unexpected 'x', the document should end here`,
		"\"a\nb\"":  `invalid JSON at byte 2: control character in a string`,
		`["ab`:      `invalid JSON at byte 1: the string is not closed`,
		`[1e99999]`: `invalid JSON at byte 1: number out of range`,
	} {
		require.EqualError(t, jsonx.Valid([]byte(doc)), want)
	}
}

var paths = [][]jsonx.Step{
	{},
	{jsonx.Member("a")},
	{jsonx.Member("a"), jsonx.Member("b")},
	{jsonx.Member("a"), jsonx.Element(1), jsonx.Member("b")},
	{jsonx.Member("a"), jsonx.Member("b"), jsonx.Element(1), jsonx.Member("c")},
	{jsonx.Member("key")},
	{jsonx.Member("")},
	{jsonx.Element(0)},
	{jsonx.Element(1), jsonx.Element(1), jsonx.Element(0)},
}

func set() *jsonx.Paths {
	var p jsonx.Paths
	for _, path := range paths {
		p.Add(path...)
	}
	return &p
}

// lookup follows a path through a decoded document; it reports the steps left
// when it meets a string.
func lookup(v any, path []jsonx.Step) (any, int, bool) {
	for i, s := range path {
		switch x := v.(type) {
		case string:
			return x, len(path) - i, true
		case map[string]any:
			next, ok := x[s.Key]
			if s.Array || !ok {
				return nil, 0, false
			}
			v = next
		case []any:
			if !s.Array || s.Index >= len(x) {
				return nil, 0, false
			}
			v = x[s.Index]
		default:
			return nil, 0, false
		}
	}
	return v, 0, true
}

func checkPaths(t *testing.T, p *jsonx.Paths, doc []byte) {
	want, valid := oracle(doc)
	spans, err := p.Extract(nil, doc)
	if !valid {
		// A number out of range may hide in a member that a later one replaces:
		// encoding/json then does not show it, so only this direction holds.
		require.Error(t, err, "%q", doc)
		return
	}
	if err != nil {
		require.ErrorContains(t, err, "number out of range", "%q", doc)
		return
	}
	for i, path := range paths {
		v, rest, ok := lookup(want, path)
		require.Equal(t, ok, spans[i].Kind != jsonx.Missing, "%q path %d", doc, i)
		if !ok {
			continue
		}
		require.Equal(t, rest, int(spans[i].Rest), "%q path %d", doc, i)
		got, valid := oracle(spans[i].Text(doc))
		require.True(t, valid)
		require.Equal(t, v, got, "%q path %d", doc, i)
		end, kind := jsonx.Skip(doc, int(spans[i].Start))
		require.Equal(t, spans[i].Kind, kind)
		require.Equal(t, int(spans[i].End), end)
	}
}

func TestExtract(t *testing.T) {
	t.Parallel()
	p := set()
	for _, doc := range documents {
		checkPaths(t, p, []byte(doc))
	}
}

func TestAddSharesEqualPaths(t *testing.T) {
	t.Parallel()
	var p jsonx.Paths
	require.Equal(t, 0, p.Add(jsonx.Member("a")))
	require.Equal(t, 1, p.Add(jsonx.Member("a"), jsonx.Member("b")))
	require.Equal(t, 0, p.Add(jsonx.Member("a")))
	require.Equal(t, 2, p.Len())
}

func TestManyMembers(t *testing.T) {
	t.Parallel()
	var p jsonx.Paths
	var doc strings.Builder
	for i, c := range "abcdefghijklmnop" {
		p.Add(jsonx.Member(string(c)))
		doc.WriteString(map[bool]string{true: "{", false: ","}[i == 0] + `"` + string(c) + `":` + string(rune('0'+i%10)))
	}
	doc.WriteString("}")
	spans, err := p.Extract(nil, []byte(doc.String()))
	require.NoError(t, err)
	for i, s := range spans {
		require.Equal(t, string(rune('0'+i%10)), string(s.Text([]byte(doc.String()))))
	}
}

func TestUnescape(t *testing.T) {
	t.Parallel()
	for _, s := range []string{``, `abc`, `\"\\\/\b\f\n\r\t`, `\u00e9\u4f60`, `\ud83d\ude00`, `\ud83d`, `\ud83dx`, `\ude00\ud83d`, `\ud83d\n`} {
		var want string
		require.NoError(t, json.Unmarshal([]byte(`"`+s+`"`), &want))
		require.Equal(t, want, string(jsonx.Unescape(nil, []byte(s))))
	}
}

func FuzzExtract(f *testing.F) {
	for _, doc := range documents {
		f.Add([]byte(doc))
	}
	p := set()
	f.Fuzz(func(t *testing.T, doc []byte) { checkPaths(t, p, doc) })
}

const reading = `{"id":"sensor-000017","type":"temperature","location":{"building":"B7","floor":3,"lat":52.5163,"lon":13.3777},` +
	`"tags":["outdoor","north"],"values":{"temp":21.75,"hum":48.2,"bat":3.61},"seq":184467}`

func threePaths() *jsonx.Paths {
	var p jsonx.Paths
	p.Add(jsonx.Member("id"))
	p.Add(jsonx.Member("values"), jsonx.Member("temp"))
	p.Add(jsonx.Member("seq"))
	return &p
}

func TestExtractDoesNotAllocate(t *testing.T) {
	p, doc := threePaths(), []byte(reading)
	spans := make([]jsonx.Span, p.Len())
	require.Zero(t, testing.AllocsPerRun(100, func() {
		if _, err := p.Extract(spans, doc); err != nil {
			t.Fatal(err)
		}
	}))
}

func BenchmarkExtract(b *testing.B) {
	p, doc := threePaths(), []byte(reading)
	spans := make([]jsonx.Span, p.Len())
	b.ReportAllocs()
	b.SetBytes(int64(len(doc)))
	for b.Loop() {
		if _, err := p.Extract(spans, doc); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkValid(b *testing.B) {
	doc := []byte(reading)
	b.ReportAllocs()
	b.SetBytes(int64(len(doc)))
	for b.Loop() {
		if err := jsonx.Valid(doc); err != nil {
			b.Fatal(err)
		}
	}
}
