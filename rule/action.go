package rule

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/template"
)

// Action says what records a rule makes of each of its rows: for which sink, and
// with which key and data. Its texts are templates over the row's columns; see
// package template.
type Action struct {
	// Sink names the sink; it may be empty in a pipeline that has one only.
	Sink string
	// Dest is the place within the sink, such as a stream; empty means the
	// sink's default.
	Dest string
	// Key is the partition key: records of one key keep their order. Empty
	// means no key.
	Key string
	// HashKey overrides the hash of the key where the sink has such a thing;
	// empty means that it does not.
	HashKey string
	// Data is the body, default "${.}": the row as JSON.
	Data string
	// Attrs are further named parts, such as headers.
	Attrs map[string]string
	// UndefinedKey says what to do when the key has a placeholder without a
	// value, default KeyError.
	UndefinedKey KeyPolicy
	// Optional makes the records best effort: their message does not wait for
	// them.
	Optional bool
	// Dialect is the dialect of the templates, default template.Bridge.
	// template.JSON is for Data; the others are then of the default.
	Dialect template.Dialect
}

// KeyPolicy says what becomes of a record whose partition key has a placeholder
// without a value.
type KeyPolicy uint8

const (
	// KeyError fails the message, with ErrUndefinedKey. It is the default,
	// since the alternatives put records where nobody expects them.
	KeyError KeyPolicy = iota
	// KeyConstant renders the placeholder as "undefined", as EMQX does: all
	// such records have the same key, and go to the same shard.
	KeyConstant
	// KeyRandom takes a random key: such records spread evenly and have no
	// order.
	KeyRandom
	// KeyTopic takes a hash of the message's topic: such records keep their
	// order by topic.
	KeyTopic
)

// action is an Action, compiled.
type action struct {
	Action
	dest, key, hashKey, data *template.Template
	attrs                    []attr
	// destination is the destination when it does not depend on the row.
	destination string
	fixedDest   bool
	odd         []ActionWarning
}

// ActionWarning is something odd about a template of an action.
type ActionWarning struct {
	// Action is the action's index and Field the field of Action that has the
	// template, such as "Key" or "Attrs trace".
	Action int
	Field  string
	// Never is set when a placeholder has no value in any row. A key with
	// KeyError fails every message then.
	Never bool
	template.Warning
}

type attr struct {
	name  string
	value *template.Template
}

func compileAction(p *program, a Action) (*action, error) {
	if a.UndefinedKey > KeyTopic {
		return nil, fmt.Errorf("UndefinedKey: there is no policy %d", a.UndefinedKey)
	}
	if a.Data == "" {
		a.Data = "${.}"
	}
	out := &action{Action: a}
	var errs []error
	compile := func(field, text string) *template.Template {
		d := a.Dialect
		if d == template.JSON && field != "Data" {
			d = template.Bridge
		}
		t, err := template.CompileWith(text, template.Options{Dialect: d})
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", field, err))
			return nil
		}
		p.checkTemplate(out, field, t)
		return t.Bind(p.bindVar)
	}
	out.dest = compile("Dest", a.Dest)
	out.key = compile("Key", a.Key)
	out.hashKey = compile("HashKey", a.HashKey)
	out.data = compile("Data", a.Data)
	for _, name := range slices.Sorted(maps.Keys(a.Attrs)) {
		out.attrs = append(out.attrs, attr{name, compile("Attrs "+name, a.Attrs[name])})
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	out.destination, out.fixedDest = out.dest.Constant()
	return out, nil
}

// checkTemplate notes what is odd about a template.
func (p *program) checkTemplate(a *action, field string, t *template.Template) {
	for _, w := range t.Warnings() {
		a.odd = append(a.odd, ActionWarning{Field: field, Warning: w})
	}
	for _, v := range t.Vars() {
		if v.Whole() || p.row.star {
			continue
		}
		if _, ok := p.row.find(v.Path[0]); !ok {
			w := template.Warning{Text: v.String(), Msg: v.String() + " has no value: the statement selects no column " + v.Path[0], Hint: p.columnHint(v.Path[0])}
			a.odd = append(a.odd, ActionWarning{Field: field, Never: true, Warning: w})
		}
	}
}

