package builtin

import (
	"math"
	"math/big"

	"github.com/sluiceio/sluice/internal/value"
)

func bitFunctions() []Function {
	return []Function{
		{
			Name: "bitand", Args: params("a", Int, "b", Int), Min: 2, Pure: true, Doc: "The bits that are set in both integers.",
			Call:     bigOp(func(a, b int64) int64 { return a & b }, (*big.Int).And),
			Examples: []Example{{Expr: "bitand(10, 8)", Result: "8"}},
		},
		{
			Name: "bitor", Args: params("a", Int, "b", Int), Min: 2, Pure: true, Doc: "The bits that are set in any of the integers.",
			Call:     bigOp(func(a, b int64) int64 { return a | b }, (*big.Int).Or),
			Examples: []Example{{Expr: "bitor(10, 5)", Result: "15"}},
		},
		{
			Name: "bitxor", Args: params("a", Int, "b", Int), Min: 2, Pure: true, Doc: "The bits that are set in one integer only.",
			Call:     bigOp(func(a, b int64) int64 { return a ^ b }, (*big.Int).Xor),
			Examples: []Example{{Expr: "bitxor(10, 8)", Result: "2"}},
		},
		{
			Name: "bitnot", Args: params("n", Int), Min: 1, Pure: true, Doc: "All bits inverted, which is -n - 1.", Call: bitNot,
			Examples: []Example{{Expr: "bitnot(10)", Result: "-11"}},
		},
		{
			Name: "bitsl", Args: params("n", Int, "count", Int), Min: 2, Pure: true, Doc: "n shifted to the left, or to the right when count is negative.", Call: shift(1),
			Examples: []Example{{Expr: "bitsl(1, 70)", Result: "1180591620717411303424"}},
		},
		{
			Name: "bitsr", Args: params("n", Int, "count", Int), Min: 2, Pure: true, Doc: "n shifted to the right, or to the left when count is negative. The sign stays.", Call: shift(-1),
			Examples: []Example{{Expr: "bitsr(-8, 2)", Result: "-2"}},
		},
		{
			Name: "bitsize", Args: params("b", BitString), Min: 1, Pure: true, Doc: "The length of a text or bit string in bits.", Call: bitSize,
			Examples: []Example{{Expr: "bitsize('abc')", Result: "24"}},
		},
		{
			Name: "bytesize", Args: params("b", String|List), Min: 1, Pure: true, Doc: "The length of a text in bytes, or that of all bytes and texts in an array.", Call: byteSize,
			Examples: []Example{{Expr: "bytesize('你好')", Result: "6"}},
		},
		{
			Name: "subbits", Args: params("b", BitString, "start", Int, "length", Int, "type", String, "sign", String, "endian", String), Min: 2, Pure: true, Call: subbits,
			Usage: "subbits(b, length) or subbits(b, start, length[, type[, sign[, endian]]])",
			Doc: "The bits of b from start, counted from 1: as an 'integer' (the default), a 'float' of 16, 32 or 64 bits, or as 'bits'; 'unsigned' (the default) or 'signed', 'big' (the default) or 'little' endian. " +
				"When fewer bits are left all of them are taken; undefined when none are.",
			Examples: []Example{
				{Expr: "subbits(hexstr2bin('9F4E58'), 8)", Result: "159"},
				{Expr: "subbits(hexstr2bin('9F4E58'), 1, 16, 'integer', 'signed', 'big')", Result: "-24754"},
				{Expr: "subbits('a', 9, 8)", Result: "undefined"},
			},
		},
	}
}

func bitNot(_ *Ctx, args []value.Value) (value.Value, error) {
	if i, ok := args[0].AsInt(); ok {
		return value.Int(^i), nil
	}
	return value.BigInt(new(big.Int).Not(args[0].AsBig())), nil
}

// shift shifts to the left by direction times the second argument.
func shift(direction int) Func {
	return func(_ *Ctx, args []value.Value) (value.Value, error) {
		count := direction * max(intArg(args[1]), minInt+1)
		i, small := args[0].AsInt()
		switch {
		case small && i == 0:
			return args[0], nil
		case small && count <= 0:
			return value.Int(i >> min(-count, 63)), nil
		case small && count < 62 && i>>(62-count) == i>>63: // it fits
			return value.Int(i << count), nil
		}
		n := args[0].AsBig()
		if count > value.MaxBits-n.BitLen() {
			return value.Undefined(), value.ErrTooBig
		}
		if count < 0 {
			return value.BigInt(new(big.Int).Rsh(n, uint(-count))), nil
		}
		return value.BigInt(new(big.Int).Lsh(n, uint(count))), nil
	}
}

func bitSize(_ *Ctx, args []value.Value) (value.Value, error) {
	_, n := args[0].AsBits()
	return value.Int(int64(n)), nil
}

func byteSize(_ *Ctx, args []value.Value) (value.Value, error) {
	n, ok := countBytes(args[0].Tree())
	if !ok {
		return value.Undefined(), bad("the array holds something that is neither a byte nor a text")
	}
	return value.Int(n), nil
}

