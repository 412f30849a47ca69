package rule

import (
	"fmt"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/internal/sqlparse"
	"github.com/sluiceio/sluice/internal/value"
	"github.com/sluiceio/sluice/template"
)

var _ bridge.Stepper = (*Rule)(nil)

// ApplySteps is Apply, and calls see with the columns of the event, with what each
// clause gave, with each row and with each rendered template, in the order in
// which they are evaluated. To explain why a condition does not hold, its operands
// are evaluated again.
func (r *Rule) ApplySteps(out *bridge.Out, m *bridge.Message, see func(name, text, result string)) error {
	return r.apply(out, m, see)
}

// seeColumns tells the columns of the event.
func (r *run) seeColumns() {
	columns := rowShape{}
	columns.addEvent()
	columns.sort()
	r.see("columns", "", string((&Row{r, &columns}).AppendJSON(nil)))
}

// seeFields reports what the fields of a clause are, but for columns of the event,
// which are taken as they are.
func (r *run) seeFields(clause string, list []assignment) {
	for i := range list {
		a := &list[i]
		if a.gathered || i > 0 && a.field == list[i-1].field {
			continue // the same value, once more in the place that it came from
		}
		v := r.frames[a.frame][a.slot]
		if a.postponed != nil {
			v, _ = r.at(a.postponed) // that it can be read has been seen before
		}
		text := sqlparse.Format(a.field.Expr)
		if a.field.As != nil {
			text += " AS " + a.field.As.String()
		}
		r.see(clause, text, string(shown(v)))
	}
}

// shown is a value as JSON.
func shown(v value.Value) []byte {
	if v.IsUndefined() {
		return []byte("undefined")
	}
	return value.AppendJSON(nil, v)
}

// seeCond reports what came of a condition.
func (r *run) seeCond(clause string, c cond, x sqlparse.Expr, ok bool) {
	result := "true"
	if !ok {
		result = whyFalse(r, c, x)
	}
	r.see(clause, sqlparse.Format(x), result)
}

// seeItems reports how many items FOREACH goes over.
func (r *run) seeItems(items []value.Value) {
	result := fmt.Sprintf("%d items", len(items))
	if len(items) == 0 {
		result = r.prog.whyEmpty(r)
	}
	r.see("FOREACH", "", result)
}

// seeItem reports which item comes next.
func (r *run) seeItem(item value.Value) {
	r.see("item", "", string(shown(item)))
}

// seeRow tells the row.
func (r *run) seeRow() {
	r.see("row", "", string(r.row.AppendJSON(nil)))
}

// seeTemplates reports what the templates of an action gave.
func (a *action) seeTemplates(r *run) {
	see := func(field, text string, t *template.Template) {
		if text != "" {
			r.see(field, text, string(r.render(t, nil)))
		}
	}
	if a.Sink != "" {
		r.see("action", "", fmt.Sprintf("sink %q", a.Sink))
	}
	see("dest", a.Dest, a.dest)
	see("key", a.Key, a.key)
	see("hash key", a.Action.HashKey, a.hashKey)
	see("data", a.Data, a.data)
	for _, t := range a.attrs {
		see("attribute "+t.name, a.Attrs[t.name], t.value)
	}
}
