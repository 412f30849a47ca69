package jq

import (
	"encoding/json"
	"fmt"
	"math/big"
	"reflect"
	"time"

	"github.com/sluiceio/sluice/internal/value"
)

const (
	// maxSteps is how many instructions a program may take. Each may leave some
	// bytes behind where a program calls itself without end, which nobody can
	// count; so this bounds the memory of such a program.
	maxSteps = 6_000_000
	// maxCalls is how often functions may be called that call themselves: gojq
	// keeps about a kilobyte for each call that is not over.
	maxCalls = 100_000
	// maxDepth is how deep a value may nest that something walks through.
	maxDepth = 10_000
	// clockSteps is how many instructions pass between two looks at the clock.
	clockSteps = 32
	// maxProduct is how many comparisons a single instruction may make.
	maxProduct = 20_000_000
)

// What values cost beside their content.
const (
	itemCost   = 16  // of an array
	memberCost = 48  // of an object
	objectCost = 320 // of an object, for up to 7 members
)

// budget is the context of a run. Its methods are called by one goroutine.
type budget struct {
	Budget
	made  int
	steps int
	calls int
	err   error
	done  chan struct{}
	// path is the last one of the assignment that is being checked.
	path []written
	// regexes are the expressions that the run has compiled.
	regexes map[string]*matcher
}

var closed = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// Deadline is that of the run, which it checks itself.
func (b *budget) Deadline() (time.Time, bool) { return b.Budget.Deadline, true }

// Done counts an instruction: gojq calls it before each one.
func (b *budget) Done() <-chan struct{} {
	if b.steps++; b.steps%clockSteps == 0 {
		switch {
		case b.steps > maxSteps:
			_ = b.exceed("time", "the jq program takes too many steps", fmt.Sprintf("%d steps", maxSteps))
		case time.Now().After(b.Budget.Deadline):
			_ = b.late()
		}
	}
	return b.done
}

// Err says why the run has to end.
func (b *budget) Err() error { return b.err }

// Value returns nothing.
func (b *budget) Value(any) any { return nil }

// exceed ends the run and returns why.
func (b *budget) exceed(name, msg, size string) error {
	if b.err == nil {
		b.err = &value.BudgetError{Budget: name, Msg: msg, Size: size}
		b.done = closed
	}
	return b.err
}

func (b *budget) late() error {
	return b.exceed("time", "the jq program runs too long", b.Time.String())
}

// make counts n bytes that the program makes and returns an error when they are
// too many.
func (b *budget) make(n int) error {
	if n < 0 || n > b.Bytes-b.made {
		return b.exceed("memory", "the jq program makes too much data", fmt.Sprintf("%d bytes", b.Bytes))
	}
	b.made += n
	return nil
}

// product checks that an instruction that compares n things with m others is not
// too much.
func (b *budget) product(n, m int) error {
	if n > 0 && m > maxProduct/n {
		return b.exceed("time", "the jq program compares too much at once", fmt.Sprintf("%d comparisons", maxProduct))
	}
	return nil
}

// weigh returns what v takes as text, with shared parts each time, and whether
// that is within the budget; if not, the run is over.
func (b *budget) weigh(v any) (n int, ok bool) {
	n = weight(v, b.Budget.Value, maxDepth)
	switch {
	case n == tooDeep:
		if b.err == nil {
			b.err, b.done = value.ErrDepth, closed
		}
		return 0, false
	case n > b.Budget.Value:
		_ = b.exceed("memory", "a value of the jq program is too large", fmt.Sprintf("%d bytes", b.Budget.Value))
		return 0, false
	}
	return n, true
}

// tooDeep is the weight of a value that nests too deeply.
const tooDeep = int(^uint(0) >> 1)

// weight is about how many bytes v takes as text; it stops counting above most.
func weight(v any, most, depth int) int {
	n := 8
	switch v := v.(type) {
	case string:
		n += len(v)
	case json.Number:
		n += len(v)
	case *big.Int:
		n += v.BitLen() / 3
	case []any:
		if depth == 0 {
			return tooDeep
		}
		for _, e := range v {
			w := weight(e, most-n, depth-1)
			if w == tooDeep {
				return w
			}
			if n += w; n > most {
				return n
			}
		}
	case map[string]any:
		if depth == 0 {
			return tooDeep
		}
		for k, e := range v {
			w := weight(e, most-n, depth-1)
			if w == tooDeep {
				return w
			}
			if n += len(k) + w; n > most {
				return n
			}
		}
	}
	return n
}

// shallow is what v itself takes in memory, without its parts.
func shallow(v any) int {
	switch v := v.(type) {
	case string:
		return len(v)
	case []any:
		return itemCost * len(v)
	case map[string]any:
		return objectCost + memberCost*len(v)
	case *big.Int:
		return v.BitLen() / 8
	}
	return 0
}

// address tells arrays and objects apart, 0 for everything else.
func address(v any) uintptr {
	switch v.(type) {
	case []any, map[string]any:
		return reflect.ValueOf(v).Pointer()
	}
	return 0
}
