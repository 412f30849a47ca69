package value

import (
	"math"
	"math/big"
	"strings"

	"github.com/sluiceio/sluice/internal/jsonx"
)

// Op is a comparison operator.
type Op uint8

// The operators that Compare knows.
const (
	Eq Op = iota // =
	Ne           // != and <>
	Lt           // <
	Le           // <=
	Gt           // >
	Ge           // >=
)

var opNames = [...]string{"=", "!=", "<", "<=", ">", ">="}

// String returns the operator as it is written.
func (o Op) String() string { return opNames[o] }

// holds reports whether x o y, given the sign of their difference.
func (o Op) holds(sign int) bool {
	switch o {
	case Eq:
		return sign == 0
	case Ne:
		return sign != 0
	case Lt:
		return sign < 0
	case Le:
		return sign <= 0
	case Gt:
		return sign > 0
	}
	return sign >= 0
}

// Compare reports whether x op y, in the loose way of a statement's comparisons:
//
//   - two undefined values are equal; when only one is undefined, every comparison
//     is false, also !=
//   - a number and a string compare as numbers; a string that is none is an error
//     that wraps ErrNotNumber
//   - a boolean or null and a string compare as text
//   - everything else by Order
func Compare(op Op, x, y Value) (bool, error) {
	if x.kind == y.kind {
		return op.holds(Order(x, y)), nil
	}
	if x.kind == KindUndefined || y.kind == KindUndefined {
		return false, nil
	}
	var err error
	switch {
	case y.kind == KindString:
		x, y, err = coerce(x, y)
	case x.kind == KindString:
		y, x, err = coerce(y, x)
	}
	if err != nil {
		return false, err
	}
	return op.holds(Order(x, y)), nil
}

// coerce brings a value and a string to a common kind.
func coerce(x, text Value) (Value, Value, error) {
	switch x.kind {
	case KindInt, KindFloat:
		n, err := ParseNumber(text.AsString())
		return x, n, err
	case KindBool, KindNull:
		return String(atom(x)), text, nil
	}
	return x, text, nil
}

// atom is the name of a boolean, null or undefined.
func atom(v Value) string {
	switch v.kind {
	case KindNull:
		return "null"
	case KindBool:
		if v.n != 0 {
			return "true"
		}
		return "false"
	}
	return "undefined"
}

// Equal reports whether x and y are the same: of the same kind and equal all the
// way down. The integer 1 and the float 1.0 are not.
func Equal(x, y Value) bool { return equal(x, y, 0) }

// equal is Equal for values that are depth levels below those that are compared.
func equal(x, y Value, depth int) bool {
	if x.kind != y.kind {
		return false
	}
	if sameText(x, y) {
		return true
	}
	if x.kind == KindList && x.form == rawJSON && y.form == rawJSON && depth < lazyDepth {
		same := true
		n := eachPair(x.raw(), y.raw(), func(p, q Value) bool {
			same = equal(p, q, depth+1)
			return same
		})
		return same && n == 0
	}
	x, y = x.Tree(), y.Tree()
	switch x.kind {
	case KindList:
		p, q := x.list(), y.list()
		if len(p) != len(q) {
			return false
		}
		for i := range p {
			if !equal(p[i], q[i], depth+1) {
				return false
			}
		}
		return true
	case KindMap:
		p, q := x.pairs(), y.pairs()
		if len(p) != len(q) {
			return false
		}
		for i := range p {
			if p[i].Key != q[i].Key || !equal(p[i].Value, q[i].Value, depth+1) {
				return false
			}
		}
		return true
	}
	return Order(x, y) == 0
}

// eachPair calls f for the elements of two lists that are JSON text, one of each at
// a time, as long as it returns true and both have more. The result tells which
// list is longer, as a comparison does.
func eachPair(x, y []byte, f func(p, q Value) bool) int {
	i, j := jsonx.Space(x, 1), jsonx.Space(y, 1)
	for x[i] != ']' && y[j] != ']' {
		end, kind := jsonx.Skip(x, i)
		p := (*Arena)(nil).FromJSON(x[i:end:end], kind)
		i = behind(x, end)
		end, kind = jsonx.Skip(y, j)
		q := (*Arena)(nil).FromJSON(y[j:end:end], kind)
		j = behind(y, end)
		if !f(p, q) {
			return 0
		}
	}
	switch {
	case x[i] != ']':
		return 1
	case y[j] != ']':
		return -1
	}
	return 0
}

