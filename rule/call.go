package rule

import (
	"errors"
	"slices"
	"strings"

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
		if len(c.errs) == maxFaults {
			return &constant{}
		}
		return c.refuseOrFail(x.NameSpan, "there is no function "+x.Name, c.functionHint(x.Name))
	}
	if err := fn.CheckCount(len(args)); err != nil {
		hint := ""
		if fn.Name == "concat" {
			hint = "more than two are joined with concat([a, b, c]) or a + b + c"
		}
		return c.refuseOrFail(x.Span, err.Error(), hint)
	}
	for i, a := range args {
		k, known := kindKnown(a)
		if !known {
			continue
		}
		if err := fn.CheckKind(i, k); err != nil {
			return c.refuseOrWarn(x.Args[i].Pos(), err.Error(), "")
		}
	}
	if e := c.checkConstants(fn, x, args); e != nil {
		return e
	}
	e := &callExpr{fn, args}
	if !fn.Pure {
		return e
	}
	return c.fold(x, e, args...)
}

// functionHint says what to do about a function that there is not.
func (c *compiler) functionHint(name string) string {
	for prefix, hint := range absentFunctions {
		if strings.HasPrefix(name, prefix) {
			return hint
		}
	}
	if near := nearest(name, c.engine.functionNames()); near != "" {
		return "did you mean " + near + "? Names of functions are case-sensitive"
	}
	return ""
}

// absentFunctions are EMQX's functions that need something beside the message, by
// the beginning of their names.
var absentFunctions = map[string]string{
	"spb_":       "Sparkplug B is decoded by sparkplug_decode of package rule/sparkplug; register it with the engine: EngineConfig.Functions",
	"sparkplug_": "sparkplug_decode is in package rule/sparkplug; register it with the engine: EngineConfig.Functions",
	"schema_":    "there is no schema registry; register a function of your own that decodes: EngineConfig.Functions, as rule/sparkplug does for Sparkplug B",
	"avro_":      "there is no schema registry; register a function of your own that decodes Avro: EngineConfig.Functions",
	"ai_":        "a rule calls no other service; register a function of your own: EngineConfig.Functions",
}

// checkConstants reports constant arguments with which a call cannot work.
func (c *compiler) checkConstants(fn *builtin.Function, x *sqlparse.Call, args []expr) expr {
	known := make(builtin.Constants, len(args))
	for i, a := range args {
		if k, ok := a.(*constant); ok {
			known[i] = &k.v
		}
	}
	fault := fn.CheckConstants(&c.scratch().call, known)
	if fault == nil {
		return nil
	}
	span, hint := x.Args[fault.Index].Pos(), ""
	text := known[fault.Index].AsString()
	near := nearest(text, fault.Options)
	if near == "" {
		near = abbreviated(text, fault.Options)
	}
	if near != "" {
		hint = "did you mean '" + near + "'?"
	}
	if fault.Odd {
		c.warn(span, fault.Error(), hint)
		return nil
	}
	return c.refuseOrWarn(span, fault.Error(), hint)
}

// abbreviated returns the option that begins like text, "" for none.
func abbreviated(text string, options []string) string {
	if unit := unitNames[text]; slices.Contains(options, unit) {
		return unit
	}
	best, length := "", 1 // one letter alone says nothing
	for _, o := range options {
		n := 0
		for n < len(text) && n < len(o) && text[n] == o[n] {
			n++
		}
		if n > length {
			best, length = o, n
		}
	}
	return best
}

// unitNames are units of time by how they are mostly written.
var unitNames = map[string]string{"s": "second", "ms": "millisecond", "us": "microsecond", "µs": "microsecond", "ns": "nanosecond"}

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
