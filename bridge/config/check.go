package config

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/rule"
)

// check looks for what is missing, for names that lead nowhere, for rules that do
// not compile, and for options that sources and sinks would refuse.
func (def *Definition) check(d *decoder, opts Options) {
	if len(def.sources) == 0 {
		d.addf(nil, "sources", "at least one source is needed")
	}
	if len(def.sinks) == 0 {
		d.addf(nil, "sinks", "at least one sink is needed")
	}
	def.checkQueues(d)
	def.checkSink(d, def.options.RuleFallback, def.pipe, "pipeline", "rule_fallback")
	def.checkSink(d, def.options.Unmatched, def.pipe, "pipeline", "unmatched")
	engine, err := def.options.limited(opts.Engine)
	if err != nil {
		d.add(child(def.pipe, "limits"), "pipeline.limits", err)
		engine = opts.Engine
	}
	broken := def.checkRules(d, engine)
	def.checkParts(d, broken)
	def.checkWiring(d)
	def.warnExposed(d)
}

func (def *Definition) checkQueues(d *decoder) {
	for _, name := range sortedKeys(def.sinks) {
		s := def.sinks[name]
		at, path := child(s.node, "resource_opts"), s.path+".resource_opts"
		if s.Fallback == name {
			d.addf(child(at, "fallback"), path+".fallback", "a sink cannot be its own fallback")
		} else if def.checkSink(d, s.Fallback, at, path, "fallback") && def.inCycle(name) {
			d.addf(child(at, "fallback"), path+".fallback", "the fallback of %q comes back to %[2]s", s.Fallback, name)
		}
		if option, err := s.check(); err != nil {
			d.add(child(at, option), path+"."+option, err)
		}
	}
}

// checkSink reports whether an option names a sink; if that does not exist, it is
// a mistake.
func (def *Definition) checkSink(d *decoder, sink string, at ast.Node, path, option string) bool {
	if sink != "" && def.sinks[sink] == nil {
		d.addf(child(at, option), path+"."+option, "there is no sink %q%s", sink, didYouMean(sink, sortedKeys(def.sinks)))
	}
	return def.sinks[sink] != nil
}

// inCycle reports whether the fallbacks from a sink on lead back to it. In a cycle
// all would wait for each other when all are full.
func (def *Definition) inCycle(name string) bool {
	at := def.sinks[name].Fallback
	for range def.sinks {
		if at == name {
			return true
		}
		next := def.sinks[at]
		if next == nil {
			return false
		}
		at = next.Fallback
	}
	return false
}

// checkRules compiles the rules and reports whether one is broken.
func (def *Definition) checkRules(d *decoder, engine *rule.Engine) (broken bool) {
	def.compiled, def.every = map[string]*rule.Rule{}, map[string]*rule.Rule{}
	for _, name := range sortedKeys(def.rules) {
		r := def.rules[name]
		before := len(d.list)
		sql := child(r.node, "sql")
		if r.def.SQL == "" {
			d.addf(r.key, r.path, "sql is missing")
		}
		if len(r.def.Actions) == 0 {
			d.addf(r.key, r.path, "actions are missing; a rule without any does nothing")
		}
		def.checkSink(d, r.def.Fallback, r.node, r.path, "fallback")
		actions := def.actions(d, r)
		if r.def.SQL != "" {
			compiled, err := rule.New(rule.Config{Name: name, SQL: r.def.SQL, Engine: engine})
			if err != nil {
				d.addRule(sql, r.path+".sql", r.def.SQL, err)
			} else {
				def.checkEvents(d, r, compiled)
				def.warn(d, sql, r.path+".sql", compiled)
			}
		}
		if len(d.list) > before {
			broken = true
			continue
		}
		compiled, err := rule.New(rule.Config{Name: name, SQL: r.def.SQL, Engine: engine, Actions: actions})
		if err != nil {
			d.add(r.key, r.path, err)
			broken = true
			continue
		}
		if def.checkOdd(d, r, compiled); len(d.list) > before {
			broken = true
		}
		def.every[name] = compiled
		if r.def.enabled() {
			def.compiled[name] = compiled
		}
	}
	return broken
}

// actions checks the actions of a rule and returns them.
func (def *Definition) actions(d *decoder, r *part[*ruleDefinition]) []rule.Action {
	var list []rule.Action
	for i := range r.def.Actions {
		a := &r.def.Actions[i]
		at, path := child(r.node, fmt.Sprintf("actions[%d]", i)), fmt.Sprintf("%s.actions[%d]", r.path, i)
		d.checkAction(a, at, path)
		sink := a.Sink
		switch {
		case sink == "" && len(def.sinks) > 1:
			d.addf(at, path, "sink is missing; there are %s", strings.Join(sortedKeys(def.sinks), ", "))
			continue
		case sink == "" && len(def.sinks) == 1:
			sink = sortedKeys(def.sinks)[0]
			a.Sink = sink // so that Diff sees when it becomes another
		case def.sinks[sink] == nil:
			if len(def.sinks) > 0 {
				d.addf(child(at, "sink"), path+".sink", "there is no sink %q%s", sink, didYouMean(sink, sortedKeys(def.sinks)))
			}
			continue
		}
		if _, ok := def.sinks[sink].def.(*kinesisSink); ok && first(a.keys()) == "" {
			d.addf(at, path, "partition_key is missing; Kinesis takes no record without one, such as ${topic}")
		}
		list = append(list, a.action(def.entrance(sink)))
	}
	return list
}

