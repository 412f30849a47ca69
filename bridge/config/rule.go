package config

import (
	"github.com/sluiceio/sluice/rule"
)

// ruleDefinition is a rule of the definition.
type ruleDefinition struct {
	SQL         string             `yaml:"sql"`
	Enable      *bool              `yaml:"enable"` // default true
	Description string             `yaml:"description"`
	Actions     []actionDefinition `yaml:"actions"`

	rule *rule.Rule
}

// actionDefinition is an action of a rule. Stream, topic and dest are names of
// one thing, the place within the sink; so are the two names of the key and the
// three of the payload.
type actionDefinition struct {
	Sink            string            `yaml:"sink"`
	StreamName      string            `yaml:"stream_name"`
	Topic           string            `yaml:"topic"`
	Dest            string            `yaml:"dest"`
	PartitionKey    string            `yaml:"partition_key"`
	Key             string            `yaml:"key"`
	ExplicitHashKey string            `yaml:"explicit_hash_key"`
	PayloadTemplate string            `yaml:"payload_template"`
	Payload         string            `yaml:"payload"`
	Attributes      map[string]string `yaml:"attributes"`
	BestEffort      bool              `yaml:"best_effort"`
	UndefinedKey    rule.KeyPolicy    `yaml:"undefined_key"`
}

func (r *ruleDefinition) compile(name string) (*rule.Rule, error) {
	actions := make([]rule.Action, len(r.Actions))
	for i, a := range r.Actions {
		actions[i] = rule.Action{
			Sink: a.Sink, Dest: first(a.Dest, a.StreamName, a.Topic),
			Key: first(a.Key, a.PartitionKey), HashKey: a.ExplicitHashKey,
			Data: first(a.Payload, a.PayloadTemplate), Attrs: a.Attributes,
			Optional: a.BestEffort, UndefinedKey: a.UndefinedKey,
		}
	}
	return rule.New(rule.Config{Name: name, SQL: r.SQL, Actions: actions})
}

func (r *ruleDefinition) enabled() bool { return r.Enable == nil || *r.Enable }

func first(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}
