package jq

import (
	"fmt"
	"math/big"
	"strings"

	"github.com/itchyny/gojq"

	"github.com/sluiceio/sluice/internal/value"
)

// The names that rewritten programs use, which others may not.
const (
	reserved  = "_sluice_"
	budgetVar = "$__sluice"
	leftVar   = "$__sluice_x"
	rightVar  = "$__sluice_y"
	pathVar   = "$__sluice_p"
)

// guards are the functions that rewritten programs call. Their last argument is
// the budget, and all but the last three return their input.
func guards() []gojq.CompilerOption {
	guard := func(name string, arity int, f func(b *budget, v any, args []any) error) gojq.CompilerOption {
		return gojq.WithFunction(reserved+name, arity+1, arity+1, func(v any, args []any) any {
			b := args[arity].(*budget)
			if err := f(b, v, args[:arity]); err != nil {
				return err
			}
			if b.err != nil {
				return b.err
			}
			return v
		})
	}
	options := []gojq.CompilerOption{
		guard("made", 0, func(b *budget, v any, _ []any) error { return b.make(shallow(v)) }),
		guard("op", 3, func(b *budget, _ any, args []any) error { return b.operator(args[0].(string), args[1], args[2]) }),
		guard("begin", 0, func(b *budget, _ any, _ []any) error {
			b.path = b.path[:0]
			return nil
		}),
		guard("enter", 0, func(b *budget, _ any, _ []any) error {
			if b.calls++; b.calls > maxCalls {
				return b.exceed("memory", "the jq program calls itself too often", fmt.Sprintf("%d calls", maxCalls))
			}
			return nil
		}),
		guard("grow", 1, func(b *budget, v any, args []any) error { return b.grow(v, args[0]) }),
		guard("index", 0, func(b *budget, v any, _ []any) error { return b.index(v) }),
		guard("call0", 1, func(b *budget, v any, args []any) error { return b.call(args[0].(string), v, nil) }),
		guard("call1", 2, func(b *budget, v any, args []any) error { return b.call(args[0].(string), v, args[1:]) }),
		guard("call2", 3, func(b *budget, v any, args []any) error { return b.call(args[0].(string), v, args[1:]) }),
		guard("call3", 4, func(b *budget, v any, args []any) error { return b.call(args[0].(string), v, args[1:]) }),
	}
	return append(options,
		gojq.WithFunction(reserved+"match", 4, 4, func(v any, args []any) any {
			return args[3].(*budget).match(v, args[0], args[1], args[2])
		}),
		gojq.WithFunction(reserved+"substitute", 2, 2, func(v any, args []any) any {
			return args[1].(*budget).substitute(v, args[0])
		}),
		gojq.WithFunction(reserved+"split", 2, 2, func(v any, args []any) any {
			return args[1].(*budget).split(v, args[0])
		}),
	)
}

// operator works out what a binary operator will cost.
func (b *budget) operator(op string, x, y any) error {
	switch op {
	case "_add":
		return b.make(shallow(x) + shallow(y))
	case "_multiply":
		return b.multiply(x, y)
	case "_divide":
		if s, ok := x.(string); ok {
			return b.make(2 * itemCost * len(s))
		}
		return b.make(shallow(x))
	case "_subtract":
		p, isList := x.([]any)
		q, both := y.([]any)
		if !isList || !both {
			return b.make(shallow(x) + shallow(y))
		}
		if _, ok := b.weigh(x); !ok {
			return b.err
		}
		if _, ok := b.weigh(y); !ok {
			return b.err
		}
		if err := b.product(len(p), len(q)); err != nil {
			return err
		}
		return b.make(shallow(x))
	}
	// A comparison: it goes as deep as both sides are the same.
	if address(x) != 0 && address(y) != 0 {
		b.weigh(x)
		b.weigh(y)
	}
	return b.err
}

func (b *budget) multiply(x, y any) error {
	if s, ok := x.(string); ok {
		return b.repeat(s, y)
	}
	if s, ok := y.(string); ok {
		return b.repeat(s, x)
	}
	if address(x) != 0 { // objects are merged at all depths
		n, ok := b.weigh(x)
		m, ok2 := b.weigh(y)
		if !ok || !ok2 {
			return b.err
		}
		return b.make(4 * (n + m))
	}
	if bits(x)+bits(y) > value.MaxBits {
		b.err, b.done = value.ErrTooBig, closed
	}
	return b.err
}

// bits is the size of an integer that may grow.
func bits(x any) int {
	switch x := x.(type) {
	case int:
		return 64
	case *big.Int:
		return x.BitLen()
	}
	return 0
}

func (b *budget) repeat(s string, by any) error {
	n, ok := gojq.ToFloat64(by)
	if !ok || !(n > 0) { // it may be no number
		return nil
	}
	if n*float64(len(s)) > float64(b.Bytes) {
		return b.make(b.Bytes + 1)
	}
	return b.make(int(n+1) * len(s))
}

// grow works out what it costs to write to a path in v: copies of the arrays and
// objects on the way, once for all paths of an assignment, and the elements that
// are made up to an index.
func (b *budget) grow(v, path any) error {
	steps, ok := path.([]any)
	if !ok {
		return nil
	}
	if len(steps) > maxDepth {
		b.err, b.done = value.ErrDepth, closed
		return b.err
	}
	same := true // so far the path is the one before it
	for i, step := range steps {
		if same = same && i < len(b.path); !same {
			b.path = append(b.path[:i], written{length: length(v)})
			if err := b.make(objectCost + shallow(v)); err != nil {
				return err
			}
		}
		at := &b.path[i]
		same = same && sameStep(at.step, step)
		at.step = step
		var err error
		if v, err = b.follow(v, at); err != nil {
			return err
		}
	}
	return nil
}

