package rule

import (
	"errors"
	"fmt"

	"github.com/sluiceio/sluice/internal/sqlparse"
	"github.com/sluiceio/sluice/internal/value"
)

// expr is a compiled expression. It is immutable; what changes is in the run.
type expr interface {
	eval(r *run) (value.Value, error)
}

// constant is a value known at compile time.
type constant struct{ v value.Value }

func (e *constant) eval(*run) (value.Value, error) { return e.v, nil }

// columnExpr is a column of the event.
type columnExpr struct{ column column }

func (e *columnExpr) eval(r *run) (value.Value, error) { return r.column(e.column), nil }

// slotExpr is a column selected before.
type slotExpr struct{ frame, slot int }

func (e *slotExpr) eval(r *run) (value.Value, error) { return r.frames[e.frame][e.slot], nil }

// payloadExpr is the message's payload, decoded.
type payloadExpr struct{}

func (payloadExpr) eval(r *run) (value.Value, error) { return r.decodePayload(r.column(payloadColumn)) }

// itemExpr is the item of FOREACH.
type itemExpr struct{}

func (itemExpr) eval(r *run) (value.Value, error) { return r.item, nil }

// docExpr is a path into the payload of the event, or into the item. The steps
// behind those that the pass over it follows are in rest.
type docExpr struct {
	at   *docPath
	rest []step
}

func (e *docExpr) eval(r *run) (value.Value, error) {
	v, err := r.at(e.at)
	if err != nil || e.rest == nil {
		return v, err
	}
	return r.walk(v, e.rest), nil
}

// pathExpr is a name, or a path from it, for which more than one place comes into
// question: the first that has a value wins.
type pathExpr struct{ places []place }

// place is where a name may have its value.
type place struct {
	expr expr // the name's value, or, for payload.…, that of the whole path
	// steps lead on from there.
	steps []step
	// payload is set when the name is payload: a text that is not JSON is
	// then an error.
	payload bool
	// present, when set, says whether the place has the name at all; last means
	// that no other place is looked at when it has.
	present *column
	last    bool
}

func (e *pathExpr) eval(r *run) (value.Value, error) {
	for i := range e.places {
		p := &e.places[i]
		if p.present != nil {
			if _, ok := r.lookup(*p.present); !ok {
				continue
			}
		}
		v, err := p.expr.eval(r)
		if err != nil {
			return v, err
		}
		if p.steps != nil {
			if p.payload {
				if v, err = r.decodePayload(v); err != nil {
					return v, err
				}
			}
			v = r.walk(v, p.steps)
		}
		if p.last || !v.IsUndefined() {
			return v, nil
		}
	}
	return value.Undefined(), nil
}

// sliceExpr is a[from..to].
type sliceExpr struct {
	of       expr
	from, to int64
}

func (e *sliceExpr) eval(r *run) (value.Value, error) {
	v, err := e.of.eval(r)
	if err != nil {
		return v, err
	}
	return r.slice(v, e.from, e.to)
}

// listExpr is [a, b, …].
type listExpr struct{ elems []expr }

func (e *listExpr) eval(r *run) (value.Value, error) {
	list := r.arena.Values(len(e.elems))
	for i, x := range e.elems {
		v, err := x.eval(r)
		if err == nil {
			err = r.arena.Charge(v)
		}
		if err != nil {
			return v, err
		}
		list[i] = v
	}
	return value.List(list), nil
}

// arithExpr is a calculation with two operands.
type arithExpr struct {
	op   sqlparse.Op
	x, y expr
}

func (e *arithExpr) eval(r *run) (value.Value, error) {
	x, err := e.x.eval(r)
	if err != nil {
		return x, err
	}
	y, err := e.y.eval(r)
	if err != nil {
		return y, err
	}
	v, err := e.apply(r, x, y)
	if err == nil && (x.IsBig() || y.IsBig() || v.IsBig()) {
		r.arena.Spend(v.Extent()) // it is not made in the arena
		r.arena.Work(bigWork * (x.Extent() + y.Extent()))
		err = r.arena.Err()
	}
	return v, err
}

// bigWork is how much longer calculating with large integers takes than going over
// their bytes.
const bigWork = 64

func (e *arithExpr) apply(r *run, x, y value.Value) (value.Value, error) {
	switch e.op {
	case sqlparse.OpAdd:
		return value.Add(&r.arena, x, y)
	case sqlparse.OpSub:
		return value.Sub(x, y)
	case sqlparse.OpMul:
		return value.Mul(x, y)
	case sqlparse.OpQuo:
		return value.Quo(x, y)
	case sqlparse.OpDiv:
		return value.Div(x, y)
	default:
		return value.Mod(x, y)
	}
}

// negExpr is -x.
type negExpr struct{ x expr }

