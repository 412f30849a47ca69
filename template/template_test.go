package template_test

import (
	"bytes"
	"encoding/json"
	"io"
	"math"
	"math/big"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasttemplate"

	"github.com/sluiceio/sluice/template"
)

func compile(t testing.TB, text string, dialect template.Dialect) *template.Template {
	t.Helper()
	tmpl, err := template.CompileWith(text, template.Options{Dialect: dialect})
	require.NoError(t, err)
	require.Equal(t, text, tmpl.Text())
	return tmpl
}

// echo renders a placeholder as itself.
type echo struct{}

func (echo) AppendVar(dst []byte, v *template.Var) ([]byte, error) {
	return append(dst, v.String()...), nil
}

// render is Append that must not fail.
func render(t testing.TB, tmpl *template.Template, vars template.Vars) string {
	t.Helper()
	got, err := tmpl.Append(nil, vars)
	require.NoError(t, err)
	return string(got)
}

type paths [][]string

func TestPlaceholders(t *testing.T) {
	t.Parallel()
	whole := []string(nil)
	for _, c := range []struct {
		text              string
		bridge, republish paths
	}{
		{"", nil, nil},
		{"no placeholder, $ { }", nil, nil},
		{"${a}", paths{{"a"}}, paths{{"a"}}},
		{"$<a>", paths{{"a"}}, nil},
		{"$<a.b> ${c}", paths{{"a", "b"}, {"c"}}, paths{{"c"}}},
		{"$<a ${b} c>", paths{{"b"}}, paths{{"b"}}},
		{"$<.>", paths{whole}, nil},
		{"$<>$<", nil, nil},
		{"$< b >", paths{{" b "}}, nil},
		{"$<a}b>", paths{{"a}b"}}, nil},
		{"${a>b}", paths{{"a>b"}}, nil},
		{"${}", nil, paths{whole}},
		{"${.}${}", paths{whole}, paths{whole}},
		{"${..}", paths{whole}, paths{{"", ""}}},
		{"${..a}", paths{{"a"}}, paths{{"", "a"}}},
		{"${a..b.}", paths{{"a", "", "b", ""}}, paths{{"a", "", "b", ""}}},
		{"${a}${.a}$<a>${b}", paths{{"a"}, {"b"}}, paths{{"a"}, {"b"}}},
		{"${a ${b}", paths{{"a ${b"}}, paths{{"b"}}},
		{"${$}{a}", paths{{"$"}}, nil},
		{"${${a}}", paths{{"${a"}}, paths{{"a"}}},
		{"${${$}", paths{{"${$"}}, nil},
		{"${a", nil, nil},
		{"${a\nb}", paths{{"a\nb"}}, nil},
	} {
		for dialect, want := range map[template.Dialect]paths{template.Bridge: c.bridge, template.Republish: c.republish} {
			var got paths
			for i, v := range compile(t, c.text, dialect).Vars() {
				require.Equal(t, i, v.Slot)
				require.Equal(t, dialect, v.Dialect)
				require.Equal(t, v.Path == nil, v.Whole())
				got = append(got, v.Path)
			}
			require.Equal(t, want, got, "%v %q", dialect, c.text)
		}
	}
}

func TestConstant(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{"": "", "abc": "abc", "${}": "${}", "${a": "${a", "$<>": "$<>"} {
		got, ok := compile(t, text, template.Bridge).Constant()
		require.True(t, ok)
		require.Equal(t, want, got)
		require.Equal(t, want, render(t, compile(t, text, template.Bridge), nil))
	}
	got, ok := compile(t, "a${$}{b}", template.Republish).Constant()
	require.True(t, ok)
	require.Equal(t, "a${b}", got)
	_, ok = compile(t, "a${b}", template.Bridge).Constant()
	require.False(t, ok)
}

// TestLiteralLengths goes through all ways to copy a literal, with and without
// room for it, and looks for bytes written beyond it.
func TestLiteralLengths(t *testing.T) {
	t.Parallel()
	for n := range 40 {
		text := strings.Repeat("0123456789abcdef", 3)[:n]
		tmpl := compile(t, text, template.Bridge)
		for room := range 45 {
			buf := []byte(strings.Repeat("-", 50))
			want := "-" + text
			got, err := tmpl.Append(buf[:1:1+room], nil)
			require.NoError(t, err)
			require.Equal(t, want, string(got))
			if n <= room {
				require.Equal(t, want+strings.Repeat("-", 49-n), string(buf))
			}
		}
	}
}

