package rule

import (
	"github.com/sluiceio/sluice/internal/jsonx"
	"github.com/sluiceio/sluice/internal/value"
	"github.com/sluiceio/sluice/template"
)

// boundRow is a Row for templates whose placeholders were resolved at compile
// time: a variable's slot is its index in program.vars.
type boundRow Row

// boundVar is a resolved placeholder.
type boundVar struct {
	// column is the column in the row's shape, nil when only the message can
	// know it.
	column *rowColumn
	// payload is set for a path into the payload as it was received: the pass
	// that reads the statement's paths reads it too.
	payload *docPath
}

// bindVar resolves a placeholder and returns its slot.
func (p *program) bindVar(v template.Var) int {
	var b boundVar
	if !v.Whole() {
		if i, ok := p.row.find(v.Path[0]); ok {
			b.column = &p.row.columns[i]
			b.payload = p.payloadVar(&v, b.column)
		}
	}
	p.vars = append(p.vars, b)
	return len(p.vars) - 1
}

func (p *program) payloadVar(v *template.Var, c *rowColumn) *docPath {
	// The pass reads every text on the way as JSON, a republish template only
	// the first, which is the payload.
	inTexts := v.DecodesText(1) || len(v.Path) == 2
	if c.kind != fromEvent || c.column.id != colPayload || len(v.Path) < 2 || len(v.Path) > jsonx.MaxSteps || !inTexts {
		return nil
	}
	var steps []step
	for _, key := range v.Path[1:] {
		steps = append(steps, step{key: key})
	}
	return p.path(docPayload, jsonSteps(steps), steps)
}

// AppendVar appends the value of a placeholder as text.
func (w *boundRow) AppendVar(dst []byte, v *template.Var) ([]byte, error) {
	row := (*Row)(w)
	if len(dst) > w.r.arena.Left() {
		return dst, nil // the budget is exceeded, which the caller sees by the length
	}
	if v.Whole() {
		return row.AppendJSON(dst), nil
	}
	return appendText(&w.r.arena, dst, row.bound(v))
}

// AppendJSONVar appends the value of a placeholder as JSON.
func (w *boundRow) AppendJSONVar(dst []byte, v *template.Var) ([]byte, error) {
	row := (*Row)(w)
	if len(dst) > w.r.arena.Left() {
		return dst, nil // as above
	}
	if v.Whole() {
		return row.AppendJSON(dst), nil
	}
	return appendJSON(&w.r.arena, dst, row.bound(v))
}

func (w *Row) bound(v *template.Var) value.Value {
	b := &w.r.prog.vars[v.Slot]
	switch {
	case b.payload != nil && !w.r.meetsText(b.payload):
		x, err := w.r.at(b.payload)
		if err != nil {
			return value.Undefined() // a payload that is no JSON has no such place
		}
		return x
	case b.column != nil:
		x, _ := w.get(b.column)
		return follow(&w.r.arena, x, v)
	default:
		return w.variable(v)
	}
}
