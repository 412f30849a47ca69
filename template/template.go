package template

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// Undefined is what a placeholder without a value renders as.
const Undefined = "undefined"

// Template is a compiled template. It is immutable and safe for concurrent use.
type Template struct {
	text     string
	segments []segment
	vars     []Var // distinct ones, in order of their first appearance
}

// segment is literal text and the placeholder that follows it; nil after the
// last text.
type segment struct {
	literal     string
	first, last uint64 // the first and last 8 bytes of literal; 4 of one shorter than 8
	v           *Var   // in Template.vars
}

func newSegment(literal string, v *Var) segment {
	s := segment{literal: literal, v: v}
	switch b := []byte(literal); {
	case len(b) >= 8:
		s.first = binary.LittleEndian.Uint64(b)
		s.last = binary.LittleEndian.Uint64(b[len(b)-8:])
	case len(b) >= 4:
		s.first = uint64(binary.LittleEndian.Uint32(b))
		s.last = uint64(binary.LittleEndian.Uint32(b[len(b)-4:]))
	}
	return s
}

// Text returns the text that the template was compiled from.
func (t *Template) Text() string { return t.text }

// Constant returns the text that the template always renders, and true, if it
// has no placeholders.
func (t *Template) Constant() (string, bool) {
	switch {
	case len(t.vars) > 0:
		return "", false
	case len(t.segments) == 0:
		return "", true
	default:
		return t.segments[0].literal, true
	}
}

// Vars returns the distinct placeholders in order of their first appearance.
// Placeholders with the same path, such as ${x} and ${.x}, are one.
func (t *Template) Vars() []Var { return slices.Clone(t.vars) }

// Bind returns a copy of t whose placeholders have the slots that slot returns
// for them. The values' owner thus resolves a placeholder once rather than each
// time it is rendered.
func (t *Template) Bind(slot func(Var) int) *Template {
	bound := &Template{t.text, slices.Clone(t.segments), slices.Clone(t.vars)}
	for i := range bound.vars {
		bound.vars[i].Slot = slot(bound.vars[i])
	}
	for i := range bound.segments {
		if s := &bound.segments[i]; s.v != nil {
			s.v = &bound.vars[slices.IndexFunc(t.vars, func(v Var) bool { return slices.Equal(v.Path, s.v.Path) })]
		}
	}
	return bound
}

// Append appends the rendered template to dst and returns the result. Undefined
// placeholders render as [Undefined]. For a constant template vars may be nil.
func (t *Template) Append(dst []byte, vars Vars) []byte {
	dst, _ = t.render(dst, vars)
	return dst
}

// AppendStrict is Append that also reports the first undefined placeholder, as
// an [*UndefinedError]. The rendering is complete in any case.
func (t *Template) AppendStrict(dst []byte, vars Vars) ([]byte, error) {
	dst, missing := t.render(dst, vars)
	if missing != nil {
		return dst, &UndefinedError{Template: t.text, Var: *missing}
	}
	return dst, nil
}

// render appends the rendered template to dst and returns the first placeholder
// that is undefined, if any.
//
// Most literals are a few bytes long, where calling the general copy costs more
// than copying: literals up to 16 bytes are stored as two overlapping words
// right here, which makes rendering a fifth faster.
func (t *Template) render(dst []byte, vars Vars) (_ []byte, missing *Var) {
	for i := range t.segments {
		s := &t.segments[i]
		n := len(s.literal)
		switch free := dst[len(dst):cap(dst)]; {
		case n > 16 || n > len(free):
			dst = append(dst, s.literal...)
		case n >= 8:
			binary.LittleEndian.PutUint64(free, s.first)
			binary.LittleEndian.PutUint64(free[n-8:], s.last)
			dst = dst[:len(dst)+n]
		case n >= 4:
			binary.LittleEndian.PutUint32(free, uint32(s.first))
			binary.LittleEndian.PutUint32(free[n-4:], uint32(s.last))
			dst = dst[:len(dst)+n]
		default:
			for j := range n {
				dst = append(dst, s.literal[j])
			}
		}
		if s.v == nil {
			continue
		}
		var defined bool
		if dst, defined = vars.AppendVar(dst, s.v); !defined {
			dst = append(dst, Undefined...)
			if missing == nil {
				missing = s.v
			}
		}
	}
	return dst, missing
}

// UndefinedError reports a placeholder that had no value.
type UndefinedError struct {
	Template string // its text
	Var      Var
}

// Error names the placeholder and the template.
func (e *UndefinedError) Error() string {
	return fmt.Sprintf("template %q: ${%s} is undefined", e.Template, e.Var.Text)
}
