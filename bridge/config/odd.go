package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/sluiceio/sluice/internal/sqlparse"
	"github.com/sluiceio/sluice/template"
)

// publisher are the columns that only the broker of a message knows.
var publisher = []string{"clientid", "username", "peerhost", "peername"}

// warnTemplates keeps which templates of a rule have a column that never has a
// value: where it is a key, all messages would fail, or end in one shard.
func (def *Definition) warnTemplates(d *decoder, r *part[*ruleDefinition]) {
	stmt, err := sqlparse.Parse(r.def.SQL)
	if err != nil {
		return // reported by the compiler
	}
	all, origins := columns(stmt)
	for i := range r.def.Actions {
		a := &r.def.Actions[i]
		at, path := child(r.node, fmt.Sprintf("actions[%d]", i)), fmt.Sprintf("%s.actions[%d].", r.path, i)
		for _, s := range slices.Concat(a.places(), a.keys(), a.payloads(), []synonym{{"explicit_hash_key", a.ExplicitHashKey}}) {
			if i := strings.LastIndex(s.text, "${"); i >= 0 && !strings.Contains(s.text[i:], "}") {
				def.warnAt(d, child(at, s.name), path+s.name, fmt.Sprintf("%q is not closed and stands for itself", s.text[i:]))
			}
			for _, v := range variables(s.text, template.Dialect(a.Dialect)) {
				if why := def.neverSet(v, all, origins); why != "" {
					def.warnAt(d, child(at, s.name), path+s.name, why)
				}
			}
		}
	}
}

// neverSet says why a column of the row has no value, if that is certain.
func (def *Definition) neverSet(column string, all bool, origins map[string]string) string {
	origin, selected := origins[column]
	switch {
	case !selected && !all:
		return fmt.Sprintf("${%s} will be undefined: the statement selects no column of that name", column)
	case !selected:
		origin = column
	}
	if slices.Contains(publisher, origin) && def.onlyClients() {
		return fmt.Sprintf("${%s} will be undefined: a source of type mqtt does not learn who published; take a part of the topic or of the payload", column)
	}
	return ""
}

// onlyClients tells whether all messages come through subscriptions.
func (def *Definition) onlyClients() bool {
	for _, s := range def.sources {
		if _, ok := s.def.(*mqttSource); !ok {
			return false
		}
	}
	return true
}

func (def *Definition) warnAt(d *decoder, n ast.Node, path, why string) {
	line, column := position(n)
	def.warnings = append(def.warnings, &Error{File: d.file, Line: line, Column: column, Path: path, Err: errors.New("warning: " + why)})
}

// variables returns the columns that a template has placeholders for, each once.
func variables(text string, dialect template.Dialect) (columns []string) {
	t, err := template.CompileWith(text, template.Options{Dialect: dialect})
	if err != nil {
		return nil
	}
	for _, v := range t.Vars() {
		if len(v.Path) > 0 && !slices.Contains(columns, v.Path[0]) {
			columns = append(columns, v.Path[0])
		}
	}
	return columns
}

// columns returns which columns a statement gives to its rows, each with the column
// that it is a mere copy of or "", and whether rows have those of the event besides.
func columns(stmt *sqlparse.Statement) (all bool, origins map[string]string) {
	origins = map[string]string{}
	fields := stmt.Fields
	switch {
	case stmt.Do != nil:
		fields = slices.Concat(fields, stmt.Do)
	case stmt.Foreach: // rows are everything, the item too
		all = true
		origins["item"] = ""
	}
	for i := range fields {
		f := &fields[i]
		path, isPath := f.Expr.(*sqlparse.Path)
		text, isText := f.Expr.(*sqlparse.String)
		origin := ""
		if isPath && len(path.Steps) == 0 {
			origin = path.Name
			if of, known := origins[origin]; known {
				origin = of
			}
		}
		switch {
		case f.Star():
			all = true
		case f.As != nil:
			origins[f.As.Name] = origin
		case isPath:
			origins[path.Name] = origin
		case isText:
			origins[text.Value] = ""
		}
	}
	return all, origins
}
