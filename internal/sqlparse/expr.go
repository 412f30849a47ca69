package sqlparse

import (
	"fmt"
	"math/big"
	"strconv"
	"strings"
)

// expr reads an expression whose operators bind at least as strongly as level.
func (p *parser) expr(level int) Expr {
	if p.depth++; p.depth > MaxDepth {
		p.fault(p.peek().span, "the expression is nested too deep", fmt.Sprintf("at most %d levels are allowed", MaxDepth))
	}
	defer func() { p.depth-- }()
	x := p.prefix(level)
	compared := false
	for p.err == nil {
		op := p.infix()
		if op.width == 0 && p.foreignOperator(x) || op.width == 0 || op.level < level {
			break
		}
		if op.level == levelCompare && compared {
			p.fault(p.peek().span, "comparisons cannot be chained", "join them with AND, or put one in parentheses")
			break
		}
		compared = op.level == levelCompare
		for range op.width {
			p.take()
		}
		if op.in {
			x = p.in(x, op.not)
			continue
		}
		y := p.expr(op.level + 1)
		x = &Binary{Span{x.Pos().Start, p.end()}, op.op, x, y}
	}
	return x
}

// infix describes the operator at the current token: its tokens are width many,
// none when there is no operator.
type infix struct {
	op      Op
	level   int
	width   int
	in, not bool
}

var infixPunct = map[string]Op{
	"=": OpEq, "!=": OpNe, "<>": OpNe, "<": OpLt, "<=": OpLe, ">": OpGt, ">=": OpGe, "=~": OpMatch,
	"+": OpAdd, "-": OpSub, "*": OpMul, "/": OpQuo,
}

func (p *parser) infix() infix {
	binary := func(op Op) infix { return infix{op: op, level: op.level(), width: 1} }
	switch t := p.peek(); t.kind {
	case tPunct:
		if op, ok := infixPunct[t.text]; ok {
			return binary(op)
		}
	case tKeyword:
		switch t.text {
		case "OR":
			return binary(OpOr)
		case "AND":
			return binary(OpAnd)
		case "IN":
			return infix{level: levelCompare, width: 1, in: true}
		case "NOT":
			if next := p.peekAt(1); next.kind == tKeyword && next.text == "IN" {
				return infix{level: levelCompare, width: 2, in: true, not: true}
			}
		}
	case tName:
		if op, ok := wordOp(t.text); ok && p.operandAt(1) {
			return binary(op)
		}
	}
	return infix{}
}

// wordOp returns the operator that name is.
func wordOp(name string) (Op, bool) {
	switch {
	case strings.EqualFold(name, "div"):
		return OpDiv, true
	case strings.EqualFold(name, "mod"):
		return OpMod, true
	default:
		return 0, false
	}
}

// operandAt reports whether an expression may start at the n-th token from
// here, which tells the operator MOD from an alias of that name.
func (p *parser) operandAt(n int) bool {
	switch t := p.peekAt(n); t.kind {
	case tEOF:
		return false
	case tKeyword:
		return t.text == "CASE" || t.text == "NOT"
	case tPunct:
		return t.text == "(" || t.text == "[" || t.text == "+" || t.text == "-"
	default:
		return true
	}
}

// in reads what follows IN.
func (p *parser) in(x Expr, not bool) Expr {
	p.expect(tPunct, "(", "( and a list of values")
	list := p.list(")")
	if p.err == nil && len(list) == 0 {
		p.fault(Span{x.Pos().Start, p.end()}, "the list after IN is empty", "")
	}
	return &In{Span{x.Pos().Start, p.end()}, not, x, list}
}

// list reads expressions up to the closing token.
func (p *parser) list(closing string) []Expr {
	if p.punct(closing) {
		return nil
	}
	var list []Expr
	for p.err == nil {
		list = append(list, p.expr(levelOr))
		comma := p.peek().span
		if !p.punct(",") {
			p.expect(tPunct, closing, "a comma or "+closing)
			break
		}
		if p.is(tPunct, closing) { // a comma behind the last element
			if closing != "]" {
				p.fault(comma, "there is nothing between the comma and "+closing, "leave the comma out")
			}
			p.take()
			break
		}
	}
	return list
}