// countBytes returns the length of a text, or that of the bytes and texts in an
// array at any depth.
func countBytes(v value.Value) (sum int64, ok bool) {
	if v.Kind() == value.KindString {
		return int64(len(v.AsString())), true
	}
	if v.Kind() != value.KindList {
		return 0, false
	}
	for _, e := range v.Elements(nil) {
		n := int64(1)
		if i, isInt := e.AsInt(); !isInt {
			if n, ok = countBytes(e); !ok {
				return 0, false
			}
		} else if i < 0 || i > 255 {
			return 0, false
		}
		sum += n
	}
	return sum, true
}

func subbits(c *Ctx, args []value.Value) (value.Value, error) {
	start, length := 1, intArg(args[1])
	if len(args) > 2 {
		start, length = length, intArg(args[2])
	}
	kind, sign, endian := "integer", "unsigned", "big"
	for i, p := range []*string{&kind, &sign, &endian} {
		if len(args) > 3+i {
			*p = args[3+i].AsString()
		}
	}
	if sign != "unsigned" && sign != "signed" {
		return value.Undefined(), bad("sign must be 'unsigned' or 'signed'")
	}
	if endian != "big" && endian != "little" {
		return value.Undefined(), bad("endian must be 'big' or 'little'")
	}
	s, total := args[0].AsBits()
	if start < 1 || start > total {
		return value.Undefined(), nil
	}
	rest := total - start + 1
	if length < 0 || length > rest {
		length = rest
	}
	b := copyBits(c.Arena.Buffer(rest/8+1), s, start-1, length)
	switch kind {
	case "integer":
		if length > value.MaxBits {
			return value.Undefined(), value.ErrTooBig
		}
		return bitsInteger(b, length, sign == "signed", endian == "little"), nil
	case "float":
		f, ok := bitsFloat(b, length, endian == "little")
		if !ok { // as everywhere, all that is left counts when length cannot be had
			f, ok = bitsFloat(copyBits(b[:0], s, start-1, rest), rest, endian == "little")
		}
		if !ok {
			return value.Undefined(), bad("these bits are no float of 16, 32 or 64 bits")
		}
		return value.Float(f), nil
	case "bits":
		return value.Bits(c.Arena.Keep(b), length), nil
	}
	return value.Undefined(), bad("type must be 'integer', 'float' or 'bits'")
}

// copyBits appends n bits of s, from one position on, aligned to the left and
// filled up with zeros.
func copyBits(dst []byte, s string, from, n int) []byte {
	shift, at := from%8, from/8
	for i := 0; i < n; i += 8 {
		b := s[at] << shift
		if at++; shift > 0 && at < len(s) {
			b |= s[at] >> (8 - shift)
		}
		dst = append(dst, b)
	}
	if n%8 != 0 {
		dst[len(dst)-1] &= 0xff << (8 - n%8)
	}
	return dst
}

// bitsInteger returns the integer that n bits, aligned to the left, stand for. In
// little-endian order the last byte has the bits that do not fill one.
func bitsInteger(b []byte, n int, signed, little bool) value.Value {
	rest := n % 8
	if little {
		if rest != 0 {
			b[len(b)-1] >>= 8 - rest
		}
		for i, j := 0, len(b)-1; i < j; i, j = i+1, j-1 {
			b[i], b[j] = b[j], b[i]
		}
	}
	if len(b) > 8 {
		i := new(big.Int).SetBytes(b)
		if !little && rest != 0 {
			i.Rsh(i, uint(8-rest))
		}
		if signed && i.Bit(n-1) == 1 {
			i.Sub(i, new(big.Int).Lsh(big.NewInt(1), uint(n)))
		}
		return value.BigInt(i)
	}
	var u uint64
	for _, x := range b {
		u = u<<8 | uint64(x)
	}
	if !little && rest != 0 {
		u >>= 8 - rest
	}
	if signed && n > 0 {
		return value.Int(int64(u<<(64-n)) >> (64 - n))
	}
	return value.Uint(u)
}

// bitsFloat returns the float that n bits stand for; ok is false when they are not
// of a float's size, or an infinity or no number.
func bitsFloat(b []byte, n int, little bool) (f float64, ok bool) {
	if n != 16 && n != 32 && n != 64 {
		return 0, false
	}
	u := bitsInteger(b, n, false, little).AsBig().Uint64()
	switch n {
	case 16:
		f = halfFloat(uint16(u))
	case 32:
		f = float64(math.Float32frombits(uint32(u)))
	default:
		f = math.Float64frombits(u)
	}
	return f, f-f == 0
}

// halfFloat returns the number that 16 bits stand for (IEEE 754, binary16).
func halfFloat(u uint16) float64 {
	exponent, fraction := int(u>>10&0x1f), float64(u&0x3ff)
	var f float64
	switch exponent {
	case 0:
		f = math.Ldexp(fraction, -24)
	case 0x1f:
		f = math.Inf(1)
		if fraction != 0 {
			f = math.NaN()
		}
	default:
		f = math.Ldexp(1024+fraction, exponent-25)
	}
	if u>>15 != 0 {
		return -f
	}
	return f
}
