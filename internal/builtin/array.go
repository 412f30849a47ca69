package builtin

import "github.com/sluiceio/sluice/internal/value"

func arrayFunctions() []Function {
	return []Function{
		{
			Name: "nth", Args: params("n", Int, "list", List), Min: 2, Pure: true, Call: nth,
			Doc: "The element at position n, counted from 1.", Examples: []Example{{Expr: "nth(2, [10, 20])", Result: "20"}, {Expr: "nth(3, [10, 20])", Error: true}},
		},
		{
			Name: "length", Args: params("list", List), Min: 1, Pure: true, Call: length,
			Doc: "The number of elements.", Examples: []Example{{Expr: "length([1, 2, 3])", Result: "3"}},
		},
		{
			Name: "sublist", Args: params("start", Int, "length", Int|List, "list", List), Min: 2, Pure: true, Call: sublist,
			Usage:    "sublist([start, ]length, list)",
			Doc:      "At most so many elements, from a position counted from 1, or from the first.",
			Examples: []Example{{Expr: "sublist(2, [1, 2, 3])", Result: "[1,2]"}, {Expr: "sublist(2, 10, [1, 2, 3])", Result: "[2,3]"}},
		},
		{
			Name: "first", Args: params("list", List), Min: 1, Pure: true, Call: element(0),
			Doc: "The first element.", Examples: []Example{{Expr: "first(['a', 'b'])", Result: `"a"`}, {Expr: "first([])", Error: true}},
		},
		{
			Name: "last", Args: params("list", List), Min: 1, Pure: true, Call: element(-1),
			Doc: "The last element.", Examples: []Example{{Expr: "last(['a', 'b'])", Result: `"b"`}},
		},
		{
			Name: "contains", Args: params("x", Any, "list", List), Min: 2, Pure: true, Call: contains,
			Doc:      "Whether x is an element. An integer is not the same as a float.",
			Examples: []Example{{Expr: "contains('b', ['a', 'b'])", Result: "true"}, {Expr: "contains(2, [2.0])", Result: "false"}},
		},
	}
}

func nth(c *Ctx, args []value.Value) (value.Value, error) {
	n := intArg(args[0])
	if n < 1 || n > args[1].Len() {
		return value.Undefined(), bad("there is no element %d in an array of %d", n, args[1].Len())
	}
	return args[1].Element(c.Arena, n-1), nil
}

func length(_ *Ctx, args []value.Value) (value.Value, error) {
	return value.Int(int64(args[0].Len())), nil
}

func sublist(c *Ctx, args []value.Value) (value.Value, error) {
	start, n, list := 1, intArg(args[0]), args[len(args)-1]
	if len(args) == 3 {
		if args[1].Kind() != value.KindInt {
			return value.Undefined(), bad("length must be an integer")
		}
		start, n = n, intArg(args[1])
	}
	switch {
	case list.Kind() != value.KindList:
		return value.Undefined(), bad("the last argument must be an array")
	case start < 1:
		return value.Undefined(), bad("start must be at least 1")
	case n < 0:
		return value.Undefined(), bad("length must not be negative")
	}
	elements := list.Elements(c.Arena)
	from := min(start-1, len(elements))
	return value.List(elements[from : from+min(n, len(elements)-from)]), nil
}

func element(i int) Func {
	return func(c *Ctx, args []value.Value) (value.Value, error) {
		if args[0].Len() == 0 {
			return value.Undefined(), bad("the array is empty")
		}
		return args[0].Element(c.Arena, i), nil
	}
}

func contains(c *Ctx, args []value.Value) (value.Value, error) {
	for _, e := range args[1].Elements(c.Arena) {
		if value.Equal(args[0], e) {
			return value.Bool(true), nil
		}
	}
	return value.Bool(false), nil
}
