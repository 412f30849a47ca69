package value_test

import (
	"math/big"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/sluiceio/sluice/internal/value"
)

func TestCompare(t *testing.T) {
	t.Parallel()
	var (
		undef = value.Undefined()
		s     = value.String
	)
	for _, c := range []struct {
		x, y  value.Value
		holds string // the operators that hold
	}{
		{undef, undef, "= <= >="},
		{undef, value.Int(1), ""},
		{s("x"), undef, ""},
		{value.Null(), undef, ""},
		{value.Int(1), value.Float(1), "= <= >="},
		{value.Int(1), s("1"), "= <= >="},
		{s("1.0"), value.Int(1), "= <= >="},
		{s("+005"), value.Int(5), "= <= >="},
		{s("1.0e3"), value.Int(1000), "= <= >="},
		{s("10"), s("9"), "!= < <="},
		{s("10"), value.Int(9), "!= > >="},
		{value.Bool(true), s("true"), "= <= >="},
		{value.Null(), s("null"), "= <= >="},
		{value.Bool(true), value.Int(1), "!= > >="},
		{value.Null(), value.Int(0), "!= > >="},
		{value.Bool(false), value.Null(), "!= < <="},
		{value.Map(nil), value.Null(), "!= > >="},
		{value.List(nil), value.Map(nil), "!= > >="},
		{s(""), value.List(nil), "!= > >="},
		{parse(t, `{"z":1}`, false), parse(t, `{"a":1,"b":1}`, true), "!= < <="},
		{parse(t, `{"a":2}`, false), parse(t, `{"b":1}`, true), "!= < <="},
		{parse(t, `{"a":2}`, false), parse(t, `{"a":1}`, true), "!= > >="},
		{parse(t, `[1,2]`, false), parse(t, `[1.0,2]`, true), "= <= >="},
		{parse(t, `[1,2]`, false), parse(t, `[1,2,0]`, true), "!= < <="},
		{parse(t, `9007199254740993`, false), value.Float(9007199254740992), "!= > >="},
		{parse(t, `123456789012345678901`, false), value.Int(5), "!= > >="},
		{parse(t, `-123456789012345678901`, false), value.Float(-1e30), "!= > >="},
		{value.Bits("\xa0", 3), s("\xa0"), "!= < <="},
		{value.Bits("\xc0", 3), s("\xa0"), "!= > >="},
	} {
		for op := value.Eq; op <= value.Ge; op++ {
			got, err := value.Compare(op, c.x, c.y)
			require.NoError(t, err)
			want := strings.Contains(" "+c.holds+" ", " "+op.String()+" ")
			require.Equal(t, want, got, "%s %s %s", js(c.x), op, js(c.y))
		}
	}
	for _, bad := range []string{"", "abc", "1e3", " 1", "1.", ".5", "1_0", "0x1", "+", "1.5e"} {
		_, err := value.Compare(value.Ne, s(bad), value.Int(1))
		require.ErrorIs(t, err, value.ErrNotNumber, "%q", bad)
		_, err = value.Compare(value.Ne, value.Float(1), s(bad))
		require.ErrorIs(t, err, value.ErrNotNumber, "%q", bad)
	}
}

func TestEqualIsStrict(t *testing.T) {
	t.Parallel()
	require.False(t, value.Equal(value.Int(1), value.Float(1)))
	require.False(t, value.Equal(value.Int(1), value.String("1")))
	require.False(t, value.Equal(value.Null(), value.Undefined()))
	require.False(t, value.Equal(parse(t, `[1]`, false), parse(t, `[1.0]`, false)))
	require.False(t, value.Equal(parse(t, `{"a":1}`, false), parse(t, `{"a":1.0}`, false)))
	require.True(t, value.Equal(parse(t, `{"b":[null],"a":1}`, false), parse(t, `{"a":1,"b":[null]}`, true)))
	require.True(t, value.Equal(parse(t, `12345678901234567890`, false), parse(t, `12345678901234567890`, false)))
}

