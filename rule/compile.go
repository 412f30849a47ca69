package rule

import (
	"errors"
	"fmt"
	"strings"

	"github.com/sluiceio/sluice/internal/sqlparse"
	"github.com/sluiceio/sluice/internal/value"
)

// compiler turns a statement into a program. It goes on after a fault, so that
// all of them are reported at once.
type compiler struct {
	prog   *program
	engine *Engine
	sql    string
	// late turns faults of which EMQX hears only when they are reached into
	// such failures.
	late bool
	errs []*SyntaxError
	// reads are the selected columns that expressions read, by frame and slot.
	reads map[[2]int]bool
}

// compile compiles a statement for an engine.
func compile(name, sql string, engine *Engine, late bool) (*program, error) {
	stmt, err := sqlparse.Parse(sql)
	if err != nil {
		var fault *sqlparse.Error
		errors.As(err, &fault)
		return nil, &SyntaxError{fault}
	}
	c := &compiler{
		prog:   &program{name: name, stmt: stmt, engine: engine, clause: "SELECT", metadata: engine.metadataFor(name)},
		engine: engine, sql: sql, late: late || engine.late, reads: make(map[[2]int]bool),
	}
	c.filters(stmt.From)
	if stmt.Foreach {
		c.foreach(stmt)
	} else {
		c.selects(stmt)
	}
	if len(c.errs) > 0 {
		return nil, &faults{c.errs}
	}
	c.prog.fields = c.postpone(c.prog.fields)
	if c.prog.do != nil {
		c.prog.do = c.postpone(c.prog.do)
	}
	return c.prog, nil
}

// maxFaults is how many faults of a statement are reported.
const maxFaults = 20

// refuse records a fault.
func (c *compiler) refuse(span sqlparse.Span, msg, hint string) {
	if len(c.errs) == maxFaults {
		return
	}
	c.errs = append(c.errs, &SyntaxError{sqlparse.NewError(c.sql, span, msg, hint)})
}

// refuseOrFail records a fault that EMQX sees only when it evaluates the
// expression, or returns what then fails.
func (c *compiler) refuseOrFail(span sqlparse.Span, msg, hint string) *failExpr {
	if !c.late {
		c.refuse(span, msg, hint)
	}
	return &failExpr{errors.New(msg)}
}

func (c *compiler) warn(span sqlparse.Span, msg, hint string) {
	c.prog.warnings = append(c.prog.warnings, &SyntaxError{sqlparse.NewError(c.sql, span, msg, hint)})
}

func (c *compiler) filters(from []sqlparse.Source) {
	for _, f := range from {
		if msg, hint := checkFilter(f.Name); msg != "" {
			c.refuse(f.Span, msg, hint)
		}
		c.prog.filters = append(c.prog.filters, normalFilter(f.Name))
	}
}

func (c *compiler) selects(stmt *sqlparse.Statement) {
	p := c.prog
	s := &scope{selected: newFrame(frameSelect)}
	p.fields = c.fields(s, s.selected, stmt.Fields)
	s.complete = true
	if stmt.Where != nil {
		p.where = c.cond(s, stmt.Where, asClause)
	}
	p.slots[frameSelect] = len(s.selected.slots)
	p.row = selectRow(s.selected)
}

func (c *compiler) foreach(stmt *sqlparse.Statement) {
	p := c.prog
	p.clause, p.foreach = "FOREACH", true
	s := &scope{selected: newFrame(frameSelect)}
	last := &stmt.Fields[len(stmt.Fields)-1]
	p.fields = c.fields(s, s.selected, stmt.Fields[:len(stmt.Fields)-1])
	item := c.items(s, last)
	s.complete = true
	if stmt.Where != nil {
		p.where = c.cond(s, stmt.Where, asClause)
	}
	s.item = item
	if stmt.InCase != nil {
		p.incase = c.cond(s, stmt.InCase, asClause)
	}
	if stmt.Do == nil {
		p.row = itemRow(s.selected, item)
	} else {
		s.do = newFrame(frameDo)
		p.do = c.fields(s, s.do, stmt.Do)
		p.row = doRow(s)
		p.slots[frameDo] = len(s.do.slots)
		if item != "" && !usesName(stmt, item) {
			c.warn(last.Span, "the items of FOREACH are not used", "name the item in DO or INCASE: "+item)
		}
	}
	p.slots[frameSelect] = len(s.selected.slots)
}

