package sqlparse

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

const (
	// MaxLength is the highest length of a statement in bytes.
	MaxLength = 256 << 10
	// MaxDepth is how deep expressions may be nested.
	MaxDepth = 200
)

// Parse reads a statement. Its errors are *Error.
func Parse(sql string) (*Statement, error) {
	p, err := newParser(sql)
	if err != nil {
		return nil, err
	}
	s := p.statement()
	if p.err != nil {
		return nil, p.err
	}
	return s, nil
}

// ParseExpr reads a single expression. Its errors are *Error.
func ParseExpr(text string) (Expr, error) {
	p, err := newParser(text)
	if err != nil {
		return nil, err
	}
	x := p.expr(levelOr)
	p.expect(tEOF, "", "the end of the expression")
	if p.err != nil {
		return nil, p.err
	}
	return x, nil
}

// parser walks over the tokens. After the first fault, err is set and every
// further step sees the end of the text, so that parsing ends quickly.
type parser struct {
	sql    string
	tokens []token
	at     int
	depth  int
	err    *Error
}

func newParser(sql string) (*parser, error) {
	if len(sql) > MaxLength {
		return nil, NewError(sql[:MaxLength], Span{MaxLength, MaxLength},
			fmt.Sprintf("the statement is longer than %d bytes", MaxLength), "")
	}
	tokens, err := lex(sql)
	if err != nil {
		return nil, err
	}
	return &parser{sql: sql, tokens: tokens}, nil
}

func (p *parser) peek() *token { return p.peekAt(0) }

func (p *parser) peekAt(n int) *token {
	if p.err != nil {
		return &p.tokens[len(p.tokens)-1]
	}
	return &p.tokens[min(p.at+n, len(p.tokens)-1)]
}

// take returns the current token and steps over it.
func (p *parser) take() *token {
	t := p.peek()
	if p.at < len(p.tokens)-1 {
		p.at++
	}
	return t
}

// end is where the last token that was taken ends.
func (p *parser) end() int {
	if p.at == 0 {
		return 0
	}
	return p.tokens[p.at-1].span.End
}

func (p *parser) is(k kind, text string) bool {
	t := p.peek()
	return t.kind == k && (text == "" || t.text == text)
}

func (p *parser) keyword(word string) bool { return p.accept(tKeyword, word) }
func (p *parser) punct(text string) bool   { return p.accept(tPunct, text) }

func (p *parser) accept(k kind, text string) bool {
	if !p.is(k, text) {
		return false
	}
	p.take()
	return p.err == nil
}

func (p *parser) expect(k kind, text, what string) {
	if p.err == nil && !p.accept(k, text) {
		p.unexpected(what, "")
	}
}

// unexpected records that the current token is not what was wanted.
func (p *parser) unexpected(wanted, hint string) {
	t := p.peek()
	found := "the end of the statement"
	if t.kind != tEOF {
		found = p.sql[t.span.Start:t.span.End]
		if r := []rune(found); len(r) > 30 {
			found = string(r[:30]) + "…"
		}
	}
	if hint == "" && t.kind == tKeyword && (wanted == "an expression" || wanted == "a name") {
		hint = fmt.Sprintf("%s is a reserved word; quote it as a name: \"%s\"", found, p.sql[t.span.Start:t.span.End])
	}
	p.fault(t.span, fmt.Sprintf("expected %s, found %s", wanted, found), hint)
}

// fault records an error, unless there is an earlier one.
func (p *parser) fault(span Span, msg, hint string) {
	if p.err == nil {
		p.err = NewError(p.sql, span, msg, hint)
	}
}

