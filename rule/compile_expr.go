package rule

import (
	"errors"
	"fmt"

	"github.com/sluiceio/sluice/internal/sqlparse"
	"github.com/sluiceio/sluice/internal/value"
)

// maxRange is the largest list that a range constant may make.
const maxRange = 100_000

// expr compiles an expression where a value is wanted.
func (c *compiler) expr(s *scope, x sqlparse.Expr) expr {
	switch x := x.(type) {
	case *sqlparse.Int:
		return &constant{value.BigInt(x.Value)}
	case *sqlparse.Float:
		return &constant{value.Float(x.Value)}
	case *sqlparse.String:
		return &constant{value.String(x.Value)}
	case *sqlparse.Bool:
		return &constant{value.Bool(x.Value)}
	case *sqlparse.Range:
		return c.rangeList(x)
	case *sqlparse.List:
		elems := c.exprs(s, x.Elems)
		return c.fold(x, &listExpr{elems}, elems...)
	case *sqlparse.Path:
		return c.path(s, x)
	case *sqlparse.Call:
		return c.call(s, x)
	case *sqlparse.Case:
		return c.caseOf(s, x)
	case *sqlparse.Unary:
		switch x.Op {
		case sqlparse.OpPos:
			return c.expr(s, x.X)
		case sqlparse.OpNeg:
			v := c.expr(s, x.X)
			return c.fold(x, &negExpr{v}, v)
		}
	case *sqlparse.Binary:
		if x.Op.Arithmetic() {
			p, q := c.expr(s, x.X), c.expr(s, x.Y)
			return c.fold(x, &arithExpr{x.Op, p, q}, p, q)
		}
	}
	k := c.cond(s, x, asValue)
	if known, ok := k.(constCond); ok {
		return &constant{value.Bool(bool(known))}
	}
	return &boolExpr{k}
}

func (c *compiler) exprs(s *scope, list []sqlparse.Expr) []expr {
	out := make([]expr, len(list))
	for i, x := range list {
		out[i] = c.expr(s, x)
	}
	return out
}

func (c *compiler) rangeList(x *sqlparse.Range) expr {
	n := x.To - x.From + 1
	if x.To < x.From-1 {
		return c.refuseOrWarn(x.Span, "the range ends before it starts", "")
	}
	if n > maxRange || n < 0 {
		c.refuse(x.Span, "the range is too long", fmt.Sprintf("at most %d integers", maxRange))
		return &constant{}
	}
	if !c.spend(x.Span, valueSize*int(n)) {
		return &constant{}
	}
	list := make([]value.Value, n)
	for i := range list {
		list[i] = value.Int(x.From + int64(i))
	}
	return &constant{value.List(list)}
}

func (c *compiler) caseOf(s *scope, x *sqlparse.Case) expr {
	e, sw := &caseExpr{other: &constant{value.Undefined()}}, &switchExpr{}
	if x.Operand != nil {
		sw.operand = c.expr(s, x.Operand)
	}
	decided := false // by a condition that always holds
	for i, w := range x.Whens {
		never := decided
		condition := func() {
			if x.Operand != nil {
				sw.values = append(sw.values, c.expr(s, w.Cond))
				return
			}
			k := c.cond(s, w.Cond, asBranch)
			known, ok := k.(constCond)
			never = never || ok && !bool(known)
			decided = decided || ok && bool(known)
			branchOn(k)
			e.conds = append(e.conds, k)
		}
		if i == 0 {
			condition()
		} else {
			c.branch(never, condition)
		}
		c.branch(never, func() { e.thens = append(e.thens, c.expr(s, w.Then)) })
	}
	if x.Else != nil {
		c.branch(decided, func() { e.other = c.expr(s, x.Else) })
	}
	if x.Operand == nil {
		return e
	}
	sw.thens, sw.other = e.thens, e.other
	return sw
}

// fold computes an expression of constants at once.
func (c *compiler) fold(x sqlparse.Expr, e expr, operands ...expr) expr {
	for _, o := range operands {
		if _, ok := o.(*constant); !ok {
			return e
		}
	}
	if c.exhausted {
		return e
	}
	v, err := e.eval(c.scratch())
	switch {
	case errors.Is(err, ErrBudget):
		c.exhausted = true
		c.refuse(x.Pos(), err.Error(), "")
		return e
	case err != nil:
		return c.refuseOrWarn(x.Pos(), err.Error(), "")
	}
	if !c.spend(x.Pos(), v.Weight()) {
		return e
	}
	v = v.Clone()
	c.prog.fold(x, v)
	return &constant{v}
}

// scratch returns the run for what is computed at compile time. There is one for
// the whole statement, so that it has one budget.
func (c *compiler) scratch() *run {
	if c.run == nil {
		c.run = &run{}
		c.run.arena.Limit, c.run.arena.Time = maxMemory, c.engine.limits.Time
		c.engine.bind(c.run)
	}
	return c.run
}

// valueSize is what a value in a list takes.
const valueSize = 24

