package builtin_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/internal/builtin"
	"github.com/sluiceio/sluice/internal/sqlparse"
	"github.com/sluiceio/sluice/internal/value"
)

// event is an event for tests.
type event map[string]value.Value

func (e event) Column(name string) value.Value { return e[name] }

// now is the time in tests.
var now = time.Date(2024, 2, 26, 7, 42, 33, 472_123_456, time.UTC)

func newCtx(cfg builtin.Config) *builtin.Ctx {
	if cfg.Location == nil {
		cfg.Location = time.UTC
	}
	if cfg.Now == nil {
		cfg.Now = func() time.Time { return now }
	}
	return &builtin.Ctx{Env: builtin.NewEnv(cfg), Arena: new(value.Arena)}
}

// eval evaluates an expression made of constants, lists, columns of the event and
// calls of functions.
func eval(c *builtin.Ctx, x sqlparse.Expr) (value.Value, error) {
	switch x := x.(type) {
	case *sqlparse.Int:
		return value.BigInt(x.Value), nil
	case *sqlparse.Float:
		return value.Float(x.Value), nil
	case *sqlparse.String:
		return value.String(x.Value), nil
	case *sqlparse.Bool:
		return value.Bool(x.Value), nil
	case *sqlparse.Path:
		if c.Event != nil {
			return c.Event.Column(x.Name), nil
		}
		return value.Undefined(), nil
	case *sqlparse.Unary:
		v, err := eval(c, x.X)
		if err != nil {
			return v, err
		}
		return value.Neg(v)
	case *sqlparse.List:
		args, err := evalAll(c, x.Elems)
		return value.List(args), err
	case *sqlparse.Call:
		args, err := evalAll(c, x.Args)
		if err != nil {
			return value.Undefined(), err
		}
		f, ok := builtin.Lookup(x.Name)
		if !ok {
			return value.Undefined(), fmt.Errorf("no function %s", x.Name)
		}
		return f.Invoke(c, args)
	}
	return value.Undefined(), fmt.Errorf("cannot evaluate %T", x)
}

func evalAll(c *builtin.Ctx, list []sqlparse.Expr) ([]value.Value, error) {
	var out []value.Value
	for _, x := range list {
		v, err := eval(c, x)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

func evalText(t testing.TB, c *builtin.Ctx, expr string) (value.Value, error) {
	t.Helper()
	x, err := sqlparse.ParseExpr(expr)
	require.NoError(t, err, expr)
	return eval(c, x)
}

// show returns a value as the tests write it: JSON, or undefined.
func show(v value.Value) string {
	if v.IsUndefined() {
		return "undefined"
	}
	return string(value.AppendJSON(nil, v))
}

// check compares the value of an expression with its JSON text; "error: …" stands
// for an error that contains the words.
func check(t testing.TB, c *builtin.Ctx, expr, want string) {
	t.Helper()
	v, err := evalText(t, c, expr)
	const failure = "error: "
	if len(want) >= len(failure) && want[:len(failure)] == failure {
		require.ErrorContains(t, err, want[len(failure):], expr)
		return
	}
	require.NoError(t, err, expr)
	require.Equal(t, want, show(v), expr)
}
