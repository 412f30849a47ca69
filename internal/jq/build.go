package jq

import "github.com/itchyny/gojq"

// The functions here build pieces of programs.

func variable(name string) *gojq.Query {
	return &gojq.Query{Term: &gojq.Term{Type: gojq.TermTypeFunc, Func: &gojq.Func{Name: name}}}
}

func text(s string) *gojq.Query {
	return &gojq.Query{Term: &gojq.Term{Type: gojq.TermTypeString, Str: &gojq.String{Str: s}}}
}

func clone(q *gojq.Query) *gojq.Query {
	c := *q
	return &c
}

// group is a query in parentheses.
func group(q *gojq.Query) *gojq.Query {
	return &gojq.Query{Term: &gojq.Term{Type: gojq.TermTypeQuery, Query: q}}
}

// pipe is a | b | …
func pipe(list ...*gojq.Query) *gojq.Query {
	q := list[len(list)-1]
	for i := len(list) - 2; i >= 0; i-- {
		q = &gojq.Query{Left: list[i], Op: gojq.OpPipe, Right: q}
	}
	return q
}

// bind is q as $name | body.
func bind(q *gojq.Query, name string, body *gojq.Query) *gojq.Query {
	return &gojq.Query{Left: q, Op: gojq.OpPipe, Right: body, Patterns: []*gojq.Pattern{{Name: name}}}
}

// callGuard is a call of one of the guards.
func callGuard(name string, args ...*gojq.Query) *gojq.Query {
	args = append(args, variable(budgetVar))
	return &gojq.Query{Term: &gojq.Term{Type: gojq.TermTypeFunc, Func: &gojq.Func{Name: reserved + name, Args: args}}}
}

// made makes a term one that counts its value.
func made(t *gojq.Term) {
	inner := *t
	inner.SuffixList = nil
	*t = gojq.Term{Type: gojq.TermTypeQuery, Query: pipe(&gojq.Query{Term: &inner}, callGuard("made")), SuffixList: t.SuffixList}
}

// wrap makes a term, a call without arguments, one that checks its input.
func wrap(t *gojq.Term, name string) {
	inner := *t
	inner.SuffixList = nil
	*t = gojq.Term{Type: gojq.TermTypeQuery, Query: pipe(callGuard("call0", text(name)), &gojq.Query{Term: &inner}), SuffixList: t.SuffixList}
}

// guarded is l op r with a check of the operands. As in gojq the right one is the
// outer loop.
func guarded(op gojq.Operator, l, r *gojq.Query) *gojq.Query {
	check := callGuard("op", text(functions[op]), variable(leftVar), variable(rightVar))
	body := pipe(check, &gojq.Query{Left: variable(leftVar), Op: op, Right: variable(rightVar)})
	return group(bind(group(r), rightVar, bind(group(l), leftVar, body)))
}

// functions are the names that operators have among the guards.
var functions = map[gojq.Operator]string{
	gojq.OpAdd: "_add", gojq.OpSub: "_subtract", gojq.OpMul: "_multiply", gojq.OpDiv: "_divide",
	gojq.OpEq: "_equal", gojq.OpNe: "_equal", gojq.OpGt: "_equal", gojq.OpLt: "_equal", gojq.OpGe: "_equal", gojq.OpLe: "_equal",
	gojq.OpUpdateAdd: "_add", gojq.OpUpdateSub: "_subtract", gojq.OpUpdateMul: "_multiply", gojq.OpUpdateDiv: "_divide",
}

// plainOps are the operators of updates.
var plainOps = map[gojq.Operator]gojq.Operator{
	gojq.OpUpdateAdd: gojq.OpAdd, gojq.OpUpdateSub: gojq.OpSub, gojq.OpUpdateMul: gojq.OpMul,
	gojq.OpUpdateDiv: gojq.OpDiv, gojq.OpUpdateMod: gojq.OpMod, gojq.OpUpdateAlt: gojq.OpAlt,
}

// update is l op r, an assignment, with a check of the paths that are written.
func update(op gojq.Operator, l, r *gojq.Query) *gojq.Query {
	path := &gojq.Query{Term: &gojq.Term{Type: gojq.TermTypeFunc, Func: &gojq.Func{Name: "path", Args: []*gojq.Query{l}}}}
	check := pipe(callGuard("begin"), &gojq.Query{Term: &gojq.Term{Type: gojq.TermTypeReduce, Reduce: &gojq.Reduce{
		Query: path, Patterns: []*gojq.Pattern{{Name: pathVar}},
		Start:  &gojq.Query{Term: &gojq.Term{Type: gojq.TermTypeIdentity}},
		Update: callGuard("grow", variable(pathVar)),
	}}})
	if op == gojq.OpModify {
		return group(pipe(check, &gojq.Query{Left: l, Op: op, Right: r}))
	}
	// The value is worked out before the paths, and once for all of them.
	value := variable(rightVar + "v")
	change := &gojq.Query{Left: l, Op: op, Right: value}
	if plain, ok := plainOps[op]; ok {
		identity := &gojq.Query{Term: &gojq.Term{Type: gojq.TermTypeIdentity}}
		f := &gojq.Query{Left: identity, Op: plain, Right: value}
		if _, checked := functions[op]; checked {
			f = guarded(plain, identity, value)
		}
		change = &gojq.Query{Left: l, Op: gojq.OpModify, Right: f}
	}
	return group(bind(group(r), rightVar+"v", pipe(check, change)))
}

// number reports whether q is a number as it is written.
func number(q *gojq.Query) bool {
	return q != nil && q.Term != nil && q.Term.Type == gojq.TermTypeNumber && len(q.Term.SuffixList) == 0
}

// constant reports whether q is no array and no object, as it is written.
func constant(q *gojq.Query) bool {
	if q == nil || q.Term == nil || len(q.Term.SuffixList) > 0 {
		return false
	}
	switch t := q.Term; t.Type {
	case gojq.TermTypeNull, gojq.TermTypeTrue, gojq.TermTypeFalse, gojq.TermTypeNumber:
		return true
	case gojq.TermTypeString:
		return t.Str.Queries == nil
	}
	return false
}
