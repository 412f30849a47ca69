package config

import (
	"errors"
	"iter"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/sluiceio/sluice/rule"
	"github.com/sluiceio/sluice/template"
)

// ruleDefinition is a rule of the definition.
type ruleDefinition struct {
	SQL         string             `yaml:"sql" doc:"The statement; see docs/sql.md."`
	Enable      *bool              `yaml:"enable" doc:"false takes the rule out of service. Default true."`
	Description string             `yaml:"description" doc:"For people."`
	Fallback    string             `yaml:"fallback" doc:"The sink for messages on which the rule fails (dead letters). Default: rule_fallback of the pipeline."`
	Actions     []actionDefinition `yaml:"actions" doc:"What to make of each row, in this order."`
}

// actionDefinition is an action of a rule. Some options have several names: those
// of EMQX's Kinesis action and those that fit any sink.
type actionDefinition struct {
	Sink            string            `yaml:"sink" doc:"Name of the sink; may be left out if there is only one."`
	StreamName      string            `yaml:"stream_name" doc:"Template of the place within the sink, such as a stream. Default: the sink's own."`
	Topic           string            `yaml:"topic" doc:"The same as stream_name."`
	Dest            string            `yaml:"dest" doc:"The same as stream_name."`
	PartitionKey    string            `yaml:"partition_key" doc:"Template of the key, whose records stay in order. Kinesis needs one; elsewhere default none."`
	Key             string            `yaml:"key" doc:"The same as partition_key."`
	ExplicitHashKey string            `yaml:"explicit_hash_key" doc:"Template of a number that chooses the shard instead of the key's hash."`
	PayloadTemplate string            `yaml:"payload_template" doc:"Template of the data. Default: all columns as JSON."`
	Payload         string            `yaml:"payload" doc:"The same as payload_template."`
	Attributes      map[string]string `yaml:"attributes" doc:"Templates of further named parts, such as headers."`
	Dialect         dialect           `yaml:"template_dialect" doc:"bridge; republish, for the templates of EMQX's republish action; or json, which is bridge with values of payload_template that are escaped for the place in the JSON where they stand; see docs/templates.md. Default bridge."`
	BestEffort      bool              `yaml:"best_effort" doc:"The message is acknowledged without waiting for this record. Default false."`
	UndefinedKey    keyPolicy         `yaml:"undefined_key" doc:"What to do when the key has a placeholder without a value: error (the message fails), constant (it reads \"undefined\", as in EMQX), random or topic (a key made of the topic). Default error."`
}

// keyPolicy is rule.KeyPolicy by name.
type keyPolicy rule.KeyPolicy

var keyPolicies = map[string]keyPolicy{
	"error": keyPolicy(rule.KeyError), "constant": keyPolicy(rule.KeyConstant),
	"random": keyPolicy(rule.KeyRandom), "topic": keyPolicy(rule.KeyTopic),
}

// UnmarshalText reads a name.
func (p *keyPolicy) UnmarshalText(text []byte) error { return choice(p, text, keyPolicies) }

// dialect is template.Dialect by name.
type dialect template.Dialect

var dialects = map[string]dialect{"bridge": dialect(template.Bridge), "republish": dialect(template.Republish), "json": dialect(template.JSON)}

// UnmarshalText reads a name.
func (t *dialect) UnmarshalText(text []byte) error { return choice(t, text, dialects) }

func (r *ruleDefinition) enabled() bool { return r.Enable == nil || *r.Enable }

// synonyms are the names of an option with what they are given as, the texts
// that are templates first.
type synonym struct{ name, text string }

func (a *actionDefinition) places() []synonym {
	return []synonym{{"dest", a.Dest}, {"stream_name", a.StreamName}, {"topic", a.Topic}}
}

func (a *actionDefinition) keys() []synonym {
	return []synonym{{"key", a.Key}, {"partition_key", a.PartitionKey}}
}

func (a *actionDefinition) payloads() []synonym {
	return []synonym{{"payload", a.Payload}, {"payload_template", a.PayloadTemplate}}
}

// first returns the text that is given.
func first(list []synonym) string {
	for _, s := range list {
		if s.text != "" {
			return s.text
		}
	}
	return ""
}

func (a *actionDefinition) action(sink string) rule.Action {
	return rule.Action{
		Sink: sink, Dest: first(a.places()), Key: first(a.keys()), HashKey: a.ExplicitHashKey,
		Data: first(a.payloads()), Attrs: a.Attributes, Dialect: template.Dialect(a.Dialect),
		Optional: a.BestEffort, UndefinedKey: rule.KeyPolicy(a.UndefinedKey),
	}
}