func (p *parser) statement() *Statement {
	s := &Statement{Text: p.sql}
	switch {
	case p.keyword("SELECT"):
		p.distinct()
		s.Fields = p.fields()
	case p.keyword("FOREACH"):
		s.Foreach = true
		s.Fields = p.fields()
		if p.keyword("DO") {
			s.Do = p.fields()
		}
		if p.keyword("INCASE") {
			s.InCase = p.expr(levelOr)
			if p.is(tKeyword, "DO") {
				p.unexpected("FROM", "DO stands before INCASE")
			}
		}
	default:
		p.unexpected("SELECT or FOREACH", "a rule is SELECT fields FROM \"topic filter\" WHERE condition")
	}
	p.from(s)
	if p.keyword("WHERE") {
		s.Where = p.expr(levelOr)
	}
	for p.punct(";") {
	}
	if p.err == nil && !p.is(tEOF, "") {
		p.unexpected("the end of the statement", p.endHint())
	}
	return s
}

func (p *parser) from(s *Statement) {
	if p.err == nil && !p.keyword("FROM") {
		hint := ""
		switch {
		case p.peek().kind == tEOF:
			hint = `name the topics: FROM "t/#"`
		case p.exponent():
			hint = "a number with an exponent has a point: 1.0e5"
		case p.is(tKeyword, "WHERE"):
			hint = `FROM and the topics stand before WHERE: FROM "t/#" WHERE …`
		case misspelt(p.peek().text, "FROM") || misspelt(p.tokens[p.at-1].text, "FROM"):
			hint = "did you mean FROM?"
		}
		p.unexpected("a comma or FROM", hint)
	}
	for p.err == nil {
		switch t := p.peek(); t.kind {
		case tName, tQuoted, tString:
			p.take()
			s.From = append(s.From, Source{t.span, t.text})
			if next := p.peek(); next.kind == tPunct && next.text != "," && next.text != ";" && next.span.Start == t.span.End {
				p.unquoted(next)
			}
		default:
			p.unquoted(t)
			p.unexpected("a topic filter", `topics with / + # or $ are quoted: "t/#"`)
		}
		if !p.punct(",") {
			break
		}
	}
}

// exponent reports whether the last token was what should have been the exponent of
// the number before it: the e5 of 1e5 is an alias.
func (p *parser) exponent() bool {
	if p.at < 2 {
		return false
	}
	number, name := p.tokens[p.at-2], p.tokens[p.at-1]
	return number.kind == tInt && name.kind == tName && number.span.End == name.span.Start && (name.text[0] == 'e' || name.text[0] == 'E')
}

// unquoted reports a topic filter without quotes that the token belongs to.
func (p *parser) unquoted(t *token) {
	if err := unquotedTopic(p.sql, p.tokens[:p.at], t.span.Start); err != nil && p.err == nil {
		p.err = err
	}
}

// misspelt reports whether text has the letters of word in another order.
func misspelt(text, word string) bool {
	letters := func(s string) []byte {
		b := []byte(strings.ToUpper(s))
		slices.Sort(b)
		return b
	}
	return bytes.Equal(letters(text), letters(word))
}

func (p *parser) fields() []Field {
	var list []Field
	for p.err == nil {
		list = append(list, p.field())
		comma := p.peek().span
		if !p.punct(",") {
			break
		}
		if t := p.peek(); t.kind == tKeyword && (t.text == "FROM" || t.text == "DO" || t.text == "INCASE") {
			p.fault(comma, "there is nothing between the comma and "+t.text, "leave the comma out")
		}
	}
	return list
}

func (p *parser) field() Field {
	f := Field{Span: p.peek().span}
	if p.punct("*") {
		return f
	}
	f.Expr = p.expr(levelOr)
	if p.keyword("AS") || p.is(tName, "") || p.is(tQuoted, "") {
		f.As = p.target()
	}
	f.End = p.end()
	return f
}

// target reads an alias.
func (p *parser) target() *Path {
	if p.is(tString, "") {
		p.unexpected("a name", `an alias is a name, not a string; quote it as "name"`)
	}
	x := p.path()
	if n := len(x.Steps); n > 0 && x.Steps[n-1].Kind == StepSlice {
		p.fault(x.Span, "a slice cannot be an alias", "")
	}
	return x
}