func (e *negExpr) eval(r *run) (value.Value, error) {
	x, err := e.x.eval(r)
	if err != nil {
		return x, err
	}
	return value.Neg(x)
}

// boolExpr is a condition where a value is wanted.
type boolExpr struct{ cond cond }

func (e *boolExpr) eval(r *run) (value.Value, error) {
	ok, err := e.cond.test(r)
	return value.Bool(ok), err
}

// caseExpr is CASE WHEN …: the first condition that holds decides.
type caseExpr struct {
	conds []cond
	thens []expr
	other expr
}

func (e *caseExpr) eval(r *run) (value.Value, error) {
	for i, c := range e.conds {
		ok, err := c.test(r)
		if err != nil {
			return value.Undefined(), err
		}
		if ok {
			return e.thens[i].eval(r)
		}
	}
	return e.other.eval(r)
}

// switchExpr is CASE x WHEN …: values must be the same, not just compare equal.
type switchExpr struct {
	operand expr
	values  []expr
	thens   []expr
	other   expr
}

func (e *switchExpr) eval(r *run) (value.Value, error) {
	x, err := e.operand.eval(r)
	if err != nil {
		return x, err
	}
	for i, w := range e.values {
		v, err := w.eval(r)
		if err != nil {
			return v, err
		}
		r.compares(x, v)
		if value.Equal(x, v) {
			return e.thens[i].eval(r)
		}
	}
	return e.other.eval(r)
}

// failExpr is an expression that EMQX accepts and that fails when it is reached.
type failExpr struct{ err error }

func (e *failExpr) eval(*run) (value.Value, error) { return value.Undefined(), e.err }
func (e *failExpr) test(*run) (bool, error)        { return false, e.err }

// cond is a compiled condition.
type cond interface {
	test(r *run) (bool, error)
}

type constCond bool

func (c constCond) test(*run) (bool, error) { return bool(c), nil }

type andCond struct{ x, y cond }

func (c *andCond) test(r *run) (bool, error) {
	ok, err := c.x.test(r)
	if !ok || err != nil {
		return false, err
	}
	return c.y.test(r)
}

type orCond struct{ x, y cond }

func (c *orCond) test(r *run) (bool, error) {
	ok, err := c.x.test(r)
	if ok || err != nil {
		return ok, err
	}
	return c.y.test(r)
}

type notCond struct{ x cond }

func (c *notCond) test(r *run) (bool, error) {
	ok, err := c.x.test(r)
	return !ok, err
}

// notValueCond is NOT of a value that is no condition: only false makes it true.
type notValueCond struct{ x expr }

func (c *notValueCond) test(r *run) (bool, error) {
	v, err := c.x.eval(r)
	return v.Kind() == value.KindBool && !v.AsBool(), err
}

type compareCond struct {
	op   value.Op
	x, y expr
}

func (c *compareCond) test(r *run) (bool, error) {
	x, err := c.x.eval(r)
	if err != nil {
		return false, err
	}
	y, err := c.y.eval(r)
	if err != nil {
		return false, err
	}
	r.compares(x, y)
	return value.Compare(c.op, x, y)
}

// compares counts the work of comparing two values, if it is more than a few steps.
func (r *run) compares(x, y value.Value) {
	if x.Kind() >= value.KindString || x.IsBig() {
		r.arena.Work(x.Extent() + y.Extent())
	}
}

// inCond is x IN (…). As in EMQX all values of the list are evaluated, and they
// must be the same, not just compare equal.
type inCond struct {
	not  bool
	x    expr
	list []expr
}

func (c *inCond) test(r *run) (bool, error) {
	x, err := c.x.eval(r)
	if err != nil {
		return false, err
	}
	found := false
	for _, e := range c.list {
		v, err := e.eval(r)
		if err != nil {
			return false, err
		}
		r.compares(x, v)
		found = found || value.Equal(x, v)
	}
	return found != c.not, nil
}

var errNoBool = errors.New("the condition is not a boolean")

// valueCond is an expression whose value has to be a boolean. Where a branch of CASE
// hangs on it, any other value is as good as false, as in EMQX.
type valueCond struct {
	x      expr
	branch bool
}

func (c *valueCond) test(r *run) (bool, error) {
	v, err := c.x.eval(r)
	if err != nil {
		return false, err
	}
	if v.Kind() != value.KindBool && !c.branch {
		return false, fmt.Errorf("%w but %s", errNoBool, v.Kind())
	}
	return v.AsBool(), nil
}

// branchOn makes a condition one that a branch of CASE hangs on.
func branchOn(c cond) {
	switch c := c.(type) {
	case *valueCond:
		c.branch = true
	case *andCond:
		branchOn(c.y) // the first operand has to be a boolean
	case *orCond:
		branchOn(c.y)
	}
}
