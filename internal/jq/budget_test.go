package jq_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/internal/jq"
	"github.com/sluiceio/sluice/internal/value"
)

// small is a budget that a test is through with at once.
func small() jq.Budget {
	return jq.Budget{Bytes: 100_000, Value: 20_000, Deadline: time.Now().Add(time.Minute)}
}

func TestWhatProgramsMakeIsCounted(t *testing.T) {
	t.Parallel()
	for _, source := range []string{
		`"x" * 1000000`, `1000000 * "x"`, `reduce range(20) as $i ("x"; . + .)`, `reduce range(20) as $i ([1]; . + .)`, `reduce range(20) as $i ([1]; [.[], .[]])`, `reduce range(20) as $i ([1]; [.,.]) | tojson`,
		`reduce range(20) as $i ([1]; [.,.])`, `reduce range(20) as $i ([1]; [.,.]) | . == .`, `reduce range(20) as $i ([1]; [.,.]) | "\(.)"`, `reduce range(20) as $i ({}; {a: ., b: .}) | . * .`, `reduce range(20) as $i ([1]; [.,.]) | @json "x\(.)"`,
		`.[1000000] = 1`, `.[1000000] |= 1`, `.[1000000] += 1`, `.[1000000] //= 1`, `setpath([1000000]; 1)`, `null | pick(.[1000000])`, `fromstream([[1000000], 1], [[1000000]])`, `[range(100)] as $a | [range(1000) | $a | .[0] = 1]`, `[range(100)] as $a | [range(1000) | $a | del(.[0])]`,
		`[range(100000)]`, `[range(100000) | {a: .}]`, `[range(1000) | [range(100)]] | length`, `("x" * 1000) as $s | [range(1000) | $s] | add`, `("x" * 1000) as $s | [range(1000) | $s] | join("")`, `("x" * 1000) as $s | [range(1000) | $s + "y"]`, `("x" * 10000) | gsub("x"; "yyyyyyyyyy")`, `("x" * 10000) | [match("x"; "g")]`, `("x," * 9000) | split(",")`, `("x," * 9000) | [splits(",")]`,
		`[range(1000) | [.]] + [[range(1000)]] | transpose`, `[[range(300)] | .[] as $x | .[] as $y | 1]`, `{("x" * 30000): 1}`, `{"\("x" * 30000)": 1}`, `("x" * 9000) as $s | {"\($s)\($s)\($s)": 1}`, `def f: 1 + f; f`, `def f(g): f(g | g); f(.)`, `[walk(.) | range(100000)]`, `[range(200) | "x" * 1000] | map(ascii_upcase)`, `("x" * 10000) | explode`,
	} {
		_, err := run(t, source, "[]", small())
		require.ErrorIs(t, err, value.ErrLimit, source)
		require.Less(t, len(err.Error()), 200, source)
	}
}

func TestOtherBudgets(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]error{
		`last(range(1e12))`: value.ErrTime, `until(false; . + 1)?`: value.ErrTime, `[limit(1e9; repeat(1)) | select(. > 1)]`: value.ErrTime, `def f: f; f`: value.ErrLimit,
		`[range(3000)] | . - map(. + 5000)`: nil, `[range(9000)] | . - map(-1 - .)`: value.ErrTime, `reduce range(60) as $i (3; . * .)`: value.ErrTooBig, `"7" * 30000 | tonumber`: value.ErrTooBig,
		`reduce range(20000) as $i (1; [.])`: value.ErrDepth, `try ("x" * 1e9) catch "caught"`: value.ErrLimit, `label $x | try ("x" * 1e9) catch break $x`: value.ErrLimit, `first("x" * 1e9)?`: value.ErrLimit,
	} {
		_, err := run(t, source, "1", jq.Budget{Bytes: 2 << 20, Value: 1 << 20, Deadline: time.Now().Add(time.Minute)})
		require.ErrorIs(t, err, want, source)
	}
	_, err := run(t, `last(range(1e12))`, "1", jq.Budget{Bytes: 1 << 20, Value: 1 << 20, Deadline: time.Now().Add(-time.Second), Time: 5 * time.Millisecond})
	require.ErrorIs(t, err, value.ErrTime)
	require.ErrorContains(t, err, "the limit is 5ms", "although it was over before the run began")
}

func TestWhatIsRefusedWhenCompiled(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]string{
		`$__sluice`: "reserved", `1 as $__sluice | .`: "reserved", `_sluice_made(1)`: "reserved", `def _sluice_op(a): a; .`: "reserved", `def f($__sluice): .; f(1)`: "reserved", `. as {$__sluice} | .`: "reserved", `{$__sluice}`: "reserved", `reduce . as $__sluice_x (0; .)`: "reserved",
		strings.Repeat("[", 300) + strings.Repeat("]", 300): "nests deeper", strings.Repeat(".|", 40_000) + ".": "longer than", `.[`: "unexpected",
	} {
		_, err := jq.Compile(source)
		require.ErrorContains(t, err, want)
	}
}

func TestErrorsDoNotShowTheInput(t *testing.T) {
	t.Parallel()
	long := `"` + strings.Repeat("secret ", 10_000) + `"`
	for _, source := range []string{`error`, `{a: .} | error`, `. + 1`, `.a`, `test(.)?, test("(")`, `tonumber`, `fromjson`, `strptime("%Y")`, `sub("s"; 1)`, `halt_error`, `[.] | error`} {
		_, err := run(t, source, long, budget())
		require.Error(t, err, source)
		require.Less(t, len(err.Error()), 250, source)
	}
}

func TestUnboundedPrograms(t *testing.T) {
	t.Parallel()
	p, err := jq.CompileUnbounded(`"x" * .`)
	require.NoError(t, err)
	require.NoError(t, p.Run(200_000, jq.Budget{Deadline: time.Now().Add(time.Minute)}, func(x any) error {
		require.Len(t, x, 200_000)
		return nil
	}))
	p, err = jq.CompileUnbounded(`last(range(1e12))`)
	require.NoError(t, err)
	require.ErrorIs(t, p.Run(0, jq.Budget{Deadline: time.Now().Add(5 * time.Millisecond)}, nil), value.ErrTime)
}
