package sqlparse

import (
	"math"
	"strconv"
)

// path reads a name and the steps after it.
func (p *parser) path() *Path {
	if p.depth++; p.depth > MaxDepth {
		p.fault(p.peek().span, "the path is nested too deep", "")
	}
	defer func() { p.depth-- }()
	t := p.peek()
	if t.kind != tName && t.kind != tQuoted {
		p.unexpected("a name", "")
		return &Path{}
	}
	p.take()
	x := &Path{Span: t.span, Name: t.text, Quoted: t.kind == tQuoted}
	for p.err == nil {
		start := p.peek().span.Start
		var s Step
		switch {
		case p.punct("."):
			s = p.keyStep()
		case p.punct("["):
			s = p.indexStep()
		default:
			return x
		}
		s.Span = Span{start, p.end()}
		x.Steps = append(x.Steps, s)
		x.End = s.End
		if s.Kind == StepSlice {
			if p.is(tPunct, ".") || p.is(tPunct, "[") {
				p.unexpected("an operator", "a slice is the last step of a path")
			}
			break
		}
	}
	return x
}

func (p *parser) keyStep() Step {
	switch t := p.peek(); t.kind {
	case tName, tQuoted, tString, tInt:
		p.take()
		return Step{Kind: StepKey, Key: t.text}
	case tFloat:
		p.unexpected("a key", "quote a key that has a dot: .'1.5'")
	case tKeyword:
		word := p.sql[t.span.Start:t.span.End]
		p.unexpected("a key", word+" is a reserved word; quote it: .'"+word+"'")
	default:
		p.unexpected("a key", "")
	}
	return Step{}
}

// indexStep reads what follows an opening bracket behind a name.
func (p *parser) indexStep() Step {
	if from, to, ok := p.bounds(); ok {
		return Step{Kind: StepSlice, From: from, To: to}
	}
	s := Step{Kind: StepIndex}
	switch t := p.peek(); {
	case t.kind == tName || t.kind == tQuoted:
		s = Step{Kind: StepVar, Var: p.path()}
		if n := len(s.Var.Steps); n > 0 && s.Var.Steps[n-1].Kind == StepSlice {
			p.fault(s.Var.Span, "a slice cannot be an index", "")
		}
	default:
		negative := p.is(tPunct, "-")
		n, ok := p.signedInt()
		if !ok {
			p.unexpected("an index", "an index is an integer, a column or a range: a[1], a[b.c], a[1..3]")
			return s
		}
		s.Index = n
		if n == 0 && negative {
			s.Kind = StepEnd
		}
	}
	p.expect(tPunct, "]", "]")
	return s
}

// bounds reads "from..to]" when it stands here.
func (p *parser) bounds() (from, to int64, ok bool) {
	at := 0
	if t := p.peek(); t.kind == tPunct && (t.text == "-" || t.text == "+") {
		at = 1
	}
	if p.peekAt(at).kind != tInt || p.peekAt(at+1).kind != tPunct || p.peekAt(at+1).text != ".." {
		return 0, 0, false
	}
	from, _ = p.signedInt()
	p.take()
	to, ok = p.signedInt()
	if !ok {
		p.unexpected("an integer", "a range is written [1..3]")
		return 0, 0, true
	}
	p.expect(tPunct, "]", "]")
	return from, to, true
}

// signedInt reads an integer with an optional sign. One that does not fit is cut
// to the largest that does: no list has so many elements.
func (p *parser) signedInt() (int64, bool) {
	sign, at := "", 0
	if t := p.peek(); t.kind == tPunct && (t.text == "-" || t.text == "+") {
		sign, at = t.text, 1
	}
	t := p.peekAt(at)
	if t.kind != tInt {
		return 0, false
	}
	for range at + 1 {
		p.take()
	}
	n, err := strconv.ParseInt(t.text, 10, 64)
	if err != nil {
		n = math.MaxInt64
	}
	if sign == "-" {
		n = -n
	}
	return n, true
}
