package config

import (
	"errors"
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
	Dialect         dialect           `yaml:"template_dialect" doc:"bridge, or republish for the templates of EMQX's republish action; see docs/templates.md. Default bridge."`
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

var dialects = map[string]dialect{"bridge": dialect(template.Bridge), "republish": dialect(template.Republish)}

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
	line, column := position(sql)
	e := &Error{File: d.file, Line: line, Column: column, Path: path, Err: errors.New(f.Summary())}
	if l, c, ok := d.within(sql, text, f); ok {
		e.Line, e.Column = l, c
		// The place is the file's; that in the statement would only confuse.
		_, rest, _ := strings.Cut(f.Summary(), ": ")
		e.Err = errors.New(rest)
	}
	d.list = append(d.list, e)
}

// within returns the place in the file of a fault of the statement that node sql
// holds, if the file has the statement's line as it is.
func (d *decoder) within(sql ast.Node, text string, f *rule.SyntaxError) (line, column int, ok bool) {
	l, c := f.Position()
	statement := strings.Split(text, "\n")
	if l > len(statement) {
		return 0, 0, false
	}
	line, _ = position(sql)
	line += l - 1
	if _, block := sql.(*ast.LiteralNode); block {
		line++ // it begins below the bar
	}
	if line > len(d.lines) {
		return 0, 0, false
	}
	at := strings.Index(d.lines[line-1], statement[l-1])
	if statement[l-1] == "" || at < 0 {
		return 0, 0, false
	}
	return line, len([]rune(d.lines[line-1][:at])) + c, true
}

// warn keeps what is odd about a rule.
func (def *Definition) warn(d *decoder, sql ast.Node, path string, r *rule.Rule) {
	for _, w := range r.Warnings() {
		def.warnAt(d, sql, path, w.Summary())
	}
}