// checkEvents reports rules on events where nobody sees any: a client of a broker
// gets published messages only.
func (def *Definition) checkEvents(d *decoder, r *part[*ruleDefinition], compiled *rule.Rule) {
	if !def.onlyClients() {
		return
	}
	if _, events := split(compiled.Filters()); len(events) > 0 {
		d.addf(child(r.node, "sql"), r.path+".sql",
			"%q is seen by a source of type broker only; a client of a broker gets published messages", events[0])
	}
}

// checkParts asks sources and sinks whether they would take their options.
func (def *Definition) checkParts(d *decoder, rulesBroken bool) {
	c := def.context("", nil)
	if (rulesBroken || len(d.list) > 0) && len(c.Filters) == 0 {
		c.Filters = []string{"#"} // that it has none is not this source's fault
	}
	for _, name := range sortedKeys(def.sources) {
		c.Name = name
		checkPart(d, def.sources[name], c)
	}
	for _, name := range sortedKeys(def.sinks) {
		c.Name = name
		checkPart(d, def.sinks[name], c)
	}
}

// checkPart reports the errors of a Validator at the options of their fields.
func checkPart[D any](d *decoder, p *part[D], c Context) {
	v, ok := any(p.def).(Validator)
	if !ok || d.faulty(p.path) {
		return // it has errors already, which may be the cause of others
	}
	names := fieldNames(reflect.TypeOf(p.def).Elem())
	for _, err := range leaves(v.Validate(c)) {
		path := ""
		if field, ok := errors.AsType[*bridge.FieldError](err); ok {
			if path = names.option(field.Path); path != "" {
				err = field.Err
			}
		}
		text := errors.New(names.rename(err.Error()))
		if path == "" {
			d.add(p.key, p.path, text)
			continue
		}
		at := child(p.node, path)
		if at == p.node {
			at = p.key // it is not given
		}
		d.add(at, p.path+"."+path, text)
	}
}

// faulty reports whether something is wrong below path already.
func (d *decoder) faulty(path string) bool {
	return slices.ContainsFunc(d.list, func(e *Error) bool { return e.Path == path || strings.HasPrefix(e.Path, path+".") })
}

// leaves takes joined errors apart.
func leaves(err error) []error {
	for inner := err; inner != nil; inner = errors.Unwrap(inner) {
		if _, field := any(inner).(*bridge.FieldError); field { // not one that it joins
			break
		}
		if joined, ok := inner.(interface{ Unwrap() []error }); ok {
			var list []error
			for _, e := range joined.Unwrap() {
				list = append(list, leaves(e)...)
			}
			return list
		}
	}
	if err == nil {
		return nil
	}
	return []error{err}
}

// names are the yaml names of options by the names of the Go fields behind them.
type names map[string]string

// fieldNames returns the names of a struct's fields and those within.
func fieldNames(t reflect.Type) names {
	list := names{}
	for i := range t.NumField() {
		f := t.Field(i)
		option := f.Tag.Get("yaml")
		if option == "" {
			continue
		}
		name := f.Tag.Get("field")
		if name == "" {
			name = f.Name
		}
		list[name] = option
		inner := f.Type
		for inner.Kind() == reflect.Slice || inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		if inner.Kind() == reflect.Struct {
			for sub, path := range fieldNames(inner) {
				if top, ok := strings.CutPrefix(sub, "/"); ok { // the other struct is flat
					list[top] = option + "." + path
				} else {
					list[name+"."+sub] = option + "." + path
				}
			}
		}
	}
	return list
}

// option returns the path of the option of a field, such as "filters[1].qos" for
// "Filters[1].QoS", or nothing if it has none.
func (n names) option(field string) string {
	outer, inner, nested := strings.Cut(field, ".")
	outer, index, indexed := strings.Cut(outer, "[")
	if indexed {
		index = "[" + index
	}
	if !nested {
		if option := n[outer]; option != "" {
			return option + index
		}
		return ""
	}
	option := n[outer+"."+inner]
	if option == "" {
		return ""
	}
	outer, inner, _ = strings.Cut(option, ".")
	return outer + index + "." + inner
}

// rename returns a text for people with the names of options for those of fields.
func (n names) rename(text string) string {
	var b strings.Builder
	for len(text) > 0 {
		end := strings.IndexFunc(text, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '_' })
		if end < 0 {
			end = len(text)
		}
		word := text[:end]
		if option, ok := n[word]; ok && compound(word) {
			word = option
		}
		b.WriteString(word)
		_, size := utf8.DecodeRuneInString(text[end:])
		b.WriteString(text[end : end+size])
		text = text[end+size:]
	}
	return b.String()
}

// compound reports whether a word is clearly a field's name, made of several like
// CleanStart, and not one of the language.
func compound(word string) bool {
	lower := strings.IndexFunc(word, unicode.IsLower)
	return lower > 0 && strings.IndexFunc(word[lower:], unicode.IsUpper) > 0
}

// child returns the node at a path such as "ssl.certfile" or "filters[0]" below
// n, or the last node on the way there.
func child(n ast.Node, path string) ast.Node {
	for step := range strings.SplitSeq(path, ".") {
		key, index, indexed := strings.Cut(strings.TrimSuffix(step, "]"), "[")
		next := entryOf(n, key)
		if next == nil {
			return n
		}
		n = next
		if !indexed {
			continue
		}
		i, err := strconv.Atoi(index)
		seq, ok := n.(*ast.SequenceNode)
		if err != nil || !ok || i >= len(seq.Values) {
			return n
		}
		n = seq.Values[i]
	}
	return n
}

func entryOf(n ast.Node, key string) ast.Node {
	var list []*ast.MappingValueNode
	switch n := n.(type) {
	case *ast.MappingNode:
		list = n.Values
	case *ast.MappingValueNode:
		list = []*ast.MappingValueNode{n}
	}
	for _, e := range list {
		if keyOf(e) == key {
			return e.Value
		}
	}
	return nil
}