// anything draws values of every kind, close enough to each other to collide.
func anything() *rapid.Generator[value.Value] {
	leaf := rapid.OneOf(
		rapid.Just(value.Undefined()), rapid.Just(value.Null()),
		rapid.Map(rapid.Bool(), value.Bool),
		rapid.Map(rapid.Int64Range(-3, 3), value.Int),
		rapid.Map(rapid.Int64(), value.Int),
		rapid.Map(rapid.Int64(), func(i int64) value.Value { return value.BigInt(new(big.Int).Lsh(big.NewInt(i), 7)) }),
		rapid.Map(rapid.Float64Range(-3, 3), value.Float),
		rapid.Map(rapid.Float64(), value.Float),
		rapid.Map(rapid.Int64(), func(i int64) value.Value { return value.Float(float64(i)) }),
		rapid.Map(rapid.StringMatching(`[ab\xff]{0,3}`), value.String),
		rapid.Custom(func(t *rapid.T) value.Value {
			n := rapid.IntRange(0, 12).Draw(t, "bits")
			b := byte(rapid.IntRange(0, 255).Draw(t, "byte"))
			return value.Bits(string([]byte{0xa0, b & byte(0xff<<(16-max(n, 9)))}), min(n, 8)|n&8)
		}),
	)
	list := rapid.Map(rapid.SliceOfN(leaf, 0, 3), value.List)
	object := rapid.Map(rapid.SliceOfN(rapid.Custom(func(t *rapid.T) value.Pair {
		return value.Pair{Key: rapid.StringMatching(`[ab]{0,2}`).Draw(t, "key"), Value: leaf.Draw(t, "value")}
	}), 0, 3), value.Map)
	return rapid.OneOf(leaf, list, object)
}

func TestOrderIsTotal(t *testing.T) {
	t.Parallel()
	sign := func(i int) int { return min(max(i, -1), 1) }
	rapid.Check(t, func(t *rapid.T) {
		x, y, z := anything().Draw(t, "x"), anything().Draw(t, "y"), anything().Draw(t, "z")
		if value.Order(x, x) != 0 || !value.Equal(x, x) {
			t.Fatal("not reflexive")
		}
		if sign(value.Order(x, y)) != -sign(value.Order(y, x)) {
			t.Fatal("not antisymmetric")
		}
		if value.Order(x, y) <= 0 && value.Order(y, z) <= 0 && value.Order(x, z) > 0 {
			t.Fatal("not transitive")
		}
		if value.Equal(x, y) && value.Order(x, y) != 0 {
			t.Fatal("equal values are ordered")
		}
	})
}

