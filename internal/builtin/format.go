package builtin

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/sluiceio/sluice/internal/value"
)

func formatFunctions() []Function {
	return []Function{
		{
			Name: "sprintf", Args: params("format", String, "arg", Any), Min: 1, Variadic: true, Pure: true, Usage: "sprintf(format, arg, …)",
			Call: func(c *Ctx, args []value.Value) (value.Value, error) { return c.sprintf(args[0].AsString(), args[1:]) },
			Doc: "Text by a format in the style of Erlang's io:format: ~s and ~ts text, ~p and ~w any value, ~b ~B ~x ~X ~# ~+ integers in the base that the precision gives, " +
				"~f ~e ~g floats, ~c a character, ~n a line feed, ~~ a tilde, ~i nothing. Between the tilde and the letter may stand field width, .precision and .padding character: ~2..0b.",
			Examples: []Example{{Expr: "sprintf('~s: ~p, ~.2f, ~2..0b', 'a', 100, 3.14159, 7)", Result: `"a: 100, 3.14, 07"`}, {Expr: "sprintf('~s')", Error: true}},
		},
		{
			Name: "sprintf_s", Args: params("format", String, "args", List), Min: 2, Pure: true,
			Call: func(c *Ctx, args []value.Value) (value.Value, error) {
				return c.sprintf(args[0].AsString(), args[1].Elements(c.Arena))
			},
			Doc: "Like sprintf, with the arguments in an array.", Examples: []Example{{Expr: "sprintf_s('~p-~p', [1, 2])", Result: `"1-2"`}},
		},
	}
}

// directive is one control sequence of a format, ~Field.Precision.PadModC.
type directive struct {
	control   byte
	width     int // negative: aligned to the left
	precision int // -1: none given
	pad       rune
	hasWidth  bool
}

// formatter writes one text.
type formatter struct {
	c    *Ctx
	args []value.Value
	out  []byte
	tmp  [64]byte
}

func (c *Ctx) sprintf(format string, args []value.Value) (value.Value, error) {
	f := formatter{c: c, args: args}
	f.out = c.Arena.Buffer(len(format) + 32)
	for {
		i := strings.IndexByte(format, '~')
		if i < 0 {
			break
		}
		f.out = append(f.out, format[:i]...)
		d, rest, err := f.directive(format[i+1:])
		if err == nil {
			err = f.write(d)
		}
		if err == nil {
			err = c.Arena.Room(len(f.out))
		}
		if err != nil {
			return value.Undefined(), err
		}
		format = rest
	}
	if len(f.args) > 0 {
		return value.Undefined(), bad("the format leaves %d arguments over", len(f.args))
	}
	return c.keep(append(f.out, format...))
}

// formatArgs returns how many arguments a format wants.
func (c *Ctx) formatArgs(format string) (n int, err error) {
	widths := slices.Repeat([]value.Value{value.Int(1)}, strings.Count(format, "*"))
	f := formatter{c: c, args: widths}
	for {
		i := strings.IndexByte(format, '~')
		if i < 0 {
			return n + len(widths) - len(f.args), nil
		}
		var d directive
		if d, format, err = f.directive(format[i+1:]); err != nil {
			return 0, err
		}
		switch d.control {
		case '~', 'n':
		case 'i', 's', 'p', 'w', 'c', 'b', 'B', '#', '+', 'f', 'e', 'g':
			n++
		case 'x', 'X':
			n += 2
		default:
			return 0, unknownControl(d.control)
		}
	}
}

func unknownControl(control byte) error {
	return bad("unknown control sequence ~%c in the format; ~s is text, ~p any value, ~b an integer and ~.2f a float", control)
}

// next returns the next argument.
func (f *formatter) next() (value.Value, error) {
	if len(f.args) == 0 {
		return value.Undefined(), bad("the format wants more arguments")
	}
	v := f.args[0]
	f.args = f.args[1:]
	return v, nil
}

// number reads a number, or * for the next argument.
func (f *formatter) number(s string) (n int, rest string, ok bool, err error) {
	if strings.HasPrefix(s, "*") {
		v, err := f.next()
		if err != nil || v.Kind() != value.KindInt {
			return 0, s, false, bad("* in the format wants an integer")
		}
		return intArg(v), s[1:], true, nil
	}
	i := 0
	for i < len(s) && s[i]-'0' <= 9 && i < 9 {
		n = 10*n + int(s[i]-'0')
		i++
	}
	return n, s[i:], i > 0, nil
}

