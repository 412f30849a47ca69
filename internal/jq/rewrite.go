package jq

import (
	"fmt"
	"strings"

	"github.com/itchyny/gojq"
)

// rewriter puts the calls into a program that count what it costs. It changes the
// syntax tree in place.
type rewriter struct {
	// used are the functions that the program calls, by name and number of
	// arguments; err is what the program may not do.
	used map[string]bool
	err  error
	// defined counts the definitions in scope of functions of the program's own,
	// and trusted is set for those of this package.
	defined map[string]int
	trusted bool
	// recursive is set for those of the functions around the present place that
	// call themselves.
	recursive map[string]bool
}

// key tells functions apart.
func key(name string, args int) string { return fmt.Sprintf("%s/%d", name, args) }

// program rewrites a program and puts those functions in front of it that gojq has
// as jq source.
func (r *rewriter) program(q *gojq.Query) (*gojq.Query, error) {
	r.used, r.defined, r.recursive = make(map[string]bool), make(map[string]int), make(map[string]bool)
	r.query(q)
	if r.err != nil {
		return nil, r.err
	}
	defs, err := prelude(r)
	if err != nil {
		return nil, err
	}
	q.FuncDefs = append(defs, q.FuncDefs...)
	return q, r.err
}

// query rewrites a query, which may be nil.
func (r *rewriter) query(q *gojq.Query) {
	if q == nil {
		return
	}
	for _, f := range q.FuncDefs {
		r.define(f)
	}
	defer r.leave(q.FuncDefs)
	for _, p := range q.Patterns {
		r.pattern(p)
	}
	r.query(q.Left)
	r.query(q.Right)
	r.term(q.Term)
	defs := q.FuncDefs
	switch q.Op {
	case gojq.OpAdd, gojq.OpSub:
		if number(q.Right) || number(q.Left) {
			return // the other side can only be a number, too, or null
		}
		*q = *guarded(q.Op, q.Left, q.Right)
	case gojq.OpMul, gojq.OpDiv:
		*q = *guarded(q.Op, q.Left, q.Right)
	case gojq.OpEq, gojq.OpNe, gojq.OpGt, gojq.OpLt, gojq.OpGe, gojq.OpLe:
		if !constant(q.Left) && !constant(q.Right) {
			*q = *guarded(q.Op, q.Left, q.Right)
		}
	case gojq.OpAssign, gojq.OpModify, gojq.OpUpdateAdd, gojq.OpUpdateSub, gojq.OpUpdateMul, gojq.OpUpdateDiv, gojq.OpUpdateMod, gojq.OpUpdateAlt:
		*q = *update(q.Op, q.Left, q.Right)
	}
	q.FuncDefs = defs
}

// leave ends the scope of functions.
func (r *rewriter) leave(defs []*gojq.FuncDef) {
	for _, f := range defs {
		r.defined[key(f.Name, len(f.Args))]--
	}
}

// define rewrites a function.
func (r *rewriter) define(f *gojq.FuncDef) {
	for _, name := range append([]string{f.Name}, f.Args...) {
		if reservedName(name) {
			r.refuse(name)
		}
	}
	k := key(f.Name, len(f.Args))
	outer, shadowed := r.recursive[k]
	r.recursive[k] = false
	r.defined[k]++
	r.query(f.Body)
	if r.recursive[k] {
		f.Body = pipe(callGuard("enter"), group(f.Body))
	}
	if delete(r.recursive, k); shadowed {
		r.recursive[k] = outer
	}
}

func reservedName(name string) bool {
	return strings.HasPrefix(name, reserved) || strings.HasPrefix(name, budgetVar)
}

func (r *rewriter) refuse(name string) { r.err = fmt.Errorf("the name %s is reserved", name) }

