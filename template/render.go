package template

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Undefined is what a placeholder without a value renders as; in a template that
// makes JSON it is null outside of quotes.
const Undefined = "undefined"

// segment is literal text and the placeholder that follows it; nil after the
// last text.
type segment struct {
	literal     string
	first, last uint64 // the first and last 8 bytes of literal; 4 of one shorter than 8
	v           *Var   // in Template.vars
	place       place
}

func newSegment(literal string, v *Var, p place) segment {
	s := segment{literal: literal, v: v, place: p}
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

// Append appends the rendered template to dst and returns the result. Undefined
// placeholders render as [Undefined]. The error, an [*Error], is the first that vars
// returned other than [ErrUndefined]; the rendering is complete in any case. For a
// constant template vars may be nil.
func (t *Template) Append(dst []byte, vars Vars) ([]byte, error) {
	var f fault
	if dst = t.render(dst, vars, &f); f.err == nil {
		return dst, nil
	}
	return dst, t.lenient(&f)
}

// AppendStrict is Append that returns an error for an undefined placeholder, too.
func (t *Template) AppendStrict(dst []byte, vars Vars) ([]byte, error) {
	var f fault
	if dst = t.render(dst, vars, &f); f.err == nil {
		return dst, nil
	}
	return dst, t.strict(&f)
}

// AppendFunc is Append with a function for Vars. Unlike a [VarsFunc] that is passed
// to Append, one that is made for the call costs no allocation.
func (t *Template) AppendFunc(dst []byte, f func(dst []byte, v *Var) ([]byte, error)) ([]byte, error) {
	var first fault
	for i := range t.segments {
		s := &t.segments[i]
		dst = append(dst, s.literal...)
		if s.v == nil {
			continue
		}
		start := len(dst)
		var err error
		if dst, err = f(dst, s.v); err != nil || s.place != asText {
			dst = first.settle(dst, start, s, err)
		}
	}
	return dst, t.lenient(&first)
}

// render appends the rendered template to dst.
//
// Most literals are a few bytes long, where calling the general copy costs more
// than copying: literals up to 16 bytes are stored as two overlapping words right
// here, which makes rendering a fifth faster.
func (t *Template) render(dst []byte, vars Vars, first *fault) []byte {
	if t.dialect == JSON {
		return t.renderJSON(dst, vars, first)
	}
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
		start := len(dst)
		var err error
		if dst, err = vars.AppendVar(dst, s.v); err != nil {
			dst = first.settle(dst, start, s, err)
		}
	}
	return dst
}

// renderJSON is render for a template that makes JSON.
func (t *Template) renderJSON(dst []byte, vars Vars, first *fault) []byte {
	values, _ := vars.(JSONVars)
	for i := range t.segments {
		s := &t.segments[i]
		dst = append(dst, s.literal...)
		if s.v == nil {
			continue
		}
		start := len(dst)
		var err error
		if s.place == bare && values != nil {
			if dst, err = values.AppendJSONVar(dst, s.v); err == nil {
				continue
			}
		} else {
			dst, err = vars.AppendVar(dst, s.v)
		}
		dst = first.settle(dst, start, s, err)
	}
	return dst
}

// fault is the first error of a rendering, and the first other than ErrUndefined.
type fault struct {
	v, failed *Var
	err, why  error
}

// settle ends a placeholder that has an error, or stands in JSON.
func (f *fault) settle(dst []byte, start int, s *segment, err error) []byte {
	if err == nil {
		return escape(dst, start, s.place)
	}
	if f.err == nil {
		f.v, f.err = s.v, err
	}
	if f.why == nil && !errors.Is(err, ErrUndefined) {
		f.failed, f.why = s.v, err
	}
	if s.place == bare {
		return append(dst[:start], "null"...)
	}
	return append(dst[:start], Undefined...)
}

func (t *Template) lenient(f *fault) error {
	if f.why == nil {
		return nil
	}
	return &Error{t.text, *f.failed, f.why}
}

func (t *Template) strict(f *fault) error {
	if f.err == nil {
		return nil
	}
	return &Error{t.text, *f.v, f.err}
}

// Error reports a placeholder that has no value, or one that cannot be rendered.
type Error struct {
	Template string // its text
	Var      Var
	// Err is the reason; it is ErrUndefined, or wraps it, when there is no value.
	Err error
}

// Error names the template, the placeholder as it is written, and the reason.
func (e *Error) Error() string {
	if errors.Is(e.Err, ErrUndefined) {
		return fmt.Sprintf("template %q: %v is undefined", e.Template, &e.Var)
	}
	return fmt.Sprintf("template %q: %v: %v", e.Template, &e.Var, e.Err)
}

// Unwrap returns the reason.
func (e *Error) Unwrap() error { return e.Err }
