package builtin

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"math/big"
	"strings"
	"time"

	"github.com/itchyny/gojq"

	"github.com/sluiceio/sluice/internal/value"
)

func jqFunctions() []Function {
	return []Function{
		{
			Name: "jq", Args: params("program", String, "json", Any, "timeout", Int), Min: 2, Pure: true, Call: jq,
			Doc:      "The results of a jq program, as an array. The input is a JSON text or any other value; the program may run for a number of milliseconds, 10,000 unless the engine is set up otherwise.",
			Examples: []Example{{Expr: `jq('.a, .a * 2', '{"a":5}')`, Result: "[5,10]"}, {Expr: "jq('.[', '{}')", Error: true}},
		},
	}
}

// program is a compiled jq program, which is safe for concurrent use.
type program struct{ code *gojq.Code }

func compileJQ(source string) (*program, error) {
	query, err := gojq.Parse(source)
	if err != nil {
		return nil, err
	}
	code, err := gojq.Compile(query)
	if err != nil {
		return nil, err
	}
	return &program{code}, nil
}

func jq(c *Ctx, args []value.Value) (value.Value, error) {
	p, err := c.Env.programs.get(args[0].AsString(), compileJQ)
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
	return c.runJQ(p, toJQ(input), limit)
}

func (c *Ctx) runJQ(p *program, input any, limit time.Duration) (value.Value, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	var out []value.Value
	for iter := p.code.RunWithContext(ctx, input); ; {
		x, ok := iter.Next()
		if !ok {
			return value.List(out), nil
		}
		if err, failed := x.(error); failed {
			var halt *gojq.HaltError
			switch {
			case errors.As(err, &halt) && halt.Value() == nil: // the program ends itself
				return value.List(out), nil
			case errors.Is(err, context.DeadlineExceeded):
				err = bad("the program ran longer than %v", limit)
			}
			return value.Undefined(), err
		}
		v, err := c.fromJQ(x, 0)
		if err != nil {
			return value.Undefined(), err
		}
		out = append(out, v)
		if err := c.room(len(out)); err != nil {
			return value.Undefined(), err
		}
	}
}

// toJQ returns a value as jq takes it. Floats go as text, so that one that the
// program only passes on stays what it is.
func toJQ(v value.Value) any {
	switch v.Kind() {
	case value.KindUndefined:
		return "undefined"
	case value.KindInt:
		if i, ok := v.AsInt(); ok {
			return int(i)
		}
		return v.AsBig()
	case value.KindFloat:
		return json.Number(value.AppendJSON(nil, v))
	case value.KindList:
		elements := v.Elements(nil)
		out := make([]any, len(elements))
		for i, e := range elements {
			out[i] = toJQ(e)
		}
		return out
	case value.KindMap:
		pairs := v.Pairs(nil)
		out := make(map[string]any, len(pairs))
		for _, p := range pairs {
			out[strings.Clone(p.Key)] = toJQ(p.Value)
		}
		return out
	}
	return v.Any()
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
