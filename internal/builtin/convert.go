package builtin

import (
	"encoding/binary"
	"math"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/sluiceio/sluice/internal/value"
)

func convertFunctions() []Function {
	return []Function{
		{
			Name: "str", Args: params("x", Any), Min: 1, Pure: true, Call: str,
			Doc:      "x as text: floats with at most 10 decimals, maps as JSON, an array as JSON or, when all its elements are printable code points, as the text that they make.",
			Examples: []Example{{Expr: "str(3.14159265359)", Result: `"3.1415926536"`}, {Expr: "str([72, 105])", Result: `"Hi"`}, {Expr: "str(null())", Result: `"undefined"`}},
		},
		{
			Name: "str_utf8", Args: params("x", Any), Min: 1, Pure: true, Call: strUTF8,
			Doc:      "Like str; text that is not UTF-8 is an error.",
			Examples: []Example{{Expr: "str_utf8(2.0)", Result: `"2.0"`}, {Expr: "str_utf8(hexstr2bin('ff'))", Error: true}},
		},
		{
			Name: "str_utf16_le", Args: params("x", Any), Min: 1, Pure: true, Call: strUTF16,
			Doc:      "x as text in UTF-16, low byte first.",
			Examples: []Example{{Expr: "bin2hexstr(str_utf16_le('abc'))", Result: `"610062006300"`}},
		},
		{
			Name: "int", Args: params("x", Number|Text), Min: 1, Pure: true, Call: toInt,
			Doc:      "x as an integer: a float is rounded down, true is 1, and a text must be an integer or a float with a point.",
			Examples: []Example{{Expr: "int('3.99')", Result: "3"}, {Expr: "int(-3.5)", Result: "-4"}, {Expr: "int('1e3')", Error: true}},
		},
		{
			Name: "float", Args: params("x", Number|String, "decimals", Int), Min: 1, Pure: true, Call: toFloat,
			Doc:      "x as a float, rounded to 1 to 253 decimals when that is given. A text must be a float with a point or an integer.",
			Examples: []Example{{Expr: "float('3.14e4')", Result: "3.14e4"}, {Expr: "float('3.1415926', 3)", Result: "3.142"}},
		},
		{
			Name: "float2str", Args: params("f", Float, "decimals", Int), Min: 2, Pure: true, Call: floatToText,
			Doc:      "A float as text in fixed notation with at most so many decimals, 0 to 253, without trailing zeros.",
			Examples: []Example{{Expr: "float2str(20.2, 10)", Result: `"20.2"`}, {Expr: "float2str(0.1, 20)", Result: `"0.10000000000000000555"`}},
		},
		{
			Name: "bool", Args: params("x", Number|Text), Min: 1, Pure: true, Call: toBool,
			Doc:      "x as a boolean: true and false, 1 and 0, 'true' and 'false'. Everything else is an error.",
			Examples: []Example{{Expr: "bool(1.0)", Result: "true"}, {Expr: "bool('yes')", Error: true}},
		},
		{
			Name: "map", Args: params("x", Map|String|List), Min: 1, Pure: true,
			Call:     func(c *Ctx, args []value.Value) (value.Value, error) { return object(c, args[0]) },
			Doc:      "x as a map: a map is itself, the text of a JSON object is decoded.",
			Examples: []Example{{Expr: `map('{"a":1}')`, Result: `{"a":1}`}, {Expr: "map('[1]')", Error: true}},
		},
	}
}

// object returns a map, or what the text of a JSON object stands for; an empty
// list passes for an empty map.
func object(c *Ctx, v value.Value) (value.Value, error) {
	switch v.Kind() {
	case value.KindMap:
		return v, nil
	case value.KindList:
		if v.Len() == 0 {
			return value.Map(nil), nil
		}
		return value.Undefined(), bad("an array is no map")
	}
	d, err := c.Arena.DecodeString(v.AsString())
	if err != nil {
		return value.Undefined(), err
	}
	if d.Kind() != value.KindMap {
		return value.Undefined(), bad("the text holds JSON, but a %s and no object", d.Kind())
	}
	return d, nil
}

func str(c *Ctx, args []value.Value) (value.Value, error) {
	if args[0].Kind() == value.KindString {
		return args[0], nil
	}
	return value.String(args[0].Text(c.Arena)), nil
}

func strUTF8(c *Ctx, args []value.Value) (value.Value, error) {
	v, _ := str(c, args)
	if !utf8.ValidString(v.AsString()) {
		return v, bad("the text is not UTF-8")
	}
	return v, nil
}

func strUTF16(c *Ctx, args []value.Value) (value.Value, error) {
	v, err := strUTF8(c, args)
	if err != nil {
		return v, err
	}
	s := v.AsString()
	b := c.Arena.Buffer(2 * len(s))
	for _, r := range s {
		if r1, r2 := utf16.EncodeRune(r); r1 != utf8.RuneError {
			b = binary.LittleEndian.AppendUint16(b, uint16(r1))
			r = r2
		}
		b = binary.LittleEndian.AppendUint16(b, uint16(r))
	}
	return c.keep(b)
}

func toInt(_ *Ctx, args []value.Value) (value.Value, error) {
	v := args[0]
	switch v.Kind() {
	case value.KindBool:
		if v.AsBool() {
			return value.Int(1), nil
		}
		return value.Int(0), nil
	case value.KindString:
		var err error
		if v, err = value.ParseNumber(v.AsString()); err != nil {
			return v, err
		}
	}
	if f, _ := v.AsFloat(); v.Kind() == value.KindFloat {
		return value.FromFloat(math.Floor(f)), nil
	}
	return v, nil
}

func toFloat(c *Ctx, args []value.Value) (value.Value, error) {
	v := args[0]
	if v.Kind() == value.KindString {
		var err error
		if v, err = value.ParseNumber(v.AsString()); err != nil {
			return v, err
		}
	}
	f, ok := v.AsFloat()
	if !ok {
		return v, value.ErrRange
	}
	if len(args) == 1 {
		return value.Float(f), nil
	}
	decimals := intArg(args[1])
	if decimals < 1 || decimals > 253 {
		return v, bad("the number of decimals must be 1 to 253")
	}
	r, ok := value.ParseFloat(string(value.AppendDecimals(c.Arena.Buffer(32), f, decimals)))
	if !ok {
		return r, value.ErrRange
	}
	return r, nil
}

func floatToText(c *Ctx, args []value.Value) (value.Value, error) {
	decimals := intArg(args[1])
	if decimals < 0 || decimals > 253 {
		return value.Undefined(), bad("the number of decimals must be 0 to 253")
	}
	f, _ := args[0].AsFloat()
	return c.keep(value.AppendDecimals(c.Arena.Buffer(32), f, decimals))
}

func toBool(_ *Ctx, args []value.Value) (value.Value, error) {
	switch v := args[0]; v.Kind() {
	case value.KindBool:
		return v, nil
	case value.KindString:
		switch v.AsString() {
		case "true":
			return value.Bool(true), nil
		case "false":
			return value.Bool(false), nil
		}
	default:
		switch f, _ := v.AsFloat(); f {
		case 0:
			return value.Bool(false), nil
		case 1:
			return value.Bool(true), nil
		}
	}
	return value.Undefined(), bad("only true, false, 1, 0, 'true' and 'false' are booleans")
}