// spend counts n bytes of constants, and refuses the statement when they are too
// many.
func (c *compiler) spend(span sqlparse.Span, n int) bool {
	r := c.scratch()
	r.arena.Spend(n)
	if err := r.arena.Err(); err != nil && !c.exhausted {
		c.exhausted = true
		c.refuse(span, "constants: "+err.Error(), "")
	}
	return !c.exhausted
}

// foldCond is fold for conditions.
func (c *compiler) foldCond(x sqlparse.Expr, k cond, operands ...expr) cond {
	e := c.fold(x, &boolExpr{k}, operands...)
	switch e := e.(type) {
	case *constant:
		return constCond(e.v.AsBool())
	case *failExpr:
		return e
	default:
		return k
	}
}

var compareOps = map[sqlparse.Op]value.Op{
	sqlparse.OpEq: value.Eq, sqlparse.OpNe: value.Ne, sqlparse.OpLt: value.Lt,
	sqlparse.OpLe: value.Le, sqlparse.OpGt: value.Gt, sqlparse.OpGe: value.Ge,
}

// use is where a condition stands. In a clause that wants one, EMQX takes only what
// is written as a condition: a column by itself fails, also when it holds true.
type use uint8

const (
	asValue  use = iota // where a value is wanted: any boolean will do
	asBranch            // a condition that may not be reached
	asClause            // a condition that is evaluated each time
)

// second is the use of the second operand of AND or OR.
func (u use) second() use { return min(u, asBranch) }

// cond compiles a condition.
func (c *compiler) cond(s *scope, x sqlparse.Expr, u use) cond {
	switch x := x.(type) {
	case *sqlparse.Bool:
		return constCond(x.Value)
	case *sqlparse.Binary:
		switch {
		case x.Op == sqlparse.OpAnd, x.Op == sqlparse.OpOr:
			p, q := c.cond(s, x.X, u), cond(nil)
			known, ok := p.(constCond)
			decided := ok && bool(known) == (x.Op == sqlparse.OpOr)
			c.branch(decided, func() { q = c.cond(s, x.Y, u.second()) })
			if x.Op == sqlparse.OpAnd {
				return &andCond{p, q}
			}
			return &orCond{p, q}
		case x.Op.Comparison():
			c.checkNull(s, x)
			p, q := c.expr(s, x.X), c.expr(s, x.Y)
			c.checkTopic(x)
			if x.Op == sqlparse.OpMatch {
				return c.foldCond(x, &matchCond{p, q}, p, q)
			}
			return c.foldCond(x, &compareCond{compareOps[x.Op], p, q}, p, q)
		}
	case *sqlparse.In:
		list := c.exprs(s, x.List)
		v := c.expr(s, x.X)
		return c.foldCond(x, &inCond{x.Not, v, list}, append(list[:len(list):len(list)], v)...)
	case *sqlparse.Unary:
		if x.Op == sqlparse.OpNot {
			return c.not(s, x)
		}
	case *sqlparse.Call, *sqlparse.Case:
		return &valueCond{x: c.expr(s, x)}
	case *sqlparse.Path:
		if u == asValue {
			return &valueCond{x: c.expr(s, x)}
		}
		name := x.String()
		return c.noCond(u, x.Span, name+" by itself is not a condition", "compare it: "+name+" = true")
	}
	return c.noCond(u, x.Pos(), "a "+kindOf(x)+" is not a condition", "compare it with something")
}

// noCond refuses what is no condition. In a branch that EMQX may never come to it
// is a warning, since a rule that works there should not be refused here.
func (c *compiler) noCond(u use, span sqlparse.Span, msg, hint string) cond {
	if u == asClause {
		return c.refuseOrFail(span, msg, hint)
	}
	c.warn(span, msg, hint)
	return &failExpr{errors.New(msg)}
}

// not compiles NOT: of a condition its opposite, of another value whether it is
// false.
func (c *compiler) not(s *scope, x *sqlparse.Unary) cond {
	switch y := x.X.(type) {
	case *sqlparse.Path, *sqlparse.Call, *sqlparse.Case, *sqlparse.String, *sqlparse.Int, *sqlparse.Float, *sqlparse.List, *sqlparse.Range:
		return &notValueCond{c.expr(s, y)}
	default:
		k := c.cond(s, y, asValue)
		if known, ok := k.(constCond); ok {
			return !known
		}
		return &notCond{k}
	}
}

// kindOf names what an expression is, for people.
func kindOf(x sqlparse.Expr) string {
	switch x.(type) {
	case *sqlparse.Int, *sqlparse.Float:
		return "number"
	case *sqlparse.String:
		return "text"
	case *sqlparse.List, *sqlparse.Range:
		return "list"
	default:
		return "calculation"
	}
}

// usesName reports whether the parts of FOREACH that see its item name it.
func usesName(stmt *sqlparse.Statement, name string) bool {
	used := false
	look := func(x sqlparse.Expr) {
		if p, ok := x.(*sqlparse.Path); ok && p.Name == name {
			used = true
		}
	}
	for i := range stmt.Do {
		if stmt.Do[i].Star() {
			return true
		}
		sqlparse.Walk(stmt.Do[i].Expr, look)
	}
	if stmt.InCase != nil {
		sqlparse.Walk(stmt.InCase, look)
	}
	return used
}