// written is a step of the path that is written, and how long the array there has
// become.
type written struct {
	step   any
	length int
}

// sameStep reports whether two steps of paths are surely the same.
func sameStep(x, y any) bool {
	switch x.(type) {
	case string, int, float64:
		return x == y
	}
	return false
}

// follow returns what is behind a step of a path that is written.
func (b *budget) follow(v any, at *written) (any, error) {
	list, _ := v.([]any)
	switch step := at.step.(type) {
	case string:
		m, _ := v.(map[string]any)
		return m[step], nil
	case map[string]any: // a slice
		from, to := bound(step["start"], 0, len(list)), bound(step["end"], len(list), len(list))
		from = min(from, to)
		return list[from:to], b.make(itemCost * (to - from))
	}
	i, _ := gojq.ToInt(at.step)
	if i < 0 {
		i += len(list)
	}
	if i >= 0 && i < len(list) {
		return list[i], nil
	}
	if i > b.Bytes/itemCost {
		return nil, b.make(b.Bytes + 1)
	}
	grown := max(0, i+1-at.length)
	at.length += grown
	return nil, b.make(itemCost * grown)
}

// bound returns a bound of a slice of n elements.
func bound(v any, without, n int) int {
	i, ok := gojq.ToInt(v)
	switch {
	case !ok:
		return without
	case i < 0:
		i += n
	}
	return min(max(i, 0), n)
}

// index checks what is looked up: an array is searched for in an array.
func (b *budget) index(v any) error {
	if address(v) == 0 {
		return nil
	}
	n, ok := b.weigh(v)
	if !ok {
		return b.err
	}
	return b.product(n, 1000)
}

// call works out what a function of gojq's own will cost.
func (b *budget) call(name string, v any, args []any) error {
	switch name {
	case "keys", "keys_unsorted", "reverse", "to_array", "iter":
		if n := length(v); n > 0 {
			return b.make(itemCost * n)
		}
		return b.make(shallow(v))
	case "explode":
		return b.make(24 * length(v))
	case "transpose":
		return b.transpose(v)
	case "add", "join", "implode":
		return b.join(v, args)
	case "tonumber", "fromjson":
		s, _ := v.(string)
		if digits(s) > maxDigits {
			b.err, b.done = value.ErrTooBig, closed
			return b.err
		}
		if name == "fromjson" {
			return b.make(length(v) + objectCost*strings.Count(s, "{") + 2*itemCost*(strings.Count(s, ",")+strings.Count(s, "[")))
		}
		return nil
	case "setpath":
		b.path = b.path[:0]
		return b.grow(v, args[0])
	case "delpaths":
		b.path = b.path[:0]
		paths, _ := args[0].([]any)
		for _, p := range paths {
			if err := b.grow(v, p); err != nil {
				return err
			}
		}
		_, _ = b.weigh(args[0]) // they are sorted
		return b.err
	}
	n, ok := b.weigh(v)
	if !ok {
		return b.err
	}
	m := 0
	for _, a := range args {
		w, ok := b.weigh(a)
		if !ok {
			return b.err
		}
		m += w
	}
	switch name {
	case "contains", "inside", "indices", "index", "rindex":
		if err := b.product(n/8, m/8); err != nil {
			return err
		}
		return b.make(itemCost * length(v))
	case "split":
		s, _ := v.(string)
		return b.make(2 * itemCost * (1 + count(s, args[0])))
	}
	if sorting[name] {
		n += 4 * itemCost * length(v)
	}
	return b.make(max(1, growth[name]) * (n + m))
}

// growth is how many times their input some functions may make.
var growth = map[string]int{"format": 4, "tojson": 2, "tostring": 2, "strftime": 16, "strflocaltime": 16}

// sorting are the functions that make a list of what they sort.
var sorting = map[string]bool{"sort": true, "unique": true, "_sort_by": true, "_group_by": true, "_unique_by": true}

func count(s string, separator any) int {
	sep, _ := separator.(string)
	return strings.Count(s, sep)
}

// length is that of a text, an array or an object.
func length(v any) int {
	switch v := v.(type) {
	case string:
		return len(v)
	case []any:
		return len(v)
	case map[string]any:
		return len(v)
	}
	return 0
}

// transpose makes rows as long as the longest.
func (b *budget) transpose(v any) error {
	rows, _ := v.([]any)
	longest := 1
	for _, r := range rows {
		longest = max(longest, length(r))
	}
	if len(rows) > 0 && longest > b.Bytes/len(rows) {
		return b.make(b.Bytes + 1)
	}
	return b.make(itemCost * longest * len(rows))
}

// join is the cost of all elements in one.
func (b *budget) join(v any, args []any) error {
	between := 0
	if len(args) > 0 {
		between = length(args[0])
	}
	each := func(e any) error { return b.make(between + 8 + shallow(e)) }
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			if err := each(e); err != nil {
				return err
			}
		}
	case map[string]any:
		for _, e := range v {
			if err := each(e); err != nil {
				return err
			}
		}
	}
	return nil
}

// maxDigits is how many digits gojq may read as a number: it takes the square of
// their number.
const maxDigits = 20_000

// digits is the length of the longest run of digits in s.
func digits(s string) (most int) {
	n := 0
	for i := range len(s) {
		if s[i]-'0' > 9 {
			n = 0
			continue
		}
		n++
		most = max(most, n)
	}
	return most
}
