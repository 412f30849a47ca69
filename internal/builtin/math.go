package builtin

import (
	"errors"
	"math"
	"math/big"

	"github.com/sluiceio/sluice/internal/value"
)

// ErrDomain says that a mathematical function has no value at its argument.
var ErrDomain = errors.New("the function has no value there")

func mathFunctions() []Function {
	out := []Function{
		{
			Name: "abs", Args: params("n", Number), Min: 1, Pure: true, Call: abs,
			Doc:      "The absolute value. EMQX takes integers only.",
			Examples: []Example{{Expr: "abs(-12)", Result: "12"}, {Expr: "abs(-1.5)", Result: "1.5"}},
		},
		{
			Name: "ceil", Args: params("n", Number), Min: 1, Pure: true, Call: rounded(math.Ceil),
			Doc:      "The smallest integer that is not less than n.",
			Examples: []Example{{Expr: "ceil(0.8)", Result: "1"}},
		},
		{
			Name: "floor", Args: params("n", Number), Min: 1, Pure: true, Call: rounded(math.Floor),
			Doc:      "The largest integer that is not greater than n.",
			Examples: []Example{{Expr: "floor(-3.2)", Result: "-4"}},
		},
		{
			Name: "round", Args: params("n", Number), Min: 1, Pure: true, Call: rounded(math.Round),
			Doc:      "The nearest integer; a half is rounded away from zero.",
			Examples: []Example{{Expr: "round(4.5)", Result: "5"}, {Expr: "round(-4.5)", Result: "-5"}},
		},
		{
			Name: "div", Args: params("a", Int, "b", Int), Min: 2, Pure: true, Call: arith(value.Div),
			Doc:      "The quotient of two integers, truncated towards zero.",
			Examples: []Example{{Expr: "div(-7, 2)", Result: "-3"}, {Expr: "div(7, 0)", Error: true}},
		},
		{
			Name: "mod", Args: params("a", Int, "b", Int), Min: 2, Pure: true, Call: arith(value.Mod),
			Doc:      "The remainder of div, with the sign of a.",
			Examples: []Example{{Expr: "mod(-7, 3)", Result: "-1"}},
		},
		{
			Name: "eq", Args: params("a", Any, "b", Any), Min: 2, Pure: true, Call: eq,
			Doc:      "Whether a and b are equal. An integer equals a float of the same value, but no number equals a text.",
			Examples: []Example{{Expr: "eq(1, 1.0)", Result: "true"}, {Expr: "eq('1', 1)", Result: "false"}},
		},
		{
			Name: "fmod", Args: params("x", Number, "y", Number), Min: 2, Pure: true, Call: float2(math.Mod),
			Doc:      "The floating-point remainder of x / y, with the sign of x.",
			Examples: []Example{{Expr: "fmod(6.5, 2.5)", Result: "1.5"}, {Expr: "fmod(1, 0)", Error: true}},
		},
		{
			Name: "power", Args: params("x", Number, "y", Number), Min: 2, Pure: true, Call: float2(math.Pow),
			Doc:      "x to the power of y, as a float.",
			Examples: []Example{{Expr: "power(2, 3)", Result: "8.0"}},
		},
	}
	return append(out, floatFunctions()...)
}

// floatFunctions are the functions of one float.
func floatFunctions() []Function {
	var out []Function
	add := func(name string, f func(float64) float64, doc, expr, result string) {
		out = append(out, Function{
			Name: name, Args: params("x", Number), Min: 1, Pure: true, Doc: doc, Call: float1(f),
			Examples: []Example{{Expr: expr, Result: result}},
		})
	}
	add("sqrt", math.Sqrt, "The square root.", "sqrt(9)", "3.0")
	add("exp", math.Exp, "e to the power of x.", "exp(0)", "1.0")
	add("log", math.Log, "The natural logarithm.", "log(1)", "0.0")
	add("log10", math.Log10, "The logarithm to base 10.", "log10(100)", "2.0")
	add("log2", math.Log2, "The logarithm to base 2.", "log2(8)", "3.0")
	add("sin", math.Sin, "The sine of an angle in radians.", "sin(0)", "0.0")
	add("cos", math.Cos, "The cosine of an angle in radians.", "cos(0)", "1.0")
	add("tan", math.Tan, "The tangent of an angle in radians.", "tan(0)", "0.0")
	add("asin", math.Asin, "The angle in radians whose sine is x.", "asin(0)", "0.0")
	add("acos", math.Acos, "The angle in radians whose cosine is x.", "acos(1)", "0.0")
	add("atan", math.Atan, "The angle in radians whose tangent is x.", "atan(0)", "0.0")
	add("sinh", math.Sinh, "The hyperbolic sine.", "sinh(0)", "0.0")
	add("cosh", math.Cosh, "The hyperbolic cosine.", "cosh(0)", "1.0")
	add("tanh", math.Tanh, "The hyperbolic tangent.", "tanh(0)", "0.0")
	add("asinh", math.Asinh, "The inverse hyperbolic sine.", "asinh(0)", "0.0")
	add("acosh", math.Acosh, "The inverse hyperbolic cosine.", "acosh(1)", "0.0")
	add("atanh", math.Atanh, "The inverse hyperbolic tangent.", "atanh(0)", "0.0")
	return out
}

func abs(_ *Ctx, args []value.Value) (value.Value, error) {
	n := args[0]
	if f, _ := n.AsFloat(); n.Kind() == value.KindFloat {
		return value.Float(math.Abs(f)), nil
	}
	if value.Order(n, value.Int(0)) < 0 {
		return value.Neg(n)
	}
	return n, nil
}

func eq(_ *Ctx, args []value.Value) (value.Value, error) {
	return value.Bool(value.Order(args[0], args[1]) == 0), nil
}

func arith(f func(a, b value.Value) (value.Value, error)) Func {
	return func(_ *Ctx, args []value.Value) (value.Value, error) { return f(args[0], args[1]) }
}

// rounded makes an integer of a number.
func rounded(f func(float64) float64) Func {
	return func(_ *Ctx, args []value.Value) (value.Value, error) {
		if args[0].Kind() == value.KindInt {
			return args[0], nil
		}
		x, _ := args[0].AsFloat()
		return value.FromFloat(f(x)), nil
	}
}

func float1(f func(float64) float64) Func {
	return func(_ *Ctx, args []value.Value) (value.Value, error) {
		x, ok := args[0].AsFloat()
		if !ok {
			return value.Undefined(), value.ErrRange
		}
		return finite(f(x))
	}
}

func float2(f func(x, y float64) float64) Func {
	return func(_ *Ctx, args []value.Value) (value.Value, error) {
		x, ok := args[0].AsFloat()
		y, ok2 := args[1].AsFloat()
		if !ok || !ok2 {
			return value.Undefined(), value.ErrRange
		}
		return finite(f(x, y))
	}
}

func finite(f float64) (value.Value, error) {
	v, err := value.Finite(f)
	if err != nil {
		return v, ErrDomain
	}
	return v, nil
}

// bigOp makes a function of two integers from one for int64, which need not know
// the answer, and one for big integers.
func bigOp(small func(a, b int64) int64, large func(z, a, b *big.Int) *big.Int) Func {
	return func(_ *Ctx, args []value.Value) (value.Value, error) {
		a, ok := args[0].AsInt()
		b, ok2 := args[1].AsInt()
		if ok && ok2 {
			return value.Int(small(a, b)), nil
		}
		return value.BigInt(large(new(big.Int), args[0].AsBig(), args[1].AsBig())), nil
	}
}
