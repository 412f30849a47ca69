package config

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
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
	e := &Error{File: p.file, Line: 1, Column: 1, Path: path, Err: err}
	if at != nil && at.GetToken() != nil && at.GetToken().Position != nil {
		e.Line, e.Column = at.GetToken().Position.Line, at.GetToken().Position.Column
	}
	p.list = append(p.list, e)
}

func (p *problems) addf(at ast.Node, path, format string, args ...any) {
	p.add(at, path, fmt.Errorf(format, args...))
}

// err returns all problems in the order of their places.
func (p *problems) err() error {
	slices.SortStableFunc(p.list, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	errs := make([]error, len(p.list))
	for i, e := range p.list {
		errs[i] = e
	}
	return errors.Join(errs...)
}

// didYouMean returns a hint at the name that is meant, or nothing.
func didYouMean(name string, known []string) string {
	best, least := "", 3
	for _, k := range known {
		if d := distance(strings.ToLower(name), strings.ToLower(k)); d < least {
			best, least = k, d
		}
	}
	if best == "" {
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
