package config

import (
	"errors"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/parser"
)

// advice is what to do about mistakes in YAML, by a part of what the parser says.
var advice = []struct{ about, do string }{
	{"tab character", "indent with spaces, not with tabs"},
	{`character '\t'`, "indent with spaces, not with tabs"},
	{"unexpected key name", "a colon is missing behind the key"},
	{"non-map value", `this is no "key: value": look for a missing colon, or space behind it, and at the indentation`},
	{"mapping value is not allowed", `put a value with ": " in quotes, and give all keys of a mapping the same indentation`},
	{"value is not allowed", "the indentation does not fit the lines above"},
	{"invalid key", "the indentation does not fit the lines above"},
	{"flow map", "a bracket is not closed, or a comma is missing"},
	{"must be specified", "a bracket is not closed, or a comma is missing"},
	{"end token", "a bracket is not closed"},
	{"corresponding to", "a bracket is closed that was not opened"},
	{"anchor", errNotJSON.Error()},
	{"alias", errNotJSON.Error()},
	{"tag", errNotJSON.Error()},
	{"end quotation", "a quote is not closed"},
	{"header option", "behind the | or > there is nothing but + or - and the number of spaces of the indentation"},
	{"", "this is not YAML: look at this line and the one above"},
}

// syntaxError says where text is not YAML, and what to do.
func syntaxError(file string, lines []string, err error) *Error {
	e := &Error{File: file, Line: 1, Column: 1, Err: err}
	message := ""
	if y := yaml.Error(nil); errors.As(err, &y) { // without the lines around it, which may hold secrets
		message = strings.ReplaceAll(y.GetMessage(), "\t", `\t`)
		e.Err = errors.New(message)
		if t := y.GetToken(); t != nil && t.Position != nil {
			e.Line, e.Column = min(t.Position.Line, len(lines)), max(t.Position.Column, 1)
		}
	}
	if line := firstWrong(lines[:e.Line]); line != e.Line {
		e.Line = line
		e.Column = len(lines[line-1]) - len(strings.TrimLeft(lines[line-1], " \t-")) + 1
	}
	e.Column = min(e.Column, len([]rune(lines[e.Line-1]))+1)
	for _, a := range advice {
		if strings.Contains(message, a.about) {
			e.Err = fmt.Errorf("%s (%s)", a.do, message)
			break
		}
	}
	return e
}

// firstWrong returns the number of the line behind the most lines that are right
// without the rest: the parser sees some mistakes only lines later.
func firstWrong(lines []string) int {
	back := affordable(lines)
	for n := len(lines) - 1; n > 0 && n >= len(lines)-back; n-- {
		if _, err := parser.ParseBytes([]byte(strings.Join(lines[:n], "\n")), 0, parser.AllowDuplicateMapKey()); err == nil {
			return n + 1
		}
	}
	if back < len(lines) {
		return len(lines)
	}
	return 1
}
