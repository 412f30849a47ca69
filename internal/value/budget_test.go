package value_test

import (
	"math"
	"math/big"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/sluiceio/sluice/internal/jsonx"
	"github.com/sluiceio/sluice/internal/value"
)

func TestBudgetErrors(t *testing.T) {
	t.Parallel()
	a := value.Arena{Limit: 1000}
	require.Equal(t, 1000, a.Left())
	a.Spend(600)
	require.NoError(t, a.Err())
	a.Spend(600)
	require.Zero(t, a.Left())
	err := a.Err()
	require.EqualError(t, err, `budget "memory" exceeded: too much data, the limit is 1000 bytes`)
	require.ErrorIs(t, err, value.ErrBudget)
	require.ErrorIs(t, err, value.ErrLimit)
	require.NotErrorIs(t, err, value.ErrTime)
	var none *value.Arena
	none.Spend(math.MaxInt)
	none.Work(math.MaxInt)
	require.NoError(t, none.Check())
}

func TestTimeIsCountedFromTheFirstMegabyteOfWork(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := value.Arena{Time: time.Second}
		a.Reset()
		a.Work(1000)
		time.Sleep(time.Hour)
		a.Work(1 << 20)
		require.NoError(t, a.Err(), "small messages do not pay for the clock")
		time.Sleep(2 * time.Second)
		a.Work(1000)
		require.NoError(t, a.Err(), "it is not looked at for each byte")
		a.Work(1 << 20)
		require.ErrorIs(t, a.Err(), value.ErrTime)
		require.ErrorContains(t, a.Err(), "the limit is 1s")
		a.Reset()
		require.NoError(t, a.Check())
		deadline, limit := a.Deadline()
		require.Equal(t, time.Now().Add(time.Second), deadline)
		require.Equal(t, time.Second, limit)
	})
}

func TestRenderingStopsAtTheBudget(t *testing.T) {
	t.Parallel()
	v := value.List([]value.Value{value.String("x")})
	for range 40 {
		v = value.List([]value.Value{v, v})
	}
	m := v
	for range 40 {
		m = value.Map([]value.Pair{{Key: "a", Value: m}, {Key: "b", Value: m}})
	}
	a := value.Arena{Limit: 1000}
	for _, v := range []value.Value{v, m} {
		for _, out := range [][]byte{a.AppendJSON(nil, v), a.AppendText(nil, v)} {
			require.Greater(t, len(out), 1000)
			require.Less(t, len(out), 2000)
		}
	}
	require.Equal(t, `["x"]`, string(a.AppendJSON(nil, value.List([]value.Value{value.String("x")}))))
}

func TestLongIntegers(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		digits := strings.Repeat(rapid.StringMatching(`[1-9][0-9]{0,40}`).Draw(t, "digits"), rapid.IntRange(1, 400).Draw(t, "times"))
		sign := rapid.SampledFrom([]string{"", "-"}).Draw(t, "sign")
		want, ok := new(big.Int).SetString(sign+digits, 10)
		require.True(t, ok)
		got, ok := value.ParseInt(sign + digits)
		require.True(t, ok)
		require.Zero(t, want.Cmp(got.AsBig()))
		if sign == "" {
			got, ok = value.ParseInt("+" + digits)
			require.True(t, ok)
			require.Zero(t, want.Cmp(got.AsBig()))
		}
		v, err := (*value.Arena)(nil).DecodeString("[" + sign + digits + "]")
		require.NoError(t, err)
		require.Zero(t, want.Cmp(v.Element(nil, 0).AsBig()))
	})
}

func TestIntegersThatAreTooLong(t *testing.T) {
	t.Parallel()
	longest := strings.Repeat("9", jsonx.MaxDigits)
	v, err := value.ParseNumber("-" + longest)
	require.NoError(t, err)
	require.LessOrEqual(t, v.AsBig().BitLen(), value.MaxBits)
	_, err = value.ParseNumber(longest + "9")
	require.ErrorIs(t, err, value.ErrTooBig)
	require.ErrorIs(t, err, value.ErrBudget)
	_, err = (*value.Arena)(nil).DecodeString(longest)
	require.NoError(t, err)
	_, err = (*value.Arena)(nil).DecodeString(longest + "9")
	require.ErrorContains(t, err, "an integer of more than 315652 digits")
	_, err = value.Compare(value.Gt, value.Int(5), value.String(longest+"9"))
	require.ErrorIs(t, err, value.ErrTooBig)
}

