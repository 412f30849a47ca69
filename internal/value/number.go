package value

import (
	"errors"
	"math"
	"math/big"
	"strconv"
	"strings"

	"github.com/sluiceio/sluice/internal/jsonx"
)

// ErrNotNumber says that a text is no number in the forms that the language
// takes: 12, +12, -012, 1.5, 1.5e-3; neither 1e3 nor .5.
var ErrNotNumber = errors.New("not a number")

// ParseInt returns the integer that a text holds: digits with an optional sign.
func ParseInt(s string) (Value, bool) {
	digits := s
	if digits != "" && (digits[0] == '+' || digits[0] == '-') {
		digits = digits[1:]
	}
	if digits == "" || !allDigits(digits) {
		return Undefined(), false
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return Int(n), true
	}
	i, ok := parseBig(s)
	if !ok {
		return Undefined(), false
	}
	return BigInt(i), true
}

// ParseFloat returns the float that a text holds: digits on both sides of a point,
// with an optional sign and exponent.
func ParseFloat(s string) (Value, bool) {
	if !isFloat(s) {
		return Undefined(), false
	}
	f, err := strconv.ParseFloat(s, 64)
	return Float(f), err == nil
}

// ParseNumber returns the integer or else the float that a text holds. Its error
// wraps ErrNotNumber, or is ErrTooBig.
func ParseNumber(s string) (Value, error) {
	if v, ok := ParseInt(s); ok {
		return v, nil
	}
	if len(s) > jsonx.MaxDigits && allDigits(s[1:]) {
		return Undefined(), ErrTooBig
	}
	if v, ok := ParseFloat(s); ok {
		return v, nil
	}
	return Undefined(), &numberError{clip(s)}
}

type numberError struct{ text string }

func (e *numberError) Error() string { return strconv.Quote(e.text) + " is not a number" }
func (e *numberError) Unwrap() error { return ErrNotNumber }

// clip shortens a text for an error message. The copy does not hold on to borrowed
// memory.
func clip(s string) string {
	if len(s) > 40 {
		return s[:37] + "..."
	}
	return strings.Clone(s)
}

func allDigits(s string) bool {
	for i := range len(s) {
		if s[i]-'0' > 9 {
			return false
		}
	}
	return true
}

func isFloat(s string) bool {
	if s != "" && (s[0] == '+' || s[0] == '-') {
		s = s[1:]
	}
	whole, rest, ok := strings.Cut(s, ".")
	if !ok || whole == "" || !allDigits(whole) {
		return false
	}
	n := 0
	for n < len(rest) && rest[n]-'0' <= 9 {
		n++
	}
	if n == 0 {
		return false
	}
	if rest = rest[n:]; rest == "" {
		return true
	}
	if rest[0]|0x20 != 'e' {
		return false
	}
	if rest = rest[1:]; rest != "" && (rest[0] == '+' || rest[0] == '-') {
		rest = rest[1:]
	}
	return rest != "" && allDigits(rest)
}

// ErrRange says that a result is no finite float.
var ErrRange = errors.New("the result is not a finite number")

// Finite returns f as a Value, or ErrRange when it is infinite or no number.
func Finite(f float64) (Value, error) {
	if math.IsInf(f, 0) || math.IsNaN(f) {
		return Undefined(), ErrRange
	}
	return Float(f), nil
}

// FromFloat returns the integer that f, which has no fraction, stands for.
func FromFloat(f float64) Value {
	if f >= -1<<63 && f < 1<<63 {
		return Int(int64(f))
	}
	i, _ := new(big.Float).SetFloat64(f).Int(nil)
	return BigInt(i)
}
