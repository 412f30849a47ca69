package rule

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sluiceio/sluice/internal/sqlparse"
	"github.com/sluiceio/sluice/internal/value"
)

// pending are the places in one column that fields have written and that nobody has
// looked at since. Their values wait in slots of their own until the column is
// needed, and are then put in at once: one after the other, each would copy the map
// that the ones before it made.
type pending struct {
	field *sqlparse.Field // the first of them
	name  string
	slot  int // of the column
	expr  *nestedExpr
}

// nestedExpr is a column with values put into places of it.
type nestedExpr struct {
	base expr // the column before
	// payload is set when the column is payload, which is then read as JSON.
	payload bool
	root    branch
	leaves  []leaf // in the order in which they were written
}

// branch is a map on the way to the places: its members by name.
type branch struct {
	key  string
	kids []branch
	// leaf is set when the place itself is written, with the value in slot.
	leaf bool
	slot int
}

// leaf is a place that was written.
type leaf struct {
	frame, slot int
	steps       []step
}

// pend takes a field that writes a place named by keys, and reports false when it
// has to be written at once, since an index leads to it.
func (c *compiler) pend(s *scope, into *frame, f *sqlparse.Field, target *sqlparse.Path, x expr, list []assignment) ([]assignment, bool) {
	names := keys(target.Steps)
	if len(names) < len(target.Steps) {
		return c.settle(into, target.Name, list), false
	}
	p := c.pending[target.Name]
	if p != nil && p.expr.root.covers(names) { // what was written there may be a map
		list = c.settle(into, target.Name, list)
		p = nil
	}
	if p == nil {
		base := c.place(s.written(into, target.Name), target.Name, nil)
		p = &pending{field: f, name: target.Name, expr: &nestedExpr{base: base, payload: target.Name == "payload"}}
		c.pending[target.Name] = p
		c.order = append(c.order, target.Name)
	}
	// The name of this slot cannot be written in a statement.
	own := into.add(fmt.Sprintf("\x00%d", len(into.slots)))
	c.reads[[2]int{into.id, own.index}] = true
	column := into.add(target.Name)
	p.slot = column.index
	p.expr.root.set(names, own.index)
	p.expr.leaves = append(p.expr.leaves, leaf{into.id, own.index, c.steps(s, target)})
	column.write(target.Name, target.Steps, x)
	column.alias = column.alias || f.As != nil
	return append(list, assignment{field: f, expr: x, frame: into.id, slot: own.index}), true
}

// settle appends what puts the pending values of a column in.
func (c *compiler) settle(into *frame, name string, list []assignment) []assignment {
	p := c.pending[name]
	if p == nil {
		return list
	}
	c.drop(name)
	return append(list, assignment{field: p.field, expr: p.expr, frame: into.id, slot: p.slot, gathered: true})
}

// drop forgets what is pending for a column.
func (c *compiler) drop(name string) {
	if c.pending[name] == nil {
		return
	}
	delete(c.pending, name)
	c.order = slices.DeleteFunc(c.order, func(n string) bool { return n == name })
}

// settleWanted is settle for the columns that the field at hand reads.
func (c *compiler) settleWanted(into *frame, list []assignment) []assignment {
	for _, name := range c.wanted {
		list = c.settle(into, name, list)
	}
	c.wanted = c.wanted[:0]
	return list
}

// settleAll is settle for all columns.
func (c *compiler) settleAll(into *frame, list []assignment) []assignment {
	names := c.order
	c.order = nil
	for _, name := range names {
		list = c.settle(into, name, list)
	}
	return list
}

// covers reports whether a place on the way to names, or that itself, is written.
func (b *branch) covers(names []string) bool {
	for _, name := range names[:len(names)-1] {
		i, ok := b.find(name)
		if !ok {
			return false
		}
		if b = &b.kids[i]; b.leaf {
			return true
		}
	}
	return false
}

// touches reports whether a place on the way to names, or below, is written.
func (b *branch) touches(names []string) bool {
	for _, name := range names {
		if b.leaf {
			return true
		}
		i, ok := b.find(name)
		if !ok {
			return false
		}
		b = &b.kids[i]
	}
	return b.leaf || b.kids != nil
}

func (b *branch) find(name string) (int, bool) {
	return slices.BinarySearchFunc(b.kids, name, func(k branch, name string) int { return strings.Compare(k.key, name) })
}

// set notes that the place names is written with the value in slot.
func (b *branch) set(names []string, slot int) {
	for _, name := range names {
		i, ok := b.find(name)
		if !ok {
			b.kids = slices.Insert(b.kids, i, branch{key: name})
		}
		b = &b.kids[i]
	}
	b.kids, b.leaf, b.slot = nil, true, slot
}

func (e *nestedExpr) eval(r *run) (value.Value, error) {
	base, err := e.base.eval(r)
	if err == nil && e.payload {
		base, err = r.decodePayload(base)
	}
	if err != nil {
		return base, err
	}
	for i := range e.leaves {
		if err := r.arena.Charge(r.frames[e.leaves[i].frame][e.leaves[i].slot]); err != nil {
			return base, err
		}
	}
	if v, ok := e.fill(r, &e.root, base); ok {
		return v, nil
	}
	for i := range e.leaves {
		l := &e.leaves[i]
		base = r.put(base, l.steps, r.frames[l.frame][l.slot])
	}
	return base, nil
}

// fill returns base with the members of b. It gives up on a text: the first place in
// it that is written makes a map of it, so that their order matters.
func (e *nestedExpr) fill(r *run, b *branch, base value.Value) (value.Value, bool) {
	if base.Kind() == value.KindString {
		return base, false
	}
	old := base.Pairs(&r.arena)
	pairs := r.arena.Pairs(len(old) + len(b.kids))
	n := copy(pairs, old)
	for i := range b.kids {
		k := &b.kids[i]
		var v value.Value
		if k.leaf {
			v = r.frames[e.leaves[0].frame][k.slot]
		} else {
			var ok bool
			if v, ok = e.fill(r, k, base.Member(&r.arena, k.key)); !ok {
				return base, false
			}
		}
		pairs[n] = value.Pair{Key: k.key, Value: v}
		n++
	}
	return value.Map(pairs), true
}
