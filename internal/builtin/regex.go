package builtin

import (
	"context"
	"errors"
	"regexp"
	"regexp/syntax"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/dlclark/regexp2"

	"github.com/sluiceio/sluice/internal/repattern"
	"github.com/sluiceio/sluice/internal/value"
)

func regexFunctions() []Function {
	return []Function{
		{
			Name: "regex_match", Args: params("s", Text, "pattern", String), Min: 2, Pure: true, Call: regexMatch,
			Doc:      `Whether a regular expression matches anywhere in s. Perl's syntax with look-around, back-references, atomic groups and possessive quantifiers; recursion and \K are not known.`,
			Examples: []Example{{Expr: `regex_match('a23', '^\d+$')`, Result: "false"}, {Expr: "regex_match('a1', 'a(?=1)')", Result: "true"}, {Expr: "regex_match('abc', '(')", Error: true}},
		},
		{
			Name: "regex_replace", Args: params("s", Text, "pattern", String, "by", String), Min: 3, Pure: true, Call: regexReplace,
			Doc:      `s with every match replaced. In the replacement & is the whole match, \1 to \9 are groups and \& is an ampersand.`,
			Examples: []Example{{Expr: `regex_replace('john smith', '(\w+) (\w+)', '\2 \1')`, Result: `"smith john"`}, {Expr: "regex_replace('accb', 'c+', '[&]')", Result: `"a[cc]b"`}},
		},
		{
			Name: "regex_extract", Args: params("s", Text, "pattern", String), Min: 2, Pure: true, Call: regexExtract,
			Doc:      "The groups of the first match as an array, without the whole match; an empty array when there is no match or no group.",
			Examples: []Example{{Expr: `regex_extract('2021-05-20', '(\d{4})-(\d{2})')`, Result: `["2021","05"]`}, {Expr: "regex_extract('abc', 'b')", Result: "[]"}},
		},
	}
}

// regex is a compiled pattern. RE2 serves wherever it means the same as PCRE,
// because it runs in linear time; the backtracking engine, with a time limit,
// serves where the pattern needs it.
type regex struct {
	fast *regexp.Regexp // nil when RE2 does not know the syntax
	slow *regexp2.Regexp
	// dollar: the pattern has an end anchor, which in PCRE also matches before a
	// line feed that ends the text, unlike in RE2.
	dollar bool
	// nullable: the pattern can match nothing, and PCRE replaces an empty match
	// behind another match, unlike RE2.
	nullable bool
	// size is about how many instructions RE2 may take for each byte of a text.
	size int
}

func compileRegex(pattern string, timeout time.Duration) (*regex, error) {
	r := &regex{}
	tree, err := repattern.Parse(pattern)
	switch {
	case errors.Is(err, repattern.ErrTooLarge):
		return nil, err
	case err == nil:
		if r.fast, err = regexp.Compile(pattern); err != nil {
			return nil, err
		}
		r.size = repattern.Size(tree)
		r.nullable, r.dollar = inspect(tree)
		if !r.nullable && !r.dollar {
			return r, nil
		}
	}
	r.slow, err = regexp2.Compile(fromPCRE(pattern), regexp2.RE2)
	if err != nil {
		if r.fast != nil {
			return r, nil
		}
		return nil, err
	}
	r.slow.MatchTimeout = timeout
	return r, nil
}

// inspect reports whether an expression can match the empty text, and whether it
// has an anchor for the end of the text.
func inspect(re *syntax.Regexp) (nullable, dollar bool) {
	dollar = re.Op == syntax.OpEndText && re.Flags&syntax.WasDollar != 0
	all, some := true, false
	for _, sub := range re.Sub {
		n, d := inspect(sub)
		all, some, dollar = all && n, some || n, dollar || d
	}
	switch re.Op {
	case syntax.OpLiteral, syntax.OpCharClass, syntax.OpAnyChar, syntax.OpAnyCharNotNL, syntax.OpNoMatch:
		return false, dollar
	case syntax.OpStar, syntax.OpQuest:
		return true, dollar
	case syntax.OpAlternate:
		return some, dollar
	case syntax.OpRepeat:
		return re.Min == 0 || all, dollar
	}
	return all, dollar
}

