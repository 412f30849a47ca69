package builtin

import (
	"strings"
	"unicode/utf8"
)

// pcre rewrites a pattern of PCRE for the backtracking engine, which takes $ and \Z
// for the very end of the text and knows neither possessive quantifiers nor \h, \H
// and \R.
type pcre struct {
	in     string
	out    []byte
	atom   int   // where what a quantifier would apply to begins in out, -1 for nothing
	groups []int // where the open groups begin
	lines  bool  // the pattern switches (?m) on: $ is the end of a line
}

// fromPCRE returns the rewritten pattern.
func fromPCRE(pattern string) string {
	p := pcre{in: pattern, atom: -1}
	p.lines = strings.Contains(pattern, "(?m") || strings.Contains(pattern, "(?im") || strings.Contains(pattern, "(?sm")
	for p.in != "" {
		p.next()
	}
	return string(p.out)
}

// next rewrites one element of the pattern.
func (p *pcre) next() {
	start := len(p.out)
	switch c := p.in[0]; c {
	case '\\':
		p.escape()
	case '[':
		p.class()
	case '$':
		p.in = p.in[1:]
		if p.lines {
			p.out = append(p.out, '$')
		} else {
			p.end()
		}
	case '(':
		p.groups = append(p.groups, start)
		p.copy(1)
		if strings.HasPrefix(p.in, "?") {
			p.copy(1)
		}
		p.atom = -1
		return
	case ')':
		p.copy(1)
		if n := len(p.groups); n > 0 {
			start, p.groups = p.groups[n-1], p.groups[:n-1]
		}
	case '|':
		p.copy(1)
		p.atom = -1
		return
	default:
		if n := quantifier(p.in); n > 0 && p.atom >= 0 {
			p.repeat(n)
			return
		}
		_, n := utf8.DecodeRuneInString(p.in)
		p.copy(n)
	}
	p.atom = start
}

// copy takes n bytes as they are.
func (p *pcre) copy(n int) {
	p.out = append(p.out, p.in[:n]...)
	p.in = p.in[n:]
}

// end writes the end of the text, before a last line feed if there is one.
func (p *pcre) end() { p.out = append(p.out, `(?=\n?\z)`...) }

// repeat takes a quantifier of n bytes; a possessive one makes its atom atomic.
func (p *pcre) repeat(n int) {
	q := p.in[:n]
	p.in = p.in[n:]
	if !strings.HasPrefix(p.in, "+") {
		p.out = append(p.out, q...)
		return
	}
	p.in = p.in[1:]
	atom := string(p.out[p.atom:])
	p.out = append(append(append(append(p.out[:p.atom], "(?>"...), atom...), q...), ')')
}

// quantifier returns the length of the quantifier that s begins with, 0 for none.
func quantifier(s string) int {
	switch s[0] {
	case '*', '+', '?':
		return 1
	case '{':
		end := strings.IndexByte(s, '}')
		if end < 2 || strings.Trim(s[1:end], "0123456789,") != "" {
			return 0
		}
		return end + 1
	}
	return 0
}

// escape takes an escape sequence outside a class.
func (p *pcre) escape() {
	if len(p.in) < 2 {
		p.copy(1)
		return
	}
	replaced := map[byte]string{'h': `[\t ]`, 'H': `[^\t ]`, 'R': `(?>\r\n|[\n\v\f\r])`}[p.in[1]]
	switch {
	case replaced != "":
		p.out, p.in = append(p.out, replaced...), p.in[2:]
	case p.in[1] == 'Z':
		p.in = p.in[2:]
		p.end()
	default:
		_, n := utf8.DecodeRuneInString(p.in[1:])
		p.copy(1 + n)
		if strings.HasPrefix(p.in, "{") { // \p{Greek}, \x{41}
			p.copy(max(strings.IndexByte(p.in, '}')+1, 1))
		}
	}
}

// class takes a character class.
func (p *pcre) class() {
	p.copy(1)
	if strings.HasPrefix(p.in, "^") {
		p.copy(1)
	}
	for first := true; p.in != ""; first = false {
		switch {
		case p.in[0] == ']' && !first:
			p.copy(1)
			return
		case strings.HasPrefix(p.in, `\h`):
			p.out, p.in = append(p.out, `\t `...), p.in[2:]
		case p.in[0] == '\\' && len(p.in) > 1:
			p.copy(2)
		case strings.HasPrefix(p.in, "[:") && strings.Contains(p.in, ":]"):
			p.copy(strings.Index(p.in, ":]") + 2)
		default:
			p.copy(1)
		}
	}
}
