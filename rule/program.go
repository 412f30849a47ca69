package rule

import (
	"fmt"
	"sync"

	"github.com/sluiceio/sluice/internal/sqlparse"
	"github.com/sluiceio/sluice/internal/value"
)

// program is a compiled statement. It is immutable; evaluations take their state
// from the pool.
type program struct {
	name     string
	sql      string
	stmt     *sqlparse.Statement
	engine   *Engine
	filters  []string
	metadata value.Value

	// clause is SELECT or FOREACH.
	clause  string
	foreach bool
	fields  []assignment
	// items is the slot of what FOREACH goes over; decodeItems is set when that
	// is the payload itself.
	items       int
	decodeItems bool
	do          []assignment
	where       cond
	incase      cond
	row         rowShape

	// paths are those into the payload and into the item, and vars the
	// placeholders of the rule's templates.
	paths [2]docPaths
	vars  []boundVar
	slots [2]int
	runs  sync.Pool

	folded   []foldedExpr
	warnings []*SyntaxError
}

// foldedExpr is an expression that was computed at compile time.
type foldedExpr struct {
	x sqlparse.Expr
	v value.Value
}

// fold notes an expression; its parts are of no interest any more.
func (p *program) fold(x sqlparse.Expr, v value.Value) {
	n := len(p.folded)
	for n > 0 && p.folded[n-1].x.Pos().Start >= x.Pos().Start {
		n--
	}
	p.folded = append(p.folded[:n], foldedExpr{x, v})
}

// assignment is an entry of a select list: a value and where it goes.
type assignment struct {
	field *sqlparse.Field
	expr  expr
	frame int
	slot  int
	// steps lead from the column to the place that is written, nil for the
	// column itself; base is then the column's value so far.
	steps []step
	base  expr
	// payload is set when the column is payload, which is then read as JSON.
	payload bool
	// postponed is set when the row takes the value from the document itself.
	postponed *docPath
	// gathered is set when it puts in what fields before it have given.
	gathered bool
}

// nested returns the column's value with v put into its place.
func (a *assignment) nested(r *run, v value.Value) (value.Value, error) {
	base, err := a.base.eval(r)
	if err != nil {
		return base, err
	}
	if a.payload {
		if base, err = r.decodePayload(base); err != nil {
			return base, err
		}
	}
	if err := r.arena.Charge(v); err != nil {
		return v, err
	}
	return r.put(base, a.steps, v), nil
}

// decodePayload returns what a column payload that is a text stands for as JSON. As
// in EMQX that is the message's payload, also when the text is an alias, once the
// message's payload has been read as JSON.
func (r *run) decodePayload(v value.Value) (value.Value, error) {
	if v.Kind() == value.KindString && r.docs[docPayload].state != unread {
		v = r.column(payloadColumn)
	}
	if v.Kind() != value.KindString {
		return v, nil
	}
	d, err := r.arena.DecodeString(v.AsString())
	if err != nil {
		return v, fmt.Errorf("%w: %w", errPayloadNotJSON, err)
	}
	return d, nil
}

// failField returns the error of an evaluation of the field.
func (p *program) failField(clause string, a *assignment, err error) error {
	return p.fail(clause, a.field.Expr, err)
}

// fail returns the error of an expression or condition.
func (p *program) fail(clause string, x sqlparse.Expr, err error) error {
	line, column := sqlparse.NewError(p.sql, x.Pos(), "", "").Position()
	return &EvalError{Rule: p.name, Clause: clause, Expr: sqlparse.Format(x), Line: line, Column: column, Err: err}
}

// fault returns the error of a part of a rule that is no expression. Its place in
// the statement is that of the first field, or of what FOREACH goes over.
func (p *program) fault(clause string, err error) error {
	e := &EvalError{Rule: p.name, Clause: clause, Err: err}
	if n := len(p.stmt.Fields); n > 0 {
		at := &p.stmt.Fields[0]
		if p.foreach {
			at = &p.stmt.Fields[n-1]
		}
		e.Line, e.Column = sqlparse.NewError(p.sql, at.Span, "", "").Position()
	}
	return e
}

// get returns a run from the pool.
func (p *program) get() *run {
	r, _ := p.runs.Get().(*run)
	if r == nil {
		r = p.newRun()
	}
	return r
}

// release gives a run back.
func (p *program) release(r *run) {
	r.end()
	p.runs.Put(r)
}

func (p *program) newRun() *run {
	r := &run{prog: p}
	r.arena.Time = p.engine.limits.Time
	for i, n := range p.slots {
		r.frames[i] = make([]value.Value, n)
	}
	for i := range r.docs {
		r.docs[i] = newDocument(&p.paths[i].set)
	}
	r.row.r = r
	p.engine.bind(r)
	return r
}