// checkAction reports what is wrong with an action: options given twice by
// different names, and templates.
func (d *decoder) checkAction(a *actionDefinition, n ast.Node, path string) {
	for _, list := range [][]synonym{a.places(), a.keys(), a.payloads()} {
		given := ""
		for _, s := range list {
			switch {
			case s.text == "":
			case given != "":
				d.addf(child(n, s.name), path+"."+s.name, "is the same option as %s; give one of them", given)
			default:
				given = s.name
				d.checkTemplate(a, n, path, s.name, s.text)
			}
		}
	}
	d.checkTemplate(a, n, path, "explicit_hash_key", a.ExplicitHashKey)
	for _, name := range sortedKeys(a.Attributes) {
		d.checkTemplate(a, n, path, "attributes."+name, a.Attributes[name])
	}
}

func (d *decoder) checkTemplate(a *actionDefinition, n ast.Node, path, field, text string) {
	if _, err := template.CompileWith(text, template.Options{Dialect: template.Dialect(a.Dialect)}); err != nil {
		d.add(child(n, field), path+"."+field, err)
	}
}

// addRule reports what is wrong with a statement, where it stands in the file.
func (d *decoder) addRule(sql ast.Node, path, text string, err error) {
	faults := rule.SyntaxErrors(err)
	if len(faults) == 0 {
		d.add(sql, path, err)
	}
	for _, f := range faults {
		d.addFault(sql, path, text, f)
	}
}

func (d *decoder) addFault(sql ast.Node, path, text string, f *rule.SyntaxError) {
	d.list = append(d.list, d.fault(sql, path, text, f))
}

// fault is what the compiler says of a statement as an error of the file.
func (d *decoder) fault(sql ast.Node, path, text string, f *rule.SyntaxError) *Error {
	line, column := f.Position()
	// The place is the file's; that in the statement would only confuse.
	_, why, _ := strings.Cut(f.Summary(), ": ")
	if _, _, ok := d.within(sql, text, line, column); !ok {
		why = f.Summary()
	}
	return d.placed(sql, path, text, line, column, why)
}

// placed is an error at a line and column of a text that node n holds: at their
// place in the file if that has the text as it is, and at n otherwise.
func (d *decoder) placed(n ast.Node, path, text string, line, column int, why string) *Error {
	e := &Error{File: d.file, Path: path, Err: errors.New(why)}
	var ok bool
	if e.Line, e.Column, ok = d.within(n, text, line, column); !ok {
		e.Line, e.Column = position(n)
	}
	return e
}

// within returns the place in the file of a line and column of a text that node n
// holds, if the file has that line as it is.
func (d *decoder) within(n ast.Node, text string, l, c int) (line, column int, ok bool) {
	lines := strings.Split(text, "\n")
	if l > len(lines) {
		return 0, 0, false
	}
	line, from := position(n)
	line += l - 1
	_, block := n.(*ast.LiteralNode)
	if block {
		line++ // it begins below the bar
	}
	if line > len(d.lines) {
		return 0, 0, false
	}
	in := []rune(d.lines[line-1])
	before := 0
	if l == 1 && !block { // what stands before the value may be the same text
		before = min(from-1, len(in))
	}
	at := strings.Index(string(in[before:]), lines[l-1])
	if lines[l-1] == "" || at < 0 {
		return 0, 0, false
	}
	return line, before + len([]rune(string(in[before:])[:at])) + c, true
}

// templates yields the templates that are given, by the field of rule.Action.
func (a *actionDefinition) templates() iter.Seq2[string, string] {
	return func(yield func(field, text string) bool) {
		for _, field := range []string{"Dest", "Key", "HashKey", "Data"} {
			if _, text := a.option(field); text != "" && !yield(field, text) {
				return
			}
		}
		for _, name := range sortedKeys(a.Attributes) {
			if !yield(attrs+name, a.Attributes[name]) {
				return
			}
		}
	}
}

// attrs is how rule names the fields of attributes.
const attrs = "Attrs "

// option returns the option of a field of rule.Action, and what it is given as.
func (a *actionDefinition) option(field string) (name, text string) {
	lists := map[string][]synonym{
		"Dest": a.places(), "Key": a.keys(), "Data": a.payloads(), "HashKey": {{"explicit_hash_key", a.ExplicitHashKey}},
	}
	if attribute, ok := strings.CutPrefix(field, attrs); ok {
		return "attributes." + attribute, a.Attributes[attribute]
	}
	for _, s := range lists[field] {
		if s.text != "" {
			return s.name, s.text
		}
	}
	return "", ""
}

// warn keeps what is odd about the statement of a rule.
func (def *Definition) warn(d *decoder, sql ast.Node, path string, r *rule.Rule) {
	for _, w := range r.Warnings() {
		def.warning(d.fault(sql, path, r.SQL(), w))
	}
}
