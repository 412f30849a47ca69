package rule

import (
	"fmt"

	"github.com/sluiceio/sluice/internal/jsonx"
	"github.com/sluiceio/sluice/internal/sqlparse"
	"github.com/sluiceio/sluice/internal/value"
)

// A rule reads two JSON texts by paths that its statement names: the payload, and,
// in FOREACH, the item.
const (
	docPayload = iota
	docItem
)

// payloadColumn is the message's payload.
var payloadColumn = column{"payload", colPayload}

// docPaths are the paths into a document that a program reads in one pass.
type docPaths struct {
	set  jsonx.Paths
	text []string // as they are written
}

// docPath is a path into a document.
type docPath struct {
	doc   int
	index int // in docPaths
	steps []step
}

// path adds a path, given by the steps that jsonx can follow.
func (p *program) path(doc int, fixed []jsonx.Step, steps []step) *docPath {
	d := &p.paths[doc]
	at := &docPath{doc, d.set.Add(fixed...), steps}
	if at.index == len(d.text) {
		x := &sqlparse.Path{Name: [...]string{"payload", "item"}[doc]}
		for _, s := range steps {
			x.Steps = append(x.Steps, sqlparse.Step{Kind: s.kind, Key: s.key, Index: s.index})
		}
		d.text = append(d.text, x.String())
	}
	return at
}

// document is a JSON text in a run, read when a path into it is first asked for.
type document struct {
	state docState
	// text is the JSON text and spans the places of the paths in it; values are
	// those that have been read so far.
	text   []byte
	spans  []jsonx.Span
	values []value.Value
	read   []bool
	// whole is the document when it is no text, and err why it cannot be read.
	whole value.Value
	err   error
}

type docState uint8

const (
	unread docState = iota
	scanned
	decoded
	unreadable
)

func newDocument(paths *jsonx.Paths) document {
	n := paths.Len()
	return document{spans: make([]jsonx.Span, n), values: make([]value.Value, n), read: make([]bool, n)}
}

// drop forgets what the document was.
func (d *document) drop() {
	clear(d.values)
	d.text, d.whole, d.err = nil, value.Undefined(), nil
}

// document makes the document that a path leads into ready to be read.
func (r *run) document(at *docPath) *document {
	d := &r.docs[at.doc]
	if d.state != unread {
		return d
	}
	d.err = nil
	if at.doc == docItem {
		text, ok := r.item.Raw()
		if !ok {
			d.whole, d.state = r.item, decoded
			return d
		}
		d.text = bytesOf(text)
	} else {
		v := r.column(payloadColumn)
		if v.Kind() != value.KindString {
			d.whole, d.state = v, decoded
			return d
		}
		d.text = bytesOf(v.AsString())
	}
	r.arena.Work(len(d.text))
	var err error
	if d.spans, err = r.prog.paths[at.doc].set.Extract(d.spans, d.text); err != nil {
		d.err, d.state = fmt.Errorf("%w: %w", errPayloadNotJSON, err), unreadable
		return d
	}
	clear(d.read)
	d.state = scanned
	return d
}

// meetsText reports whether there is a text on the way along a path.
func (r *run) meetsText(at *docPath) bool {
	d := r.document(at)
	return d.state == scanned && d.spans[at.index].Rest > 0
}

// at returns the value at a path.
func (r *run) at(at *docPath) (value.Value, error) {
	d := r.document(at)
	switch d.state {
	case scanned:
		if !d.read[at.index] {
			d.values[at.index] = r.pick(d, at)
			d.read[at.index] = true
		}
		return d.values[at.index], nil
	case decoded:
		return r.walk(d.whole, at.steps), nil
	default:
		return value.Undefined(), d.err
	}
}

// pick makes the value of a span. Where a text was met on the way, the rest of
// the path leads into the JSON that it may hold.
func (r *run) pick(d *document, at *docPath) value.Value {
	s := d.spans[at.index]
	if s.Kind == jsonx.Float {
		if f, ok := value.ShortFloat(d.text[s.Start:s.End]); ok {
			return value.Float(f)
		}
	}
	v := r.arena.FromJSON(d.text[s.Start:s.End:s.End], s.Kind)
	if s.Rest > 0 {
		v = r.walk(v, at.steps[len(at.steps)-int(s.Rest):])
	}
	return v
}

// appendAt appends the value at a path as JSON.
func (r *run) appendAt(dst []byte, at *docPath) []byte {
	if d := r.document(at); d.state == scanned {
		if s := d.spans[at.index]; s.Rest == 0 && s.Kind != jsonx.Missing {
			return value.AppendJSONText(dst, d.text[s.Start:s.End], s.Kind)
		}
	}
	v, _ := r.at(at) // that it can be read has been seen before
	return r.arena.AppendJSON(dst, v)
}