// directive reads a control sequence behind its tilde.
func (f *formatter) directive(s string) (d directive, rest string, err error) {
	d.precision, d.pad = -1, ' '
	negative := strings.HasPrefix(s, "-")
	if negative {
		s = s[1:]
	}
	if d.width, s, d.hasWidth, err = f.number(s); err != nil {
		return d, s, err
	}
	if negative {
		d.width = -d.width
	}
	if strings.HasPrefix(s, ".") {
		n, rest, ok, err := f.number(s[1:])
		if err != nil {
			return d, s, err
		}
		if s = rest; ok {
			d.precision = n
		}
		if strings.HasPrefix(s, ".") && len(s) > 1 {
			r, n := utf8.DecodeRuneInString(s[1:])
			d.pad, s = r, s[1+n:]
		}
	}
	s = strings.TrimLeft(s, "tlkK")
	if s == "" {
		return d, s, bad("the format ends within a control sequence")
	}
	if d.width = max(d.width, minInt+1); max(d.width, -d.width, d.precision) > maxInt/utf8.UTFMax {
		return d, s, value.ErrLimit
	}
	if err := f.c.Arena.Room(utf8.UTFMax * max(d.width, -d.width, d.precision, 0)); err != nil {
		return d, s, err
	}
	d.control = s[0]
	return d, s[1:], nil
}

// write writes what a directive asks for.
func (f *formatter) write(d directive) error {
	switch d.control {
	case '~', 'n':
		char := map[byte]byte{'~': '~', 'n': '\n'}[d.control]
		for range max(d.width, 1) {
			f.out = append(f.out, char)
		}
		return nil
	}
	v, err := f.next()
	if err != nil {
		return err
	}
	switch d.control {
	case 'i':
		return nil
	case 's':
		return f.text(d, v)
	case 'p', 'w':
		f.field(d, string(appendTerm(nil, v.Tree(), d.control == 'p')), '*')
		return nil
	case 'c':
		return f.char(d, v)
	case 'b', 'B', '#', '+':
		return f.integer(d, v, "")
	case 'x', 'X':
		prefix, err := f.next()
		if err != nil {
			return err
		}
		return f.integer(d, v, prefix.AsString())
	case 'f', 'e', 'g':
		return f.float(d, v)
	}
	return unknownControl(d.control)
}

// field writes s into the directive's width: filled up, or, when it is too long,
// as overflow says: cut when it is 0, otherwise replaced by that character.
func (f *formatter) field(d directive, s string, overflow byte) {
	n, width := utf8.RuneCountInString(s), d.width
	if !d.hasWidth {
		width = n
	}
	left := width < 0
	if left {
		width = -width
	}
	if n > width {
		if overflow != 0 {
			s = strings.Repeat(string(overflow), width)
		} else {
			s = cutRunes(s, width)
		}
		n = width
	}
	if left {
		f.out = append(f.out, s...)
	}
	for range width - n {
		f.out = utf8.AppendRune(f.out, d.pad)
	}
	if !left {
		f.out = append(f.out, s...)
	}
}

func cutRunes(s string, n int) string {
	for i := range s {
		if n == 0 {
			return s[:i]
		}
		n--
	}
	return s
}

func (f *formatter) text(d directive, v value.Value) error {
	flat, ok := appendFlat(nil, v.Tree(), true)
	if !ok {
		return bad("~s wants a text, not %s", v.Kind())
	}
	s := string(flat)
	if d.precision >= 0 {
		if !d.hasWidth {
			d.hasWidth, d.width = true, d.precision
		}
		inner := directive{hasWidth: true, width: -d.precision, pad: d.pad}
		if d.width > 0 {
			inner.width = d.precision
		}
		out := f.out
		f.out = nil
		f.field(inner, s, 0)
		s, f.out = string(f.out), out
	}
	f.field(d, s, 0)
	return nil
}

