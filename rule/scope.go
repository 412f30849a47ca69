package rule

import (
	"github.com/sluiceio/sluice/internal/sqlparse"
)

// frame is what the compiler knows of the columns that a select list has selected
// so far.
type frame struct {
	id    int
	slots map[string]*slot
	// star is set behind a star, which copies all columns of the event.
	star bool
}

// slot is a selected column.
type slot struct {
	index int
	// whole is set when the column as such was written, not just places in it,
	// and origin when that was with the event's column of this name. The places
	// that were written since are remembered.
	whole, origin bool
	places        branch
	// alias is set when a place was written by another name than its own.
	alias bool
	// hidden is set when a later star puts the event's column of this name, if
	// there is one, in its place.
	hidden bool
	// same is set when the value is the event's column of this name, so that
	// nothing is to be gained from looking here.
	same bool
}

func newFrame(id int) *frame { return &frame{id: id, slots: make(map[string]*slot)} }

// add returns the slot for a column, made when there is none.
func (f *frame) add(name string) *slot {
	s := f.slots[name]
	if s == nil {
		s = &slot{index: len(f.slots)}
		f.slots[name] = s
	}
	return s
}

// hide notes a star.
func (f *frame) hide() {
	f.star = true
	for _, s := range f.slots {
		s.hidden = true
	}
}

// write notes that the place behind steps in a column is written with x.
func (s *slot) write(name string, steps []sqlparse.Step, x expr) {
	column, ok := x.(*columnExpr)
	s.same = ok && len(steps) == 0 && column.column.name == name
	s.hidden = false
	if len(steps) == 0 {
		s.whole, s.origin, s.places = true, s.same, branch{}
		return
	}
	s.places.set(keys(steps), 0)
}

// keys are the leading keys of steps.
func keys(steps []sqlparse.Step) []string {
	var out []string
	for _, s := range steps {
		if s.Kind != sqlparse.StepKey {
			break
		}
		out = append(out, s.Key)
	}
	return out
}

// concerns reports whether what was written may be found along steps.
func (s *slot) concerns(steps []sqlparse.Step) bool {
	return len(steps) == 0 || s.whole && !s.origin || s.places.touches(keys(steps))
}

// scope says what a name means in a clause. A name is looked for in the columns
// selected so far and in those of the event; EMQX's rules for which one wins
// differ from clause to clause.
type scope struct {
	selected *frame
	// complete is set once the select list is done: what it wrote then stands
	// for the event's columns of the same name, also when it is undefined.
	complete bool
	// item is the name of the item of FOREACH, in INCASE and DO.
	item string
	// do is the frame of DO, in DO.
	do *frame
}

// source is where a name may have its value, before compilation.
type source struct {
	kind  sourceKind
	frame int
	slot  int
	// ifPresent: only when the event has the column; last: no other is asked
	// when this one applies.
	ifPresent, last bool
}

type sourceKind uint8

const (
	fromEvent sourceKind = iota
	fromSlot
	fromItem
	fromPayload // the whole payload, decoded
)

// sources returns where a name, or the path of steps from it, may have its value;
// the first that has one wins.
func (s *scope) sources(name string, steps []sqlparse.Step) []source {
	var out []source
	if s.do != nil {
		if d := s.do.slots[name]; d != nil && !d.same && d.concerns(steps) {
			own := source{kind: fromSlot, frame: s.do.id, slot: d.index}
			if d.hidden {
				return append(s.outer(name, steps), own)
			}
			out = append(out, own)
		}
	}
	return append(out, s.outer(name, steps)...)
}

// outer is sources without those of DO.
func (s *scope) outer(name string, steps []sqlparse.Step) []source {
	if s.item != "" && s.item == name {
		return []source{{kind: fromItem, last: true}}
	}
	event := source{kind: fromEvent}
	d := s.selected.slots[name]
	if d == nil || d.same || !d.concerns(steps) {
		return []source{event}
	}
	own := source{kind: fromSlot, frame: s.selected.id, slot: d.index}
	switch {
	case d.hidden || s.complete && name == "payload" && len(steps) > 0:
		event.ifPresent, event.last = true, true
		return []source{event, own}
	case s.complete && name == "payload" && !d.whole && !d.alias:
		return []source{{kind: fromPayload}}
	case s.complete && d.whole:
		return []source{own}
	default:
		return []source{own, event}
	}
}

// written returns where the value is that a write into a column of frame f starts
// from: nowhere, unless something or a star has written it before.
func (s *scope) written(f *frame, name string) []source {
	d := f.slots[name]
	own := func() source { return source{kind: fromSlot, frame: f.id, slot: d.index} }
	switch {
	case d != nil && !d.hidden:
		return []source{own()}
	case !f.star:
		return nil
	}
	var out []source
	if f.id == frameDo {
		out = s.outer(name, nil)
	} else {
		out = []source{{kind: fromEvent, ifPresent: true, last: true}}
	}
	if d != nil {
		out = append(out, own())
	}
	return out
}
