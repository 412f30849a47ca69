package config

import (
	"errors"
	"fmt"
	"slices"

	"github.com/goccy/go-yaml/ast"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/internal/sqlparse"
	"github.com/sluiceio/sluice/rule"
	"github.com/sluiceio/sluice/template"
)

// checkOdd warns of what is odd about a rule and its templates, and refuses keys
// that never have a value, since all messages would fail.
func (def *Definition) checkOdd(d *decoder, r *part[*ruleDefinition], compiled *rule.Rule) {
	stmt, err := sqlparse.Parse(r.def.SQL)
	if err != nil {
		return // reported by the compiler
	}
	def.warnPublisher(d, r, stmt)
	for _, w := range compiled.ActionWarnings() {
		hint := w.Hint
		if w.Advice {
			hint = "template_dialect: json escapes them"
		}
		def.tellTemplate(d, r, w.Action, w.Field, w.Text, w.Msg+" ("+hint+")", w.Never)
	}
	all, origins := columns(stmt)
	for i := range r.def.Actions {
		a := &r.def.Actions[i]
		def.warnID(d, r, i)
		for field, text := range a.templates() {
			for _, v := range variables(text, template.Dialect(a.Dialect)) {
				origin, selected := origins[v.Path[0]]
				if !selected && all {
					origin = v.Path[0]
				}
				if why := def.untold(origin); why != "" {
					def.tellTemplate(d, r, i, field, v.String(), v.String()+" is undefined: "+why, true)
				}
			}
		}
	}
}

// warnID warns of an action whose sink stores IDs while the action gives none.
func (def *Definition) warnID(d *decoder, r *part[*ruleDefinition], action int) {
	a := &r.def.Actions[action]
	s := def.sinks[a.Sink]
	if s == nil {
		return
	}
	k, ok := s.def.(*kinesisSink)
	if _, given := a.Attributes[bridge.IDAttr]; !ok || !k.IDs || given {
		return
	}
	path := fmt.Sprintf("actions[%d]", action)
	def.warnAt(d, child(r.node, path), r.path+"."+path,
		fmt.Sprintf("sink %q has ids, and the action gives no attribute %s: its records are stored without one", a.Sink, bridge.IDAttr))
}

// tellTemplate warns of a template of an action, or refuses it when it is a key that
// never has a value.
func (def *Definition) tellTemplate(d *decoder, r *part[*ruleDefinition], action int, field, part, why string, never bool) {
	a := &r.def.Actions[action]
	option, text := a.option(field)
	n := child(r.node, fmt.Sprintf("actions[%d].%s", action, option))
	path := fmt.Sprintf("%s.actions[%d].%s", r.path, action, option)
	line, column := place(text, part)
	e := d.placed(n, path, text, line, column, why)
	if never && field == "Key" && rule.KeyPolicy(a.UndefinedKey) == rule.KeyError {
		e.Err = fmt.Errorf("%w; without a key every message would fail", e.Err)
		d.list = append(d.list, e)
		return
	}
	def.warning(e)
}

// publisher are the columns that only the broker of a message knows, with the option
// by which a source of type mqtt finds them elsewhere.
var publisher = map[string]string{"clientid": "clientid_from", "username": "username_from", "peerhost": "", "peername": ""}

// publisherCalls are the functions of these columns.
var publisherCalls = map[string]string{"clientid": "clientid", "username": "username", "clientip": "peerhost", "peerhost": "peerhost"}

// untold says why a column of the event has no value, if no source gives it one.
func (def *Definition) untold(column string) string {
	option, ok := publisher[column]
	if !ok || len(def.sources) == 0 {
		return ""
	}
	for _, s := range def.sources {
		source, client := s.def.(*mqttSource)
		if !client || column == "clientid" && source.ClientIDFrom.given() || column == "username" && source.UsernameFrom.given() {
			return ""
		}
	}
	why := "a source of type mqtt does not learn who published; "
	if option == "" {
		return why + "take a part of the topic or of the payload"
	}
	return why + "say by " + option + " of the source which user property or level of the topic has it, or use ${topic} or a part of the payload"
}

// warnPublisher warns of columns in the statement that no source gives a value.
func (def *Definition) warnPublisher(d *decoder, r *part[*ruleDefinition], stmt *sqlparse.Statement) {
	hidden := map[string]bool{}
	for _, f := range slices.Concat(stmt.Fields, stmt.Do) {
		if path, ok := f.Expr.(*sqlparse.Path); f.As != nil && (!ok || path.Name != f.As.Name) {
			hidden[f.As.Name] = true // it may be this one that is meant
		}
	}
	told := map[string]bool{}
	stmt.Walk(func(x sqlparse.Expr) {
		column := ""
		switch x := x.(type) {
		case *sqlparse.Path:
			if !hidden[x.Name] {
				column = x.Name
			}
		case *sqlparse.Call:
			column = publisherCalls[x.Name]
		}
		why := def.untold(column)
		if why == "" || told[column] {
			return
		}
		told[column] = true
		line, at := lineAndColumn(stmt.Text, x.Pos().Start)
		def.warning(d.placed(child(r.node, "sql"), r.path+".sql", r.def.SQL, line, at, column+" is undefined: "+why))
	})
}

// onlyClients reports whether all messages come through subscriptions.
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
	def.warning(&Error{File: d.file, Line: line, Column: column, Path: path, Err: errors.New(why)})
}

// warning keeps a warning.
func (def *Definition) warning(e *Error) {
	e.Err = fmt.Errorf("warning: %w", e.Err)
	def.warnings = append(def.warnings, e)
}

// variables returns the placeholders of a template, but for the whole row.
func variables(text string, dialect template.Dialect) []template.Var {
	t, err := template.CompileWith(text, template.Options{Dialect: dialect})
	if err != nil {
		return nil
	}
	return slices.DeleteFunc(t.Vars(), func(v template.Var) bool { return v.Whole() })
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
		if call, ok := f.Expr.(*sqlparse.Call); ok {
			origin = publisherCalls[call.Name]
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
