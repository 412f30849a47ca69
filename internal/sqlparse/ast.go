package sqlparse

import "math/big"

// Span is a part of a statement's text, as byte offsets.
type Span struct{ Start, End int }

// Statement is a parsed rule.
type Statement struct {
	// Text is what was parsed.
	Text string
	// Foreach tells FOREACH from SELECT.
	Foreach bool
	// Fields is the list after SELECT or FOREACH; it is never empty.
	Fields []Field
	// Do and InCase are the parts of FOREACH, nil when absent.
	Do     []Field
	InCase Expr
	// From holds the topic filters and event topics; it is never empty.
	From []Source
	// Where is nil when absent.
	Where Expr
}

// Source is one entry of FROM.
type Source struct {
	Span
	Name string
}

// Field is one entry of a select list.
type Field struct {
	Span
	// Expr is nil for a star.
	Expr Expr
	// As is the alias, nil when there is none. It has no slice.
	As *Path
}

// Star reports whether the field is "*".
func (f *Field) Star() bool { return f.Expr == nil }

// Expr is an expression: one of *Int, *Float, *String, *Bool, *Range, *List,
// *Path, *Call, *Unary, *Binary, *In and *Case.
type Expr interface {
	// Pos is the part of the text that the expression was read from.
	Pos() Span
	expr()
}

// Pos returns the span itself, which makes every node that embeds one an Expr.
func (s Span) Pos() Span { return s }
func (Span) expr()       {}

type (
	// Int is an integer constant of any size.
	Int struct {
		Span
		Value *big.Int
	}
	// Float is a constant with a decimal point.
	Float struct {
		Span
		Value float64
	}
	// String is a text constant.
	String struct {
		Span
		Value string
	}
	// Bool is true or false.
	Bool struct {
		Span
		Value bool
	}
	// Range is the list of the integers from From to To.
	Range struct {
		Span
		From, To int64
	}
	// List is a list of the elements' values.
	List struct {
		Span
		Elems []Expr
	}
	// Path is a name, or a way into a value from a name.
	Path struct {
		Span
		// Name is the column, Steps the way from there. Quoted tells that
		// the name was written in quotes.
		Name   string
		Quoted bool
		Steps  []Step
	}
	// Call is a call of the function Name, which has a dot when it belongs to
	// a module.
	Call struct {
		Span
		Name string
		// NameSpan is where the name stands.
		NameSpan Span
		Args     []Expr
	}
	// Unary is NOT x, -x or +x.
	Unary struct {
		Span
		Op Op
		X  Expr
	}
	// Binary is x op y.
	Binary struct {
		Span
		Op   Op
		X, Y Expr
	}
	// In is x IN (…) or x NOT IN (…).
	In struct {
		Span
		Not  bool
		X    Expr
		List []Expr
	}
	// Case is CASE … END.
	Case struct {
		Span
		// Operand is nil in the searched form, CASE WHEN.
		Operand Expr
		Whens   []When
		// Else is nil when absent.
		Else Expr
	}
)

// When is a branch of CASE.
type When struct{ Cond, Then Expr }

// StepKind is a way from a value to a part of it.
type StepKind uint8

// The kinds of steps.
const (
	StepKey   StepKind = iota // .key
	StepIndex                 // [2], [-1]; counted from 1 or from the end
	StepEnd                   // [-0]: behind the last element, when written
	StepVar                   // [a.b]: the index is another column's value
	StepSlice                 // [1..3]; the last step of a path
)

// Step is one step of a path.
type Step struct {
	Span
	Kind StepKind
	// Key belongs to StepKey, Index to StepIndex, Var to StepVar, and From
	// and To to StepSlice.
	Key      string
	Index    int64
	Var      *Path
	From, To int64
}

// Op is an operator.
type Op uint8

// The operators, weakest binding first.
const (
	OpOr Op = iota
	OpAnd
	OpNot
	OpEq
	OpNe
	OpLt
	OpLe
	OpGt
	OpGe
	OpMatch
	OpAdd
	OpSub
	OpMul
	OpQuo
	OpDiv
	OpMod
	OpNeg
	OpPos
)

var opText = [...]string{
	OpOr: "OR", OpAnd: "AND", OpNot: "NOT", OpEq: "=", OpNe: "!=", OpLt: "<", OpLe: "<=", OpGt: ">",
	OpGe: ">=", OpMatch: "=~", OpAdd: "+", OpSub: "-", OpMul: "*", OpQuo: "/", OpDiv: "div", OpMod: "mod",
	OpNeg: "-", OpPos: "+",
}

// String returns the operator as it is written.
func (op Op) String() string { return opText[op] }

// Comparison reports whether op compares: = != < <= > >= and =~.
func (op Op) Comparison() bool { return op >= OpEq && op <= OpMatch }

// Arithmetic reports whether op calculates: + - * / div and mod.
func (op Op) Arithmetic() bool { return op >= OpAdd && op <= OpMod }

// Levels of binding, as printer and parser use them.
const (
	levelOr = iota + 1
	levelAnd
	levelNot
	levelCompare
	levelAdd
	levelMul
	levelSign
	levelPrimary
)

func (op Op) level() int {
	switch {
	case op == OpOr:
		return levelOr
	case op == OpAnd:
		return levelAnd
	case op == OpNot:
		return levelNot
	case op.Comparison():
		return levelCompare
	case op <= OpSub:
		return levelAdd
	case op <= OpMod:
		return levelMul
	default:
		return levelSign
	}
}
