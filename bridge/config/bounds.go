package config

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/token"
)

// Bounds of a definition's text. The parser recurses, and its effort grows with
// the square of depth and of entries; there are no aliases that could expand. A line
// takes hundreds of bytes while the text is read, even if nothing is in it. What
// comes from outside has a bound for all of it, since it may be named many times.
const (
	maxText    = 1 << 20
	maxLines   = 250_000
	maxOutside = 8 << 20
	maxDepth   = 50
	maxEntries = 50_000

	// firstPart is what is looked at first: more than most definitions have.
	firstPart = 64 << 10
)

// bounded reports whether text is within the bounds, and adds what is not to the
// errors.
func (d *decoder) bounded(text []byte) bool {
	if err := checkSize(text); err != nil {
		d.add(nil, "", err)
		return false
	}
	if n := bytes.Count(text, []byte("\n")); n > maxLines {
		d.add(nil, "", fmt.Errorf("the text has %d lines, more than %d", n, maxLines))
		return false
	}
	// The lexer reads all of what it is given before it returns, so what breaks a
	// bound early is found in a part of the text. A text that is cut somewhere has no
	// entry and no level that the whole has not.
	for size := firstPart; ; size *= 4 {
		part := text[:min(size, len(text))]
		if t, problem := excess(string(part)); problem != "" {
			d.addAt(t, "%s", problem)
			return false
		}
		if len(part) == len(text) {
			return true
		}
	}
}

// excess returns the first token that is beyond the bounds, and says of which.
func excess(text string) (*token.Token, string) {
	var blocks []int // columns of the block collections that are open
	flow, entries := 0, 0
	var before *token.Token
	for _, t := range lexer.Tokenize(text) {
		column := t.Position.Column
		switch t.Type {
		case token.SequenceStartType, token.MappingStartType:
			flow++
		case token.SequenceEndType, token.MappingEndType:
			flow = max(0, flow-1)
		case token.CollectEntryType:
			entries++
		case token.MappingValueType:
			if before != nil {
				column = before.Position.Column
			}
			blocks, entries = open(blocks, flow, column), entries+1
		case token.SequenceEntryType, token.MappingKeyType:
			blocks, entries = open(blocks, flow, column), entries+1
		case token.DocumentHeaderType:
			blocks, entries = blocks[:0], entries+1
		case token.DirectiveType, token.TagType, token.AnchorType, token.AliasType:
			entries++ // each costs the parser as much
		}
		switch {
		case len(blocks)+flow > maxDepth:
			return t, fmt.Sprintf("it nests deeper than %d levels", maxDepth)
		case entries > maxEntries:
			return t, fmt.Sprintf("it has more than %d entries", maxEntries)
		}
		before = t
	}
	return nil, ""
}

func checkSize(text []byte) error {
	if len(text) > maxText {
		return fmt.Errorf("the text has %d bytes, more than %d", len(text), maxText)
	}
	return nil
}

// open returns the open block collections after an entry at a column.
func open(blocks []int, flow, column int) []int {
	if flow > 0 {
		return blocks
	}
	for len(blocks) > 0 && blocks[len(blocks)-1] >= column {
		blocks = blocks[:len(blocks)-1]
	}
	return append(blocks, column)
}

func (d *decoder) addAt(t *token.Token, format string, args ...any) {
	d.list = append(d.list, &Error{
		File: d.file, Line: max(t.Position.Line, 1), Column: max(t.Position.Column, 1), Err: fmt.Errorf(format, args...),
	})
}

// searchable is how much is parsed to find the first wrong line of a text.
const searchable = 1 << 20

// affordable returns the lines that a search for the first wrong one may go back,
// from the end: each is a text to parse.
func affordable(lines []string) int {
	size, n := len(strings.Join(lines, "\n")), len(lines)
	if n > 2000 {
		return 0
	}
	return min(n, searchable/max(size, 1))
}

// scalarSize is the size up to which a text from outside may be a number.
const scalarSize = 64

// fits reports whether a text may be a number or a boolean.
func fits(n *ast.StringNode) bool { return len(n.Value) <= scalarSize }