// regex returns the compiled pattern.
func (c *Ctx) regex(pattern string) (*regex, error) {
	r, err := c.Env.regexes.get(pattern, c.Env.compileRegex)
	if err != nil && len(err.Error()) > maxFault {
		err = bad("the pattern cannot be read: %s…", err.Error()[:maxFault])
	}
	return r, err
}

// maxFault is how much is shown of what is wrong with a pattern, which may come from
// a device.
const maxFault = 200

func (e *Env) compileRegex(pattern string) (*regex, error) {
	return compileRegex(pattern, e.cfg.RegexTimeout)
}

// weight is about how many bytes a compiled pattern takes.
func (r *regex) weight() int { return 2000 + 100*r.size }

// slowCost is how many bytes the backtracking engine may take for each of a text:
// it works on code points and remembers where it can go back to.
const slowCost = 16

// maxRegexWork is how many steps of RE2 a call may take, about half a second.
const maxRegexWork = 100_000_000

// engine returns the engine to use for a text, RE2's or else the other one.
func (r *regex) engine(a *value.Arena, s string, replacing bool) (*regexp.Regexp, *regexp2.Regexp, error) {
	needed := r.fast == nil || r.dollar && strings.HasSuffix(s, "\n") || r.nullable && replacing
	if needed && r.slow != nil {
		return nil, r.slow, a.Room(slowCost * len(s))
	}
	if r.size*len(s) > maxRegexWork {
		return nil, nil, &value.BudgetError{Budget: "regex", Msg: "the text is too long for the pattern", Size: strconv.Itoa(maxRegexWork) + " steps"}
	}
	return r.fast, nil, nil
}

// slowly calls f, which uses the backtracking engine, and counts the time that it
// takes. Errors of that engine show the whole text, so they are replaced.
func (c *Ctx) slowly(f func(deadline time.Time) error) error {
	if err := c.Arena.Check(); err != nil {
		return err
	}
	limit := c.Env.cfg.RegexTimeout
	deadline := time.Now().Add(limit)
	if all, whole := c.Arena.Deadline(); all.Before(deadline) {
		deadline, limit = all, whole
	}
	err := f(deadline)
	late := c.Arena.Check()
	switch {
	case err == nil:
		return late
	case errors.Is(err, value.ErrBudget):
		return err
	}
	return &value.BudgetError{Budget: "regex", Msg: "the regular expression takes too long", Size: limit.String()}
}

func regexMatch(c *Ctx, args []value.Value) (value.Value, error) {
	s := text(args[0])
	r, err := c.regex(args[1].AsString())
	if err != nil {
		return value.Undefined(), err
	}
	fast, slow, err := r.engine(c.Arena, s, false)
	if err != nil {
		return value.Undefined(), err
	}
	if fast != nil {
		return value.Bool(fast.MatchString(s)), nil
	}
	var ok bool
	err = c.slowly(func(time.Time) (err error) {
		ok, err = slow.MatchString(s)
		return err
	})
	return value.Bool(ok), err
}

func regexReplace(c *Ctx, args []value.Value) (value.Value, error) {
	s, by := text(args[0]), args[2].AsString()
	r, err := c.regex(args[1].AsString())
	if err != nil {
		return value.Undefined(), err
	}
	fast, slow, err := r.engine(c.Arena, s, true)
	switch {
	case err != nil:
		return value.Undefined(), err
	case fast == nil:
		return c.replaceSlowly(slow, s, by)
	case !fast.MatchString(s):
		return value.String(s), nil
	}
	b, last := c.Arena.Buffer(len(s)+len(by)), 0
	// The engine finds all matches at once; each takes 40 bytes at least.
	matchCost := 40 + 16*fast.NumSubexp()
	found := fast.FindAllStringSubmatchIndex(s, c.Arena.Left()/matchCost+1)
	if err := c.Arena.Room(len(found) * matchCost); err != nil {
		return value.Undefined(), err
	}
	for _, m := range found {
		b = append(b, s[last:m[0]]...)
		b = expand(b, by, func(n int) string {
			if 2*n+1 < len(m) && m[2*n] >= 0 {
				return s[m[2*n]:m[2*n+1]]
			}
			return ""
		}, c.Arena.Left())
		last = m[1]
		if err := c.Arena.Room(len(b)); err != nil {
			return value.Undefined(), err
		}
	}
	return c.keep(append(b, s[last:]...))
}

