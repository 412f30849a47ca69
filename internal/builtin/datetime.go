package builtin

import (
	"math/big"
	"strconv"
	"strings"
	"time"

	"github.com/sluiceio/sluice/internal/value"
)

func timeFunctions() []Function {
	const (
		units        = "The unit is 'second', 'millisecond', 'microsecond' or 'nanosecond'"
		placeholders = "%Y %m %d %H %M %S, %3N %6N %N for milli-, micro- and nanoseconds, %z +0800, %:z +08:00, %::z +08:00:00"
	)
	return []Function{
		{
			Name: "now_timestamp", Args: params("unit", String), Call: nowTimestamp,
			Doc: "The time now since 1970, in seconds or the unit given. " + units + ".", Examples: []Example{{Expr: "is_int(now_timestamp('millisecond'))", Result: "true"}},
		},
		{
			Name: "now_rfc3339", Args: params("unit", String), Call: nowRFC3339,
			Doc: "The time now as RFC 3339 text in the local zone, with the digits of the unit, seconds by default.", Examples: []Example{{Expr: "is_str(now_rfc3339())", Result: "true"}},
		},
		{
			Name: "unix_ts_to_rfc3339", Args: params("ts", Int, "unit", String), Min: 1, Call: unixToRFC3339,
			Doc:      "A time since 1970, in seconds or the unit given, as RFC 3339 text in the local zone.",
			Examples: []Example{{Expr: "rfc3339_to_unix_ts(unix_ts_to_rfc3339(1708671600))", Result: "1708671600"}},
		},
		{
			Name: "rfc3339_to_unix_ts", Args: params("text", String, "unit", String), Min: 1, Pure: true, Call: rfc3339ToUnix,
			Doc:      "The time since 1970 that an RFC 3339 text stands for, in seconds or the unit given, rounded down.",
			Examples: []Example{{Expr: "rfc3339_to_unix_ts('2024-02-23T15:56:30.87Z', 'millisecond')", Result: "1708703790870"}},
		},
		{
			Name: "format_date", Args: params("unit", String, "offset", String|Int|Undefined, "format", String, "ts", Int), Min: 3, Call: formatDate,
			Doc:      "A time since 1970 in a unit, now by default, as text in a zone (see timezone_to_offset_seconds) by a format: " + placeholders + ". Everything else is copied.",
			Examples: []Example{{Expr: "format_date('millisecond', '+08:00', '%Y-%m-%d %H:%M:%S.%3N%:z', 1708933353472)", Result: `"2024-02-26 15:42:33.472+08:00"`}},
		},
		{
			Name: "date_to_unix_ts", Args: params("unit", String, "offset", String|Int|Undefined, "format", String, "text", String), Min: 3, Call: dateToUnix,
			Usage:    "date_to_unix_ts(unit, [offset, ]format, text)",
			Doc:      "The time since 1970, in a unit, that a text in a format (see format_date) stands for. Other characters of the format only skip as many bytes of the text. Without an offset and a zone in the format it is UTC.",
			Examples: []Example{{Expr: "date_to_unix_ts('second', '+08:00', '%Y-%m-%d %H:%M:%S', '2024-02-23 15:00:00')", Result: "1708671600"}, {Expr: "date_to_unix_ts('second', '%Y-%m-%d %H:%M:%S', '2023-02-29 10:40:12')", Error: true}},
		},
		{
			Name: "timezone_to_offset_seconds", Args: params("zone", String|Int|Undefined), Min: 1, Call: zoneToSeconds,
			Doc:      "The seconds that a zone is ahead of UTC: 'Z', 'local' (now; format_date and date_to_unix_ts take what it is, or was, at their time), '+hh:mm', '+hh:mm:ss' or '+hhmm'. A number is itself, undefined is 0.",
			Examples: []Example{{Expr: "timezone_to_offset_seconds('-0530')", Result: "-19800"}, {Expr: "timezone_to_offset_seconds('+02')", Error: true}},
		},
		{
			Name: "mongo_date", Args: params("ts", Int, "unit", String), Call: mongoDate,
			Doc:      "A time since 1970, in milliseconds or the unit given, now by default, as text for MongoDB: what EMQX's tester shows, where its MongoDB action gets a date.",
			Examples: []Example{{Expr: "mongo_date(1708671600123)", Result: `"ISODate(2024-02-23T07:00:00.123Z)"`}},
		},
		{
			Name: "timezone_to_second", Args: params("zone", String|Int|Undefined), Min: 1, Call: zoneToSeconds,
			Doc: "Another name of timezone_to_offset_seconds.", Examples: []Example{{Expr: "timezone_to_second('+08:00')", Result: "28800"}},
		},
	}
}

// unit is the number of units of time in a second; digits is that of its zeros.
type unit struct {
	perSecond int64
	digits    int
}

func unitArg(args []value.Value, i int) (unit, error) {
	if i >= len(args) {
		return unit{1, 0}, nil
	}
	switch args[i].AsString() {
	case "second":
		return unit{1, 0}, nil
	case "millisecond":
		return unit{1e3, 3}, nil
	case "microsecond":
		return unit{1e6, 6}, nil
	case "nanosecond":
		return unit{1e9, 9}, nil
	}
	return unit{}, bad("unit must be 'second', 'millisecond', 'microsecond' or 'nanosecond'")
}

// The times that can be written with a year of four digits.
var (
	earliest = time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
	latest   = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC).Unix() - 1
)

// time returns the moment ts units after 1970.
func (u unit) time(ts value.Value) (time.Time, error) {
	i, ok := ts.AsInt()
	sec, rest := i/u.perSecond, i%u.perSecond
	if rest < 0 {
		sec, rest = sec-1, rest+u.perSecond
	}
	if !ok || sec < earliest || sec > latest {
		return time.Time{}, bad("the time is not between the years 0 and 9999")
	}
	return time.Unix(sec, rest*(1e9/u.perSecond)).UTC(), nil
}

