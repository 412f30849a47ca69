package jq

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/itchyny/gojq"

	"github.com/sluiceio/sluice/internal/repattern"
)

// matchCost is what a match costs as an object, and captureCost a group of it.
const (
	matchCost   = 400
	captureCost = 400
)

// matcher is a compiled expression; probe finds an empty match behind another
// match, with the character before it.
type matcher struct{ re, probe *regexp.Regexp }

// match is jq's _match: whether an expression matches a text, or all matches of
// it. gojq's own takes the square of the text's length.
func (b *budget) match(v, pattern, flags, testing any) any {
	name := "match"
	if testing == true {
		name = "test"
	}
	s, ok := v.(string)
	p, ok2 := pattern.(string)
	f, ok3 := flags.(string)
	if !ok || !ok2 || !ok3 && flags != nil {
		return fmt.Errorf("%s(%s; %s) cannot be applied to: %s", name, gojq.Preview(pattern), gojq.Preview(flags), gojq.Preview(v))
	}
	m, err := b.matcher(p, f)
	if err != nil {
		return err
	}
	if testing == true {
		return m.re.MatchString(s)
	}
	most := 1
	if strings.ContainsRune(f, 'g') {
		most = (b.Bytes-b.made)/matchCost + 1
	}
	found := m.re.FindAllStringSubmatchIndex(s, most)
	out := make([]any, 0, len(found))
	c := counter{s: s}
	names := m.re.SubexpNames()
	for i, x := range found {
		if err := b.make(matchCost + captureCost*(len(x)/2-1)); err != nil {
			return err
		}
		out = append(out, c.object(x, names))
		if most > 1 && x[0] != x[1] && m.probe != nil && (i+1 == len(found) || found[i+1][0] != x[1]) {
			if y := m.emptyAt(s, x[1]); y != nil {
				out = append(out, c.object(y, names))
			}
		}
		if b.Done(); b.err != nil {
			return b.err
		}
	}
	return out
}

func (b *budget) matcher(pattern, flags string) (*matcher, error) {
	key := flags + "/" + pattern
	if m := b.regexes[key]; m != nil {
		return m, nil
	}
	if strings.Trim(flags, "gim") != "" {
		return nil, errors.New("unsupported regular expression flag: " + gojq.Preview(flags))
	}
	if strings.ContainsRune(flags, 'i') {
		pattern = "(?i)" + pattern
	}
	if strings.ContainsRune(flags, 'm') {
		pattern = "(?s)" + pattern
	}
	re, err := repattern.Compile(pattern)
	if err != nil {
		return nil, errors.New("invalid regular expression: " + err.Error())
	}
	m := &matcher{re: re}
	if probe, err := regexp.Compile(`\A(?s:.)(?:` + pattern + `)`); err == nil {
		m.probe = probe
	}
	if b.regexes == nil || len(b.regexes) >= 16 {
		b.regexes = make(map[string]*matcher)
	}
	b.regexes[key] = m
	return m, nil
}

// emptyAt returns the empty match at offset, nil for none.
func (m *matcher) emptyAt(s string, offset int) []int {
	_, w := utf8.DecodeLastRuneInString(s[:offset])
	x := m.probe.FindStringSubmatchIndex(s[offset-w:])
	if len(x) == 0 || x[1] != w {
		return nil
	}
	y := make([]int, len(x))
	for i := range x {
		if y[i] = -1; x[i] >= 0 {
			y[i] = x[i] + offset - w
		}
	}
	y[0] = offset
	return y
}

// counter turns offsets in bytes, which mostly grow, into those in characters.
type counter struct {
	s           string
	byteN, rune int
}

func (c *counter) at(offset int) int {
	if offset < c.byteN {
		return c.rune - utf8.RuneCountInString(c.s[offset:c.byteN])
	}
	c.rune += utf8.RuneCountInString(c.s[c.byteN:offset])
	c.byteN = offset
	return c.rune
}

// object returns a match as jq shows it.
func (c *counter) object(x []int, names []string) any {
	start := c.at(x[0])
	captures := make([]any, len(x)/2-1)
	for j := range captures {
		from, to := x[2*j+2], x[2*j+3]
		var name any
		if names[j+1] != "" {
			name = names[j+1]
		}
		group := map[string]any{"name": name, "offset": -1, "length": 0, "string": nil}
		if from >= 0 {
			group["offset"] = c.at(from)
			group["length"] = utf8.RuneCountInString(c.s[from:to])
			group["string"] = c.s[from:to]
		}
		captures[j] = group
	}
	return map[string]any{
		"offset": start, "length": utf8.RuneCountInString(c.s[x[0]:x[1]]),
		"string": c.s[x[0]:x[1]], "captures": captures,
	}
}

// pieces are the parts of a text between matches, whose offsets are in characters.
type pieces struct {
	rest string
	at   int // characters before rest
}

// cut returns the part up to a match, and goes on behind it.
func (p *pieces) cut(match map[string]any) string {
	offset, _ := match["offset"].(int)
	length, _ := match["length"].(int)
	n := skip(p.rest, offset-p.at)
	part := p.rest[:n]
	p.rest = p.rest[n:]
	p.rest = p.rest[skip(p.rest, length):]
	p.at = offset + length
	return part
}

// skip returns the length in bytes of n characters.
func skip(s string, n int) int {
	at := 0
	for ; n > 0 && at < len(s); n-- {
		_, size := utf8.DecodeRuneInString(s[at:])
		at += size
	}
	return at
}

// split returns the parts of a text between matches.
func (b *budget) split(v, found any) any {
	s, _ := v.(string)
	matches, _ := found.([]any)
	if err := b.make(2 * itemCost * (len(matches) + 1)); err != nil {
		return err
	}
	p := pieces{rest: s}
	out := make([]any, 0, len(matches)+1)
	for _, m := range matches {
		out = append(out, p.cut(m.(map[string]any)))
	}
	return append(out, p.rest)
}

// substitute returns a text with its matches replaced by their member by, which is
// a list: the result has as many texts as the longest of them.
func (b *budget) substitute(v, found any) any {
	s, _ := v.(string)
	matches, _ := found.([]any)
	p := pieces{rest: s}
	var results [][]byte
	for _, x := range matches {
		m := x.(map[string]any)
		part := p.cut(m)
		for i, by := range m["by"].([]any) {
			text, ok := by.(string)
			if !ok {
				return fmt.Errorf("cannot add: string (%s) and %s", gojq.Preview(part), gojq.Preview(by))
			}
			if err := b.make(len(part) + len(text) + itemCost); err != nil {
				return err
			}
			if i == len(results) {
				results = append(results, nil)
			}
			results[i] = append(append(results[i], part...), text...)
		}
	}
	if len(results) == 0 {
		return []any{s}
	}
	out := make([]any, len(results))
	for i, r := range results {
		if err := b.make(len(p.rest)); err != nil {
			return err
		}
		out[i] = string(append(r, p.rest...))
	}
	return out
}
