package builtin

import (
	"encoding/json"
	"math"
	"math/big"
	"strings"
	"time"

	"github.com/sluiceio/sluice/internal/jq"
	"github.com/sluiceio/sluice/internal/value"
)

func jqFunctions() []Function {
	return []Function{
		{
			Name: "jq", Args: params("program", String, "json", Any, "timeout", Int), Min: 2, Pure: true, Call: callJQ,
			Doc:      "The results of a jq program, as an array. The input is a JSON text or any other value; the program may run for a number of milliseconds, if the rule's budget allows so many. What it makes counts against the budget, too.",
			Examples: []Example{{Expr: `jq('.a, .a * 2', '{"a":5}')`, Result: "[5,10]"}, {Expr: "jq('.[', '{}')", Error: true}},
		},
	}
}

// program is a compiled program.
type program struct {
	*jq.Program
	size int
}

// weight is about how many bytes the program takes, with the functions that are
// compiled with it.
func (p *program) weight() int { return 20_000 + 200*p.size }

// compileJQ compiles a program for runs with a budget, or without.
func (e *Env) compileJQ(source string) (*program, error) {
	compile := jq.Compile
	if e.cfg.JQUnbounded {
		compile = jq.CompileUnbounded
	}
	p, err := compile(source)
	return &program{p, len(source)}, err
}

func callJQ(c *Ctx, args []value.Value) (value.Value, error) {
	p, err := c.Env.programs.get(args[0].AsString(), c.Env.compileJQ)
	if err != nil {
		return value.Undefined(), err
	}
	input := args[1]
	if input.Kind() == value.KindString {
		if input, err = c.Arena.DecodeString(input.AsString()); err != nil {
			return input, err
		}
	}
	limit := c.Env.cfg.JQTimeout
	if len(args) > 2 {
		ms := min(intArg(args[2]), int(time.Hour/time.Millisecond))
		if ms < 0 {
			return value.Undefined(), bad("the timeout must not be negative")
		}
		limit = time.Duration(ms) * time.Millisecond
	}
	return c.runJQ(p, input, c.jqBudget(limit, len(args) > 2))
}

// jqFactor is how many times the bytes that are left a jq program may make on the
// way to its results: it copies an array in order to append to it.
const jqFactor = 4

// jqBudget returns what a program may cost that has a limit of its own, unless that
// is 0 and was not given.
func (c *Ctx) jqBudget(limit time.Duration, given bool) jq.Budget {
	own := time.Now().Add(limit)
	given = given || limit > 0
	if given && c.Env.cfg.JQUnbounded {
		return jq.Budget{Deadline: own, Time: limit}
	}
	b := jq.Budget{Value: value.DefaultLimit}
	b.Deadline, b.Time = c.Arena.Deadline()
	if c.Arena != nil {
		b.Value = c.Arena.Left()
	}
	b.Bytes = jqFactor * b.Value
	if given && own.Before(b.Deadline) {
		b.Deadline, b.Time = own, limit
	}
	return b
}

func (c *Ctx) runJQ(p *program, input value.Value, b jq.Budget) (value.Value, error) {
	x, err := c.toJQ(input.Tree())
	if err != nil {
		return value.Undefined(), err
	}
	var out []value.Value
	err = p.Run(x, b, func(x any) error {
		v, err := c.fromJQ(x, 0)
		if err != nil {
			return err
		}
		out = append(out, v)
		c.Arena.Spend(24)
		return c.room(len(out))
	})
	if err != nil {
		return value.Undefined(), err
	}
	return value.List(out), nil
}

// What jq's objects cost.
const (
	memberCost = 48
	objectCost = 320
)

// toJQ returns a decoded value as jq takes it, and counts what that costs. Floats go as
// text, so that one that the program only passes on stays what it is.
func (c *Ctx) toJQ(v value.Value) (any, error) {
	switch v.Kind() {
	case value.KindUndefined:
		return "undefined", nil
	case value.KindInt:
		i, ok := v.AsInt()
		switch {
		case !ok:
			return v.AsBig(), nil
		case i < int64(minInt) || i > int64(maxInt):
			return big.NewInt(i), nil // on a 32-bit machine
		default:
			return int(i), nil
		}
	case value.KindFloat:
		return json.Number(value.AppendJSON(nil, v)), nil
	case value.KindList:
		elements := v.Elements(nil)
		c.Arena.Spend(16 * len(elements))
		if err := c.Arena.Err(); err != nil {
			return nil, err
		}
		out := make([]any, len(elements))
		for i, e := range elements {
			x, err := c.toJQ(e)
			if err != nil {
				return nil, err
			}
			out[i] = x
		}
		return out, nil
	case value.KindMap:
		pairs := v.Pairs(nil)
		c.Arena.Spend(objectCost + memberCost*len(pairs))
		if err := c.Arena.Err(); err != nil {
			return nil, err
		}
		out := make(map[string]any, len(pairs))
		for _, p := range pairs {
			x, err := c.toJQ(p.Value)
			if err != nil {
				return nil, err
			}
			out[strings.Clone(p.Key)] = x
		}
		return out, nil
	}
	return v.Any(), nil
}

// fromJQ returns a result of jq as a value. A number that the program has computed
// is an integer when it has no fraction, as jq prints it.
func (c *Ctx) fromJQ(x any, depth int) (value.Value, error) {
	if depth > value.MaxDepth {
		return value.Undefined(), value.ErrDepth
	}
	switch x := x.(type) {
	case float64:
		switch {
		case math.IsNaN(x):
			return value.Null(), nil
		case math.IsInf(x, 0):
			return value.Float(math.Copysign(math.MaxFloat64, x)), nil
		case x == math.Trunc(x) && math.Abs(x) < 1e17:
			return value.Int(int64(x)), nil
		}
		return value.Float(x), nil
	case string:
		c.Arena.Spend(len(x))
		return value.String(x), c.Arena.Err()
	case *big.Int:
		return value.BigInt(x), nil
	case []any:
		out := c.Arena.Values(len(x))
		for i, e := range x {
			v, err := c.fromJQ(e, depth+1)
			if err != nil {
				return v, err
			}
			out[i] = v
		}
		return value.List(out), c.Arena.Err()
	case map[string]any:
		out := c.Arena.Pairs(len(x))[:0]
		for k, e := range x {
			v, err := c.fromJQ(e, depth+1)
			if err != nil {
				return v, err
			}
			out = append(out, value.Pair{Key: k, Value: v})
		}
		return value.Map(out), c.Arena.Err()
	}
	return c.Arena.FromAny(x)
}
