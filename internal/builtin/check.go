package builtin

import (
	"slices"
	"strings"

	"github.com/sluiceio/sluice/internal/value"
)

// Constants are the arguments of a call as far as they are known before the call is
// made; nil stands for those that are not.
type Constants []*value.Value

// ConstantError says that a constant argument makes a call fail whenever it is
// made or, if Odd is set, that it does not do what it looks like.
type ConstantError struct {
	Func  *Function
	Index int // of the argument, from 0
	Odd   bool
	Err   error
	// Options are the texts that the argument may have, if it is one of a few.
	Options []string
}

func (e *ConstantError) Error() string { return e.Func.Name + ": " + e.Err.Error() }

// Unwrap returns the reason.
func (e *ConstantError) Unwrap() error { return e.Err }

// CheckConstants returns what is wrong with the constant arguments of a call, nil
// for nothing. The number of arguments and their types have been checked.
func (f *Function) CheckConstants(c *Ctx, args Constants) *ConstantError {
	for _, check := range f.checks {
		if e := check(c, args); e != nil {
			e.Func = f
			return e
		}
	}
	return nil
}

// check looks at one constant argument.
type check func(c *Ctx, args Constants) *ConstantError

// checks are those of the functions that fail, or do nothing, by their constants.
var checks = map[string][]check{
	"base64_decode":              {odd(oneOf(1, "no_padding", "urlsafe")), odd(oneOf(2, "no_padding", "urlsafe"))},
	"base64_encode":              {odd(oneOf(1, "no_padding", "urlsafe")), odd(oneOf(2, "no_padding", "urlsafe"))},
	"date_to_unix_ts":            {oneOf(0, units...), zone(1, 4), dateFormat},
	"find":                       {oneOf(2, "leading", "trailing")},
	"float":                      {between(1, 1, 253)},
	"float2str":                  {between(1, 0, 253)},
	"format_date":                {oneOf(0, units...), zone(1, 3), odd(placeholders(2))},
	"hash":                       {algorithm},
	"jq":                         {argument(0, func(c *Ctx, s string) error { _, err := c.Env.programs.get(s, c.Env.compileJQ); return err }), between(2, 0, maxInt)},
	"mongo_date":                 {oneOf(1, units...)},
	"now_rfc3339":                {oneOf(0, units...)},
	"now_timestamp":              {oneOf(0, units...)},
	"nth":                        {between(0, 1, maxInt)},
	"pad":                        {oneOf(2, "trailing", "leading", "both")},
	"regex_extract":              {argument(1, pattern)},
	"regex_match":                {argument(1, pattern)},
	"regex_replace":              {argument(1, pattern)},
	"replace":                    {oneOf(3, "all", "leading", "trailing")},
	"rfc3339_to_unix_ts":         {oneOf(1, units...)},
	"split":                      {oneOf(2, "notrim", "leading", "trailing", "leading_notrim", "trailing_notrim")},
	"sprintf":                    {checkSprintf(given)},
	"sprintf_s":                  {checkSprintf(listed)},
	"subbits":                    {oneOf(3, "integer", "float", "bits"), oneOf(4, "unsigned", "signed"), oneOf(5, "big", "little")},
	"substr":                     {between(1, 0, maxInt), between(2, 0, maxInt)},
	"timezone_to_offset_seconds": {zone(0, 0)},
	"timezone_to_second":         {zone(0, 0)},
	"tokens":                     {oneOf(2, "nocrlf")},
	"topic":                      {between(0, 1, maxInt)},
	"unix_ts_to_rfc3339":         {oneOf(1, units...)},
}

var units = []string{"second", "millisecond", "microsecond", "nanosecond"}

// text returns the argument at an index if it is a constant text.
func (k Constants) text(i int) (string, bool) {
	if i >= len(k) || k[i] == nil || k[i].Kind() != value.KindString {
		return "", false
	}
	return k[i].AsString(), true
}

// argument checks a text by a function.
func argument(i int, f func(c *Ctx, s string) error) check {
	return func(c *Ctx, args Constants) *ConstantError {
		s, ok := args.text(i)
		if !ok {
			return nil
		}
		if err := f(c, s); err != nil {
			return &ConstantError{Index: i, Err: err}
		}
		return nil
	}
}

