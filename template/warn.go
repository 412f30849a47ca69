package template

import (
	"fmt"
	"strings"

	"github.com/sluiceio/sluice/internal/jsonx"
)

// Warning is something odd about a template that is not wrong: every text is a
// template.
type Warning struct {
	// Text is the part that it is about.
	Text string
	// Msg says what is odd, and Hint what would help.
	Msg, Hint string
	// Advice is set when the template does what it looks like, and could do it
	// better.
	Advice bool
}

// String is the warning in one line.
func (w Warning) String() string { return w.Msg + " (" + w.Hint + ")" }

// Warnings returns what is odd about the template: placeholders that are not closed,
// or have an index, and JSON that is none.
func (t *Template) Warnings() []Warning {
	var out []Warning
	warn := func(text, hint, msg string, args ...any) {
		out = append(out, Warning{Text: text, Msg: fmt.Sprintf(msg, args...), Hint: hint})
	}
	for _, b := range [...]struct{ open, end string }{{"${", "}"}, {"$<", ">"}} {
		i := strings.LastIndex(t.text, b.open)
		if i >= 0 && !strings.Contains(t.text[i:], b.end) && (b.open == "${" || t.dialect != Republish) {
			warn(t.text[i:], "write "+b.open+"name"+b.end, "%q is not closed and stands for itself", t.text[i:])
		}
		if empty := b.open + b.end; t.dialect != Republish && strings.Contains(t.text, empty) {
			warn(empty, "the whole row is "+b.open+"."+b.end, "%s stands for itself", empty)
		}
	}
	for i := range t.vars {
		v := &t.vars[i]
		text := v.String()
		switch name := strings.Join(v.Path, "."); {
		case strings.Contains(name, "${") || strings.Contains(name, "$<"):
			warn(text, "is its first part not closed?", "%s is one placeholder, for the column %q", text, v.Path[0])
		case strings.ContainsAny(name, "[]"):
			warn(text, "select the element, SELECT "+name+" AS x, and write $<x>", "templates have no indexes: %s looks for a member with this name", text)
		case strings.TrimSpace(name) != name:
			warn(text, "leave the blanks out", "the blanks in %s belong to the name", text)
		}
	}
	if t.dialect == Republish {
		t.warnNames(warn)
	}
	return t.warnJSON(out)
}

// warnNames warns of what looks like a placeholder of the other dialect.
func (t *Template) warnNames(warn func(text, hint, msg string, args ...any)) {
	for i := range t.segments {
		literal := t.segments[i].literal
		for {
			_, rest, ok := strings.Cut(literal, "${")
			tag, after, closed := strings.Cut(rest, "}")
			if !ok || !closed {
				break
			}
			if tag != "" {
				text := "${" + tag + "}"
				warn(text, "names are letters, digits, _ and .", "%s stands for itself", text)
			}
			literal = after
		}
	}
}

// warnJSON warns of a template that looks like JSON and makes none.
func (t *Template) warnJSON(out []Warning) []Warning {
	text := strings.TrimSpace(t.text)
	if len(t.vars) == 0 || !(strings.HasPrefix(text, "{") && strings.HasSuffix(text, "}") || strings.HasPrefix(text, "[") && strings.HasSuffix(text, "]")) {
		return out
	}
	var sample []byte
	for i := range t.segments {
		sample = append(sample, t.segments[i].literal...)
		if t.segments[i].v != nil {
			sample = append(sample, '0') // is a value, and may stand in a text
		}
	}
	if err := jsonx.Valid(sample); err != nil {
		return append(out, Warning{Text: t.text, Msg: fmt.Sprintf("the template looks like JSON and is not, with values in place %s: %v", sample, err), Hint: "mind quotes and commas"})
	}
	if t.dialect != JSON {
		out = append(out, Warning{
			Text: t.text, Advice: true, Hint: "the dialect json escapes them",
			Msg: "values are put into the JSON as they are: a quote or a line end in one makes it invalid, and a list may become text",
		})
	}
	return out
}