// pattern rewrites the expressions in a destructuring pattern.
func (r *rewriter) pattern(p *gojq.Pattern) {
	if p == nil {
		return
	}
	if reservedName(p.Name) {
		r.refuse(p.Name)
	}
	for _, e := range p.Array {
		r.pattern(e)
	}
	for _, e := range p.Object {
		if reservedName(e.Key) {
			r.refuse(e.Key)
		}
		r.text(e.KeyString)
		r.query(e.KeyQuery)
		r.pattern(e.Val)
	}
}

// text rewrites the expressions in a text that stands where no other expression
// may, as the name of a member; it is short in any sensible program, and what is
// made of it is counted with the object.
func (r *rewriter) text(s *gojq.String) {
	if s == nil {
		return
	}
	for _, q := range s.Queries {
		if q.Term == nil || q.Term.Str == nil || q.Term.Str.Queries != nil {
			r.query(q)
			*q = *group(pipe(group(clone(q)), callGuard("call0", text("tostring"))))
		}
	}
}

// term rewrites a term, which may be nil.
func (r *rewriter) term(t *gojq.Term) {
	if t == nil {
		return
	}
	list := t.SuffixList
	last := len(list) - 1
	for last >= 0 && !list[last].Iter {
		r.index(list[last].Index)
		last--
	}
	if last >= 0 { // what stands before .[] is rewritten by itself
		inner := *t
		inner.SuffixList = list[:last:last]
		r.term(&inner)
		*t = gojq.Term{
			Type:       gojq.TermTypeQuery,
			Query:      pipe(&gojq.Query{Term: &inner}, callGuard("call0", text("iter"))),
			SuffixList: list[last:],
		}
		return
	}
	r.index(t.Index)
	switch t.Type {
	case gojq.TermTypeFunc:
		r.call(t)
	case gojq.TermTypeObject:
		r.object(t)
	case gojq.TermTypeArray:
		if t.Array.Query != nil {
			r.query(t.Array.Query)
			made(t)
		}
	case gojq.TermTypeUnary:
		r.term(t.Unary.Term)
	case gojq.TermTypeFormat, gojq.TermTypeString:
		r.format(t)
	case gojq.TermTypeIf:
		r.query(t.If.Cond)
		r.query(t.If.Then)
		for _, e := range t.If.Elif {
			r.query(e.Cond)
			r.query(e.Then)
		}
		r.query(t.If.Else)
	case gojq.TermTypeTry:
		r.query(t.Try.Body)
		r.query(t.Try.Catch)
	case gojq.TermTypeReduce:
		r.query(t.Reduce.Query)
		r.patterns(t.Reduce.Patterns)
		r.query(t.Reduce.Start)
		r.query(t.Reduce.Update)
	case gojq.TermTypeForeach:
		r.query(t.Foreach.Query)
		r.patterns(t.Foreach.Patterns)
		r.query(t.Foreach.Start)
		r.query(t.Foreach.Update)
		r.query(t.Foreach.Extract)
	case gojq.TermTypeLabel:
		r.query(t.Label.Body)
	case gojq.TermTypeQuery:
		r.query(t.Query)
	}
}

func (r *rewriter) patterns(list []*gojq.Pattern) {
	for _, p := range list {
		r.pattern(p)
	}
}

// index rewrites the expression in brackets behind a term.
func (r *rewriter) index(x *gojq.Index) {
	if x == nil {
		return
	}
	r.text(x.Str)
	r.query(x.Start)
	r.query(x.End)
	if x.Start != nil && !x.IsSlice && !constant(x.Start) {
		x.Start = pipe(group(x.Start), callGuard("index"))
	}
}

// object rewrites an object.
func (r *rewriter) object(t *gojq.Term) {
	for _, kv := range t.Object.KeyVals {
		if reservedName(kv.Key) {
			r.refuse(kv.Key)
		}
		r.text(kv.KeyString)
		r.query(kv.KeyQuery)
		r.query(kv.Val)
	}
	if len(t.Object.KeyVals) > 0 {
		made(t)
	}
}

