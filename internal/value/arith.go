package value

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"math/bits"
)

// ErrDivByZero says that a number was divided by zero.
var ErrDivByZero = errors.New("division by zero")

// TypeError says that an operator was given values that it has no meaning for.
type TypeError struct {
	Op   string // as written in a statement
	X, Y Kind   // of the operands
	One  bool   // the operator has one operand, X
}

func (e *TypeError) Error() string {
	if e.One {
		return fmt.Sprintf("cannot apply %s to %s", e.Op, e.X)
	}
	return fmt.Sprintf("cannot apply %s to %s and %s", e.Op, e.X, e.Y)
}

// Add returns the sum of two numbers; when one of x and y is a string it returns
// both as text, joined. Strings are made in a.
func Add(a *Arena, x, y Value) (Value, error) {
	switch {
	case x.kind == KindInt && y.kind == KindInt:
		if x.form|y.form == plain {
			p, q := int64(x.n), int64(y.n)
			if s := p + q; (s > p) == (q > 0) {
				return Int(s), nil
			}
		}
		return BigInt(new(big.Int).Add(x.AsBig(), y.AsBig())), nil
	case x.kind == KindString || y.kind == KindString:
		return Concat(a, x, y)
	}
	return floats("+", x, y, func(p, q float64) float64 { return p + q })
}

// Concat returns x and y as text, joined.
func Concat(a *Arena, x, y Value) (Value, error) {
	b := a.AppendText(a.Buffer(64), x)
	b = a.AppendText(b, y)
	s := a.Keep(b)
	return String(s), a.Err()
}

// Sub returns x - y.
func Sub(x, y Value) (Value, error) {
	if x.kind == KindInt && y.kind == KindInt {
		if x.form|y.form == plain {
			p, q := int64(x.n), int64(y.n)
			if d := p - q; (d < p) == (q > 0) {
				return Int(d), nil
			}
		}
		return BigInt(new(big.Int).Sub(x.AsBig(), y.AsBig())), nil
	}
	return floats("-", x, y, func(p, q float64) float64 { return p - q })
}

// Mul returns x * y.
func Mul(x, y Value) (Value, error) {
	if x.kind == KindInt && y.kind == KindInt {
		if x.form|y.form == plain {
			if p, ok := mul64(int64(x.n), int64(y.n)); ok {
				return Int(p), nil
			}
		}
		if x.AsBig().BitLen()+y.AsBig().BitLen() > MaxBits {
			return Undefined(), ErrTooBig
		}
		return BigInt(new(big.Int).Mul(x.AsBig(), y.AsBig())), nil
	}
	return floats("*", x, y, func(p, q float64) float64 { return p * q })
}

func mul64(p, q int64) (int64, bool) {
	hi, lo := bits.Mul64(magnitude(p), magnitude(q))
	if hi != 0 || lo > 1<<63-1 {
		return 0, false
	}
	if (p < 0) != (q < 0) {
		return -int64(lo), true
	}
	return int64(lo), true
}

func magnitude(i int64) uint64 {
	if i < 0 {
		return -uint64(i)
	}
	return uint64(i)
}

// Quo returns x / y, which is always a float.
func Quo(x, y Value) (Value, error) {
	p, q, err := operands("/", x, y)
	if err != nil {
		return Undefined(), err
	}
	if q == 0 {
		return Undefined(), ErrDivByZero
	}
	return Finite(p / q)
}

// Div returns the quotient of two integers, truncated towards zero.
func Div(x, y Value) (Value, error) {
	if x.kind != KindInt || y.kind != KindInt {
		return Undefined(), &TypeError{Op: "div", X: x.kind, Y: y.kind}
	}
	if y.form == plain && y.n == 0 {
		return Undefined(), ErrDivByZero
	}
	if x.form|y.form == plain && int64(y.n) != -1 {
		return Int(int64(x.n) / int64(y.n)), nil
	}
	return BigInt(new(big.Int).Quo(x.AsBig(), y.AsBig())), nil
}

// Mod returns the remainder of Div, which has the sign of x.
func Mod(x, y Value) (Value, error) {
	if x.kind != KindInt || y.kind != KindInt {
		return Undefined(), &TypeError{Op: "mod", X: x.kind, Y: y.kind}
	}
	if y.form == plain && y.n == 0 {
		return Undefined(), ErrDivByZero
	}
	if x.form|y.form == plain && int64(y.n) != -1 {
		return Int(int64(x.n) % int64(y.n)), nil
	}
	return BigInt(new(big.Int).Rem(x.AsBig(), y.AsBig())), nil
}

// Neg returns -x.
func Neg(x Value) (Value, error) {
	switch x.kind {
	case KindInt:
		if i := int64(x.n); x.form == plain && i != math.MinInt64 {
			return Int(-i), nil
		}
		return BigInt(new(big.Int).Neg(x.AsBig())), nil
	case KindFloat:
		f, _ := x.AsFloat()
		return Float(-f), nil
	}
	return Undefined(), &TypeError{Op: "-", X: x.kind, One: true}
}

// operands returns two numbers as floats.
func operands(op string, x, y Value) (p, q float64, err error) {
	if !x.IsNumber() || !y.IsNumber() {
		return 0, 0, &TypeError{Op: op, X: x.kind, Y: y.kind}
	}
	p, ok1 := x.AsFloat()
	q, ok2 := y.AsFloat()
	if !ok1 || !ok2 {
		return 0, 0, ErrRange
	}
	return p, q, nil
}

func floats(op string, x, y Value, f func(p, q float64) float64) (Value, error) {
	p, q, err := operands(op, x, y)
	if err != nil {
		return Undefined(), err
	}
	return Finite(f(p, q))
}