// items compiles the last field of FOREACH, the one that it goes over, and
// returns the item's name.
func (c *compiler) items(s *scope, f *sqlparse.Field) string {
	p := c.prog
	if f.Star() {
		c.refuse(f.Span, "FOREACH goes over a list", "name it: FOREACH payload.values AS v")
		return ""
	}
	x := c.expr(s, f.Expr)
	path, ok := f.Expr.(*sqlparse.Path)
	p.decodeItems = ok && path.Name == "payload" && len(path.Steps) == 0
	if f.As != nil && len(f.As.Steps) == 0 {
		slot := s.selected.add(f.As.Name)
		slot.write(f.As.Name, nil, x)
		p.items = slot.index
		p.fields = append(p.fields, assignment{field: f, expr: x, frame: frameSelect, slot: slot.index})
		return f.As.Name
	}
	// The name of this slot cannot be written in a statement.
	list := s.selected.add("\x00items")
	p.items = list.index
	p.fields = append(p.fields, assignment{field: f, expr: x, frame: frameSelect, slot: list.index})
	p.fields = append(p.fields, c.assignment(s, s.selected, f, &slotExpr{frameSelect, list.index}, len(p.fields)))
	if f.As != nil {
		// EMQX leaves the items without a name then.
		c.warn(f.As.Span, "the items of FOREACH have no name", "their alias has to be a simple name")
		return ""
	}
	return "item"
}

// fields compiles a select list into a frame.
func (c *compiler) fields(s *scope, into *frame, list []sqlparse.Field) []assignment {
	out := make([]assignment, 0, len(list))
	for i := range list {
		f := &list[i]
		if f.Star() {
			into.hide()
			continue
		}
		out = append(out, c.assignment(s, into, f, c.expr(s, f.Expr), i))
	}
	return out
}

// assignment compiles where the value x of a field goes.
func (c *compiler) assignment(s *scope, into *frame, f *sqlparse.Field, x expr, number int) assignment {
	target := f.As
	if target == nil {
		target = ownName(f.Expr, number)
	}
	a := assignment{field: f, expr: x, frame: into.id, payload: target.Name == "payload"}
	if len(target.Steps) > 0 {
		a.steps = c.steps(s, target)
		a.base = c.place(s.written(into, target.Name), target.Name, nil)
	}
	slot := into.add(target.Name)
	slot.write(target.Name, target.Steps, x)
	a.slot = slot.index
	return a
}

// ownName is where a field without an alias goes: a name or path to where it came
// from, a text to itself, anything else to a name that nobody should rely on.
func ownName(x sqlparse.Expr, number int) *sqlparse.Path {
	switch x := x.(type) {
	case *sqlparse.Path:
		steps := x.Steps
		if n := len(steps); n > 0 && steps[n-1].Kind == sqlparse.StepSlice {
			steps = steps[:n-1]
		}
		return &sqlparse.Path{Span: x.Span, Name: x.Name, Steps: steps}
	case *sqlparse.String:
		return &sqlparse.Path{Span: x.Span, Name: x.Value}
	default:
		kind := strings.ToLower(strings.TrimPrefix(fmt.Sprintf("%T", x), "*sqlparse."))
		return &sqlparse.Path{Span: x.Pos(), Name: fmt.Sprintf("_v_%s_%d", kind, number+1)}
	}
}