// Each way of reading deep values gives what decoding level by level does.
func TestTreeIsTheSameValue(t *testing.T) {
	t.Parallel()
	object := rapid.Deferred(func() *rapid.Generator[string] { return document(4) })
	rapid.Check(t, func(t *rapid.T) {
		text := object.Draw(t, "document")
		deep := strings.Repeat(`{"b":[`, 20) + text + strings.Repeat(`],"a":1}`, 20)
		for _, s := range []string{text, deep} {
			v, err := (*value.Arena)(nil).DecodeString(s)
			require.NoError(t, err, s)
			require.Equal(t, js(v), js(v.Tree()), s)
			require.True(t, value.Equal(v, v.Tree()))
			require.Zero(t, value.Order(v, v.Tree()))
			require.Equal(t, v.Any(), v.Tree().Any())
		}
	})
}

// document makes JSON texts with white space, escapes, duplicates and members out
// of order.
func document(depth int) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		kind := rapid.IntRange(0, 5).Draw(t, "kind")
		if depth == 0 {
			kind %= 4
		}
		switch kind {
		case 0:
			return rapid.SampledFrom([]string{"0", "-0", "12", "1.50", "1e3", "123456789012345678901234567890", "true", "null"}).Draw(t, "value")
		case 1, 2, 3:
			return rapid.SampledFrom([]string{`"x"`, `"\u0041"`, `""`, `"é"`, ` "\n" `}).Draw(t, "text")
		case 4:
			items := rapid.SliceOfN(document(depth-1), 0, 4).Draw(t, "items")
			return "[ " + strings.Join(items, " , ") + "]"
		}
		var members []string
		for range rapid.IntRange(0, 40).Draw(t, "members") {
			members = append(members, rapid.SampledFrom([]string{`"a"`, `"b"`, `"\u0061"`, `"c"`, `"d" `, `"zz"`}).Draw(t, "name")+":"+document(depth-1).Draw(t, "member"))
		}
		return "{" + strings.Join(members, ",") + " }"
	})
}

func TestComparingTextsIsComparingValues(t *testing.T) {
	t.Parallel()
	sign := func(d int) int { return min(max(d, -1), 1) }
	rapid.Check(t, func(t *rapid.T) {
		x := document(3).Draw(t, "x")
		y := x
		if rapid.Bool().Draw(t, "different") {
			y = document(3).Draw(t, "y")
		}
		for _, wrap := range [][2]string{{"", ""}, {"[1, ", " ]"}, {strings.Repeat(`[[1],`, 20), strings.Repeat("]", 20)}} {
			v, err := (*value.Arena)(nil).DecodeString(wrap[0] + x + wrap[1])
			require.NoError(t, err)
			w, err := (*value.Arena)(nil).DecodeString(wrap[0] + " " + y + " " + wrap[1])
			require.NoError(t, err)
			require.Equal(t, value.Equal(v.Tree(), w.Tree()), value.Equal(v, w))
			require.Equal(t, sign(value.Order(v.Tree(), w.Tree())), sign(value.Order(v, w)))
			require.Equal(t, -sign(value.Order(v, w)), sign(value.Order(w, v)))
		}
	})
	big, err := value.ParseNumber(strings.Repeat("9", 400))
	require.NoError(t, err)
	require.Positive(t, value.Order(big, value.Float(1.7e308)))
	require.Negative(t, value.Order(value.Float(1.7e308), big))
}

func TestPutAll(t *testing.T) {
	t.Parallel()
	var a value.Arena
	members := []value.Pair{{Key: "a", Value: value.Int(1)}, {Key: "c", Value: value.Int(3)}, {Key: "e", Value: value.Int(5)}}
	for old, want := range map[string]string{
		`{"b":2,"d":4}`: `{"a":1,"b":2,"c":3,"d":4,"e":5}`, `{"a":0,"e":0,"f":0}`: `{"a":1,"c":3,"e":5,"f":0}`, `{}`: `{"a":1,"c":3,"e":5}`, `7`: `{"a":1,"c":3,"e":5}`, `{"c":0}`: `{"a":1,"c":3,"e":5}`,
	} {
		m := parse(t, old, false)
		require.Equal(t, want, js(a.PutAll(m, members)), old)
		require.Equal(t, old, js(m))
	}
}

func TestBudgetErrorsAreTold(t *testing.T) {
	t.Parallel()
	var b *value.BudgetError
	require.ErrorAs(t, value.ErrTooBig, &b)
	require.Equal(t, "integer", b.Budget)
	require.NotErrorIs(t, value.ErrTooBig, value.ErrLimit)
}