func TestUnknownDialect(t *testing.T) {
	t.Parallel()
	_, err := template.CompileWith("x", template.Options{Dialect: 7})
	require.ErrorContains(t, err, "Dialect(7)")
}

func TestAppendStrict(t *testing.T) {
	t.Parallel()
	tmpl := compile(t, "${a}/${b.c}/${d}", template.Bridge)
	got, err := tmpl.AppendStrict([]byte(">"), template.MapVars{"a": 1})
	require.Equal(t, ">1/undefined/undefined", string(got))
	var fault *template.Error
	require.ErrorAs(t, err, &fault)
	require.ErrorIs(t, err, template.ErrUndefined)
	require.Equal(t, []string{"b", "c"}, fault.Var.Path)
	require.EqualError(t, err, `template "${a}/${b.c}/${d}": ${b.c} is undefined`)

	got, err = tmpl.AppendStrict(nil, template.MapVars{"a": nil, "b": `{"c":""}`, "d": []any{}})
	require.NoError(t, err)
	require.Equal(t, "null//", string(got))
}

func TestBind(t *testing.T) {
	t.Parallel()
	tmpl := compile(t, "${a},${b},${a}", template.Bridge)
	bound := tmpl.Bind(func(v template.Var) int { return 10 + v.Slot })
	require.Equal(t, "v0,v1,v0", render(t, tmpl, slots{}))
	require.Equal(t, "v10,v11,v10", render(t, bound, slots{}))
	require.Equal(t, tmpl.Text(), bound.Text())
}

type slots struct{}

func (slots) AppendVar(dst []byte, v *template.Var) ([]byte, error) {
	return strconv.AppendInt(append(dst, 'v'), int64(v.Slot), 10), nil
}

func TestMapVarsTypes(t *testing.T) {
	t.Parallel()
	big20, _ := new(big.Int).SetString("12345678901234567890", 10)
	for _, c := range []struct {
		v    any
		want string
	}{
		{nil, "null"},
		{true, "true"},
		{-3, "-3"},
		{int8(-3), "-3"},
		{int32(7), "7"},
		{uint16(7), "7"},
		{uint64(math.MaxUint64), "18446744073709551615"},
		{uint64(5), "5"},
		{big20, "12345678901234567890"},
		{2.0, "2.0"},
		{float32(0.5), "0.5"},
		{json.Number("1.0"), "1.0"},
		{"text \"x\"", "text \"x\""},
		{[]byte{0xff, 0}, "\xff\x00"},
		{[]any{1, "a"}, `[1,"a"]`},
		{[]string{"a"}, `["a"]`},
		{map[string]any{"b": 1.5, "a": []any{nil}}, `{"a":[null],"b":1.5}`},
		{map[string]string{"b": "<", "a": "ü"}, `{"a":"ü","b":"<"}`},
		{json.RawMessage(`{"b": 1, "a": 2}`), `{"a":2,"b":1}`},
	} {
		require.Equal(t, c.want, render(t, compile(t, "${v}", template.Bridge), template.MapVars{"v": c.v}), "%T", c.v)
	}
}

// TestWhatCannotBeRendered: a value of a type that has no text is an error, not a
// value that is not there.
func TestWhatCannotBeRendered(t *testing.T) {
	t.Parallel()
	for _, x := range []any{time.Second, math.NaN(), math.Inf(1), json.Number("broken"), struct{}{}, []any{1, time.Second}, map[string]any{"a": make(chan int)}, complex(1, 2)} {
		for _, text := range []string{"<$<none>$<v>>", "<$<none>${v}>"} {
			tmpl, vars := compile(t, text, template.Bridge), template.MapVars{"v": x}
			_, want, _ := strings.Cut(strings.TrimSuffix(text, ">"), "$<none>")
			for _, appendTo := range []func([]byte) ([]byte, error){
				func(b []byte) ([]byte, error) { return tmpl.Append(b, vars) },
				func(b []byte) ([]byte, error) { return tmpl.AppendFields(b, template.Any("v", x)) },
				func(b []byte) ([]byte, error) { return tmpl.AppendFunc(b, vars.AppendVar) },
			} {
				got, err := appendTo(nil)
				require.Equal(t, "<undefinedundefined>", string(got))
				require.ErrorContains(t, err, ": "+want+": ", "%T", x)
				require.NotErrorIs(t, err, template.ErrUndefined)
			}
			_, err := tmpl.AppendStrict(nil, vars)
			require.ErrorIs(t, err, template.ErrUndefined, "the first error")
		}
	}
}