// format rewrites a text with expressions in it, which are joined: "a\(f)" is
// "a" + (f | tostring).
func (r *rewriter) format(t *gojq.Term) {
	if t.Type == gojq.TermTypeFormat && t.Str == nil {
		wrap(t, "format")
		return
	}
	if t.Str == nil || t.Str.Queries == nil {
		return
	}
	var sum *gojq.Query
	for _, q := range t.Str.Queries {
		part := q
		if q.Term == nil || q.Term.Str == nil {
			r.query(q)
			conversion := &gojq.Term{Type: gojq.TermTypeFunc, Func: &gojq.Func{Name: "tostring"}}
			if t.Type == gojq.TermTypeFormat {
				conversion = &gojq.Term{Type: gojq.TermTypeFormat, Format: t.Format}
			}
			part = pipe(group(q), callGuard("call0", text("format")), &gojq.Query{Term: conversion})
		} else if q.Term.Str.Queries != nil {
			r.query(q)
		}
		if sum == nil {
			sum = group(part)
		} else {
			sum = guarded(gojq.OpAdd, sum, group(part))
		}
	}
	*t = gojq.Term{Type: gojq.TermTypeQuery, Query: sum, SuffixList: t.SuffixList}
}

// call rewrites a call of a function.
func (r *rewriter) call(t *gojq.Term) {
	f := t.Func
	if reservedName(f.Name) && !r.trusted {
		r.refuse(f.Name)
		return
	}
	for _, a := range f.Args {
		r.query(a)
	}
	k := key(f.Name, len(f.Args))
	r.used[k] = true
	switch k {
	case "path/1":
		made(t)
		return
	case "getpath/1": // it looks up, and may be part of a path itself
		f.Args[0] = pipe(group(f.Args[0]), callGuard("index"))
		return
	}
	if _, inside := r.recursive[k]; inside {
		r.recursive[k] = true
	}
	if costly[f.Name]&(1<<len(f.Args)) == 0 || r.defined[k] > 0 {
		return
	}
	if len(f.Args) == 0 {
		wrap(t, f.Name)
		return
	}
	// The arguments become variables, the last one being the outermost loop, as
	// gojq has it.
	args, inner := make([]*gojq.Query, len(f.Args)), &gojq.Func{Name: f.Name}
	for i := range f.Args {
		name := fmt.Sprintf("%s_a%d", budgetVar, i)
		args[i] = variable(name)
		inner.Args = append(inner.Args, variable(name))
	}
	check := callGuard(fmt.Sprintf("call%d", len(args)), append([]*gojq.Query{text(f.Name)}, args...)...)
	q := pipe(check, &gojq.Query{Term: &gojq.Term{Type: gojq.TermTypeFunc, Func: inner}})
	for i := range f.Args {
		q = bind(group(f.Args[i]), fmt.Sprintf("%s_a%d", budgetVar, i), q)
	}
	*t = gojq.Term{Type: gojq.TermTypeQuery, Query: q, SuffixList: t.SuffixList}
}

// costly are gojq's own functions that may cost more than a step, with a bit for
// each number of arguments.
var costly = map[string]int{
	"add": 1, "ascii_downcase": 1, "ascii_upcase": 1, "bsearch": 2, "contains": 2, "delpaths": 2, "error": 3,
	"explode": 1, "flatten": 3, "format": 2, "fromjson": 1, "halt_error": 3, "implode": 1, "index": 2, "indices": 2,
	"inside": 2, "join": 2, "keys": 1, "ltrimstr": 2, "max": 1, "min": 1, "reverse": 1, "rindex": 2, "rtrimstr": 2,
	"setpath": 4, "sort": 1, "split": 2, "strftime": 2, "strflocaltime": 2, "strptime": 2, "tojson": 1, "tonumber": 1, "tostring": 1,
	"transpose": 1, "trimstr": 2, "unique": 1, "_group_by": 2, "_max_by": 2, "_min_by": 2, "_sort_by": 2, "_unique_by": 2,
	"_captures": 1,
}
