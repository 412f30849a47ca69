package value_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/sluiceio/sluice/internal/jsonx"
	"github.com/sluiceio/sluice/internal/value"
)

func TestShortFloatAgreesWithStrconv(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`-?(0|[1-9][0-9]{0,9})\.[0-9]{1,9}(e[0-9])?`).Draw(t, "number")
		want, err := strconv.ParseFloat(text, 64)
		require.NoError(t, err)
		got, ok := value.ShortFloat([]byte(text))
		short := !strings.Contains(text, "e") && len(strings.Trim(text, "-")) <= 16
		require.Equal(t, short, ok, text)
		if ok {
			require.InDelta(t, want, got, 0, text)
		}
	})
}

func TestAppendJSONText(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`"a"`: `"a"`, `"\u0041\/"`: `"A/"`, `1.50`: `1.5`, `1.5`: `1.5`, `1e2`: `100.0`, `-0`: `0`, `12`: `12`, `true`: `true`, `null`: `null`,
		`{"b" : 1, "a": [ 1.0 ]}`: `{"a":[1.0],"b":1}`,
	} {
		_, kind := jsonx.Skip([]byte(text), 0)
		require.Equal(t, want, string(value.AppendJSONText(nil, []byte(text), kind)), text)
	}
}

func TestChargeCountsSharedParts(t *testing.T) {
	t.Parallel()
	a := &value.Arena{Limit: 10_000}
	v := value.Map([]value.Pair{{Key: "k", Value: value.String("x")}})
	var err error
	for range 20 {
		if err = a.Charge(v); err != nil {
			break
		}
		v = value.List([]value.Value{v, v})
	}
	require.ErrorIs(t, err, value.ErrLimit)
	a.Reset()
	require.NoError(t, a.Charge(value.String(strings.Repeat("x", 20_000))), "a string is charged by what makes it")
}
