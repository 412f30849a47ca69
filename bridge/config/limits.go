package config

import (
	"time"

	"github.com/sluiceio/sluice/rule"
)

// ruleLimits is rule.Limits.
type ruleLimits struct {
	Memory      Size     `yaml:"memory" doc:"Memory that one message may cost in one rule, its records included. Default: 100 times the message, at least 4MB and at most 16MB, or 4 times a larger message."`
	Time        Duration `yaml:"time" doc:"How long one rule may work on one message. Default 500ms."`
	Rows        Count    `yaml:"rows" doc:"Items that FOREACH goes over. Default 100000."`
	List        Count    `yaml:"list" doc:"Elements of a list that a function makes. Default 1000000."`
	Regex       Duration `yaml:"regex" doc:"How long one call with a pattern that needs backtracking may take. Default 100ms."`
	JQ          Duration `yaml:"jq" field:"JQ" doc:"How long a jq program may run. Default: the rest of the message's time."`
	JQUnbounded bool     `yaml:"jq_unbounded" field:"JQUnbounded" doc:"Let jq programs make as much data as they like, for programs and messages that can be trusted. Default false."`
	KVBytes     Size     `yaml:"kv_bytes" field:"KVBytes" doc:"What kv_store_put keeps for all rules together. Default 64MB."`
	KVEntries   Count    `yaml:"kv_entries" field:"KVEntries" doc:"Entries that kv_store_put keeps. Default 100000."`
}

func (l *ruleLimits) limits() rule.Limits {
	return rule.Limits{
		Memory: int(l.Memory), Time: time.Duration(l.Time), Rows: int(l.Rows), List: int(l.List), Regex: time.Duration(l.Regex),
		JQ: time.Duration(l.JQ), JQUnbounded: l.JQUnbounded, KVBytes: int(l.KVBytes), KVEntries: int(l.KVEntries),
	}
}

// limited returns the engine of the rules: that of the options, with the limits of
// the definition if it has any.
func (o *pipelineOptions) limited(e *rule.Engine) (*rule.Engine, error) {
	if o.Limits == (ruleLimits{}) {
		return e, nil
	}
	return e.WithLimits(o.Limits.limits())
}
