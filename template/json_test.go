package template_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/sluiceio/sluice/template"
)

func compileJSON(t require.TestingT, text string) *template.Template {
	tmpl, err := template.CompileWith(text, template.Options{Dialect: template.JSON})
	require.NoError(t, err)
	return tmpl
}

func TestJSON(t *testing.T) {
	t.Parallel()
	vars := template.MapVars{
		"s": `a "b" \c` + "\n\x01", "n": 12, "f": 1.5, "yes": true, "nil": nil, "chars": []any{72, 105}, "empty": []any{}, "m": map[string]any{"k": `"`}, "bytes": []byte("\xff"), "p": `{"x":{"y":"z"}}`,
	}
	for text, want := range map[string]string{
		`{"s":"$<s>"}`:                     `{"s":"a \"b\" \\c\n\u0001"}`,
		`{"s":$<s>,"n":$<n>,"f":${f}}`:     `{"s":"a \"b\" \\c\n\u0001","n":12,"f":1.5}`,
		`{"n":"$<n>","t":"x-$<yes>-$<n>"}`: `{"n":"12","t":"x-true-12"}`,
		`[$<yes>,$<nil>,"$<nil>"]`:         `[true,null,"null"]`,
		`[$<chars>,$<empty>,"$<chars>"]`:   `[[72,105],[],"Hi"]`,
		`{"m":$<m>,"t":"$<m>"}`:            `{"m":{"k":"\""},"t":"{\"k\":\"\\\"\"}"}`,
		`{"none":$<none>,"t":"$<none>"}`:   `{"none":null,"t":"undefined"}`,
		`{"b":"$<bytes>"}`:                 `{"b":"` + "\ufffd" + `"}`,
		`{"$<n>":{"a\"$<s>":1}}`:           `{"12":{"a\"a \"b\" \\c\n\u0001":1}}`,
		`$<p.x>`:                           `{"y":"z"}`,
		`$<p>`:                             `"{\"x\":{\"y\":\"z\"}}"`,
		`"\\$<n>"`:                         `"\\12"`,
	} {
		tmpl := compileJSON(t, text)
		require.Equal(t, want, render(t, tmpl, vars), text)
		got, err := tmpl.Append([]byte("x"), vars)
		require.NoError(t, err)
		require.Equal(t, "x"+want, string(got), text)
		require.True(t, json.Valid(got[1:]), text)
	}
	// A function knows texts only: what is JSON stays, and the rest gets quotes.
	got, err := compileJSON(t, `[$<a>,$<b>,"$<b>"]`).AppendFunc(nil, func(dst []byte, v *template.Var) ([]byte, error) {
		return append(dst, map[string]string{"a": "12", "b": `x"y`}[v.Text]...), nil
	})
	require.NoError(t, err)
	require.Equal(t, `[12,"x\"y","x\"y"]`, string(got))
	_, err = compileJSON(t, `[$<none>]`).AppendStrict(nil, vars)
	require.ErrorIs(t, err, template.ErrUndefined)
}

// TestJSONIsValid: whatever the values are, and wherever they stand.
func TestJSONIsValid(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		x := rapid.OneOf(
			rapid.Map(rapid.String(), func(s string) any { return s }),
			rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) any { return b }),
			rapid.Map(rapid.Float64(), func(f float64) any { return f }),
			rapid.Map(rapid.SliceOf(rapid.IntRange(60, 130)), func(l []int) any {
				out := []any{}
				for _, i := range l {
					out = append(out, i)
				}
				return out
			}),
			rapid.Just[any](nil),
		).Draw(t, "value")
		text := strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{`$<v>`, `"$<v>"`, `"a\"$<v>\\$<v>"`, `{"$<v>":$<v>}`, `$<none>`, `"${none}"`, `12`}), 1, 5).Draw(t, "text"), ",")
		tmpl := compileJSON(t, "["+text+"]")
		for _, room := range []int{0, 3, 4096} {
			got, err := tmpl.Append(make([]byte, 0, room), template.MapVars{"v": x})
			require.NoError(t, err)
			require.True(t, json.Valid(got), "%s", got)
		}
	})
}
