package builtin

import "github.com/sluiceio/sluice/internal/value"

func typeFunctions() []Function {
	var out []Function
	add := func(name string, test func(v value.Value) bool, doc string, examples ...Example) {
		out = append(out, Function{
			Name: name, Args: params("x", Any), Min: 1, Pure: true, Doc: doc, Examples: examples,
			Call: func(_ *Ctx, args []value.Value) (value.Value, error) { return value.Bool(test(args[0])), nil },
		})
	}
	kind := func(t Type) func(value.Value) bool {
		return func(v value.Value) bool { return t.Takes(v.Kind()) }
	}
	add("is_null", kind(Undefined), "Whether x is undefined. JSON's null is a value: see is_null_var.",
		Example{Expr: "is_null(null())", Result: "true"}, Example{Expr: "is_null(json_decode('null'))", Result: "false"})
	add("is_not_null", kind(Any&^Undefined), "Whether x is not undefined.", Example{Expr: "is_not_null('a')", Result: "true"})
	add("is_null_var", kind(Undefined|Null), "Whether x is undefined or JSON's null.",
		Example{Expr: "is_null_var(json_decode('null'))", Result: "true"})
	add("is_not_null_var", kind(Any&^Undefined&^Null), "Whether x is neither undefined nor JSON's null.",
		Example{Expr: "is_not_null_var(0)", Result: "true"})
	add("is_str", kind(String), "Whether x is a string.", Example{Expr: "is_str('a')", Result: "true"})
	add("is_bool", kind(Bool), "Whether x is a boolean.", Example{Expr: "is_bool('true')", Result: "false"})
	add("is_int", kind(Int), "Whether x is an integer.", Example{Expr: "is_int(1.0)", Result: "false"})
	add("is_float", kind(Float), "Whether x is a float.", Example{Expr: "is_float(1.0)", Result: "true"})
	add("is_num", kind(Number), "Whether x is a number.", Example{Expr: "is_num('123')", Result: "false"})
	add("is_map", kind(Map), "Whether x is a map.", Example{Expr: `is_map(json_decode('{"a":1}'))`, Result: "true"})
	add("is_array", kind(List), "Whether x is an array.", Example{Expr: "is_array([1, 2])", Result: "true"})
	return append(out,
		Function{
			Name: "is_empty", Args: params("x", String|List|Map), Min: 1, Pure: true, Call: isEmpty,
			Doc:      "Whether x is an empty array, map or text, or the text of an empty JSON object. Other text that is no JSON object is an error.",
			Examples: []Example{{Expr: "is_empty('{}')", Result: "true"}, {Expr: "is_empty([1])", Result: "false"}, {Expr: "is_empty('abc')", Error: true}},
		},
		Function{
			Name: "null", Pure: true, Doc: "The undefined value.",
			Call:     func(*Ctx, []value.Value) (value.Value, error) { return value.Undefined(), nil },
			Examples: []Example{{Expr: "null()", Result: "undefined"}},
		},
		Function{
			Name: "coalesce", Args: params("a", Any, "b", Any), Min: 1, Pure: true, Usage: "coalesce(a, b) or coalesce(list)",
			Doc:      "The first value that is not undefined; JSON's null counts as a value.",
			Examples: []Example{{Expr: "coalesce(null(), 'x')", Result: `"x"`}, {Expr: "coalesce([null(), 42])", Result: "42"}},
			Call:     first(func(v value.Value) bool { return !v.IsUndefined() }),
		},
		Function{
			Name: "coalesce_ne", Args: params("a", Any, "b", Any), Min: 1, Pure: true, Usage: "coalesce_ne(a, b) or coalesce_ne(list)",
			Doc:      "The first value that is neither undefined nor an empty text.",
			Examples: []Example{{Expr: "coalesce_ne('', 'x')", Result: `"x"`}},
			Call: first(func(v value.Value) bool {
				return !v.IsUndefined() && !(v.Kind() == value.KindString && v.AsString() == "")
			}),
		})
}

func isEmpty(c *Ctx, args []value.Value) (value.Value, error) {
	v := args[0]
	if v.Kind() == value.KindString && v.AsString() != "" {
		var err error
		if v, err = object(c, v); err != nil {
			return v, err
		}
	}
	return value.Bool(v.Len() == 0), nil
}

// first returns the first argument, or element of the one list given, that counts.
func first(counts func(value.Value) bool) Func {
	return func(c *Ctx, args []value.Value) (value.Value, error) {
		if len(args) == 1 {
			if args[0].Kind() != value.KindList {
				return value.Undefined(), bad("a single argument must be an array, not %s", args[0].Kind())
			}
			args = args[0].Elements(c.Arena)
		}
		for _, v := range args {
			if counts(v) {
				return v, nil
			}
		}
		return value.Undefined(), nil
	}
}