// replaceSlowly is regexReplace with the backtracking engine.
func (c *Ctx) replaceSlowly(re *regexp2.Regexp, s, by string) (v value.Value, err error) {
	err = c.slowly(func(deadline time.Time) error {
		m, err := re.FindStringMatch(s)
		if err != nil {
			return err
		}
		if m == nil {
			v = value.String(s)
			return nil
		}
		b := c.Arena.Buffer(len(s) + len(by))
		rest, at := s, 0 // at counts characters, which is what the engine does
		for m != nil {
			end := skipRunes(rest, m.Index-at)
			b = append(b, rest[:end]...)
			b = expand(b, by, func(n int) string {
				if g := m.GroupByNumber(n); g != nil {
					return g.String()
				}
				return ""
			}, c.Arena.Left())
			if err := c.Arena.Room(len(b)); err != nil {
				return err
			}
			rest, at = rest[end:], m.Index+m.Length
			rest = rest[skipRunes(rest, m.Length):]
			if time.Now().After(deadline) {
				return context.DeadlineExceeded
			}
			if m, err = re.FindNextMatch(m); err != nil {
				return err
			}
		}
		v, err = c.keep(append(b, rest...))
		return err
	})
	return v, err
}

// skipRunes returns the length in bytes of the first n characters of s.
func skipRunes(s string, n int) int {
	at := 0
	for ; n > 0 && at < len(s); n-- {
		_, size := utf8.DecodeRuneInString(s[at:])
		at += size
	}
	return at
}

// expand appends a replacement text with its references to groups resolved. It
// stops when the result has become longer than most.
func expand(dst []byte, by string, group func(n int) string, most int) []byte {
	for i := 0; i < len(by) && len(dst) <= most; i++ {
		switch c := by[i]; {
		case c == '&':
			dst = append(dst, group(0)...)
		case c == '\\' && i+1 < len(by):
			i++
			if by[i]-'1' >= 9 {
				dst = append(dst, by[i])
				continue
			}
			n := int(by[i] - '0')
			for ; i+1 < len(by) && by[i+1]-'0' <= 9 && n < 1000; i++ {
				n = 10*n + int(by[i+1]-'0')
			}
			dst = append(dst, group(n)...)
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

func regexExtract(c *Ctx, args []value.Value) (value.Value, error) {
	s := text(args[0])
	r, err := c.regex(args[1].AsString())
	if err != nil {
		return value.Undefined(), err
	}
	fast, slow, err := r.engine(c.Arena, s, false)
	if err != nil {
		return value.Undefined(), err
	}
	if fast == nil {
		return c.extractSlow(slow, s)
	}
	m := fast.FindStringSubmatchIndex(s)
	n := len(m)
	for n > 2 && m[n-2] < 0 { // groups at the end that took no part are left out
		n -= 2
	}
	if n <= 2 {
		return value.List(nil), nil
	}
	out := c.Arena.Values(n/2 - 1)
	for i := range out {
		out[i] = value.String("")
		if from := m[2*i+2]; from >= 0 {
			out[i] = value.String(s[from:m[2*i+3]])
		}
	}
	return value.List(out), nil
}

func (c *Ctx) extractSlow(re *regexp2.Regexp, s string) (value.Value, error) {
	var m *regexp2.Match
	err := c.slowly(func(time.Time) (err error) {
		m, err = re.FindStringMatch(s)
		return err
	})
	if m == nil || err != nil {
		return value.List(nil), err
	}
	groups := m.Groups()[1:]
	for len(groups) > 0 && len(groups[len(groups)-1].Captures) == 0 {
		groups = groups[:len(groups)-1]
	}
	out := c.Arena.Values(len(groups))
	for i := range groups {
		out[i] = value.String(groups[i].String())
	}
	return value.List(out), nil
}
