package builtin

import (
	"encoding/base64"
	"strings"
	"unsafe"

	"github.com/sluiceio/sluice/internal/value"
)

func encodingFunctions() []Function {
	return append(termFunctions(),
		Function{
			Name: "base64_encode", Args: params("b", String, "option", Any, "option", Any), Min: 1, Pure: true, Call: base64Encode,
			Doc:      "A text or bytes in base64. The options 'urlsafe' and 'no_padding' choose other forms.",
			Examples: []Example{{Expr: "base64_encode('hello')", Result: `"aGVsbG8="`}, {Expr: "base64_encode('a', 'no_padding')", Result: `"YQ"`}},
		},
		Function{
			Name: "base64_decode", Args: params("s", String, "option", Any, "option", Any), Min: 1, Pure: true, Call: base64Decode,
			Doc:      "What base64 text stands for. Padding must be there unless the option 'no_padding' is given; 'urlsafe' takes - and _.",
			Examples: []Example{{Expr: "base64_decode('aGVsbG8=')", Result: `"hello"`}, {Expr: "base64_decode('a')", Error: true}},
		},
		Function{
			Name: "bin2hexstr", Args: params("b", BitString, "prefix", String), Min: 1, Pure: true, Call: binToHex,
			Doc:      "Bytes in upper-case hexadecimal, with a prefix if one is given. A bit string gets zeros at its beginning to fill a digit.",
			Examples: []Example{{Expr: "bin2hexstr('abc')", Result: `"616263"`}, {Expr: "bin2hexstr('a', '0x')", Result: `"0x61"`}},
		},
		Function{
			Name: "sqlserver_bin2hexstr", Args: params("b", BitString), Min: 1, Pure: true,
			Doc:      "Bytes in upper-case hexadecimal after 0x.",
			Examples: []Example{{Expr: "sqlserver_bin2hexstr('a')", Result: `"0x61"`}},
			Call:     func(c *Ctx, args []value.Value) (value.Value, error) { return c.hex("0x", args[0]) },
		},
		Function{
			Name: "hexstr2bin", Args: params("s", String, "prefix", String), Min: 1, Pure: true, Call: hexToBin,
			Doc:      "The bytes that hexadecimal text stands for, without the prefix if one is given. An odd number of digits gets a zero before the first.",
			Examples: []Example{{Expr: "hexstr2bin('6162')", Result: `"ab"`}, {Expr: "hexstr2bin('0x61', '0x')", Result: `"a"`}, {Expr: "hexstr2bin('zz')", Error: true}},
		},
		Function{
			Name: "json_encode", Args: params("x", Any), Min: 1, Pure: true, Call: jsonEncode,
			Doc:      "x as JSON, with sorted keys. Undefined becomes the string \"undefined\", bytes that are not UTF-8 become U+FFFD.",
			Examples: []Example{{Expr: "json_encode([1, 2.0, 'a'])", Result: `"[1,2.0,\"a\"]"`}},
		},
		Function{
			Name: "json_decode", Args: params("s", String), Min: 1, Pure: true,
			Call:     func(c *Ctx, args []value.Value) (value.Value, error) { return c.Arena.DecodeString(args[0].AsString()) },
			Doc:      "The value that a JSON text stands for. Of members with the same name the last one counts.",
			Examples: []Example{{Expr: `json_decode('{"a":[1.0]}')`, Result: `{"a":[1.0]}`}, {Expr: "json_decode('bad')", Error: true}},
		},
	)
}

// bytesOf is s as bytes that share its memory and must not be written to.
func bytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }

// base64Option returns the encoding that the arguments behind the first ask for.
func base64Option(args []value.Value) *base64.Encoding {
	url, bare := false, false
	for _, o := range args[1:] {
		url = url || o.AsString() == "urlsafe"
		bare = bare || o.AsString() == "no_padding"
	}
	switch {
	case url && bare:
		return base64.RawURLEncoding
	case url:
		return base64.URLEncoding
	case bare:
		return base64.RawStdEncoding
	}
	return base64.StdEncoding
}

func base64Encode(c *Ctx, args []value.Value) (value.Value, error) {
	enc, s := base64Option(args), args[0].AsString()
	return c.keep(enc.AppendEncode(c.Arena.Buffer(enc.EncodedLen(len(s))), bytesOf(s)))
}

func base64Decode(c *Ctx, args []value.Value) (value.Value, error) {
	enc, s := base64Option(args), args[0].AsString()
	if strings.ContainsAny(s, " \t") { // white space does not count; AppendDecode knows line ends
		s = strings.Map(func(r rune) rune {
			if r == ' ' || r == '\t' {
				return -1
			}
			return r
		}, s)
	}
	if enc == base64.RawStdEncoding || enc == base64.RawURLEncoding { // padding is not needed, and may be there
		s = strings.TrimRight(s, "=")
	}
	b, err := enc.AppendDecode(c.Arena.Buffer(enc.DecodedLen(len(s))), bytesOf(s))
	if err != nil {
		return value.Undefined(), err
	}
	return c.keep(b)
}

func binToHex(c *Ctx, args []value.Value) (value.Value, error) {
	prefix := ""
	if len(args) > 1 {
		prefix = args[1].AsString()
	}
	return c.hex(prefix, args[0])
}

const upperHex = "0123456789ABCDEF"

func (c *Ctx) hex(prefix string, v value.Value) (value.Value, error) {
	s, bits := v.AsBits()
	b := append(c.Arena.Buffer(len(prefix)+2*len(s)), prefix...)
	digits := (bits + 3) / 4
	for d := range digits {
		// The digit's last bit, counted from the end of the string, is 4*(digits-d-1).
		end := bits - 4*(digits-d-1)
		b = append(b, upperHex[bitsAt(s, max(end-4, 0), end)])
	}
	return c.keep(b)
}

// bitsAt returns up to 8 bits of s, from one position to another.
func bitsAt(s string, from, to int) byte {
	var n byte
	for i := from; i < to; i++ {
		n = n<<1 | s[i/8]>>(7-i%8)&1
	}
	return n
}

func hexToBin(c *Ctx, args []value.Value) (value.Value, error) {
	s := args[0].AsString()
	if len(args) > 1 {
		rest, ok := strings.CutPrefix(s, args[1].AsString())
		if !ok {
			return value.Undefined(), bad("the text does not begin with %q", clip(args[1].AsString()))
		}
		s = rest
	}
	b := c.Arena.Buffer(len(s)/2 + 1)
	var high rune
	odd := len(s)%2 == 1 // an implicit zero stands before the first digit
	for i := range len(s) {
		d := hexDigit(s[i])
		if d < 0 {
			return value.Undefined(), bad("%q is no hexadecimal digit", s[i:i+1])
		}
		if (i%2 == 1) != odd {
			b = append(b, byte(high<<4|d))
			high = 0
		} else {
			high = d
		}
	}
	return c.keep(b)
}

func jsonEncode(c *Ctx, args []value.Value) (value.Value, error) {
	return c.keep(c.Arena.AppendJSON(c.Arena.Buffer(64), args[0]))
}