// prefix reads an operand together with the operators before it.
func (p *parser) prefix(level int) Expr {
	t := p.peek()
	switch t.kind {
	case tInt, tFloat:
		p.take()
		return p.number(t)
	case tString:
		p.take()
		return &String{t.span, t.text}
	case tQuoted:
		return p.nameOrCall()
	case tName:
		return p.word(t)
	case tKeyword:
		switch {
		case t.text == "NOT" && level <= levelNot:
			p.take()
			x := p.expr(levelNot)
			return &Unary{Span{t.span.Start, p.end()}, OpNot, x}
		case t.text == "CASE":
			return p.caseExpr()
		case t.text == "IF" && p.peekAt(1).text == "(":
			p.unexpected("an expression", "write CASE WHEN … THEN … ELSE … END")
		}
	case tPunct:
		switch t.text {
		case "(":
			p.take()
			x := p.expr(levelOr)
			p.expect(tPunct, ")", "an operator or )")
			return x
		case "[":
			p.take()
			return p.rangeOrList(t.span.Start)
		case "-", "+":
			p.take()
			x := p.expr(levelSign)
			return &Unary{Span{t.span.Start, p.end()}, signOp(t.text), x}
		case "*":
			hint := "a star stands by itself in a select list"
			if p.at > 0 && p.tokens[p.at-1].text == "(" {
				hint = "there are no functions over several messages: a rule sees one at a time"
			}
			p.unexpected("an expression", hint)
		case ".":
			p.unexpected("an expression", "a number starts with a digit: 0.5")
		}
	}
	p.unexpected("an expression", "")
	return &Bool{}
}

func signOp(text string) Op {
	if text == "-" {
		return OpNeg
	}
	return OpPos
}

// word reads what starts with a bare name.
func (p *parser) word(t *token) Expr {
	switch t.text {
	case "true", "false":
		p.take()
		return &Bool{t.span, t.text == "true"}
	}
	if op, ok := wordOp(t.text); ok {
		if next := p.peekAt(1); next.kind == tPunct && next.text == "(" {
			p.take()
			p.take()
			args := p.list(")")
			return &Call{Span{t.span.Start, p.end()}, op.String(), t.span, args}
		}
		if t.text == op.String() {
			p.unexpected("an expression", t.text+" is an operator; quote it as a name: \""+t.text+"\"")
		}
	}
	return p.nameOrCall()
}

func (p *parser) nameOrCall() Expr {
	x := p.path()
	if !p.is(tPunct, "(") {
		return x
	}
	name := x.Name
	for _, s := range x.Steps {
		if s.Kind != StepKey {
			p.unexpected("an operator", "a function's name has no index")
		}
		name += "." + s.Key
	}
	p.take()
	args := p.list(")")
	return &Call{Span{x.Start, p.end()}, name, x.Span, args}
}

func (p *parser) number(t *token) Expr {
	if t.kind == tInt {
		n, _ := new(big.Int).SetString(t.text, 10)
		return &Int{t.span, n}
	}
	f, err := strconv.ParseFloat(t.text, 64)
	if err != nil {
		p.fault(t.span, "the number is too large", "floats go up to 1.8e308")
	}
	return &Float{t.span, f}
}

// rangeOrList reads what follows an opening bracket.
func (p *parser) rangeOrList(start int) Expr {
	if from, to, ok := p.bounds(); ok {
		return &Range{Span{start, p.end()}, from, to}
	}
	elems := p.list("]")
	return &List{Span{start, p.end()}, elems}
}

func (p *parser) caseExpr() Expr {
	start := p.take().span.Start
	c := &Case{}
	if !p.is(tKeyword, "WHEN") {
		c.Operand = p.expr(levelOr)
	}
	for p.keyword("WHEN") {
		var w When
		w.Cond = p.expr(levelOr)
		p.expect(tKeyword, "THEN", "THEN")
		w.Then = p.expr(levelOr)
		c.Whens = append(c.Whens, w)
	}
	if len(c.Whens) == 0 {
		p.unexpected("WHEN", "")
	}
	if p.keyword("ELSE") {
		c.Else = p.expr(levelOr)
	}
	p.expect(tKeyword, "END", "WHEN, ELSE or END")
	c.Span = Span{start, p.end()}
	return c
}
