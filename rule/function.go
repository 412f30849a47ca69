package rule

import (
	"fmt"
	"strings"
	"time"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/internal/builtin"
	"github.com/sluiceio/sluice/internal/value"
)

// Function is a function of the user's own, for statements of the engines that it
// is registered with. [Func1] and its like make one from a Go function.
type Function struct {
	// Name is how statements call it; it may have a module: "my.decode".
	Name string
	// Args are the types of the arguments; they are checked before the call,
	// those of constants when a statement is compiled. The first Min of them
	// must be given. Variadic says that the last one may repeat.
	Args     []Type
	Min      int
	Variadic bool
	// Pure says that the result depends on nothing but the arguments: a call
	// with constants is then made only once, when the statement is compiled.
	Pure bool
	// Doc is a sentence about it.
	Doc string
	// Call is the code. It is called concurrently and must not block. The
	// arguments are as in bridge.Message.Columns, with nil for null and
	// Undefined for undefined; so is the result. An error makes the rule fail
	// on the message.
	Call func(c *Call, args []any) (any, error)
}

// Type is the type of an argument, or several that it may have: String | Bytes.
type Type uint16

// The types of arguments. Any is any value, also none.
const (
	Any     = Type(builtin.Any)
	Bool    = Type(builtin.Bool)
	Int     = Type(builtin.Int)
	Float   = Type(builtin.Float)
	Number  = Type(builtin.Number)
	String  = Type(builtin.String)
	List    = Type(builtin.List)
	Map     = Type(builtin.Map)
	Missing = Type(builtin.Undefined | builtin.Null)
)

// String returns the type in words.
func (t Type) String() string { return builtin.Type(t).String() }

// Undefined is the value of a column that is not there, where one that is JSON's
// null is nil.
type Undefined struct{}

// Call is what a function is called for. It is valid during the call.
type Call struct{ r *run }

// Message returns the message that the rule runs on, nil when the call is made to
// compile a statement. It must not be changed or kept.
func (c *Call) Message() *bridge.Message { return c.r.msg }

// Column returns a column of the event, Undefined when there is none.
func (c *Call) Column(name string) any { return export((*runEvent)(c.r).Column(name)) }

// Now returns the time of the evaluation by the engine's clock.
func (c *Call) Now() time.Time {
	if c.r.prog == nil {
		return time.Now()
	}
	return c.r.now()
}

// Spend counts n bytes that the function makes against the budget of the message,
// and returns an error that wraps ErrBudget when they are too many. A function
// calls it before it makes something whose size the message decides.
func (c *Call) Spend(n int) error {
	c.r.arena.Spend(n)
	return c.r.arena.Err()
}

// Rule returns the name of the rule.
func (c *Call) Rule() string {
	if c.r.prog == nil {
		return ""
	}
	return c.r.prog.name
}

// BitString is a text of bits whose number is no multiple of 8.
type BitString struct {
	Bytes string // the last byte's bits beyond Bits are 0
	Bits  int
}

// export returns v in Go's own types. It shares no memory with v.
func export(v value.Value) any {
	switch v.Kind() {
	case value.KindUndefined:
		return Undefined{}
	case value.KindBits:
		s, n := v.AsBits()
		return BitString{strings.Clone(s), n}
	case value.KindList:
		elems := v.Tree().Elements(nil)
		out := make([]any, len(elems))
		for i, e := range elems {
			out[i] = export(e)
		}
		return out
	case value.KindMap:
		pairs := v.Tree().Pairs(nil)
		out := make(map[string]any, len(pairs))
		for _, p := range pairs {
			out[p.Key] = export(p.Value)
		}
		return out
	default:
		return v.Any()
	}
}

// imported is the opposite of export.
func imported(a *value.Arena, x any) (value.Value, error) {
	switch x := x.(type) {
	case Undefined:
		return value.Undefined(), nil
	case BitString:
		return value.Bits(x.Bytes, x.Bits), nil
	case []any:
		list := a.Values(len(x))
		for i := range x {
			var err error
			if list[i], err = imported(a, x[i]); err != nil {
				return value.Undefined(), err
			}
		}
		return value.List(list), nil
	case map[string]any:
		pairs := a.Pairs(len(x))[:0]
		for k := range x {
			v, err := imported(a, x[k])
			if err != nil {
				return value.Undefined(), err
			}
			pairs = append(pairs, value.Pair{Key: k, Value: v})
		}
		return value.Map(pairs), nil
	default:
		return a.FromAny(x)
	}
}

// builtin returns the function as an entry of the table that the built-in ones
// have.
func (f Function) builtin() *builtin.Function {
	out := &builtin.Function{Name: f.Name, Min: f.Min, Variadic: f.Variadic, Pure: f.Pure, Doc: f.Doc}
	for i, t := range f.Args {
		out.Args = append(out.Args, builtin.Param{Name: fmt.Sprintf("arg%d", i+1), Type: builtin.Type(t)})
	}
	out.Call = func(c *builtin.Ctx, args []value.Value) (value.Value, error) {
		exported := make([]any, len(args))
		for i, v := range args {
			exported[i] = export(v)
		}
		x, err := f.Call(&Call{(*run)(c.Event.(*runEvent))}, exported)
		if err != nil {
			return value.Undefined(), err
		}
		return imported(c.Arena, x)
	}
	return out
}

// Arg is a type that arguments of a Go function may have. A float64 takes
// integers too. What is passed belongs to the function.
type Arg interface {
	string | []byte | bool | int64 | float64 | map[string]any | []any | any
}

// Func1 returns a function of one argument: it converts the values of the language for f.
func Func1[A Arg](name string, f func(*Call, A) (any, error)) Function {
	return Function{Name: name, Args: []Type{typeOf[A]()}, Min: 1, Call: func(c *Call, args []any) (any, error) {
		return f(c, as[A](args[0]))
	}}
}

// Func2 returns a function of two arguments.
func Func2[A, B Arg](name string, f func(*Call, A, B) (any, error)) Function {
	return Function{Name: name, Args: []Type{typeOf[A](), typeOf[B]()}, Min: 2, Call: func(c *Call, args []any) (any, error) {
		return f(c, as[A](args[0]), as[B](args[1]))
	}}
}

// Func3 returns a function of three arguments.
func Func3[A, B, C Arg](name string, f func(*Call, A, B, C) (any, error)) Function {
	return Function{
		Name: name, Args: []Type{typeOf[A](), typeOf[B](), typeOf[C]()}, Min: 3,
		Call: func(c *Call, args []any) (any, error) {
			return f(c, as[A](args[0]), as[B](args[1]), as[C](args[2]))
		},
	}
}

func typeOf[A any]() Type {
	switch any(new(A)).(type) {
	case *string, *[]byte:
		return String
	case *bool:
		return Bool
	case *int64:
		return Int
	case *float64:
		return Number
	case *map[string]any:
		return Map
	case *[]any:
		return List
	default:
		return Any
	}
}

// as converts an argument, whose type has been checked, to that of a Go function.
func as[A any](x any) (out A) {
	switch p := any(&out).(type) {
	case *[]byte:
		*p = []byte(x.(string))
	case *float64:
		if i, ok := x.(int64); ok {
			*p = float64(i)
			return out
		}
		*p, _ = x.(float64) // an integer of any size is a *big.Int
	default:
		out, _ = x.(A)
	}
	return out
}
