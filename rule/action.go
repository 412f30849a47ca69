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
		t, err := template.CompileWith(text, template.Options{Dialect: a.Dialect})
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", field, err))
			return nil
		}
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

// record appends the record that the action makes of the run's row.
func (a *action) record(r *run, out *bridge.Batch) error {
	rec := bridge.Record{Sink: a.Sink, Dest: a.destination, Optional: a.Optional}
	var err error
	if rec.Key, err = a.recordKey(r, out); err != nil {
		return r.prog.fault("partition key", err)
	}
	if !a.fixedDest {
		rec.Dest = r.dest(a.dest.Append(out.AvailableBuffer(), (*boundRow)(&r.row)))
	}
	if a.Action.HashKey != "" {
		rec.HashKey = out.Keep(a.hashKey.Append(out.AvailableBuffer(), (*boundRow)(&r.row)))
	}
	rec.Data = out.Keep(a.data.Append(out.AvailableBuffer(), (*boundRow)(&r.row)))
	if len(a.attrs) > 0 {
		rec.Attrs = out.Attrs(len(a.attrs))
		for i, t := range a.attrs {
			rec.Attrs[i] = bridge.Attr{Name: t.name, Value: out.Keep(t.value.Append(out.AvailableBuffer(), (*boundRow)(&r.row)))}
		}
	}
	out.Add(rec)
	return nil
}

func (a *action) recordKey(r *run, out *bridge.Batch) ([]byte, error) {
	if a.Action.Key == "" {
		return nil, nil
	}
	buf := out.AvailableBuffer()
	if a.UndefinedKey == KeyConstant {
		return out.Keep(a.key.Append(buf, (*boundRow)(&r.row))), nil
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

// maxDests bounds the destinations that a run remembers.
const maxDests = 1024

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
	r.dests[name] = name
	return name
}