func TestArithmetic(t *testing.T) {
	t.Parallel()
	type binary = func(x, y value.Value) (value.Value, error)
	add := func(x, y value.Value) (value.Value, error) { return value.Add(nil, x, y) }
	for _, c := range []struct {
		f          binary
		x, y, want string
	}{
		{add, `1`, `2`, `3`},
		{add, `9223372036854775807`, `1`, `9223372036854775808`},
		{add, `-9223372036854775808`, `-1`, `-9223372036854775809`},
		{add, `9223372036854775808`, `-1`, `9223372036854775807`},
		{add, `5`, `0`, `5`},
		{add, `0.1`, `0.2`, `0.30000000000000004`},
		{add, `1`, `1.5`, `2.5`},
		{add, `"a"`, `1`, `"a1"`},
		{add, `2.0`, `"a"`, `"2.0a"`},
		{add, `"a"`, `[65,66]`, `"aAB"`},
		{add, `"a"`, `{"b":1}`, `"a{\"b\":1}"`},
		{add, `"a"`, `null`, `"anull"`},
		{value.Sub, `1`, `2`, `-1`},
		{value.Sub, `5`, `0`, `5`},
		{value.Sub, `-9223372036854775808`, `1`, `-9223372036854775809`},
		{value.Sub, `1`, `0.5`, `0.5`},
		{value.Mul, `4294967296`, `4294967296`, `18446744073709551616`},
		{value.Mul, `-9223372036854775808`, `1`, `-9223372036854775808`},
		{value.Mul, `-9223372036854775808`, `-1`, `9223372036854775808`},
		{value.Mul, `-3`, `4`, `-12`},
		{value.Mul, `2`, `3.0`, `6.0`},
		{value.Quo, `8`, `4`, `2.0`},
		{value.Quo, `12345678901234567890`, `10`, `1.2345678901234568e18`},
		{value.Div, `-7`, `2`, `-3`},
		{value.Div, `-9223372036854775808`, `-1`, `9223372036854775808`},
		{value.Div, `12345678901234567890`, `10`, `1234567890123456789`},
		{value.Mod, `-7`, `3`, `-1`},
		{value.Mod, `7`, `-3`, `1`},
		{value.Mod, `-9223372036854775808`, `-1`, `0`},
	} {
		got, err := c.f(parse(t, c.x, false), parse(t, c.y, false))
		require.NoError(t, err)
		require.Equal(t, c.want, js(got), "%s, %s", c.x, c.y)
	}
	for _, c := range []struct {
		f    binary
		x, y string
		is   string
	}{
		{value.Quo, `5`, `0`, "division by zero"},
		{value.Quo, `5`, `0.0`, "division by zero"},
		{value.Div, `5`, `0`, "division by zero"},
		{value.Mod, `5`, `0`, "division by zero"},
		{value.Div, `5`, `2.0`, "cannot apply div to integer and float"},
		{value.Sub, `1`, `"a"`, "cannot apply - to integer and string"},
		{value.Mul, `"5"`, `2`, "cannot apply * to string and integer"},
		{add, `1`, `true`, "cannot apply + to integer and boolean"},
		{add, `1e308`, `1e308`, "not a finite number"},
		{value.Mul, `1` + strings.Repeat("0", 400), `1.5`, "not a finite number"},
	} {
		_, err := c.f(parse(t, c.x, false), parse(t, c.y, false))
		require.ErrorContains(t, err, c.is)
	}
	n, err := value.Neg(value.Int(-1 << 63))
	require.NoError(t, err)
	require.Equal(t, "9223372036854775808", js(n))
	_, err = value.Neg(value.String("x"))
	require.EqualError(t, err, "cannot apply - to string")
}

func TestArithmeticAgreesWithBigIntegers(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p, q := rapid.Int64().Draw(t, "p"), rapid.Int64().Draw(t, "q")
		x, y := value.Int(p), value.Int(q)
		check := func(got value.Value, err error, want *big.Int) {
			if err != nil || got.AsBig().Cmp(want) != 0 {
				t.Fatalf("got %s (%v), want %s", js(got), err, want)
			}
		}
		sum, err := value.Add(nil, x, y)
		check(sum, err, new(big.Int).Add(x.AsBig(), y.AsBig()))
		diff, err := value.Sub(x, y)
		check(diff, err, new(big.Int).Sub(x.AsBig(), y.AsBig()))
		product, err := value.Mul(x, y)
		check(product, err, new(big.Int).Mul(x.AsBig(), y.AsBig()))
		if q != 0 {
			quotient, err := value.Div(x, y)
			check(quotient, err, new(big.Int).Quo(x.AsBig(), y.AsBig()))
			rest, err := value.Mod(x, y)
			check(rest, err, new(big.Int).Rem(x.AsBig(), y.AsBig()))
		}
	})
}

func TestHotOperationsDoNotAllocate(t *testing.T) {
	var a value.Arena
	x, y, s := value.Int(40), value.Float(2.5), value.String("20.5")
	raw := parse(t, `{"a":{"b":[1,2,{"c":"d"}]},"t":21.5}`, false)
	out := make([]byte, 0, 256)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		a.Reset()
		sum, _ := value.Add(&a, x, y)
		joined, _ := value.Add(&a, s, sum)
		if ok, _ := value.Compare(value.Gt, sum, s); !ok || joined.AsString() != "20.542.5" {
			t.Fatal(joined.AsString())
		}
		out = value.AppendText(out[:0], raw.Member(&a, "a").Member(&a, "b").Element(&a, 2))
		out = value.AppendJSON(out, raw)
	}))
}
