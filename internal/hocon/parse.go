package hocon

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// maxDepth bounds how deep values nest.
const maxDepth = 100

// Error is a mistake in a text.
type Error struct {
	Line, Column int // from 1; columns count characters
	Message      string
}

// Error says where and what: "3:5: the } is missing".
func (e *Error) Error() string { return fmt.Sprintf("%d:%d: %s", e.Line, e.Column, e.Message) }

// Parse reads a text. Objects become map[string]any, lists []any, numbers int64 or
// float64, and the rest string, bool and nil. The error is an *Error.
func Parse(text []byte) (root map[string]any, err error) {
	p := &parser{text: string(text)}
	if !utf8.ValidString(p.text) {
		p.at = strings.IndexRune(strings.ToValidUTF8(p.text, "\x00"), 0)
		return nil, p.errorf("this is not UTF-8")
	}
	p.text = strings.TrimPrefix(p.text, "\uFEFF")
	if err := p.blank(); err != nil {
		return nil, err
	}
	if p.next() != '{' {
		root, err = p.fields(0)
	} else if root, err = p.object(0); err == nil {
		err = p.blank()
	}
	if err == nil && p.at < len(p.text) {
		err = p.errorf("%s is not expected here", p.found())
	}
	if err != nil {
		return nil, err
	}
	return root, nil
}

// parser is at an offset of a text.
type parser struct {
	text string
	at   int
}

// next is the byte to read next, 0 at the end.
func (p *parser) next() byte {
	if p.at < len(p.text) {
		return p.text[p.at]
	}
	return 0
}

func (p *parser) rest() string { return p.text[p.at:] }

func (p *parser) errorf(format string, args ...any) error {
	before := p.text[:p.at]
	start := strings.LastIndexByte(before, '\n') + 1
	return &Error{
		Line: strings.Count(before, "\n") + 1, Column: utf8.RuneCountInString(before[start:]) + 1,
		Message: fmt.Sprintf(format, args...),
	}
}

// found names what comes next, for messages.
func (p *parser) found() string {
	if p.at >= len(p.text) {
		return "the end"
	}
	r, _ := utf8.DecodeRuneInString(p.rest())
	if r == '\n' {
		return "the end of the line"
	}
	return fmt.Sprintf("%q", r)
}

// spaces skips what divides words within a line, comments included.
func (p *parser) spaces() {
	for p.at < len(p.text) {
		r, size := utf8.DecodeRuneInString(p.rest())
		switch {
		case isSpace(r):
			p.at += size
		case r == '#', strings.HasPrefix(p.rest(), "//"):
			end := strings.IndexByte(p.rest(), '\n')
			if end < 0 {
				end = len(p.rest())
			}
			p.at += end
		default:
			return
		}
	}
}

func isSpace(r rune) bool { return strings.ContainsRune(" \t\r\v\f\u00A0\uFEFF", r) }

// blank skips spaces, comments and line breaks, and refuses includes, which may
// stand wherever a field may.
func (p *parser) blank() error {
	for p.spaces(); p.next() == '\n'; p.spaces() {
		p.at++
	}
	if word := p.rest(); strings.HasPrefix(word, "include") {
		after := strings.TrimLeft(word[len("include"):], " \t")
		if strings.HasPrefix(after, `"`) || strings.HasPrefix(after, "required(") || strings.HasPrefix(after, "file(") {
			return p.errorf("other files are not read: put the content in the place of this line, or use what emqx ctl conf show prints")
		}
	}
	return nil
}

// separator skips line breaks and at most one comma after an element, and tells
// whether there was either.
func (p *parser) separator() (bool, error) {
	start := p.at
	if err := p.blank(); err != nil {
		return false, err
	}
	found := strings.Contains(p.text[start:p.at], "\n")
	if p.next() == ',' {
		p.at++
		return true, p.blank()
	}
	return found, nil
}

// object reads {…}.
func (p *parser) object(depth int) (map[string]any, error) {
	open := p.at
	p.at++
	if err := p.blank(); err != nil {
		return nil, err
	}
	fields, err := p.fields(depth + 1)
	if err != nil {
		return nil, err
	}
	if p.next() != '}' {
		if p.at == len(p.text) {
			p.at = open
			return nil, p.errorf("the { has no }")
		}
		return nil, p.errorf("%s is not expected here", p.found())
	}
	p.at++
	return fields, nil
}

