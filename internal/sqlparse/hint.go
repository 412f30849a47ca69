package sqlparse

import (
	"fmt"
	"strings"
)

// foreign are words of other SQL dialects that stand between two operands, and what
// to write instead. %s is the first of them.
var foreign = map[string]string{
	"LIKE":    "a pattern is matched with regex_match(%s, '^a.*z$'), a topic with %[1]s =~ 'a/+'",
	"ILIKE":   "a pattern is matched with regex_match(%s, '(?i)^a.*z$')",
	"RLIKE":   "a pattern is matched with regex_match(%s, '^a.*z$')",
	"REGEXP":  "a pattern is matched with regex_match(%s, '^a.*z$')",
	"BETWEEN": "write %s >= 1 AND %[1]s <= 9",
	"IS":      "write is_null(%s) or is_not_null(%[1]s), and is_null_var(%[1]s) where JSON's null counts too",
}

// foreignOperator reports a word of another dialect behind the operand x.
func (p *parser) foreignOperator(x Expr) bool {
	t, at := p.peek(), 0
	if t.kind == tKeyword && t.text == "NOT" { // NOT LIKE
		t, at = p.peekAt(1), 1
	}
	if t.kind != tName || !p.operandAt(at+1) {
		return false
	}
	word := strings.ToUpper(t.text)
	hint, ok := foreign[word]
	if !ok {
		return false
	}
	name := "x"
	if _, path := x.(*Path); path {
		name = Format(x)
	}
	p.fault(t.span, "there is no "+word, fmt.Sprintf(hint, name))
	return true
}

// distinct reports SELECT DISTINCT, which would be a column and its alias.
func (p *parser) distinct() {
	t := p.peek()
	if t.kind != tName || !strings.EqualFold(t.text, "DISTINCT") {
		return
	}
	switch next := p.peekAt(1); {
	case next.kind == tName, next.kind == tQuoted, next.kind == tPunct && (next.text == "*" || next.text == "("):
		p.fault(t.span, "there is no DISTINCT", "a rule sees one message at a time and makes a row of each")
	}
}

// clauses are those of other dialects that stand behind FROM or WHERE.
var clauses = map[string]bool{"GROUP": true, "ORDER": true, "HAVING": true, "LIMIT": true, "OFFSET": true, "UNION": true, "JOIN": true, "LEFT": true, "INNER": true}

// endHint says what to do about the token that stands where the statement should
// end.
func (p *parser) endHint() string {
	t := p.peek()
	switch word := strings.ToUpper(t.text); {
	case t.kind == tName && clauses[word]:
		return "a rule sees one message at a time: there is no " + word
	case t.kind == tKeyword && t.text == "FROM":
		return "FROM stands before WHERE"
	case t.kind == tName && p.at > 0 && p.tokens[p.at-1].kind != tKeyword:
		return "conditions are joined with AND or OR, and topics have no alias"
	}
	return ""
}

// unquotedTopic returns the error about a topic filter that is not quoted, when the
// token or character at an offset belongs to one; nil otherwise. tokens are those
// before it.
func unquotedTopic(sql string, tokens []token, offset int) *Error {
	i := len(tokens) - 1
	for i >= 0 && tokens[i].kind != tKeyword && tokens[i].text != "," {
		i--
	}
	from := i
	for from >= 0 && tokens[from].kind != tKeyword {
		from--
	}
	if from < 0 || tokens[from].text != "FROM" {
		return nil
	}
	start := offset
	if i+1 < len(tokens) {
		start = tokens[i+1].span.Start
	}
	length := strings.IndexAny(sql[start:], " \t\r\n,;")
	if length < 0 {
		length = len(sql) - start
	}
	filter := sql[start : start+length]
	if start+length <= offset || !strings.ContainsAny(filter, "/+#$-.") || strings.ContainsAny(filter, `"'`) {
		return nil
	}
	return NewError(sql, Span{start, start + length}, "the topic filter "+filter+" is not quoted", `write FROM "`+filter+`"`)
}
