package value

import (
	"bytes"
	"math"
	"strconv"
)

// AppendShort appends f in the shortest form that reads back as f, as Erlang does:
// 1.0, 1.5e10, 1.0e-6. There is a decimal in any case, an exponent where that makes
// the text shorter, and always one from 2⁵³ on, where floats skip integers.
func AppendShort(dst []byte, f float64) []byte {
	start, abs := len(dst), math.Abs(f)
	switch {
	case f == 0:
		return strconv.AppendFloat(dst, f, 'f', 1, 64)
	case abs >= 1<<53 || abs < 0.001:
		return appendScientific(dst, f)
	}
	dst = strconv.AppendFloat(dst, f, 'f', -1, 64)
	digits := bytes.TrimPrefix(dst[start:], []byte("-"))
	if bytes.IndexByte(digits, '.') < 0 {
		if abs >= 1000 && longer(len(digits), len(bytes.TrimRight(digits, "0"))) {
			return appendScientific(dst[:start], f)
		}
		dst = append(dst, ".0"...)
	}
	return dst
}

// longer reports whether an integer of so many digits, the significant ones of
// which come first, is longer in full than with an exponent.
func longer(digits, significant int) bool {
	full, short := digits+len(".0"), max(significant+1, len("1.0"))+len("e9")
	if digits > 10 {
		short++
	}
	return short < full
}

// appendScientific appends f with an exponent, or as 0.0001 when that is no longer.
func appendScientific(dst []byte, f float64) []byte {
	var buf [32]byte
	text := strconv.AppendFloat(buf[:0], f, 'e', -1, 64)
	at := bytes.IndexByte(text, 'e')
	mantissa, sign, exponent := text[:at], text[at+1], text[at+2:]
	if exponent[0] == '0' { // strconv writes two digits at least
		exponent = exponent[1:]
	}
	point := bytes.IndexByte(mantissa, '.') >= 0
	if !point && sign == '-' && string(exponent) == "4" {
		return strconv.AppendFloat(dst, f, 'f', -1, 64)
	}
	dst = append(dst, mantissa...)
	if !point {
		dst = append(dst, ".0"...)
	}
	dst = append(dst, 'e')
	if sign == '-' {
		dst = append(dst, '-')
	}
	return append(dst, exponent...)
}

// appendJSONFloat is AppendShort without the minus of -0.0.
func appendJSONFloat(dst []byte, f float64) []byte {
	if f == 0 {
		f = 0
	}
	return AppendShort(dst, f)
}

// shortest reports whether the text of a JSON number with a fraction is surely what
// AppendShort would write: at most 15 digits, which any float64 keeps, no exponent,
// no zeros at its end, and neither so small nor so round that an exponent is due.
func shortest(text []byte) bool {
	n := len(text)
	if text[0] == '-' {
		text = text[1:]
	}
	if n > 16 || len(text) > 2 && text[0] == '0' && text[2] == '0' {
		return false
	}
	for _, c := range text {
		if c|0x20 == 'e' {
			return false
		}
	}
	if n = len(text); text[n-1] != '0' {
		return true
	}
	round := n > 5 && text[n-3] == '0' && text[n-4] == '0' // 1000.0
	return text[n-2] == '.' && text[0] != '0' && !round
}