func TestErrorsShowWhatIsWritten(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"$<a>": "$<a>", "${a}": "${a}", "${.a}": "${.a}", "$<..a.b>": "$<..a.b>", "${ a }": "${ a }", "$<a>${a}": "$<a>", "${.}x${b}": "${b}",
	} {
		_, err := template.Compile(text).AppendStrict(nil, template.MapVars{})
		require.EqualError(t, err, `template "`+text+`": `+want+` is undefined`)
	}
}

func TestVarsFunc(t *testing.T) {
	t.Parallel()
	tmpl := template.Compile("$<a>-$<b>")
	f := template.VarsFunc(func(dst []byte, v *template.Var) ([]byte, error) {
		if v.Text == "b" {
			return append(dst, "lost"...), template.ErrUndefined
		}
		return append(dst, v.Text...), nil
	})
	require.Equal(t, "a-undefined", render(t, tmpl, f))
	got, err := tmpl.AppendFunc([]byte(">"), f)
	require.NoError(t, err)
	require.Equal(t, ">a-undefined", string(got))
	_, err = tmpl.AppendStrict(nil, f)
	require.ErrorIs(t, err, template.ErrUndefined)
}

// TestDecoding reads JSON within JSON in the dialects' own ways.
func TestDecoding(t *testing.T) {
	t.Parallel()
	row := template.MapVars{"p": []byte(`{"in":"{\"x\":1}"}`), "m": map[string]any{"s": `{"x":2}`}}
	row["twice"] = `"{\"x\":3}"`
	require.Equal(t, "1 2 undefined", render(t, compile(t, "${p.in.x} ${m.s.x} ${twice.x}", template.Bridge), row))
	require.Equal(t, "undefined 2 undefined", render(t, compile(t, "${p.in.x} ${m.s.x} ${twice.x}", template.Republish), row))
}

func FuzzCompile(f *testing.F) {
	for _, s := range []string{"a${b}c$<d>", "${", "${}${$}{x}", "${a ${b}", "$<a${b}>", "${.}${..}\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, dialect := range []template.Dialect{template.Bridge, template.Republish} {
			tmpl := compile(t, text, dialect)
			got, err := tmpl.Append(nil, echo{})
			if err != nil {
				t.Fatal(err)
			}
			if constant, ok := tmpl.Constant(); ok && constant != string(got) {
				t.Fatalf("constant %q, rendered %q", constant, got)
			}
			// Everything that is not a synonym or an escape survives.
			// The text of a placeholder is that of its first appearance,
			// so one that appears in two spellings proves nothing.
			exact := !strings.Contains(text, "$<") && !strings.Contains(text, "${$}") && !strings.Contains(text, "${.") && !strings.Contains(text, "${}")
			if exact && string(got) != text {
				t.Fatalf("%v: %q became %q", dialect, text, got)
			}
			strict, err := tmpl.AppendStrict(nil, template.MapVars{})
			lenient, _ := tmpl.Append(nil, template.MapVars{})
			if !bytes.Equal(strict, lenient) {
				t.Fatalf("%q: strict differs", text)
			}
			wholeOnly := true
			for _, v := range tmpl.Vars() {
				wholeOnly = wholeOnly && v.Whole()
			}
			if (err == nil) != wholeOnly {
				t.Fatalf("%q: %v", text, err)
			}
		}
	})
}

// row is what a rule hands to its templates, in small: values by slot.
type row [5][]byte

func (r *row) AppendVar(dst []byte, v *template.Var) ([]byte, error) {
	return append(dst, r[v.Slot]...), nil
}

