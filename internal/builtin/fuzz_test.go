package builtin_test

import (
	"bytes"
	"compress/flate"
	"io"
	"math/big"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/sluiceio/sluice/internal/builtin"
	"github.com/sluiceio/sluice/internal/value"
)

func call(t testing.TB, c *builtin.Ctx, name string, args ...value.Value) (value.Value, error) {
	f, ok := builtin.Lookup(name)
	require.True(t, ok)
	return f.Invoke(c, args)
}

// FuzzAnyCall calls every function with arguments that fuzzing makes up: none may
// panic, and none may make more than the arena allows.
func FuzzAnyCall(f *testing.F) {
	for i := range builtin.All() {
		f.Add(i, "a.b", `["x",1,2.5,{"a":[null]}]`, int64(3), 1.5, uint8(0x1b))
		f.Add(i, "~p%Y\\x41(", `{"a":{"b":"1"},"c":true}`, int64(-1<<63), -1e-320, uint8(0xe4))
	}
	f.Fuzz(func(t *testing.T, which int, s, doc string, i int64, x float64, order uint8) {
		all := builtin.All()
		fn := all[uint(which)%uint(len(all))]
		if fn.Name == "jq" || strings.HasPrefix(fn.Name, "regex") {
			return // bounded by time, which fuzzing would spend
		}
		c := newCtx(builtin.Config{MaxList: 1000})
		c.Arena.Limit = 1 << 16
		c.Event = columns(t)
		v, err := c.Arena.DecodeString(doc)
		if err != nil {
			v = value.Null()
		}
		pool := []value.Value{value.String(s), v, value.Int(i), value.Float(x)}
		var args []value.Value
		for range max(fn.Min, int(order>>4)%(len(fn.Args)+1)) {
			args = append(args, pool[order&3])
			order = order>>2 | order<<6
		}
		got, err := fn.Invoke(c, args)
		if err == nil {
			require.NoError(t, c.Arena.Err())
			require.True(t, utf8.Valid(value.AppendJSON(nil, got)))
		}
	})
}

func FuzzSprintf(f *testing.F) {
	for _, format := range []string{"~s~p", "~-5.2.0b", "~*.*.xc", "~.2f~e~g", "~~~n~i", "~ts ~.16#~+", "~999999999p"} {
		f.Add(format, "text", int64(-7), 1e300)
	}
	f.Fuzz(func(t *testing.T, format, s string, i int64, x float64) {
		c := newCtx(builtin.Config{})
		c.Arena.Limit = 1 << 16
		args := []value.Value{value.String(format), value.String(s), value.Int(i), value.Float(x), value.List([]value.Value{value.Int(i)})}
		for n := 1; n <= len(args); n++ {
			c.Arena.Reset()
			v, err := call(t, c, "sprintf", args[:n]...)
			if err == nil && !strings.Contains(format, "~") {
				require.Equal(t, format, v.AsString())
			}
		}
	})
}

// FuzzDates checks that a time survives being written and read by a format that
// says all of it.
func FuzzDates(f *testing.F) {
	f.Add(int64(1708933353472123456), "+08:00", "%Y-%m-%dT%H:%M:%S.%N%::z", "x")
	f.Add(int64(-62135596800000000), "-23:59:59", "%S%M%H%d%m%Y%N%::z", "%Y%q")
	f.Fuzz(func(t *testing.T, ts int64, offset, format, noise string) {
		c := newCtx(builtin.Config{})
		unit := value.String("nanosecond")
		for _, format := range []string{format, noise, "%Y %m %d %H %M %S %N %::z"} {
			s, err := call(t, c, "format_date", unit, value.String(offset), value.String(format), value.Int(ts))
			if err != nil {
				continue
			}
			back, err := call(t, c, "date_to_unix_ts", unit, value.String(format), s)
			if format == "%Y %m %d %H %M %S %N %::z" {
				require.NoError(t, err)
				i, _ := back.AsInt()
				require.Equal(t, ts, i, "%s", s.AsString())
			}
		}
	})
}

