package sqlparse

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

type kind uint8

const (
	tEOF kind = iota
	tName
	tQuoted // a quoted name
	tKeyword
	tString
	tInt
	tFloat
	tPunct // operators and punctuation
)

// token is a piece of the statement. text is the name, the keyword in upper
// case, the value of a string, or the text itself.
type token struct {
	kind kind
	text string
	span Span
}

// keywords are matched in any case of letters.
var keywords = map[string]bool{
	"SELECT": true, "FROM": true, "WHERE": true, "AS": true, "AND": true, "OR": true, "NOT": true, "IN": true,
	"CASE": true, "WHEN": true, "THEN": true, "ELSE": true, "END": true, "FOREACH": true, "DO": true,
	"INCASE": true, "IF": true, "ELSIF": true,
}

func isKeyword(name string) bool {
	return len(name) <= len("FOREACH") && keywords[strings.ToUpper(name)]
}

// lex cuts sql into tokens, the last of which is tEOF.
func lex(sql string) ([]token, *Error) {
	l := lexer{sql: sql}
	var tokens []token
	for {
		t, err := l.next()
		if err != nil {
			if topic := unquotedTopic(sql, tokens, err.Span.Start); topic != nil {
				return nil, topic
			}
			return nil, err
		}
		tokens = append(tokens, t)
		if t.kind == tEOF {
			return tokens, nil
		}
	}
}

type lexer struct {
	sql string
	at  int
}

func (l *lexer) peek(ahead int) byte {
	if l.at+ahead < len(l.sql) {
		return l.sql[l.at+ahead]
	}
	return 0
}

func (l *lexer) next() (token, *Error) {
	l.skipBlanks()
	start := l.at
	if start == len(l.sql) {
		return token{kind: tEOF, span: Span{start, start}}, nil
	}
	switch c := l.sql[start]; {
	case isNameStart(c):
		for l.at < len(l.sql) && isNamePart(l.sql[l.at]) {
			l.at++
		}
		if name := l.sql[start:l.at]; isKeyword(name) {
			return l.token(tKeyword, strings.ToUpper(name), start), nil
		}
		return l.token(tName, l.sql[start:l.at], start), nil
	case isDigit(c):
		return l.number(), nil
	case c == '\'':
		return l.text()
	case c == '"' || c == '`':
		end := strings.IndexByte(l.sql[start+1:], c)
		if end < 0 {
			return token{}, l.fault(start, len(l.sql), "unterminated name", fmt.Sprintf("a name is quoted as %[1]cname%[1]c", c))
		}
		l.at = start + 1 + end + 1
		return l.token(tQuoted, l.sql[start+1:l.at-1], start), nil
	default:
		return l.punct()
	}
}

func (l *lexer) token(k kind, text string, start int) token {
	return token{kind: k, text: text, span: Span{start, l.at}}
}

func (l *lexer) fault(start, end int, msg, hint string) *Error {
	return NewError(l.sql, Span{start, end}, msg, hint)
}

// skipBlanks skips white space and comments.
func (l *lexer) skipBlanks() {
	for l.at < len(l.sql) {
		switch c := l.sql[l.at]; {
		case c == ' ' || c == '\t' || c == '\r' || c == '\n':
			l.at++
		case c == '-' && l.peek(1) == '-':
			if end := strings.IndexByte(l.sql[l.at:], '\n'); end >= 0 {
				l.at += end
			} else {
				l.at = len(l.sql)
			}
		default:
			return
		}
	}
}

// number reads digits, or digits.digits with an optional exponent. What does
// not belong to it, as the e5 of 1e5, is the next token.
func (l *lexer) number() token {
	start := l.at
	l.digits()
	if l.peek(0) != '.' || !isDigit(l.peek(1)) {
		return l.token(tInt, l.sql[start:l.at], start)
	}
	l.at++
	l.digits()
	if c := l.peek(0); c == 'e' || c == 'E' {
		sign := 0
		if s := l.peek(1); s == '+' || s == '-' {
			sign = 1
		}
		if isDigit(l.peek(1 + sign)) {
			l.at += 1 + sign
			l.digits()
		}
	}
	return l.token(tFloat, l.sql[start:l.at], start)
}

func (l *lexer) digits() {
	for isDigit(l.peek(0)) {
		l.at++
	}
}

// text reads a string constant. There are no escapes, and a doubled quote
// inside stays doubled.
func (l *lexer) text() (token, *Error) {
	start := l.at
	for i := start + 1; i < len(l.sql); i++ {
		if l.sql[i] != '\'' {
			continue
		}
		if strings.HasPrefix(l.sql[i+1:], "'") && strings.Contains(l.sql[i+2:], "'") {
			i++
			continue
		}
		l.at = i + 1
		return l.token(tString, l.sql[start+1:i], start), nil
	}
	return token{}, l.fault(start, len(l.sql), "unterminated string", "a string ends with the next single quote; there are no escapes")
}

func (l *lexer) punct() (token, *Error) {
	start := l.at
	for _, p := range [...]string{"!=", "<>", "<=", ">=", "=~", ".."} {
		if strings.HasPrefix(l.sql[start:], p) {
			l.at += len(p)
			return l.token(tPunct, p, start), nil
		}
	}
	for _, wrong := range [...]struct{ text, hint string }{
		{"==", "equality is written ="},
		{"~=", "a topic is matched with topic =~ filter"},
		{"||", "text is joined with + or concat(), conditions with OR"},
		{"&&", "conditions are joined with AND"},
		{"%", "the remainder is written a mod b"},
		{"->", "a member is written a.b, an element a[1]"},
		{"/*", "comments start with -- and go to the end of the line"},
		{"!", "the opposite of a condition is written NOT"},
		{"“", "text is put in straight single quotes, names in straight double ones"},
		{"”", "text is put in straight single quotes, names in straight double ones"},
		{"‘", "text is put in straight single quotes"},
		{"’", "text is put in straight single quotes"},
		{"#", "comments start with --"},
		{"$", `names that start with $ are quoted: "$name"`},
	} {
		if strings.HasPrefix(l.sql[start:], wrong.text) {
			return token{}, l.fault(start, start+len(wrong.text), "unexpected "+wrong.text, wrong.hint)
		}
	}
	c := l.sql[start]
	if strings.IndexByte("()[],.+-*/=<>;", c) >= 0 {
		l.at++
		return l.token(tPunct, l.sql[start:l.at], start), nil
	}
	r, size := utf8.DecodeRuneInString(l.sql[start:])
	hint := ""
	if r >= utf8.RuneSelf {
		hint = "names with such characters are put in double quotes, text in single quotes"
	}
	return token{}, l.fault(start, start+size, fmt.Sprintf("unexpected character %q", r), hint)
}

func isNameStart(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_'
}

func isNamePart(c byte) bool {
	return isNameStart(c) || isDigit(c) || c == '$' || c == '@' || c == '~'
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// bareName reports whether name can stand without quotes.
func bareName(name string) bool {
	if name == "" || !isNameStart(name[0]) || isKeyword(name) {
		return false
	}
	for i := range len(name) {
		if !isNamePart(name[i]) {
			return false
		}
	}
	return !strings.EqualFold(name, "div") && !strings.EqualFold(name, "mod") && name != "true" && name != "false"
}