// steps compiles the steps of a path. An index that is a column's value is, in a
// path from payload, looked for in the payload, as EMQX does.
func (c *compiler) steps(s *scope, x *sqlparse.Path) []step {
	out := make([]step, 0, len(x.Steps))
	for _, st := range x.Steps {
		compiled := step{kind: st.Kind, key: st.Key, index: st.Index, from: st.From, to: st.To}
		if st.Kind == sqlparse.StepVar {
			at := st.Var
			if x.Name == "payload" {
				own := sqlparse.Step{Span: at.Span, Kind: sqlparse.StepKey, Key: at.Name}
				at = &sqlparse.Path{Span: at.Span, Name: "payload", Steps: append([]sqlparse.Step{own}, at.Steps...)}
			}
			compiled.at = c.path(s, at)
		}
		out = append(out, compiled)
	}
	return out
}

// path compiles reading a path.
func (c *compiler) path(s *scope, x *sqlparse.Path) expr {
	steps := c.steps(s, x)
	read := x.Steps
	var slice *step
	if n := len(steps); n > 0 && steps[n-1].kind == sqlparse.StepSlice {
		slice, steps, read = &steps[n-1], steps[:n-1], read[:n-1]
	}
	sources := s.sources(x.Name, read)
	if x.Quoted && len(x.Steps) == 0 && len(sources) == 1 && sources[0].kind == fromEvent && !commonColumn(x.Name) {
		c.warn(x.Span, "\""+x.Name+"\" is the name of a column that events do not commonly have", "text is put in single quotes: '"+x.Name+"'")
	}
	e := c.place(sources, x.Name, steps)
	if slice != nil {
		return &sliceExpr{e, slice.from, slice.to}
	}
	return e
}

// place compiles a name with the steps from it for the given sources.
func (c *compiler) place(sources []source, name string, steps []step) expr {
	if len(steps) == 0 {
		steps = nil
	}
	places := make([]place, 0, len(sources))
	for _, src := range sources {
		p := place{steps: steps, payload: name == "payload", last: src.last}
		switch src.kind {
		case fromSlot:
			p.expr = &slotExpr{src.frame, src.slot}
			c.reads[[2]int{src.frame, src.slot}] = true
		case fromItem:
			p.expr, p.payload = itemExpr{}, false
			if steps != nil {
				p.expr, p.steps = c.docExpr(docItem, steps), nil
			}
		case fromEvent:
			col := columnOf(name)
			p.expr = &columnExpr{col}
			if p.payload && steps != nil {
				p.expr, p.steps = c.docExpr(docPayload, steps), nil
			}
			if src.ifPresent {
				p.present = &col
			}
		}
		places = append(places, p)
	}
	switch {
	case len(places) == 0:
		return &constant{value.Undefined()}
	case len(places) == 1 && places[0].steps == nil && places[0].present == nil:
		return places[0].expr
	default:
		return &pathExpr{places}
	}
}

// docExpr compiles a path into a document.
func (c *compiler) docExpr(doc int, steps []step) *docExpr {
	fixed := jsonSteps(steps)
	e := &docExpr{at: c.prog.path(doc, fixed, steps[:len(fixed)])}
	if len(fixed) < len(steps) {
		e.rest = steps[len(fixed):]
	}
	return e
}

// postpone finds the fields that no expression reads and that are places in a
// document: the row takes them from there, as they are written. Columns of the
// event that are selected as themselves it takes from the event, so that those
// fields fall away.
func (c *compiler) postpone(list []assignment) []assignment {
	kept := list[:0:0]
	for _, a := range list {
		if c.reads[[2]int{a.frame, a.slot}] || a.steps != nil || writes(list, a.slot) > 1 || c.prog.foreach && a.slot == c.prog.items && a.frame == frameSelect {
			kept = append(kept, a)
			continue
		}
		switch x := a.expr.(type) {
		case *docExpr:
			if col := c.prog.row.slot(a.frame, a.slot); col != nil && !col.orSlot && x.rest == nil {
				col.doc, a.postponed = x.at, x.at
			}
		case *columnExpr:
			if c.prog.row.slot(a.frame, a.slot) == nil {
				continue
			}
		}
		kept = append(kept, a)
	}
	return kept
}

// writes counts the fields that write a slot.
func writes(list []assignment, slot int) (n int) {
	for i := range list {
		if list[i].slot == slot {
			n++
		}
	}
	return n
}