// behind returns the position of the next element, or of the closing bracket, given
// the end of one.
func behind(text []byte, end int) int {
	if end = jsonx.Space(text, end); text[end] == ',' {
		end = jsonx.Space(text, end+1)
	}
	return end
}

// rank is the place of a kind in the order of kinds.
var rank = [...]uint8{
	KindInt: 0, KindFloat: 0,
	KindNull: 1, KindBool: 1, KindUndefined: 1,
	KindMap: 2, KindList: 3, KindString: 4, KindBits: 4,
}

// Order compares x and y by the total order of values: numbers, then false, null,
// true and undefined by name, then maps, lists and strings. Numbers compare by
// their exact value, so 1 and 1.0 are equal. Maps compare by size, then keys, then
// values; lists by their first different element, then length; strings bytewise.
// The result is negative, zero or positive.
func Order(x, y Value) int { return order(x, y, 0) }

// order is Order for values that are depth levels below those that are compared.
func order(x, y Value, depth int) int {
	if d := int(rank[x.kind]) - int(rank[y.kind]); d != 0 {
		return d
	}
	switch rank[x.kind] {
	case 0:
		return orderNumbers(x, y)
	case 1:
		return strings.Compare(atom(x), atom(y))
	case 2, 3:
		if sameText(x, y) {
			return 0
		}
		if x.kind == KindList && x.form == rawJSON && y.form == rawJSON && depth < lazyDepth {
			d := 0
			n := eachPair(x.raw(), y.raw(), func(p, q Value) bool {
				d = order(p, q, depth+1)
				return d == 0
			})
			return d + n // one of them is 0
		}
		if x, y = x.Tree(), y.Tree(); x.kind == KindMap {
			return orderMaps(x.pairs(), y.pairs())
		}
		return orderLists(x.list(), y.list())
	}
	if x.kind == KindString && y.kind == KindString {
		return strings.Compare(x.AsString(), y.AsString())
	}
	return orderBits(x, y)
}

// sameText reports whether x and y are lists or maps with the same text, which
// spares decoding them.
func sameText(x, y Value) bool {
	return x.form == rawJSON && y.form == rawJSON && view(x.raw()) == view(y.raw())
}

func orderMaps(p, q []Pair) int {
	if d := len(p) - len(q); d != 0 {
		return d
	}
	for i := range p {
		if d := strings.Compare(p[i].Key, q[i].Key); d != 0 {
			return d
		}
	}
	for i := range p {
		if d := Order(p[i].Value, q[i].Value); d != 0 {
			return d
		}
	}
	return 0
}

func orderLists(p, q []Value) int {
	for i := range min(len(p), len(q)) {
		if d := Order(p[i], q[i]); d != 0 {
			return d
		}
	}
	return len(p) - len(q)
}

// orderBits compares bit strings bit by bit; the shorter one comes first when it
// is the beginning of the other.
func orderBits(x, y Value) int {
	p, n := x.AsBits()
	q, m := y.AsBits()
	common := min(n, m)
	if d := strings.Compare(p[:common/8], q[:common/8]); d != 0 {
		return d
	}
	if rest := common % 8; rest != 0 {
		if d := int(p[common/8]>>(8-rest)) - int(q[common/8]>>(8-rest)); d != 0 {
			return d
		}
	}
	return n - m
}

func orderNumbers(x, y Value) int {
	switch {
	case x.kind == KindFloat && y.kind == KindFloat:
		return sign(math.Float64frombits(x.n), math.Float64frombits(y.n))
	case x.kind == KindFloat:
		return -orderIntFloat(y, math.Float64frombits(x.n))
	case y.kind == KindFloat:
		return orderIntFloat(x, math.Float64frombits(y.n))
	case x.form|y.form == plain:
		return sign(int64(x.n), int64(y.n))
	}
	return x.AsBig().Cmp(y.AsBig())
}

// maxExponent is how many bits the largest float has before its point.
const maxExponent = 1024

// orderIntFloat compares an integer with a float without rounding either.
func orderIntFloat(x Value, f float64) int {
	const exact = 1 << 53 // integers up to here are floats too
	if i := int64(x.n); x.form == plain && i >= -exact && i <= exact {
		return sign(float64(i), f)
	}
	if n := x.AsBig(); n.BitLen() > maxExponent {
		return n.Sign() // larger than any float
	}
	return new(big.Float).SetInt(x.AsBig()).Cmp(big.NewFloat(f))
}

func sign[T int64 | float64](p, q T) int {
	switch {
	case p < q:
		return -1
	case p > q:
		return 1
	}
	return 0
}
