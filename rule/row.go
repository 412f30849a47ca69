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
	// names are those of columns, as long as some are added.
	names map[string]bool
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
	if s.names[c.name] {
		return
	}
	if s.names == nil {
		s.names = make(map[string]bool)
	}
	s.names[c.name] = true
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
	s.names = nil
	slices.SortFunc(s.columns, func(a, b rowColumn) int { return strings.Compare(a.name, b.name) })
}

// find returns the column with this name.
func (s *rowShape) find(name string) (int, bool) {
	i := sort.Search(len(s.columns), func(i int) bool { return s.columns[i].name >= name })
	return i, i < len(s.columns) && s.columns[i].name == name
}

// slots returns the columns whose values are in slots, by frame and slot.
func (s *rowShape) slots() map[[2]int]*rowColumn {
	out := make(map[[2]int]*rowColumn)
	for i := range s.columns {
		if c := &s.columns[i]; c.kind == fromSlot {
			out[[2]int{c.frame, c.slot}] = c
		}
	}
	return out
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

var _ template.JSONVars = (*Row)(nil)

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
// and returns the result. An undefined column is the text "undefined". It stops
// when the text exceeds what is left of the budget, which its caller then sees.
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
		if dst = append(w.r.arena.AppendJSON(dst, v), ','); len(dst) > w.r.arena.Left() {
			break
		}
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
	return append(w.r.arena.AppendJSON(dst, v), ',')
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
func (w *Row) AppendVar(dst []byte, v *template.Var) ([]byte, error) {
	if len(dst) > w.r.arena.Left() {
		return dst, nil // the budget is exceeded, which the caller sees by the length
	}
	if v.Whole() {
		return w.AppendJSON(dst), nil
	}
	return appendText(&w.r.arena, dst, w.variable(v))
}

// AppendJSONVar appends the value of a placeholder as JSON.
func (w *Row) AppendJSONVar(dst []byte, v *template.Var) ([]byte, error) {
	if len(dst) > w.r.arena.Left() {
		return dst, nil // as above
	}
	if v.Whole() {
		return w.AppendJSON(dst), nil
	}
	return appendJSON(&w.r.arena, dst, w.variable(v))
}

func appendText(a *value.Arena, dst []byte, x value.Value) ([]byte, error) {
	if x.IsUndefined() {
		return dst, template.ErrUndefined
	}
	return a.AppendText(dst, x), nil
}

func appendJSON(a *value.Arena, dst []byte, x value.Value) ([]byte, error) {
	if x.IsUndefined() {
		return dst, template.ErrUndefined
	}
	return a.AppendJSON(dst, x), nil
}

// variable returns the value of a placeholder, undefined when it has none.
func (w *Row) variable(v *template.Var) value.Value {
	x, _ := w.value(v.Path[0])
	return follow(&w.r.arena, x, v)
}

// follow leads from a column along the keys of a placeholder. As in EMQX a text is
// decoded once for each key: JSON that is a string holding JSON has no members here.
func follow(a *value.Arena, x value.Value, v *template.Var) value.Value {
	texts := 0
	for _, key := range v.Path[1:] {
		if x.Kind() == value.KindString {
			if !v.DecodesText(texts) {
				return value.Undefined()
			}
			texts++
			x = x.ParseOnce(a)
		}
		x = x.Member(a, key)
	}
	return x
}

// Vars returns the variables of a template for a value that is no row of a rule:
// a map of columns, or, for ${.} only, anything else. Values are as in
// bridge.Message.Columns; what is no such value is an error of each placeholder.
func Vars(whole any) template.Vars {
	v, err := imported(nil, whole)
	return vars{v, err}
}

type vars struct {
	whole value.Value
	err   error
}

var _ template.JSONVars = vars{}

// AppendVar appends the value of a placeholder as text.
func (w vars) AppendVar(dst []byte, v *template.Var) ([]byte, error) {
	if w.err != nil {
		return dst, w.err
	}
	return appendText(nil, dst, w.at(v))
}

// AppendJSONVar appends the value of a placeholder as JSON.
func (w vars) AppendJSONVar(dst []byte, v *template.Var) ([]byte, error) {
	if w.err != nil {
		return dst, w.err
	}
	return appendJSON(nil, dst, w.at(v))
}

func (w vars) at(v *template.Var) value.Value {
	if v.Whole() {
		return w.whole
	}
	return follow(nil, w.whole.Parse(nil).Member(nil, v.Path[0]), v)
}