// appendFlat appends a text, or an array of texts and code points at any depth; top
// tells an argument from an element, where names are none.
func appendFlat(dst []byte, v value.Value, top bool) ([]byte, bool) {
	switch v.Kind() {
	case value.KindString:
		return append(dst, v.AsString()...), true
	case value.KindBool, value.KindNull, value.KindUndefined:
		return value.AppendText(dst, v), top
	case value.KindInt:
		i, ok := v.AsInt()
		if top || !ok || i < 0 || i > utf8.MaxRune {
			return dst, false
		}
		return utf8.AppendRune(dst, rune(i)), true
	case value.KindList:
		for _, e := range v.Elements(nil) {
			var ok bool
			if dst, ok = appendFlat(dst, e, false); !ok {
				return dst, false
			}
		}
		return dst, true
	}
	return dst, false
}

func (f *formatter) char(d directive, v value.Value) error {
	i, ok := v.AsInt()
	if !ok || i < 0 || i > utf8.MaxRune || !utf8.ValidRune(rune(i)) {
		return bad("~c wants a code point")
	}
	n := 1
	if d.precision >= 0 {
		n = d.precision
	} else if d.hasWidth {
		n = max(d.width, -d.width)
	}
	f.field(d, strings.Repeat(string(rune(i)), n), 0)
	return nil
}

func (f *formatter) integer(d directive, v value.Value, prefix string) error {
	base := d.precision
	if base < 0 {
		base = 10
	}
	if v.Kind() != value.KindInt || base < 2 || base > 36 {
		return bad("~%c wants an integer, and a base of 2 to 36", d.control)
	}
	s := intText(v, base)
	if d.control != 'b' && d.control != 'x' && d.control != '+' {
		s = strings.ToUpper(s)
	}
	if d.control == '#' || d.control == '+' {
		prefix = strconv.Itoa(base) + "#"
	}
	if prefix != "" {
		if rest, negative := strings.CutPrefix(s, "-"); negative {
			s = "-" + prefix + rest
		} else {
			s = prefix + s
		}
	}
	f.field(d, s, '*')
	return nil
}

func intText(v value.Value, base int) string {
	if i, ok := v.AsInt(); ok {
		return strconv.FormatInt(i, base)
	}
	return v.AsBig().Text(base)
}

func (f *formatter) float(d directive, v value.Value) error {
	x, _ := v.AsFloat()
	if v.Kind() != value.KindFloat {
		return bad("~%c wants a float, not %s", d.control, v.Kind())
	}
	precision := d.precision
	if precision < 0 {
		precision = 6
	}
	if precision > 1000 {
		return bad("the precision is larger than 1000")
	}
	control := d.control
	if control == 'g' {
		control, precision = general(x, precision)
	}
	if control == 'e' {
		if precision < 2 {
			return bad("~e wants a precision of at least 2")
		}
		f.field(d, string(appendExponent(f.tmp[:0], x, precision-1)), '*')
		return nil
	}
	if precision < 1 {
		return bad("~f wants a precision of at least 1")
	}
	f.field(d, string(appendHalfUp(f.tmp[:0], x, precision)), '*')
	return nil
}

// general chooses between ~e and ~f for ~g with a number of significant digits.
func general(x float64, digits int) (control byte, precision int) {
	x = math.Abs(x)
	if x < 0.1 || x >= 10000 {
		return 'e', max(digits, 2)
	}
	exponent := -1
	for limit := 1.0; x >= limit; limit *= 10 {
		exponent++
	}
	if digits-1 > exponent {
		return 'f', digits - 1 - exponent
	}
	return 'e', max(digits, 2)
}

// appendExponent writes x as Erlang does, 1.5e+3.
func appendExponent(dst []byte, x float64, decimals int) []byte {
	dst = strconv.AppendFloat(dst, x, 'e', decimals, 64)
	if n := len(dst); dst[n-2] == '0' && dst[n-4] == 'e' {
		dst[n-2] = dst[n-1]
		dst = dst[:n-1]
	}
	return dst
}

// appendHalfUp writes x with a number of decimals, a half rounded away from zero,
// where strconv rounds to even.
func appendHalfUp(dst []byte, x float64, decimals int) []byte {
	short := strconv.FormatFloat(x, 'f', -1, 64)
	_, frac, _ := strings.Cut(short, ".")
	if len(frac) == decimals+1 && frac[decimals] == '5' && strconv.FormatFloat(x, 'f', decimals+30, 64) == short+strings.Repeat("0", 29) {
		x = math.Nextafter(x, math.Copysign(math.Inf(1), x)) // exactly a half
	}
	return strconv.AppendFloat(dst, x, 'f', decimals, 64)
}
