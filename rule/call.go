package rule

import (
	"errors"

	"github.com/sluiceio/sluice/internal/builtin"
	"github.com/sluiceio/sluice/internal/sqlparse"
	"github.com/sluiceio/sluice/internal/topic"
	"github.com/sluiceio/sluice/internal/value"
)

// callExpr is a call of a function.
type callExpr struct {
	fn   *builtin.Function
	args []expr
}

func (e *callExpr) eval(r *run) (value.Value, error) {
	base := len(r.stack)
	for _, x := range e.args {
		v, err := x.eval(r)
		if err != nil {
			r.stack = r.stack[:base]
			return v, err
		}
		r.stack = append(r.stack, v)
	}
	v, err := e.fn.Invoke(&r.call, r.stack[base:])
	r.stack = r.stack[:base]
	return v, err
}

// call compiles a call and checks what can be known of it.
func (c *compiler) call(s *scope, x *sqlparse.Call) expr {
	args := c.exprs(s, x.Args)
	fn, ok := c.engine.function(x.Name)
	if !ok {
		hint := ""
		if len(c.errs) == maxFaults {
			return &constant{}
		}
		if near := nearest(x.Name, c.engine.functionNames()); near != "" {
			hint = "did you mean " + near + "? Names of functions are case-sensitive"
		}
		return c.refuseOrFail(x.NameSpan, "there is no function "+x.Name, hint)
	}
	if err := fn.CheckCount(len(args)); err != nil {
		return c.refuseOrFail(x.Span, err.Error(), "")
	}
	for i, a := range args {
		k, known := kindKnown(a)
		if !known {
			continue
		}
		if err := fn.CheckKind(i, k); err != nil {
			return c.refuseOrFail(x.Args[i].Pos(), err.Error(), "")
		}
	}
	e := &callExpr{fn, args}
	if !fn.Pure {
		return e
	}
	return c.fold(x, e, args...)
}

// kindKnown returns the kind that an expression's value will have, when that is
// sure before it is evaluated.
func kindKnown(e expr) (value.Kind, bool) {
	switch e := e.(type) {
	case *constant:
		return e.v.Kind(), true
	case *boolExpr:
		return value.KindBool, true
	case *listExpr:
		return value.KindList, true
	default:
		return 0, false
	}
}

var errNoTopic = errors.New("=~ needs a topic and a topic filter, both of them text")

// matchCond is topic =~ filter.
type matchCond struct{ x, y expr }

func (c *matchCond) test(r *run) (bool, error) {
	x, err := c.x.eval(r)
	if err != nil {
		return false, err
	}
	y, err := c.y.eval(r)
	if err != nil {
		return false, err
	}
	if x.IsUndefined() != y.IsUndefined() {
		return false, nil
	}
	if x.Kind() != value.KindString || y.Kind() != value.KindString {
		return false, errNoTopic
	}
	return topic.Match(y.AsString(), x.AsString()), nil
}