const five = `{"id":"${clientid}","topic":"${topic}","temp":${temp},"unit":"${unit}","at":${timestamp}}`

var columns = row{[]byte("device-0042"), []byte("site/7/device-0042/temp"), []byte("21.5"), []byte("celsius"), []byte("1795000000000")}

func TestAppendDoesNotAllocate(t *testing.T) {
	tmpl := compile(t, five, template.Bridge)
	buf := make([]byte, 0, 512)
	got, err := tmpl.Append(buf, &columns)
	require.NoError(t, err)
	require.Equal(t, `{"id":"device-0042","topic":"site/7/device-0042/temp","temp":21.5,"unit":"celsius","at":1795000000000}`, string(got))
	require.Zero(t, testing.AllocsPerRun(100, func() { _, _ = tmpl.Append(buf, &columns) }))
	require.Zero(t, testing.AllocsPerRun(100, func() { _, _ = tmpl.AppendStrict(buf, &columns) }))
	scalars := template.MapVars{"clientid": "c", "topic": "t", "temp": 21.5, "unit": "x", "timestamp": int64(5)}
	require.Zero(t, testing.AllocsPerRun(100, func() { _, _ = tmpl.Append(buf, scalars) }))
	require.Zero(t, testing.AllocsPerRun(100, func() { _, _ = tmpl.AppendStrict(buf, scalars) }))

	// Variables that are made for each call.
	n, id, payload := int64(1795000000000), strings.Repeat("d", 12), []byte(`{"temp":21.5}`)
	deep := compile(t, `{"id":"$<clientid>","t":$<payload.temp>,"n":$<n>,"f":$<f>,"none":"$<none>"}`, template.Bridge)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		n++
		buf, err = deep.AppendFields(buf[:0], template.String("clientid", id), template.Bytes("payload", payload), template.Int("n", n), template.Float("f", float64(n)/3), template.Bool("b", n > 1))
	}))
	require.NoError(t, err)
	require.Contains(t, string(buf), `{"id":"dddddddddddd","t":21.5,"n":17950`)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		n++
		buf, err = deep.AppendFunc(buf[:0], func(dst []byte, v *template.Var) ([]byte, error) {
			if v.Path[0] == "n" {
				return strconv.AppendInt(dst, n, 10), nil
			}
			return append(dst, id...), nil
		})
	}))
	require.NoError(t, err)

	escaped, err := template.CompileWith(`{"id":"$<clientid>","t":$<payload.temp>,"n":$<n>}`, template.Options{Dialect: template.JSON})
	require.NoError(t, err)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		buf, err = escaped.AppendFields(buf[:0], template.String("clientid", `a "b"`), template.Bytes("payload", payload), template.Int("n", n))
	}))
	require.NoError(t, err)
}

func BenchmarkFivePlaceholders(b *testing.B) {
	b.Run("sluice", func(b *testing.B) {
		tmpl := compile(b, five, template.Bridge)
		buf := make([]byte, 0, 512)
		b.ReportAllocs()
		for b.Loop() {
			buf, _ = tmpl.Append(buf[:0], &columns)
		}
	})
	b.Run("fasttemplate", func(b *testing.B) {
		tmpl := fasttemplate.New(five, "${", "}")
		byName := func(w io.Writer, tag string) (int, error) {
			switch tag {
			case "clientid":
				return w.Write(columns[0])
			case "topic":
				return w.Write(columns[1])
			case "temp":
				return w.Write(columns[2])
			case "unit":
				return w.Write(columns[3])
			default:
				return w.Write(columns[4])
			}
		}
		var buf bytes.Buffer
		b.ReportAllocs()
		for b.Loop() {
			buf.Reset()
			_, _ = tmpl.ExecuteFunc(&buf, byName)
		}
	})
	b.Run("mapvars", func(b *testing.B) {
		tmpl := compile(b, five, template.Bridge)
		vars := template.MapVars{"clientid": "device-0042", "topic": "site/7/device-0042/temp", "temp": 21.5, "unit": "celsius", "timestamp": int64(1795000000000)}
		buf := make([]byte, 0, 512)
		b.ReportAllocs()
		for b.Loop() {
			buf, _ = tmpl.Append(buf[:0], vars)
		}
	})
}