// odd makes a check's faults odd ones.
func odd(f check) check {
	return func(c *Ctx, args Constants) *ConstantError {
		e := f(c, args)
		if e != nil {
			e.Odd = true
		}
		return e
	}
}

// oneOf checks that a text is one of a few.
func oneOf(i int, options ...string) check {
	quoted := make([]string, len(options))
	for j, o := range options {
		quoted[j] = "'" + o + "'"
	}
	list := quoted[0]
	if n := len(quoted) - 1; n > 0 {
		list = strings.Join(quoted[:n], ", ") + " or " + quoted[n]
	}
	return func(_ *Ctx, args Constants) *ConstantError {
		s, ok := args.text(i)
		if !ok || slices.Contains(options, s) {
			return nil
		}
		return &ConstantError{Index: i, Err: bad("'%s' must be %s", s, list), Options: options}
	}
}

// between checks that an integer is within bounds.
func between(i, low, high int) check {
	return func(_ *Ctx, args Constants) *ConstantError {
		if i >= len(args) || args[i] == nil || args[i].Kind() != value.KindInt {
			return nil
		}
		switch n := intArg(*args[i]); {
		case n < low:
			return &ConstantError{Index: i, Err: bad("%d must be at least %d", n, low)}
		case n > high:
			return &ConstantError{Index: i, Err: bad("%d must be at most %d", n, high)}
		}
		return nil
	}
}

// zone checks a time zone, in calls of at least so many arguments.
func zone(i, least int) check {
	f := argument(i, func(c *Ctx, s string) error { _, err := c.offset(value.String(s), 0); return err })
	return func(c *Ctx, args Constants) *ConstantError {
		if len(args) < least {
			return nil
		}
		return f(c, args)
	}
}

func pattern(c *Ctx, s string) error {
	_, err := c.regex(s)
	return err
}

func algorithm(c *Ctx, args Constants) *ConstantError {
	s, ok := args.text(0)
	if !ok || len(appendSum(nil, s, nil)) > 0 {
		return nil
	}
	return &ConstantError{Err: bad("unknown algorithm '%s'", s), Options: []string{
		"md4", "md5", "sha", "sha1", "sha224", "sha256", "sha384", "sha512", "sha512_224", "sha512_256",
		"sha3_224", "sha3_256", "sha3_384", "sha3_512", "shake128", "shake256", "blake2b", "blake2s", "ripemd160",
	}}
}

// placeholders checks a date format for what looks like a placeholder and is none.
func placeholders(i int) check {
	return argument(i, func(_ *Ctx, format string) error {
		for format != "" {
			name, _, rest := nextPart(format)
			if name == "" && format[0] == '%' && rest != "" && rest[0] != '%' && rest[0] != ' ' {
				return bad("%q in the format is no placeholder and is copied", format[:2])
			}
			format = rest
		}
		return nil
	})
}

// dateFormat checks the format that date_to_unix_ts reads.
func dateFormat(c *Ctx, args Constants) *ConstantError {
	i := len(args) - 2
	return argument(i, func(_ *Ctx, format string) error {
		missing := []string{"%Y", "%m", "%d", "%H", "%M", "%S"}
		for format != "" {
			name, _, rest := nextPart(format)
			if name == "" && format[0] == '%' && rest != "" {
				return bad("unknown placeholder %q in the format", format[:2])
			}
			missing = slices.DeleteFunc(missing, func(m string) bool { return m[1:] == name })
			format = rest
		}
		if len(missing) > 0 {
			return bad("the format has no %s", strings.Join(missing, ", "))
		}
		return nil
	})(c, args)
}

// checkSprintf checks a format, and that it wants as many arguments as there are.
func checkSprintf(count func(Constants) (have int, known bool)) check {
	return func(c *Ctx, args Constants) *ConstantError {
		format, ok := args.text(0)
		if !ok {
			return nil
		}
		want, err := c.formatArgs(format)
		if have, known := count(args); err == nil && known && want != have {
			err = bad("the format wants %d arguments, not %d", want, have)
		}
		if err != nil {
			return &ConstantError{Err: err}
		}
		return nil
	}
}

// given counts the arguments behind a format.
func given(args Constants) (int, bool) { return len(args) - 1, true }

// listed counts those in an array.
func listed(args Constants) (int, bool) {
	if args[1] == nil {
		return 0, false
	}
	return args[1].Len(), true
}
