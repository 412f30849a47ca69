package sqlparse

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Error is a fault in a statement: what is wrong, where, and what to do.
type Error struct {
	// SQL is the whole statement and Span the offending part of it.
	SQL  string
	Span Span
	// Msg says what is wrong and Hint, which may be empty, what would help.
	Msg  string
	Hint string
}

// NewError returns the error msg about the part span of sql.
func NewError(sql string, span Span, msg, hint string) *Error {
	return &Error{SQL: sql, Span: span, Msg: msg, Hint: hint}
}

// Position returns the line and the column, both counted from 1, where the
// offending text starts. A column is a character, not a byte.
func (e *Error) Position() (line, column int) {
	before := e.SQL[:min(e.Span.Start, len(e.SQL))]
	line = 1 + strings.Count(before, "\n")
	return line, 1 + utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:])
}

// Summary is the error in one line: position, what is wrong and the hint.
func (e *Error) Summary() string {
	line, column := e.Position()
	s := fmt.Sprintf("%d:%d: %s", line, column, e.Msg)
	if e.Hint != "" {
		s += " (" + e.Hint + ")"
	}
	return s
}

// Error is the summary followed by the line of the statement that it is about,
// with the offending text underlined.
func (e *Error) Error() string {
	return e.Summary() + "\n" + e.Excerpt()
}

// excerptWidth bounds how much of a line an excerpt shows on each side.
const excerptWidth = 60

// Excerpt returns two lines: the line where the offending text starts and a line
// that underlines it. Long lines are cut around the place.
func (e *Error) Excerpt() string {
	start := min(e.Span.Start, len(e.SQL))
	end := min(max(e.Span.End, start), len(e.SQL))
	from := strings.LastIndexByte(e.SQL[:start], '\n') + 1
	to := len(e.SQL)
	if i := strings.IndexByte(e.SQL[start:], '\n'); i >= 0 {
		to = start + i
	}
	before, marked, after := e.SQL[from:start], e.SQL[start:min(end, to)], e.SQL[min(end, to):to]
	before, marked, after = cutLeft(before), cutRight(marked), cutRight(after)

	var b strings.Builder
	fmt.Fprintf(&b, "  %s%s%s\n  ", before, marked, after)
	for _, r := range before {
		if r != '\t' { // a tab stays one, so that the marks stand below the text
			r = ' '
		}
		b.WriteRune(r)
	}
	b.WriteString(strings.Repeat("^", max(1, utf8.RuneCountInString(marked))))
	return b.String()
}

func cutLeft(s string) string {
	r := []rune(s)
	if len(r) <= excerptWidth {
		return s
	}
	return "…" + string(r[len(r)-excerptWidth:])
}

func cutRight(s string) string {
	r := []rune(s)
	if len(r) <= excerptWidth {
		return s
	}
	return string(r[:excerptWidth]) + "…"
}
