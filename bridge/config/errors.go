package config

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	hide "github.com/sluiceio/sluice/internal/redact"
)

// Error is one thing that is wrong with a definition.
type Error struct {
	File         string
	Line, Column int    // from 1
	Path         string // such as sinks.kinesis.region
	Err          error
}

// Error says where and what: "bridge.yaml:3:5: sinks.kinesis.region: …".
func (e *Error) Error() string {
	if e.Path == "" {
		return fmt.Sprintf("%s:%d:%d: %v", e.File, e.Line, e.Column, e.Err)
	}
	return fmt.Sprintf("%s:%d:%d: %s: %v", e.File, e.Line, e.Column, e.Path, e.Err)
}

// Unwrap returns what is wrong there.
func (e *Error) Unwrap() error { return e.Err }

// problems collects errors.
type problems struct {
	file string
	list []*Error
}

func (p *problems) add(at ast.Node, path string, err error) {
	line, column := position(at)
	// A URL without quotes may be taken for a key.
	p.list = append(p.list, &Error{File: p.file, Line: line, Column: column, Path: hide.Text(path), Err: hide.Error(err)})
}

func (p *problems) addf(at ast.Node, path, format string, args ...any) {
	p.add(at, path, fmt.Errorf(format, args...))
}

// position returns the line and column where a node begins.
func position(n ast.Node) (line, column int) {
	switch m := n.(type) {
	case nil:
		return 1, 1
	case *ast.MappingValueNode:
		return position(m.Key)
	case *ast.MappingNode: // its own token is the first colon unless it has braces
		if len(m.Values) > 0 && m.Start.Value != "{" {
			return position(m.Values[0].Key)
		}
	}
	if t := n.GetToken(); t != nil && t.Position != nil {
		return t.Position.Line, max(t.Position.Column, 1)
	}
	return 1, 1
}

// err returns all problems in the order of their places, without values from
// outside.
func (p *problems) err(values map[string]string) error {
	slices.SortStableFunc(p.list, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Path, b.Path))
	})
	errs := make([]error, 0, len(p.list))
	said := map[string]bool{}
	for _, e := range p.list {
		e.Err = redact(values, e.Err)
		if text := e.Error(); !said[text] {
			said[text] = true
			errs = append(errs, e)
		}
	}
	return errors.Join(errs...)
}

// didYouMean returns a hint at the name that is meant, or nothing.
func didYouMean(name string, known []string) string {
	if strings.Contains(name, "://") { // YAML takes [mqtt://host:1883] for a mapping
		return "; put the URL in quotes"
	}
	best, least := "", min(3, len(name))
	for _, k := range known {
		if d := distance(strings.ToLower(name), strings.ToLower(k)); d < least {
			best, least = k, d
		}
	}
	for _, k := range known {
		if best == "" && (strings.HasPrefix(k, name+"_") || strings.HasSuffix(k, "_"+name)) {
			best = k // such as stream for stream_name
		}
	}
	if best == "" || name == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", best)
}

// distance is the number of letters to insert, remove or replace.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			step := 1
			if a[i] == b[j] {
				step = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+step)
		}
	}
	return row[len(b)]
}
