package value_test

import (
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/sluiceio/sluice/internal/jsonx"
	"github.com/sluiceio/sluice/internal/value"
)

func TestAppendShort(t *testing.T) {
	t.Parallel()
	for f, want := range map[float64]string{
		1: "1.0", 0.1: "0.1", 21.75: "21.75", 100: "100.0", 900: "900.0", 990: "990.0", 1000: "1.0e3", 1010: "1010.0", 1100: "1.1e3",
		12340: "12340.0", 123400: "1.234e5", 1234567890: "1234567890.0", 12345678900: "12345678900.0", 123456789000: "1.23456789e11",
		1.5e10: "1.5e10", 1e20: "1.0e20", 1e21: "1.0e21", 1.7976931348623157e308: "1.7976931348623157e308",
		1 << 53: "9.007199254740992e15", 1<<53 - 1: "9007199254740991.0", 123456789012345678: "1.2345678901234568e17",
		0.01: "0.01", 0.001: "0.001", 0.001234: "0.001234", 0.0001: "0.0001", 0.0009: "0.0009", 0.00012: "1.2e-4", 0.00001: "1.0e-5", 0.000001: "1.0e-6",
		5e-324: "5.0e-324",
	} {
		require.Equal(t, want, string(value.AppendShort(nil, f)))
		require.Equal(t, "x-"+want, string(value.AppendShort([]byte("x"), -f)))
		require.Equal(t, want, string(value.AppendJSON(nil, value.Float(f))))
	}
	negative := math.Copysign(0, -1)
	require.Equal(t, "-0.0", string(value.AppendShort(nil, negative)))
	require.Equal(t, "0.0", string(value.AppendJSON(nil, value.Float(negative))))
}

// TestAppendShortIsShortest compares with both forms, and reads the text back.
func TestAppendShortIsShortest(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		f := rapid.OneOf(
			rapid.Float64(),
			rapid.Map(rapid.Int64Range(-1e15, 1e15), func(i int64) float64 { return float64(i) }),
			rapid.Custom(func(t *rapid.T) float64 {
				digits, exponent := rapid.IntRange(-9999, 9999).Draw(t, "digits"), rapid.IntRange(-12, 18).Draw(t, "exponent")
				x, err := strconv.ParseFloat(strconv.Itoa(digits)+"e"+strconv.Itoa(exponent), 64)
				require.NoError(t, err)
				return x
			}),
		).Draw(t, "f")
		got := string(value.AppendShort(nil, f))
		back, err := strconv.ParseFloat(got, 64)
		require.NoError(t, err)
		require.Equal(t, math.Float64bits(f), math.Float64bits(back), got)

		full := strconv.FormatFloat(f, 'f', -1, 64)
		if !strings.Contains(full, ".") {
			full += ".0"
		}
		mantissa, exponent, _ := strings.Cut(strconv.FormatFloat(f, 'e', -1, 64), "e")
		if !strings.Contains(mantissa, ".") {
			mantissa += ".0"
		}
		n, err := strconv.Atoi(exponent)
		require.NoError(t, err)
		if short := mantissa + "e" + strconv.Itoa(n); len(short) < len(full) || math.Abs(f) >= 1<<53 {
			full = short
		}
		require.Equal(t, full, got)
	})
}

// TestFloatsOfJSONText: a number that is taken over from a text looks as it would
// after it was decoded.
func TestFloatsOfJSONText(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`-?(0|[1-9][0-9]{0,3}0{0,12})\.(0|[0-9]{1,6})([eE][+-]?[0-9])?`).Draw(t, "number")
		f, err := strconv.ParseFloat(text, 64)
		require.NoError(t, err)
		require.Equal(t, string(value.AppendJSON(nil, value.Float(f))), string(value.AppendJSONText(nil, []byte(text), jsonx.Float)), text)
	})
}
