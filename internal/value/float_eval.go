package value

// shortDigits is how many decimal digits a float64 holds exactly as an integer.
const shortDigits = 15

// ShortFloat returns the float that a JSON number with a fraction, no exponent and
// at most 15 digits stands for; ok is false for all others. Both the digits and
// the power of ten are then exact, and so is the rounding of their quotient.
func ShortFloat(text []byte) (f float64, ok bool) {
	neg := text[0] == '-'
	if neg {
		text = text[1:]
	}
	if len(text) > shortDigits+1 {
		return 0, false
	}
	n, scale := uint64(0), 0.0
	for _, c := range text {
		switch {
		case c-'0' <= 9:
			n = n*10 + uint64(c-'0')
			scale *= 10
		case c == '.':
			scale = 1
		default:
			return 0, false
		}
	}
	f = float64(n) / scale
	if neg {
		f = -f
	}
	return f, scale != 0
}
