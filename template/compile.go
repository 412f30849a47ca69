package template

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"github.com/valyala/fasttemplate"
)

// Dialect is a variant of the template language. EMQX has two, and rules that
// move over from it must mean the same here; the third makes JSON.
type Dialect int

const (
	// Bridge is the dialect of data bridges (EMQX: Kinesis partition key and
	// payload). A placeholder is "$<", one or more characters other than ">",
	// and ">", or "${", one or more characters other than "}", and "}".
	// Where both could be read "${" wins. All leading dots are ignored.
	// "${}" is literal text. There is no escape. On the way along a path
	// every text is read as JSON.
	Bridge Dialect = iota
	// Republish is the dialect of EMQX's republish action. A placeholder has
	// nothing but ASCII letters, digits, "_" and "." between "${" and "}";
	// one leading dot is ignored. "${}" is the whole row, like "${.}". "${$}"
	// renders "$", so that "${$}{x}" renders "${x}". On the way along a path
	// only the first text is read as JSON.
	Republish
	// JSON is Bridge for templates that make JSON. A value within quotes is
	// escaped, so that {"m":"$<msg>"} is valid whatever msg holds; one outside
	// of quotes is written as JSON: a text with quotes, a list as a list, and
	// null where there is no value.
	JSON
)

// String returns "bridge", "republish" or "json".
func (d Dialect) String() string {
	switch d {
	case Bridge:
		return "bridge"
	case Republish:
		return "republish"
	case JSON:
		return "json"
	default:
		return fmt.Sprintf("Dialect(%d)", int(d))
	}
}

// Options say how a template is compiled.
type Options struct {
	// Dialect is the language of the text; Bridge by default.
	Dialect Dialect
}

// Compile compiles a template of the Bridge dialect. Every text is one.
func Compile(text string) *Template { return compile(text, Bridge) }

// CompileWith compiles a template. The error is about the options.
func CompileWith(text string, opts Options) (*Template, error) {
	if opts.Dialect < Bridge || opts.Dialect > JSON {
		return nil, fmt.Errorf("template %q: no such dialect: %v", text, opts.Dialect)
	}
	return compile(text, opts.Dialect), nil
}

func compile(text string, d Dialect) *Template {
	c := compiler{dialect: d}
	if d == Republish {
		c.republish(text)
	} else {
		c.bridge(text)
	}
	return c.template(text)
}

// compiler collects a template. It is the writer of the literal text for
// fasttemplate, which finds the tags and treats an unfinished one as literal, as
// both dialects do.
type compiler struct {
	dialect Dialect
	literal []byte
	parts   []part
}

// part is literal text, or a placeholder if path is set or whole is true.
type part struct {
	text  string
	path  []string
	isVar bool
	angle bool
}

// Write takes literal text.
func (c *compiler) Write(p []byte) (int, error) {
	c.literal = append(c.literal, p...)
	return len(p), nil
}

// flush ends a run of literal text.
func (c *compiler) flush() {
	if len(c.literal) > 0 {
		c.parts = append(c.parts, part{text: string(c.literal)})
		c.literal = c.literal[:0]
	}
}

// addVar adds a placeholder with the text between its brackets, and the same
// without what the dialect ignores.
func (c *compiler) addVar(text, path string, angle bool) {
	c.flush()
	p := part{text: strings.Clone(text), isVar: true, angle: angle}
	if path != "" {
		p.path = strings.Split(strings.Clone(path), ".")
	}
	c.parts = append(c.parts, p)
}

// split calls tag for each tag in text and writes the rest as literal text.
func (c *compiler) split(text, start, end string, tag func(string)) {
	// Neither Write nor the function returns an error, so there is none here.
	_, _ = fasttemplate.ExecuteFunc(text, start, end, c, func(_ io.Writer, s string) (int, error) {
		tag(s)
		return 0, nil
	})
	c.flush()
}

func (c *compiler) bridge(text string) {
	c.split(text, "${", "}", func(tag string) { c.bridgeTag(tag, "${", "}") })
	parts := c.parts
	c.parts = nil
	for _, p := range parts {
		if p.isVar {
			c.parts = append(c.parts, p)
			continue
		}
		c.split(p.text, "$<", ">", func(tag string) { c.bridgeTag(tag, "$<", ">") })
	}
}

func (c *compiler) bridgeTag(tag, start, end string) {
	if tag == "" {
		c.literal = append(append(c.literal, start...), end...)
		return
	}
	c.addVar(tag, strings.TrimLeft(tag, "."), start == "$<")
}

func (c *compiler) republish(text string) {
	c.split(text, "${", "}", func(tag string) {
		// A tag that starts too early may hide the start of a proper one:
		// "${ab ${c}" is text and the placeholder c.
		if i := strings.LastIndex(tag, "${"); i >= 0 {
			c.literal = append(append(c.literal, "${"...), tag[:i]...)
			tag = tag[i+len("${"):]
		}
		switch {
		case tag == "$":
			c.literal = append(c.literal, '$')
		case strings.IndexFunc(tag, notNameChar) >= 0:
			c.literal = append(append(append(c.literal, "${"...), tag...), '}')
		default:
			c.addVar(tag, strings.TrimPrefix(tag, "."), false)
		}
	})
}

func notNameChar(r rune) bool {
	return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '_' || r == '.')
}

// template pairs each literal text with the placeholder behind it.
func (c *compiler) template(text string) *Template {
	t := &Template{text: text, dialect: c.dialect}
	slots := map[string]int{} // by path; no step contains a dot
	for _, p := range c.parts {
		if !p.isVar {
			continue
		}
		key := strings.Join(p.path, ".")
		if _, ok := slots[key]; !ok {
			slots[key] = len(t.vars)
			t.vars = append(t.vars, Var{Text: p.text, Path: p.path, Slot: len(t.vars), Dialect: c.dialect, angle: p.angle})
		}
	}
	at := asText
	if c.dialect == JSON {
		at = bare
	}
	var literal bytes.Buffer
	for _, p := range c.parts {
		if !p.isVar {
			literal.WriteString(p.text)
			continue
		}
		if at != asText {
			at = placeIn(at, literal.String())
		}
		t.segments = append(t.segments, newSegment(literal.String(), &t.vars[slots[strings.Join(p.path, ".")]], at))
		literal.Reset()
	}
	if literal.Len() > 0 {
		t.segments = append(t.segments, newSegment(literal.String(), nil, at))
	}
	return t
}