// columnHint says what to write for a column that the row does not have.
func (p *program) columnHint(name string) string {
	var selected []string
	for i := range p.row.columns {
		selected = append(selected, p.row.columns[i].name)
	}
	if near := nearest(name, selected); near != "" {
		return "did you mean $<" + near + ">?"
	}
	return "templates see what SELECT or DO select; add it there"
}

// record makes the action's record of the run's row, in the memory of out.
func (a *action) record(r *run, out *bridge.Out) (bridge.Record, error) {
	rec := bridge.Record{Sink: a.Sink, Dest: a.destination, Optional: a.Optional}
	var err error
	if rec.Key, err = a.recordKey(r, out); err != nil {
		return rec, r.prog.fault("partition key", err)
	}
	if !a.fixedDest {
		rec.Dest = r.dest(r.render(a.dest, out.AvailableBuffer()))
	}
	if a.Action.HashKey != "" {
		rec.HashKey = r.keep(a.hashKey, out)
	}
	rec.Data = r.keep(a.data, out)
	if len(a.attrs) > 0 {
		rec.Attrs = out.Attrs(len(a.attrs))
		for i, t := range a.attrs {
			rec.Attrs[i] = bridge.Attr{Name: t.name, Value: r.keep(t.value, out)}
		}
	}
	r.arena.Spend(recordCost + len(rec.Key) + len(rec.Dest))
	if err := r.arena.Err(); err != nil {
		return rec, r.prog.fault("the records", err)
	}
	return rec, nil
}

// recordCost is what a record costs beside its content.
const recordCost = 192

// keep renders a template of the run's row into out and counts what that makes.
func (r *run) keep(t *template.Template, out *bridge.Out) []byte {
	b := r.render(t, out.AvailableBuffer())
	r.arena.Spend(len(b))
	return out.Keep(b)
}

// render appends a template of the run's row.
func (r *run) render(t *template.Template, dst []byte) []byte {
	dst, _ = t.Append(dst, (*boundRow)(&r.row)) // a row has no value that cannot be rendered
	return dst
}

func (a *action) recordKey(r *run, out *bridge.Out) ([]byte, error) {
	if a.Action.Key == "" {
		return nil, nil
	}
	buf := out.AvailableBuffer()
	if a.UndefinedKey == KeyConstant {
		return out.Keep(r.render(a.key, buf)), nil
	}
	key, err := a.key.AppendStrict(buf, (*boundRow)(&r.row))
	if err == nil {
		return out.Keep(key), nil
	}
	switch a.UndefinedKey {
	case KeyRandom:
		return out.Keep(strconv.AppendUint(buf, r.number(), 16)), nil
	case KeyTopic:
		return out.Keep(strconv.AppendUint(buf, hashTopic(r.msg), 16)), nil
	default:
		return nil, fmt.Errorf("%w: %w", ErrUndefinedKey, err)
	}
}

// hashTopic is FNV-1a of the topic, which is the same in every process.
func hashTopic(m *bridge.Message) uint64 {
	name := m.Topic
	if name == "" {
		name = m.Event
	}
	h := uint64(14695981039346656037)
	for i := range len(name) {
		h = (h ^ uint64(name[i])) * 1099511628211
	}
	return h
}

// maxDests bounds the destinations that a run remembers, and maxDest their length.
const (
	maxDests = 1024
	maxDest  = 256
)

// dest returns a rendered destination as a string. Destinations are few, so they
// are remembered rather than allocated for every record.
func (r *run) dest(rendered []byte) string {
	if known, ok := r.dests[string(rendered)]; ok {
		return known
	}
	if len(r.dests) >= maxDests || r.dests == nil {
		r.dests = make(map[string]string)
	}
	name := string(rendered)
	if len(name) <= maxDest {
		r.dests[name] = name
	}
	return name
}
