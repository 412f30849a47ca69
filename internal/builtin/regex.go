package builtin

import (
	"regexp"
	"regexp/syntax"
	"strings"
	"time"

	"github.com/dlclark/regexp2"

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
}

func compileRegex(pattern string, timeout time.Duration) (*regex, error) {
	r := &regex{}
	var err error
	r.fast, err = regexp.Compile(pattern)
	if err == nil {
		tree, _ := syntax.Parse(pattern, syntax.Perl)
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
	return c.Env.regexes.get(pattern, c.Env.compileRegex)
}

func (e *Env) compileRegex(pattern string) (*regex, error) {
	return compileRegex(pattern, e.cfg.RegexTimeout)
}

// engine returns the engine to use for a text, RE2's or else the other one.
func (r *regex) engine(s string, replacing bool) (*regexp.Regexp, *regexp2.Regexp) {
	needed := r.fast == nil || r.dollar && strings.HasSuffix(s, "\n") || r.nullable && replacing
	if needed && r.slow != nil {
		return nil, r.slow
	}
	return r.fast, nil
}

func regexMatch(c *Ctx, args []value.Value) (value.Value, error) {
	s := text(args[0])
	r, err := c.regex(args[1].AsString())
	if err != nil {
		return value.Undefined(), err
	}
	fast, slow := r.engine(s, false)
	if fast != nil {
		return value.Bool(fast.MatchString(s)), nil
	}
	ok, err := slow.MatchString(s)
	return value.Bool(ok), err
}

func regexReplace(c *Ctx, args []value.Value) (value.Value, error) {
	s, by := text(args[0]), args[2].AsString()
	r, err := c.regex(args[1].AsString())
	if err != nil {
		return value.Undefined(), err
	}
	fast, slow := r.engine(s, true)
	if fast == nil {
		out, err := slow.ReplaceFunc(s, func(m regexp2.Match) string {
			return string(expand(nil, by, func(n int) string {
				if g := m.GroupByNumber(n); g != nil {
					return g.String()
				}
				return ""
			}))
		}, -1, -1)
		return value.String(out), err
	}
	if !fast.MatchString(s) {
		return value.String(s), nil
	}
	b, last := c.Arena.Buffer(len(s)+len(by)), 0
	for _, m := range fast.FindAllStringSubmatchIndex(s, -1) {
		b = append(b, s[last:m[0]]...)
		b = expand(b, by, func(n int) string {
			if 2*n+1 < len(m) && m[2*n] >= 0 {
				return s[m[2*n]:m[2*n+1]]
			}
			return ""
		})
		last = m[1]
		if err := c.Arena.Room(len(b)); err != nil {
			return value.Undefined(), err
		}
	}
	return c.keep(append(b, s[last:]...))
}

// expand appends a replacement text with its references to groups resolved.
func expand(dst []byte, by string, group func(n int) string) []byte {
	for i := 0; i < len(by); i++ {
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
	fast, slow := r.engine(s, false)
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
	m, err := re.FindStringMatch(s)
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
