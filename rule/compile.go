package rule

import (
	"errors"
	"fmt"
	"slices"
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
	// run computes constants; nil until there are any.
	run *run
	// exhausted is set when they cost more than their budget.
	exhausted bool
	// reads are the selected columns that expressions read, by frame and slot.
	reads map[[2]int]bool
	// pending are the columns that are being put together, by name and in the
	// order in which they were begun; wanted are those that the field at hand
	// reads.
	pending map[string]*pending
	order   []string
	wanted  []string
	// unsure counts the branches around the expression at hand that may not be
	// reached, and dead those that never are.
	unsure, dead int

	names *names
}

// compile compiles a statement for an engine. Events have the columns given beside
// those that are known.
func compile(name, sql string, engine *Engine, columns []string) (*program, error) {
	stmt, err := sqlparse.Parse(sql)
	if err != nil {
		var fault *sqlparse.Error
		errors.As(err, &fault)
		return nil, &SyntaxError{fault}
	}
	c := &compiler{
		prog:   &program{name: name, sql: sql, stmt: stmt, engine: engine, clause: "SELECT", metadata: engine.metadataFor(name)},
		engine: engine, sql: sql, late: engine.late, reads: make(map[[2]int]bool), pending: make(map[string]*pending),
	}
	c.filters(stmt.From)
	c.names = newNames(stmt, c.prog.filters, slices.Concat(engine.columns, columns))
	if stmt.Foreach {
		c.foreach(stmt)
	} else {
		c.selects(stmt)
	}
	slices.SortStableFunc(c.errs, byPlace)
	slices.SortStableFunc(c.prog.warnings, byPlace)
	if len(c.errs) > 0 {
		return nil, &faults{c.errs}
	}
	c.prog.fields = c.postpone(c.prog.fields)
	if c.prog.do != nil {
		c.prog.do = c.postpone(c.prog.do)
	}
	return c.prog, nil
}

func byPlace(a, b *SyntaxError) int { return a.err.Span.Start - b.err.Span.Start }

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
// expression, or returns what then fails. Where the expression is never evaluated
// it is a warning.
func (c *compiler) refuseOrFail(span sqlparse.Span, msg, hint string) *failExpr {
	switch {
	case c.late:
	case c.dead > 0:
		c.warn(span, msg, hint)
	default:
		c.refuse(span, msg, hint)
	}
	return &failExpr{errors.New(msg)}
}

// refuseOrWarn is refuseOrFail for constants that fail: where they may not be
// reached, a rule that works on most messages should not be refused.
func (c *compiler) refuseOrWarn(span sqlparse.Span, msg, hint string) *failExpr {
	if c.late || c.unsure == 0 {
		return c.refuseOrFail(span, msg, hint)
	}
	c.warn(span, msg+", whenever this is reached", hint)
	return &failExpr{errors.New(msg)}
}

// branch compiles what is evaluated only if what stands before it lets it: never,
// when that is known to be so.
func (c *compiler) branch(never bool, compile func()) {
	c.unsure++
	if never {
		c.dead++
	}
	compile()
	c.unsure--
	if never {
		c.dead--
	}
}

func (c *compiler) warn(span sqlparse.Span, msg, hint string) {
	c.prog.warnings = append(c.prog.warnings, &SyntaxError{sqlparse.NewError(c.sql, span, msg, hint)})
}

func (c *compiler) filters(from []sqlparse.Source) {
	for _, f := range from {
		filter, msg, hint := withoutPrefix(f.Name)
		if msg == "" {
			msg, hint = checkFilter(filter)
		}
		if msg != "" {
			c.refuse(f.Span, msg, hint)
		}
		if prefix := strings.TrimSuffix(f.Name, filter); prefix != "" && msg == "" {
			c.warn(f.Span, "messages do not have "+prefix+" in their topics; the rule takes those that match "+filter, prefixHint(prefix))
		}
		c.prog.filters = append(c.prog.filters, normalFilter(filter))
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
	p.fields = append(p.fields, c.assignment(s, s.selected, f, targetOf(f, len(p.fields)), &slotExpr{frameSelect, list.index}))
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
			out = c.settleAll(into, out)
			into.hide()
			continue
		}
		x, target := c.expr(s, f.Expr), targetOf(f, i)
		out = c.settleWanted(into, out)
		if len(target.Steps) > 0 {
			var done bool
			if out, done = c.pend(s, into, f, target, x, out); done {
				continue
			}
		} else {
			c.drop(target.Name) // it is overwritten
		}
		a := c.assignment(s, into, f, target, x)
		out = append(c.settleWanted(into, out), a)
	}
	return c.settleAll(into, out)
}

// targetOf is where the value of a field goes.
func targetOf(f *sqlparse.Field, number int) *sqlparse.Path {
	if f.As != nil {
		return f.As
	}
	return ownName(f.Expr, number)
}

// assignment compiles that the value x of a field goes to target.
func (c *compiler) assignment(s *scope, into *frame, f *sqlparse.Field, target *sqlparse.Path, x expr) assignment {
	a := assignment{field: f, expr: x, frame: into.id, payload: target.Name == "payload"}
	if len(target.Steps) > 0 {
		a.steps = c.steps(s, target)
		a.base = c.place(s.written(into, target.Name), target.Name, nil)
	}
	slot := into.add(target.Name)
	slot.write(target.Name, target.Steps, x)
	slot.alias = slot.alias || f.As != nil && len(target.Steps) > 0
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
	for _, st := range read {
		if st.Kind == sqlparse.StepIndex && st.Index == 0 || st.Kind == sqlparse.StepEnd {
			c.warn(st.Span, "there is no element 0: "+x.String()+" is undefined", "the first is [1], the last [-1]")
		}
	}
	sources := s.sources(x.Name, read)
	if len(sources) == 1 && sources[0].kind == fromEvent {
		c.checkName(s, x)
		c.checkPayloadName(x)
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
			if p := c.pending[name]; p != nil && p.slot == src.slot {
				c.wanted = append(c.wanted, name)
			}
		case fromItem:
			p.expr, p.payload = itemExpr{}, false
			if steps != nil {
				p.expr, p.steps = c.docExpr(docItem, steps), nil
			}
		case fromPayload:
			p.expr = payloadExpr{}
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
	kept, writes, columns := list[:0:0], make(map[int]int), c.prog.row.slots()
	for i := range list {
		writes[list[i].slot]++
	}
	for _, a := range list {
		if c.reads[[2]int{a.frame, a.slot}] || a.steps != nil || writes[a.slot] > 1 || c.prog.foreach && a.slot == c.prog.items && a.frame == frameSelect {
			kept = append(kept, a)
			continue
		}
		switch x := a.expr.(type) {
		case *docExpr:
			if col := columns[[2]int{a.frame, a.slot}]; col != nil && !col.orSlot && x.rest == nil {
				col.doc, a.postponed = x.at, x.at
			}
		case *columnExpr:
			if columns[[2]int{a.frame, a.slot}] == nil {
				continue
			}
		}
		kept = append(kept, a)
	}
	return kept
}