// fields reads fields up to what cannot begin one.
func (p *parser) fields(depth int) (map[string]any, error) {
	if depth > maxDepth {
		return nil, p.errorf("it nests deeper than %d", maxDepth)
	}
	fields := map[string]any{}
	for p.at < len(p.text) && p.next() != '}' {
		if err := p.field(fields, depth); err != nil {
			return nil, err
		}
		divided, err := p.separator()
		if err != nil {
			return nil, err
		}
		if !divided && p.at < len(p.text) && p.next() != '}' {
			return nil, p.errorf("%s is not expected here: begin another line, or put the text in quotes", p.found())
		}
	}
	return fields, nil
}

// field reads a key and its value into an object.
func (p *parser) field(into map[string]any, depth int) error {
	path, err := p.path()
	if err != nil {
		return err
	}
	if depth+len(path) > maxDepth {
		return p.errorf("it nests deeper than %d", maxDepth)
	}
	p.spaces()
	switch c := p.next(); {
	case strings.HasPrefix(p.rest(), "+="):
		return p.errorf("+= is not supported: write the whole list")
	case c == '=' || c == ':':
		p.at++
		if err := p.blank(); err != nil {
			return err
		}
	case c != '{':
		return p.errorf("after the key %s comes =, : or {, not %s", strings.Join(path, "."), p.found())
	}
	value, err := p.value(depth + len(path) - 1)
	if err != nil {
		return err
	}
	for _, key := range path[:len(path)-1] {
		inner, ok := into[key].(map[string]any)
		if !ok {
			inner = map[string]any{}
			into[key] = inner
		}
		into = inner
	}
	last := path[len(path)-1]
	into[last] = merge(into[last], value)
	return nil
}

// merge returns what a field is that was old and is given again.
func merge(old, value any) any {
	a, ok := old.(map[string]any)
	b, both := value.(map[string]any)
	if !ok || !both {
		return value
	}
	for key := range b {
		a[key] = merge(a[key], b[key])
	}
	return a
}

// path reads a key: words and quoted texts divided by dots.
func (p *parser) path() ([]string, error) {
	var path []string
	for {
		key, err := p.key()
		if err != nil {
			return nil, err
		}
		path = append(path, key)
		if p.next() != '.' {
			return path, nil
		}
		p.at++
	}
}

func (p *parser) key() (string, error) {
	switch {
	case strings.HasPrefix(p.rest(), `"""`):
		return "", p.errorf("a key has single quotes")
	case p.next() == '"':
		return p.quoted()
	}
	if word := p.word("."); word != "" {
		return word, nil
	}
	return "", p.errorf("a key is expected, not %s", p.found())
}

// value reads a value up to its end, which is that of the line at the latest
// unless it has brackets or quotes.
func (p *parser) value(depth int) (any, error) {
	switch p.next() {
	case '{':
		value, err := p.object(depth)
		return value, p.alone(err)
	case '[':
		value, err := p.list(depth)
		return value, p.alone(err)
	}
	return p.scalar()
}

// alone refuses what follows a value in brackets on its line, which HOCON would
// join with it.
func (p *parser) alone(err error) error {
	if err != nil {
		return err
	}
	if p.spaces(); p.next() == '{' || p.next() == '[' {
		return p.errorf("joining values is not supported: write one")
	}
	return nil
}

func (p *parser) list(depth int) ([]any, error) {
	if depth >= maxDepth {
		return nil, p.errorf("it nests deeper than %d", maxDepth)
	}
	open := p.at
	p.at++
	list := []any{}
	if err := p.blank(); err != nil {
		return nil, err
	}
	for p.next() != ']' {
		if p.at == len(p.text) {
			p.at = open
			return nil, p.errorf("the [ has no ]")
		}
		value, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		list = append(list, value)
		divided, err := p.separator()
		if err != nil {
			return nil, err
		}
		if !divided && p.at < len(p.text) && p.next() != ']' {
			return nil, p.errorf("a comma or ] is expected, not %s", p.found())
		}
	}
	p.at++
	return list, nil
}
