package builtin_test

import (
	"flag"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/internal/builtin"
	"github.com/sluiceio/sluice/internal/value"
)

var update = flag.Bool("update", false, "write docs/functions.md")

func TestReference(t *testing.T) {
	const file = "../../docs/functions.md"
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(builtin.Reference()), 0o644))
	}
	have, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, builtin.Reference(), string(have), "run go generate ./internal/builtin")
}

func TestExamples(t *testing.T) {
	t.Parallel()
	for _, f := range builtin.All() {
		require.True(t, len(f.Examples) > 0 || f.Family == "Event", "%s has no example", f.Name)
		for _, e := range f.Examples {
			v, err := evalText(t, newCtx(builtin.Config{}), e.Expr)
			if e.Error {
				require.Error(t, err, e.Expr)
				continue
			}
			require.NoError(t, err, e.Expr)
			require.Equal(t, e.Result, show(v), e.Expr)
		}
	}
}

func TestTableIsSound(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, f := range builtin.All() {
		require.False(t, seen[f.Name], "%s is there twice", f.Name)
		seen[f.Name] = true
		require.NotEmpty(t, f.Doc, f.Name)
		require.NotNil(t, f.Call, f.Name)
		require.LessOrEqual(t, f.Min, len(f.Args), f.Name)
		require.Equal(t, byte('.'), f.Doc[len(f.Doc)-1], f.Name)
		for _, p := range f.Args {
			require.NotZero(t, p.Type, f.Name)
		}
		found, ok := builtin.Lookup(f.Name)
		require.True(t, ok)
		require.Same(t, f, found)
	}
	_, ok := builtin.Lookup("nosuch")
	require.False(t, ok)
}

func TestSignatures(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"pad":     "pad(s, length[, where[, chars]])",
		"random":  "random()",
		"topic":   "topic([n])",
		"sprintf": "sprintf(format, arg, …)",
		"nth":     "nth(n, list)",
	} {
		f, _ := builtin.Lookup(name)
		require.Equal(t, want, f.Signature())
	}
	require.Equal(t, "any value", builtin.Any.String())
	require.Equal(t, "boolean or string", builtin.Text.String())
	require.Equal(t, "number or string", (builtin.Number | builtin.String).String())
}

func TestArgumentsAreChecked(t *testing.T) {
	t.Parallel()
	c := newCtx(builtin.Config{})
	for expr, want := range map[string]string{
		"strlen()":               "strlen takes 1 argument, not 0: strlen(s)",
		"strlen('a', 'b')":       "strlen takes 1 argument, not 2",
		"substr('a')":            "substr takes 2 or 3 arguments, not 1: substr(s, start[, length])",
		"pad('a')":               "pad takes 2 to 4 arguments, not 1",
		"sprintf()":              "sprintf takes at least 1 argument, not 0",
		"upper(1)":               "upper: argument 1 (s) must be boolean or string, not integer",
		"nth('1', [1])":          "nth: argument 1 (n) must be integer, not string",
		"concat('a', 'b', 'c')":  "concat takes 1 or 2 arguments, not 3",
		"nth(5, [1])":            "nth: bad argument: there is no element 5 in an array of 1",
		"sqrt(-1)":               "sqrt: the function has no value there",
		"bytesize([1, null()])":  "neither a byte nor a text",
		"json_decode('{\"a\":')": "json_decode: invalid JSON at byte 5",
	} {
		_, err := evalText(t, c, expr)
		require.ErrorContains(t, err, want)
	}
	var arity *builtin.ArityError
	_, err := evalText(t, c, "strlen()")
	require.ErrorAs(t, err, &arity)
	var kind *builtin.TypeError
	_, err = evalText(t, c, "upper(null())")
	require.ErrorAs(t, err, &kind)
	require.Equal(t, value.KindUndefined, kind.Kind)
	_, err = evalText(t, c, "first([])")
	require.ErrorIs(t, err, builtin.ErrArgument)
}
