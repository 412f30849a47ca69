package builtin

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/sluiceio/sluice/internal/value"
)

// Func is the code of a function. The arguments belong to the caller and their
// number and types have been checked; the result may borrow from them and from
// the context's arena.
type Func func(c *Ctx, args []value.Value) (value.Value, error)

// Function describes a function of the language.
type Function struct {
	// Name is how statements call it; case counts.
	Name string
	// Family is the heading that it stands under in the reference page.
	Family string
	// Args are the parameters. The first Min of them must be given, the others
	// may be left out.
	Args []Param
	Min  int
	// Variadic says that the last parameter may repeat.
	Variadic bool
	// Pure says that the result depends on the arguments only, so that a call
	// with constant arguments can be computed when a statement is compiled.
	Pure bool
	// Usage is how it is called, when that cannot be told from Args.
	Usage string
	// Doc says in one or two sentences what it does.
	Doc string
	// Examples are calls and their results; a test runs them.
	Examples []Example
	// Call is the code.
	Call Func

	checks []check // of constant arguments
}

// Param is a parameter of a function.
type Param struct {
	Name string
	Type Type
}

// Example is an expression and the JSON text of its value; Error says that it
// fails instead. The text undefined stands for the undefined value.
type Example struct {
	Expr, Result string
	Error        bool
}

// Type is a set of kinds that a parameter takes.
type Type uint16

// The types. Text takes booleans too, as their names, as EMQX's text functions
// do; Object takes the text of a JSON object as well as a map.
const (
	Undefined Type = 1 << value.KindUndefined
	Null      Type = 1 << value.KindNull
	Bool      Type = 1 << value.KindBool
	Int       Type = 1 << value.KindInt
	Float     Type = 1 << value.KindFloat
	String    Type = 1 << value.KindString
	BitString Type = 1<<value.KindBits | String
	List      Type = 1 << value.KindList
	Map       Type = 1 << value.KindMap

	Any    Type = 1<<(value.KindMap+1) - 1
	Number Type = Int | Float
	Text   Type = String | Bool
	Object Type = Map | String
)

// Takes reports whether a value of kind k is of the type.
func (t Type) Takes(k value.Kind) bool { return t>>k&1 != 0 }

// typeNames are the names of types that have one, the largest first.
var typeNames = []struct {
	t    Type
	name string
}{
	{Any, "any value"},
	{BitString, "string or bit string"},
	{Number, "number"},
	{Undefined, "undefined"},
	{Null, "null"},
	{Bool, "boolean"},
	{Int, "integer"},
	{Float, "float"},
	{String, "string"},
	{List, "array"},
	{Map, "map"},
}

// String returns the type in words, such as "string or boolean".
func (t Type) String() string {
	var words []string
	for _, n := range typeNames {
		if t&n.t == n.t {
			words = append(words, n.name)
			t &^= n.t
		}
	}
	return strings.Join(words, " or ")
}

// Max returns the largest number of arguments, -1 when there is none.
func (f *Function) Max() int {
	if f.Variadic {
		return -1
	}
	return len(f.Args)
}

// Param returns the parameter that the argument at index i, from 0, is for.
func (f *Function) Param(i int) Param { return f.Args[min(i, len(f.Args)-1)] }

// Signature returns the function's head, such as "pad(text, length[, where[, char]])".
func (f *Function) Signature() string {
	if f.Usage != "" {
		return f.Usage
	}
	var b strings.Builder
	b.WriteString(f.Name + "(")
	for i, p := range f.Args {
		if i >= f.Min {
			b.WriteByte('[')
		}
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(p.Name)
	}
	if f.Variadic {
		b.WriteString(", …")
	}
	b.WriteString(strings.Repeat("]", len(f.Args)-min(f.Min, len(f.Args))) + ")")
	return b.String()
}

// CheckCount returns an *ArityError unless n arguments may be given.
func (f *Function) CheckCount(n int) error {
	if n < f.Min || n > len(f.Args) && !f.Variadic {
		return &ArityError{f, n}
	}
	return nil
}

// CheckKind returns a *TypeError unless the argument at index i may be of kind k.
func (f *Function) CheckKind(i int, k value.Kind) error {
	if p := f.Param(i); !p.Type.Takes(k) {
		return &TypeError{f, i, k}
	}
	return nil
}

// Invoke checks the arguments and calls the function. Its errors begin with the
// function's name.
func (f *Function) Invoke(c *Ctx, args []value.Value) (value.Value, error) {
	if err := f.CheckCount(len(args)); err != nil {
		return value.Undefined(), err
	}
	for i := range args {
		if !f.Param(i).Type.Takes(args[i].Kind()) {
			return value.Undefined(), &TypeError{f, i, args[i].Kind()}
		}
		c.Arena.Work(args[i].Extent())
	}
	v, err := f.Call(c, args)
	if err == nil {
		err = c.Arena.Err()
	}
	if err != nil {
		return value.Undefined(), fmt.Errorf("%s: %w", f.Name, err)
	}
	return v, nil
}

// ArityError says that a call has too few or too many arguments.
type ArityError struct {
	Func  *Function
	Count int // of the arguments
}

func (e *ArityError) Error() string {
	lo, hi := e.Func.Min, e.Func.Max()
	want := strconv.Itoa(lo)
	switch {
	case hi < 0:
		want = fmt.Sprintf("at least %d", lo)
	case hi > lo+1:
		want = fmt.Sprintf("%d to %d", lo, hi)
	case hi > lo:
		want = fmt.Sprintf("%d or %d", lo, hi)
	}
	plural := "s"
	if want == "1" || want == "at least 1" {
		plural = ""
	}
	return fmt.Sprintf("%s takes %s argument%s, not %d: %s", e.Func.Name, want, plural, e.Count, e.Func.Signature())
}

// TypeError says that an argument has a type that the function does not take.
type TypeError struct {
	Func  *Function
	Index int // of the argument, from 0
	Kind  value.Kind
}

func (e *TypeError) Error() string {
	p := e.Func.Param(e.Index)
	return fmt.Sprintf("%s: argument %d (%s) must be %s, not %s", e.Func.Name, e.Index+1, p.Name, p.Type, e.Kind)
}

// ErrArgument says that an argument has the right type but not a value that the
// function can take.
var ErrArgument = errors.New("bad argument")

// clip shortens a text of unknown length for an error.
func clip(s string) string {
	if len(s) > 40 {
		return s[:37] + "..."
	}
	return s
}

// bad returns an error that wraps ErrArgument.
func bad(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrArgument}, args...)...)
}

// params makes parameters of names, each with its type behind it.
func params(list ...any) []Param {
	out := make([]Param, 0, len(list)/2)
	for i := 0; i+1 < len(list); i += 2 {
		out = append(out, Param{list[i].(string), list[i+1].(Type)})
	}
	return out
}
