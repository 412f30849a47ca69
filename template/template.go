package template

import "slices"

// Template is a compiled template. It is immutable and safe for concurrent use.
type Template struct {
	text     string
	segments []segment
	vars     []Var // distinct ones, in order of their first appearance
	dialect  Dialect
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
	bound := *t
	bound.segments, bound.vars = slices.Clone(t.segments), slices.Clone(t.vars)
	for i := range bound.vars {
		bound.vars[i].Slot = slot(bound.vars[i])
	}
	for i := range bound.segments {
		if s := &bound.segments[i]; s.v != nil {
			s.v = &bound.vars[slices.IndexFunc(t.vars, func(v Var) bool { return slices.Equal(v.Path, s.v.Path) })]
		}
	}
	return &bound
}
