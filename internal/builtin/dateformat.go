package builtin

import (
	"strings"
	"time"

	"github.com/sluiceio/sluice/internal/value"
)

// nextPart cuts a date format behind its first part: a placeholder's name and the
// length of its text, or one byte that stands for itself.
func nextPart(format string) (name string, width int, rest string) {
	if format[0] != '%' || len(format) == 1 {
		return "", 1, format[1:]
	}
	switch format[1] {
	case 'Y':
		width = 4
	case 'm', 'd', 'H', 'M', 'S':
		width = 2
	case 'N':
		width = 9
	case 'z':
		width = 5
	default:
		for _, p := range [...]struct {
			name  string
			width int
		}{{"3N", 3}, {"6N", 6}, {":z", 6}, {"::z", 9}} {
			if rest, ok := strings.CutPrefix(format[1:], p.name); ok {
				return p.name, p.width, rest
			}
		}
		return "", 1, format[1:]
	}
	return format[1:2], width, format[2:]
}

func formatDate(c *Ctx, args []value.Value) (value.Value, error) {
	u, err := unitArg(args, 0)
	if err != nil {
		return value.Undefined(), err
	}
	ts := u.now(c)
	if len(args) > 3 {
		ts = args[3]
	}
	t, err := u.time(ts)
	if err != nil {
		return value.Undefined(), err
	}
	offset, err := c.offset(args[1], t.Unix())
	if err != nil {
		return value.Undefined(), err
	}
	format := args[2].AsString()
	b := c.Arena.Buffer(len(format) + 32)
	d := dateOf(t.Add(time.Duration(offset) * time.Second))
	for format != "" {
		name, width, rest := nextPart(format)
		switch name {
		case "":
			b = append(b, format[0])
		case "z", ":z", "::z":
			b = appendOffset(b, name, int(offset))
		default:
			b = appendPadded(b, *d.field(name), width)
		}
		format = rest
	}
	return c.keep(b)
}

// appendOffset writes an offset as z, :z or ::z ask for.
func appendOffset(b []byte, form string, offset int) []byte {
	sign := byte('+')
	if offset < 0 {
		sign, offset = '-', -offset
	}
	b = appendPadded(append(b, sign), offset/3600, 2)
	if form != "z" {
		b = append(b, ':')
	}
	b = appendPadded(b, offset/60%60, 2)
	if form == "::z" {
		b = appendPadded(append(b, ':'), offset%60, 2)
	}
	return b
}

// appendPadded writes a number with at least so many digits.
func appendPadded(b []byte, n, digits int) []byte {
	if n < 0 {
		b, n = append(b, '-'), -n
	}
	for limit, d := 10, 1; d < digits; limit, d = limit*10, d+1 {
		if n < limit {
			for ; d < digits; d++ {
				b = append(b, '0')
			}
			break
		}
	}
	return appendInt(b, n)
}

func appendInt(b []byte, n int) []byte {
	if n >= 10 {
		b = appendInt(b, n/10)
	}
	return append(b, byte('0'+n%10))
}

func dateToUnix(c *Ctx, args []value.Value) (value.Value, error) {
	u, err := unitArg(args, 0)
	if err != nil {
		return value.Undefined(), err
	}
	format, s := args[len(args)-2], args[len(args)-1]
	if format.Kind() != value.KindString || s.Kind() != value.KindString {
		return value.Undefined(), bad("format and text must be strings")
	}
	d, err := parseDate(format.AsString(), s.AsString())
	if err != nil {
		return value.Undefined(), err
	}
	sec := d.seconds()
	if len(args) == 4 {
		// What the text says is the time on the wall, from which the zone's offset
		// follows, but for the hour that a clock that is put back shows twice.
		at := time.Unix(sec, 0).UTC()
		at = time.Date(at.Year(), at.Month(), at.Day(), at.Hour(), at.Minute(), at.Second(), 0, c.Env.cfg.Location)
		offset, err := c.offset(args[1], at.Unix())
		if err != nil {
			return value.Undefined(), err
		}
		sec -= offset
	}
	return u.since(sec, d.nanos()), nil
}

// date is what a text says of a moment; -1 stands for what it does not say.
type date struct {
	year, month, day, hour, minute, second int
	milli, micro, nano                     int
	offset                                 int64
}

// dateOf returns what there is to say of a moment.
func dateOf(t time.Time) date {
	var d date
	var month time.Month
	d.year, month, d.day = t.Date()
	d.hour, d.minute, d.second = t.Clock()
	d.month, d.nano = int(month), t.Nanosecond()
	d.milli, d.micro = d.nano/1e6, d.nano/1e3
	return d
}

func (d *date) seconds() int64 {
	return time.Date(d.year, time.Month(d.month), d.day, d.hour, d.minute, d.second, 0, time.UTC).Unix() - d.offset
}

func (d *date) nanos() int64 {
	return int64(max(d.milli, 0))*1e6 + int64(max(d.micro, 0))*1e3 + int64(max(d.nano, 0))
}

func (d *date) field(name string) *int {
	switch name {
	case "Y":
		return &d.year
	case "m":
		return &d.month
	case "d":
		return &d.day
	case "H":
		return &d.hour
	case "M":
		return &d.minute
	case "S":
		return &d.second
	case "3N":
		return &d.milli
	case "6N":
		return &d.micro
	}
	return &d.nano
}

func parseDate(format, s string) (date, error) {
	d := date{-1, -1, -1, -1, -1, -1, -1, -1, -1, 0}
	for format != "" && s != "" {
		name, width, rest := nextPart(format)
		if name == "" && format[0] == '%' && rest != "" {
			return d, bad("unknown placeholder %q in the format", format[:2])
		}
		if width > len(s) {
			return d, bad("the text is too short for the format")
		}
		part := s[:width]
		format, s = rest, s[width:]
		switch name {
		case "":
		case "z", ":z", "::z":
			offset, err := parseOffset(part)
			if err != nil {
				return d, err
			}
			d.offset = offset
		default:
			n := number(part)
			if n < 0 {
				return d, bad("%q is no number where the format has %%%s", part, name)
			}
			*d.field(name) = n
		}
	}
	err := d.check()
	return d, err
}

// check reports what is missing in a date, and what no calendar has.
func (d *date) check() error {
	for _, name := range []string{"Y", "m", "d", "H", "M", "S"} {
		if *d.field(name) < 0 {
			return bad("the text or the format has no %%%s", name)
		}
	}
	lastDay := 0
	if d.month >= 1 && d.month <= 12 {
		lastDay = time.Date(d.year, time.Month(d.month)+1, 0, 0, 0, 0, 0, time.UTC).Day()
	}
	if d.day < 1 || d.day > lastDay || d.hour > 23 || d.minute > 59 || d.second > 60 {
		return bad("there is no such date or time of day")
	}
	return nil
}
