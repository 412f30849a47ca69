package sqlparse

import (
	"strconv"
	"strings"
)

// String returns the statement in one line, with keywords in upper case and no
// more parentheses than it needs. Parsing it gives the same tree.
func (s *Statement) String() string {
	verb := "SELECT "
	if s.Foreach {
		verb = "FOREACH "
	}
	b := appendFields([]byte(verb), s.Fields)
	if s.Do != nil {
		b = appendFields(append(b, " DO "...), s.Do)
	}
	if s.InCase != nil {
		b = appendExpr(append(b, " INCASE "...), s.InCase, levelOr)
	}
	b = append(b, " FROM "...)
	for i, f := range s.From {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = appendQuoted(b, f.Name)
	}
	if s.Where != nil {
		b = appendExpr(append(b, " WHERE "...), s.Where, levelOr)
	}
	return string(b)
}

// Format returns the expression as it is written in a statement.
func Format(x Expr) string { return string(appendExpr(nil, x, levelOr)) }

func appendFields(b []byte, fields []Field) []byte {
	for i := range fields {
		f := &fields[i]
		if i > 0 {
			b = append(b, ", "...)
		}
		if f.Star() {
			b = append(b, '*')
			continue
		}
		b = appendExpr(b, f.Expr, levelOr)
		if f.As != nil {
			b = appendPath(append(b, " AS "...), f.As)
		}
	}
	return b
}

// appendExpr appends x, in parentheses when it binds more weakly than level.
func appendExpr(b []byte, x Expr, level int) []byte {
	if levelOf(x) < level {
		b = append(b, '(')
		return append(appendExpr(b, x, levelOr), ')')
	}
	switch x := x.(type) {
	case *Int:
		return x.Value.Append(b, 10)
	case *Float:
		return appendFloat(b, x.Value)
	case *String:
		return append(append(append(b, '\''), x.Value...), '\'')
	case *Bool:
		return strconv.AppendBool(b, x.Value)
	case *Range:
		return appendBounds(b, x.From, x.To)
	case *List:
		return append(appendList(append(b, '['), x.Elems), ']')
	case *Path:
		return appendPath(b, x)
	case *Call:
		return appendCall(b, x)
	case *Unary:
		return appendUnary(b, x)
	case *Binary:
		return appendBinary(b, x)
	case *In:
		b = appendExpr(b, x.X, levelCompare+1)
		if x.Not {
			b = append(b, " NOT"...)
		}
		return append(appendList(append(b, " IN ("...), x.List), ')')
	case *Case:
		return appendCase(b, x)
	default:
		return b
	}
}

func levelOf(x Expr) int {
	switch x := x.(type) {
	case *Binary:
		return x.Op.level()
	case *Unary:
		return x.Op.level()
	case *In:
		return levelCompare
	default:
		return levelPrimary
	}
}

// appendFloat keeps a point in the text: that is what makes it a float.
func appendFloat(b []byte, f float64) []byte {
	text := strconv.FormatFloat(f, 'f', -1, 64)
	if len(text) > 24 {
		text = strconv.FormatFloat(f, 'e', -1, 64)
	}
	if !strings.Contains(text, ".") {
		mantissa, exponent, _ := strings.Cut(text, "e")
		text = mantissa + ".0"
		if exponent != "" {
			text += "e" + exponent
		}
	}
	return append(b, text...)
}

func appendBinary(b []byte, x *Binary) []byte {
	level := x.Op.level()
	left := level
	if level == levelCompare {
		left++ // comparisons do not chain
	}
	b = appendExpr(b, x.X, left)
	b = append(b, ' ')
	b = append(b, x.Op.String()...)
	b = append(b, ' ')
	return appendExpr(b, x.Y, level+1)
}

func appendUnary(b []byte, x *Unary) []byte {
	b = append(b, x.Op.String()...)
	if x.Op == OpNot {
		return appendExpr(append(b, ' '), x.X, levelNot)
	}
	// A sign before a sign is put in parentheses: "--" starts a comment.
	return appendExpr(b, x.X, levelPrimary)
}

func appendCall(b []byte, x *Call) []byte {
	for i, part := range strings.Split(x.Name, ".") {
		if i > 0 {
			b = append(b, '.')
		}
		if x.Name == "div" || x.Name == "mod" {
			b = append(b, part...)
		} else {
			b = appendName(b, part)
		}
	}
	return append(appendList(append(b, '('), x.Args), ')')
}

func appendList(b []byte, list []Expr) []byte {
	for i, x := range list {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = appendExpr(b, x, levelOr)
	}
	return b
}

func appendCase(b []byte, x *Case) []byte {
	b = append(b, "CASE "...)
	if x.Operand != nil {
		b = append(appendExpr(b, x.Operand, levelOr), ' ')
	}
	for _, w := range x.Whens {
		b = appendExpr(append(b, "WHEN "...), w.Cond, levelOr)
		b = append(appendExpr(append(b, " THEN "...), w.Then, levelOr), ' ')
	}
	if x.Else != nil {
		b = append(appendExpr(append(b, "ELSE "...), x.Else, levelOr), ' ')
	}
	return append(b, "END"...)
}

// String returns the path as it is written in a statement.
func (x *Path) String() string { return string(appendPath(nil, x)) }

func appendPath(b []byte, x *Path) []byte {
	b = appendName(b, x.Name)
	for _, s := range x.Steps {
		switch s.Kind {
		case StepKey:
			b = append(b, '.')
			if isDigits(s.Key) {
				b = append(b, s.Key...)
			} else {
				b = appendName(b, s.Key)
			}
		case StepIndex:
			b = append(strconv.AppendInt(append(b, '['), s.Index, 10), ']')
		case StepEnd:
			b = append(b, "[-0]"...)
		case StepVar:
			b = append(appendPath(append(b, '['), s.Var), ']')
		case StepSlice:
			b = appendBounds(b, s.From, s.To)
		}
	}
	return b
}

func appendBounds(b []byte, from, to int64) []byte {
	b = strconv.AppendInt(append(b, '['), from, 10)
	b = strconv.AppendInt(append(b, ".."...), to, 10)
	return append(b, ']')
}

func isDigits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

func appendName(b []byte, name string) []byte {
	if bareName(name) {
		return append(b, name...)
	}
	return appendQuoted(b, name)
}

// appendQuoted quotes a name with whichever quote it does not hold itself.
func appendQuoted(b []byte, name string) []byte {
	quote := byte('"')
	if strings.Contains(name, `"`) {
		quote = '`'
		if strings.Contains(name, "`") {
			quote = '\''
		}
	}
	return append(append(append(b, quote), name...), quote)
}
