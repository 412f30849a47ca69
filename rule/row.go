package rule

import (
	"slices"
	"sort"
	"strings"

	"github.com/sluiceio/sluice/internal/value"
	"github.com/sluiceio/sluice/template"
)

// rowShape says of which columns a row consists and where their values are.
type rowShape struct {
	// columns are sorted by name.
	columns []rowColumn
	// star is set when the row has all columns of the event too, also those
	// that only the message knows.
	star bool
}

type rowColumn struct {
	name string
	// prefix is the name as it starts a member of a JSON object: "name":
	prefix string
	kind   sourceKind
	frame  int
	slot   int
	column column
	// always: the row has the column also when the event has not.
	always bool
	// orSlot: the value is the event's when it has the column, else the slot's.
	orSlot bool
	// doc is set when the slot is not filled, since the value is taken from the
	// document.
	doc *docPath
}

// selectRow is the shape of what SELECT selects.
func selectRow(f *frame) rowShape {
	var s rowShape
	s.addFrame(f)
	if f.star {
		s.addEvent()
	}
	s.sort()
	return s
}

// itemRow is the shape of FOREACH without DO: all columns of the event, what was
// selected, and the item.
func itemRow(f *frame, item string) rowShape {
	var s rowShape
	if item != "" {
		s.add(rowColumn{name: item, kind: fromItem})
	}
	s.addFrame(f)
	s.addEvent()
	s.sort()
	return s
}

// doRow is the shape of what DO selects; a star stands for all that DO sees.
func doRow(sc *scope) rowShape {
	if !sc.do.star {
		return selectRow(sc.do)
	}
	var s rowShape
	for _, name := range sortedNames(sc.do) {
		if d := sc.do.slots[name]; !d.hidden {
			s.addSlot(name, sc.do, d)
		}
	}
	outer := itemRow(sc.selected, sc.item)
	for _, c := range outer.columns {
		s.add(c)
	}
	s.addFrame(sc.do)
	s.star = true
	s.sort()
	return s
}

// add adds a column, unless there is one of this name.
func (s *rowShape) add(c rowColumn) {
	if slices.ContainsFunc(s.columns, func(o rowColumn) bool { return o.name == c.name }) {
		return
	}
	c.prefix = string(append(value.AppendQuoted(nil, c.name), ':'))
	s.columns = append(s.columns, c)
}

func (s *rowShape) addFrame(f *frame) {
	for _, name := range sortedNames(f) {
		if !strings.HasPrefix(name, "\x00") {
			s.addSlot(name, f, f.slots[name])
		}
	}
}

func (s *rowShape) addSlot(name string, f *frame, d *slot) {
	if d.same && !d.hidden {
		s.add(rowColumn{name: name, kind: fromEvent, column: columnOf(name), always: true})
		return
	}
	s.add(rowColumn{name: name, kind: fromSlot, frame: f.id, slot: d.index, column: columnOf(name), orSlot: d.hidden})
}

func (s *rowShape) addEvent() {
	s.star = true
	for _, c := range messageFields {
		s.add(rowColumn{name: c.name, kind: fromEvent, column: c})
	}
}

func (s *rowShape) sort() {
	slices.SortFunc(s.columns, func(a, b rowColumn) int { return strings.Compare(a.name, b.name) })
}

// find returns the column with this name.
func (s *rowShape) find(name string) (int, bool) {
	i := sort.Search(len(s.columns), func(i int) bool { return s.columns[i].name >= name })
	return i, i < len(s.columns) && s.columns[i].name == name
}

// slot returns the column whose value is in a slot, nil for none.
func (s *rowShape) slot(frame, slot int) *rowColumn {
	for i := range s.columns {
		if c := &s.columns[i]; c.kind == fromSlot && c.frame == frame && c.slot == slot {
			return c
		}
	}
	return nil
}