func FuzzUnescape(f *testing.F) {
	for _, s := range []string{`\n\t\x41`, `\`, `\x110000`, `a\\b`, `\x你`, "\xff\\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c := newCtx(builtin.Config{})
		v, err := call(t, c, "unescape", value.String(s))
		if err != nil {
			return
		}
		require.True(t, utf8.ValidString(v.AsString()))
		if !strings.Contains(s, `\`) {
			require.Equal(t, s, v.AsString())
		}
		escaped := value.String(strings.ReplaceAll(s, `\`, `\\`))
		v, err = call(t, c, "unescape", escaped)
		require.NoError(t, err)
		require.Equal(t, s, v.AsString())
	})
}

// FuzzSubbits compares with arithmetic on one big integer.
func FuzzSubbits(f *testing.F) {
	f.Add([]byte("\x9f\x4e\x58"), 3, 11, true)
	f.Add([]byte("abcdefghijkl"), 5, 80, false)
	f.Fuzz(func(t *testing.T, b []byte, start, length int, signed bool) {
		sign := map[bool]string{true: "signed", false: "unsigned"}[signed]
		c := newCtx(builtin.Config{})
		args := []value.Value{value.Bytes(b), value.Int(int64(start)), value.Int(int64(length)), value.String("integer"), value.String(sign), value.String("big")}
		got, err := call(t, c, "subbits", args...)
		require.NoError(t, err)
		total := 8 * len(b)
		if start < 1 || start > total {
			require.True(t, got.IsUndefined())
			return
		}
		n := length
		if n < 0 || n > total-start+1 {
			n = total - start + 1
		}
		want := new(big.Int).SetBytes(b)
		want.Rsh(want, uint(total-start+1-n))
		want.And(want, new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), uint(n)), big.NewInt(1)))
		if signed && n > 0 && want.Bit(n-1) == 1 {
			want.Sub(want, new(big.Int).Lsh(big.NewInt(1), uint(n)))
		}
		require.Zero(t, want.Cmp(got.AsBig()), "%v", want)
		args[3] = value.String("bits")
		part, err := call(t, c, "subbits", args...)
		require.NoError(t, err)
		_, size := part.AsBits()
		require.Equal(t, n, size)
	})
}

// FuzzRegex checks that no pattern makes trouble, and that the two engines agree on
// whether there is a match where both can tell.
func FuzzRegex(f *testing.F) {
	for _, p := range []string{"a+", "^a$", "(?=a)", "[a-c]++x", `\bx\b`, "(a|b)*c", "x{2,3}?"} {
		f.Add(p, "abcxx")
	}
	c := newCtx(builtin.Config{RegexTimeout: 10 * time.Millisecond})
	f.Fuzz(func(t *testing.T, pattern, s string) {
		if !utf8.ValidString(pattern) || !utf8.ValidString(s) || len(s) > 100 || strings.ContainsAny(pattern, "\\[({") {
			return // the engines differ in rare syntax
		}
		c.Arena.Reset()
		fast, err := call(t, c, "regex_match", value.String(s), value.String(pattern))
		if err != nil {
			return
		}
		slow, err := call(t, c, "regex_match", value.String(s), value.String("(?=|x)(?:"+pattern+")"))
		if err == nil {
			require.Equal(t, fast.AsBool(), slow.AsBool(), "%q in %q", pattern, s)
		}
	})
}

func FuzzTermDecode(f *testing.F) {
	f.Add([]byte("\x83\x6c\x00\x00\x00\x01\x61\x01\x6a"))
	f.Add([]byte("\x83\x74\x00\x00\x00\x01\x6d\x00\x00\x00\x01a\x77\x04true"))
	f.Fuzz(func(t *testing.T, b []byte) {
		c := newCtx(builtin.Config{})
		v, err := call(t, c, "term_decode", value.Bytes(b))
		if err != nil {
			return
		}
		again, err := call(t, c, "term_encode", v)
		require.NoError(t, err)
		back, err := call(t, c, "term_decode", again)
		require.NoError(t, err)
		require.True(t, value.Equal(v, back))
	})
}

func TestDeflateIsReadByOthers(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.SampledFrom([]int{0, 1, 2, 7, 100, 5000, 16383, 16384, 40000}).Draw(t, "length")
		letters := rapid.IntRange(1, 256).Draw(t, "letters")
		seed := rapid.Uint32().Draw(t, "seed")
		s := make([]byte, n)
		for i := range s {
			seed = seed*1664525 + 1013904223
			s[i] = byte(int(seed>>16) % letters)
		}
		f, _ := builtin.Lookup("zip")
		z, err := f.Invoke(newCtx(builtin.Config{}), []value.Value{value.Bytes(s)})
		if err != nil {
			t.Fatal(err)
		}
		r := strings.NewReader(z.AsString())
		back, err := io.ReadAll(flate.NewReader(r))
		if err != nil || !bytes.Equal(back, s) {
			t.Fatalf("%d bytes became %d: %v", len(s), len(back), err)
		}
		if r.Len() != 0 {
			t.Fatalf("%d bytes behind the end", r.Len())
		}
	})
}
