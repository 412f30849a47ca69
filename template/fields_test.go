package template_test

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/template"
)

func TestFields(t *testing.T) {
	t.Parallel()
	fields := []template.Field{
		template.String("s", `{"a":{"b":1}}`), template.Bytes("b", []byte("\xff")), template.Int("i", -7), template.Float("f", 2), template.Bool("t", true),
		template.Any("l", []string{"x"}), template.Any("nil", nil), template.String("s", "second"),
	}
	for text, want := range map[string]string{
		"$<s.a.b> $<b> $<i> $<f> $<t> $<l> $<nil> $<none> $<i.x>": "1 \xff -7 2.0 true [\"x\"] null undefined undefined",
		"$<.>": `{"b":"` + "\ufffd" + `","f":2.0,"i":-7,"l":["x"],"nil":null,"s":"{\"a\":{\"b\":1}}","t":true}`,
	} {
		got, err := template.Compile(text).AppendFields(nil, fields...)
		require.NoError(t, err)
		require.Equal(t, want, string(got))
		require.Equal(t, want, render(t, template.Compile(text), template.Fields(fields)))
	}
	got, err := template.Compile("$<a>").AppendFields([]byte("x"))
	require.NoError(t, err)
	require.Equal(t, "xundefined", string(got))
	for _, f := range []template.Field{template.Float("v", math.NaN()), template.Any("v", time.Second)} {
		for _, text := range []string{"$<v>", "$<.>"} {
			_, err := template.Compile(text).AppendFields(nil, f)
			require.Error(t, err)
			require.NotErrorIs(t, err, template.ErrUndefined)
		}
	}
}