func sortedNames(f *frame) []string {
	names := make([]string, 0, len(f.slots))
	for name := range f.slots {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Row is an output row of a rule: the columns that SELECT or DO selected. It gives
// the placeholders of templates their values. A Row is valid during the call that
// it is passed to, and not safe for concurrent use.
type Row struct {
	r     *run
	shape *rowShape
}

var _ template.Vars = (*Row)(nil)

// get returns the value of a column of the shape, and whether the row has it.
func (w *Row) get(c *rowColumn) (value.Value, bool) {
	switch c.kind {
	case fromItem:
		return w.r.item, true
	case fromEvent:
		v, ok := w.r.lookup(c.column)
		return v, ok || c.always
	default:
		if c.orSlot {
			if v, ok := w.r.lookup(c.column); ok {
				return v, true
			}
		}
		if c.doc != nil {
			v, _ := w.r.at(c.doc) // that it can be read has been seen before
			return v, true
		}
		return w.r.frames[c.frame][c.slot], true
	}
}

// value returns the value of the column with this name.
func (w *Row) value(name string) (value.Value, bool) {
	if i, ok := w.shape.find(name); ok {
		return w.get(&w.shape.columns[i])
	}
	if w.shape.star {
		return w.r.lookup(columnOf(name))
	}
	return value.Undefined(), false
}

// Get returns the value of a column and whether the row has it. Values are nil,
// bool, int64, *big.Int, float64, string, []any, map[string]any, Undefined and
// BitString; they share no memory with the row.
func (w *Row) Get(name string) (any, bool) {
	v, ok := w.value(name)
	return export(v), ok
}

// AppendJSON appends the row as a JSON object, with its columns sorted by name,
// and returns the result. An undefined column is the text "undefined".
func (w *Row) AppendJSON(dst []byte) []byte {
	dst = append(dst, '{')
	start := len(dst)
	extra := w.extra()
	for i := range w.shape.columns {
		c := &w.shape.columns[i]
		for len(extra) > 0 && extra[0] < c.name {
			dst = w.appendMember(dst, extra[0])
			extra = extra[1:]
		}
		if c.doc != nil {
			dst = append(w.r.appendAt(append(dst, c.prefix...), c.doc), ',')
			continue
		}
		v, ok := w.get(c)
		if !ok {
			continue
		}
		dst = append(dst, c.prefix...)
		dst = append(value.AppendJSON(dst, v), ',')
	}
	for _, name := range extra {
		dst = w.appendMember(dst, name)
	}
	if len(dst) == start {
		return append(dst, '}')
	}
	dst[len(dst)-1] = '}'
	return dst
}

func (w *Row) appendMember(dst []byte, name string) []byte {
	v, _ := w.value(name)
	dst = append(value.AppendQuoted(dst, name), ':')
	return append(value.AppendJSON(dst, v), ',')
}

// extra returns the names of the columns that the row has beside those of its
// shape, sorted.
func (w *Row) extra() []string {
	if !w.shape.star || len(w.r.msg.Columns) == 0 {
		return nil
	}
	names := w.r.names[:0]
	for name := range w.r.msg.Columns {
		if _, ok := w.shape.find(name); !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	w.r.names = names
	return names
}

// AppendVar appends the value of a placeholder as text.
func (w *Row) AppendVar(dst []byte, v *template.Var) ([]byte, bool) {
	if v.Whole() {
		return w.AppendJSON(dst), true
	}
	x := w.variable(v)
	if x.IsUndefined() {
		return dst, false
	}
	return value.AppendText(dst, x), true
}

// variable returns the value of a placeholder, undefined when it has none.
func (w *Row) variable(v *template.Var) value.Value {
	x, _ := w.value(v.Path[0])
	return follow(&w.r.arena, x, v)
}

// follow leads from a column along the keys of a placeholder.
func follow(a *value.Arena, x value.Value, v *template.Var) value.Value {
	texts := 0
	for _, key := range v.Path[1:] {
		if x.Kind() == value.KindString {
			if !v.DecodesText(texts) {
				return value.Undefined()
			}
			texts++
			x = x.Parse(a)
		}
		x = x.Member(a, key)
	}
	return x
}

// Vars returns the variables of a template for a value that is no row of a rule:
// a map of columns, or, for ${.} only, anything else. Values are as in
// bridge.Message.Columns; what is no such value is undefined.
func Vars(whole any) template.Vars {
	v, err := imported(nil, whole)
	if err != nil {
		v = value.Undefined()
	}
	return vars{v}
}

type vars struct{ whole value.Value }

// AppendVar appends the value of a placeholder as text.
func (w vars) AppendVar(dst []byte, v *template.Var) ([]byte, bool) {
	x := w.whole
	if !v.Whole() {
		x = follow(nil, x.Parse(nil).Member(nil, v.Path[0]), v)
	}
	if x.IsUndefined() {
		return dst, false
	}
	return value.AppendText(dst, x), true
}
