package hocon

import (
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// reserved cannot be in a text without quotes.
const reserved = "$\"{}[]:=,+#`^?!*&\\"

// scalar reads a number, true, false, null, or a text. Words and quoted texts
// beside each other are joined without what is between them, as EMQX does it.
func (p *parser) scalar() (any, error) {
	start, parts := p.at, 0
	var text strings.Builder
	for {
		part, err := p.textPart()
		if err != nil {
			return nil, err
		}
		if part == nil {
			break
		}
		text.WriteString(*part)
		parts++
		p.spaces()
	}
	switch {
	case parts == 0:
		return nil, p.errorf("a value is expected, not %s", p.found())
	case parts == 1 && p.text[start] != '"':
		return typed(text.String()), nil
	}
	return text.String(), nil
}

// textPart reads a word or a quoted text; nil says that there is none.
func (p *parser) textPart() (*string, error) {
	var part string
	var err error
	switch c := p.next(); {
	case strings.HasPrefix(p.rest(), `"""`):
		part, err = p.block()
	case c == '"':
		part, err = p.quoted()
	case strings.HasPrefix(p.rest(), "${"):
		return nil, p.errorf("substitution is not supported: write the value, or put a template in quotes")
	case (c == '+' || c == '-') && p.at+1 < len(p.text) && isDigit(p.text[p.at+1]):
		p.at++
		if part = p.word(""); c == '-' {
			part = "-" + part
		}
	default:
		if part = p.word(""); part == "" {
			return nil, nil
		}
	}
	return &part, err
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// word reads a text without quotes, to a reserved character, one of stop, a blank
// or a comment.
func (p *parser) word(stop string) string {
	start := p.at
	for p.at < len(p.text) {
		r, size := utf8.DecodeRuneInString(p.rest())
		exponent := r == '+' && p.at > start && (p.text[p.at-1] == 'e' || p.text[p.at-1] == 'E') && isDigit(p.text[start])
		if !exponent && strings.ContainsRune(reserved, r) || strings.ContainsRune(stop, r) || r == '\n' || isSpace(r) ||
			strings.HasPrefix(p.rest(), "//") {
			break
		}
		p.at += size
	}
	return p.text[start:p.at]
}

// typed is what a word means that stands alone.
func typed(word string) any {
	switch word {
	case "true":
		return true
	case "false":
		return false
	case "null":
		return nil
	}
	if n, err := strconv.ParseInt(word, 10, 64); err == nil {
		return n
	}
	first := strings.TrimPrefix(word, "-")
	if first == "" || !isDigit(first[0]) || strings.ContainsAny(word, "xX_pP") {
		return word
	}
	if f, err := strconv.ParseFloat(word, 64); err == nil && !math.IsInf(f, 0) {
		return f
	}
	return word
}

// quoted reads a text in single quotes, with JSON's escapes.
func (p *parser) quoted() (string, error) {
	open := p.at
	p.at++
	var text strings.Builder
	for {
		end := strings.IndexAny(p.rest(), "\"\\\n")
		if end < 0 || p.rest()[end] == '\n' {
			p.at = open
			return "", p.errorf("the quote is not closed on its line; texts of several lines have three quotes")
		}
		text.WriteString(p.rest()[:end])
		p.at += end
		if p.next() == '"' {
			p.at++
			return text.String(), nil
		}
		r, err := p.escape()
		if err != nil {
			return "", err
		}
		text.WriteRune(r)
	}
}

// escape reads a backslash and what belongs to it.
func (p *parser) escape() (rune, error) {
	if strings.HasPrefix(p.rest(), `\u`) {
		if r, ok := p.hex(); ok {
			return r, nil
		}
		return 0, p.errorf(`after \u come four hexadecimal digits`)
	}
	const names, meanings = `"\/bfnrtve`, "\"\\/\b\f\n\r\t\v\x1b"
	if len(p.rest()) > 1 {
		if i := strings.IndexByte(names, p.rest()[1]); i >= 0 {
			p.at += 2
			return rune(meanings[i]), nil
		}
	}
	return 0, p.errorf(`a backslash stands before one of %s or u; write \\ for a backslash`, names)
}

// hex reads \uXXXX, or two that are a surrogate pair.
func (p *parser) hex() (rune, bool) {
	unit := func(s string) (rune, bool) {
		if len(s) < 6 || s[:2] != `\u` {
			return 0, false
		}
		n, err := strconv.ParseUint(s[2:6], 16, 16)
		return rune(n), err == nil
	}
	high, ok := unit(p.rest())
	if !ok {
		return 0, false
	}
	p.at += 6
	if high < 0xD800 || high > 0xDFFF {
		return high, true
	}
	if low, ok := unit(p.rest()); ok && high < 0xDC00 && low >= 0xDC00 && low <= 0xDFFF {
		p.at += 6
		return (high-0xD800)<<10 + (low - 0xDC00) + 0x10000, true
	}
	return utf8.RuneError, true
}

// block reads a text in three quotes, as it is. With a ~ inside the quotes and
// nothing behind it on the first line, the lines' common indentation goes.
func (p *parser) block() (string, error) {
	open := p.at
	p.at += 3
	end := strings.Index(p.rest(), `"""`)
	if end < 0 {
		p.at = open
		return "", p.errorf("the three quotes have no counterpart")
	}
	for strings.HasPrefix(p.rest()[end+3:], `"`) {
		end++ // further quotes belong to the text
	}
	text := p.rest()[:end]
	p.at += end + 3
	indented, marked := strings.CutPrefix(text, "~")
	inner, closed := strings.CutSuffix(indented, "~")
	first, lines, broken := strings.Cut(inner, "\n")
	switch {
	case marked && broken && strings.TrimSuffix(first, "\r") == "":
		return outdent(lines), nil
	case marked && closed:
		return inner, nil
	}
	return text, nil
}

// outdent removes the indentation that all lines have that are not empty. The
// last line does not count when it holds nothing but the closing quotes.
func outdent(text string) string {
	lines := strings.Split(text, "\n")
	least := math.MaxInt
	for _, line := range lines {
		if strings.TrimRight(line, " \r") != "" {
			least = min(least, len(line)-len(strings.TrimLeft(line, " ")))
		}
	}
	for i, line := range lines {
		indent := len(line) - len(strings.TrimLeft(line, " "))
		lines[i] = line[min(indent, least):]
	}
	return strings.Join(lines, "\n")
}
