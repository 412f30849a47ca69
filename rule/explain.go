package rule

import (
	"fmt"
	"strings"

	"github.com/sluiceio/sluice/internal/sqlparse"
)

// Explain describes the compiled rule for people: what triggers it, which places
// of the payload it reads, what was computed beforehand, and which columns its
// rows have.
func (r *Rule) Explain() string {
	var b strings.Builder
	p := r.prog
	section(&b, "statement", p.stmt.String())
	section(&b, "triggers", p.filters...)
	section(&b, "payload", p.payloadUse()...)
	section(&b, "item", p.paths[docItem].text...)
	folded := make([]string, 0, len(p.folded))
	for _, f := range p.folded {
		folded = append(folded, shorten(sqlparse.Format(f.x))+" = "+show(f.v))
	}
	section(&b, "constants", folded...)
	columns := make([]string, 0, len(p.row.columns))
	for i := range p.row.columns {
		columns = append(columns, p.row.columns[i].describe())
	}
	if p.row.star {
		columns = append(columns, "* (further columns of the event)")
	}
	section(&b, "columns", columns...)
	for _, a := range r.actions {
		section(&b, "action", a.describe())
	}
	for _, w := range p.warnings {
		section(&b, "warning", w.Summary())
	}
	for _, w := range r.odd {
		section(&b, "warning", fmt.Sprintf("action %d, %s: %v", w.Action, w.Field, w))
	}
	return strings.TrimRight(b.String(), "\n")
}

func section(b *strings.Builder, title string, lines ...string) {
	if len(lines) == 0 {
		return
	}
	fmt.Fprintf(b, "%-10s %s\n", title, strings.Join(lines, "\n           "))
}

// payloadUse says what of the payload is read.
func (p *program) payloadUse() []string {
	read := p.paths[docPayload].text
	if len(read) == 0 {
		return []string{"not decoded"}
	}
	return append([]string{"read in one pass, when first needed:"}, read...)
}

func (c *rowColumn) describe() string {
	switch c.kind {
	case fromEvent:
		return c.name + " (of the event)"
	case fromItem:
		return c.name + " (the item)"
	default:
		return c.name
	}
}

func (a *action) describe() string {
	s := fmt.Sprintf("sink %q", a.Sink)
	if a.Dest != "" {
		s += fmt.Sprintf(", to %q", a.Dest)
	}
	if a.Key != "" {
		s += fmt.Sprintf(", key %q", a.Key)
	}
	return s + fmt.Sprintf(", data %q", a.Data)
}