// since returns the number of units from 1970 to a moment, rounded down.
func (u unit) since(sec, nanos int64) value.Value {
	part := nanos / (1e9 / u.perSecond)
	if sec > -1<<33 && sec < 1<<33 { // the product fits
		return value.Int(sec*u.perSecond + part)
	}
	z := new(big.Int).Mul(big.NewInt(sec), big.NewInt(u.perSecond))
	return value.BigInt(z.Add(z, big.NewInt(part)))
}

func (u unit) now(c *Ctx) value.Value {
	t := c.Env.cfg.Now()
	return u.since(t.Unix(), int64(t.Nanosecond()))
}

func nowTimestamp(c *Ctx, args []value.Value) (value.Value, error) {
	u, err := unitArg(args, 0)
	if err != nil {
		return value.Undefined(), err
	}
	return u.now(c), nil
}

func nowRFC3339(c *Ctx, args []value.Value) (value.Value, error) {
	u, err := unitArg(args, 0)
	if err != nil {
		return value.Undefined(), err
	}
	return c.rfc3339(u, c.Env.cfg.Now())
}

func unixToRFC3339(c *Ctx, args []value.Value) (value.Value, error) {
	u, err := unitArg(args, 1)
	if err != nil {
		return value.Undefined(), err
	}
	t, err := u.time(args[0])
	if err != nil {
		return value.Undefined(), err
	}
	return c.rfc3339(u, t)
}

// rfc3339 writes a moment in the local zone; UTC is +00:00.
func (c *Ctx) rfc3339(u unit, t time.Time) (value.Value, error) {
	layout := "2006-01-02T15:04:05.000000000-07:00"
	fraction := u.digits + 1
	if u.digits == 0 {
		fraction = 0
	}
	layout = layout[:19+fraction] + layout[29:]
	return c.keep(t.In(c.Env.cfg.Location).AppendFormat(c.Arena.Buffer(40), layout))
}

func rfc3339ToUnix(_ *Ctx, args []value.Value) (value.Value, error) {
	u, err := unitArg(args, 1)
	if err != nil {
		return value.Undefined(), err
	}
	var buf [40]byte
	s := append(buf[:0], args[0].AsString()...)
	if len(s) > 10 && (s[10] == ' ' || s[10] == 't') {
		s[10] = 'T'
	}
	if n := len(s); n > 0 && s[n-1] == 'z' {
		s[n-1] = 'Z'
	}
	t, err := time.Parse(time.RFC3339Nano, string(s))
	if err != nil {
		return value.Undefined(), bad("%q is no RFC 3339 time", clip(args[0].AsString()))
	}
	return u.since(t.Unix(), int64(t.Nanosecond())), nil
}

func mongoDate(c *Ctx, args []value.Value) (value.Value, error) {
	u, t := unit{1e3, 3}, c.Env.cfg.Now().UTC()
	var err error
	if len(args) > 1 {
		u, err = unitArg(args, 1)
	}
	if len(args) > 0 && err == nil {
		t, err = u.time(args[0])
	}
	if err != nil {
		return value.Undefined(), err
	}
	return c.keep(t.AppendFormat(c.Arena.Buffer(40), "ISODate(2006-01-02T15:04:05.000Z)"))
}

func zoneToSeconds(c *Ctx, args []value.Value) (value.Value, error) {
	n, err := c.offset(args[0], c.Env.cfg.Now().Unix())
	return value.Int(n), err
}

// offset returns the seconds that a zone is ahead of UTC at a time since 1970.
func (c *Ctx) offset(zone value.Value, at int64) (int64, error) {
	switch zone.Kind() {
	case value.KindUndefined:
		return 0, nil
	case value.KindInt:
		n, ok := zone.AsInt()
		if !ok || n > 1e9 || n < -1e9 {
			return 0, bad("the offset is out of range")
		}
		return n, nil
	}
	switch s := zone.AsString(); s {
	case "Z", "z":
		return 0, nil
	case "local":
		_, n := time.Unix(at, 0).In(c.Env.cfg.Location).Zone()
		return int64(n), nil
	default:
		return parseOffset(s)
	}
}

// parseOffset reads ±hh:mm, ±hh:mm:ss, ±hhmm and ±hhmmss.
func parseOffset(s string) (int64, error) {
	wrong := func() (int64, error) { return 0, bad("%q is no time zone offset", clip(s)) }
	if s == "" || s[0] != '+' && s[0] != '-' {
		return wrong()
	}
	var buf [3]string
	parts := buf[:0]
	if rest := s[1:]; strings.IndexByte(rest, ':') >= 0 {
		for part := range strings.SplitSeq(rest, ":") {
			if len(parts) == len(buf) {
				return wrong()
			}
			parts = append(parts, part)
		}
	} else if len(rest) == 4 || len(rest) == 6 {
		for i := 0; i < len(rest); i += 2 {
			parts = append(parts, rest[i:i+2])
		}
	}
	if len(parts) != 2 && len(parts) != 3 {
		return wrong()
	}
	var seconds int64
	for i := range 3 {
		n, limit := 0, 59
		if i == 0 {
			limit = 23
		}
		if i < len(parts) {
			if n = number(parts[i]); n < 0 || n > limit {
				return wrong()
			}
		}
		seconds = 60*seconds + int64(n)
	}
	if s[0] == '-' {
		seconds = -seconds
	}
	return seconds, nil
}

// number returns the number that a text of digits stands for, -1 when it is none.
func number(s string) int {
	n, err := strconv.ParseUint(s, 10, 31)
	if err != nil {
		return -1
	}
	return int(n)
}
