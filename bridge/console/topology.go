package console

import (
	"fmt"
	"maps"
	"slices"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/rule"
)

// Topology is what the pipeline is made of, as the API shows it.
type Topology struct {
	Title   string       `json:"title"`
	Sources []SourceInfo `json:"sources"`
	Rules   []RuleInfo   `json:"rules"`
	Sinks   []SinkInfo   `json:"sinks"`
}

// SourceInfo describes a source.
type SourceInfo struct {
	Name string `json:"name"`
	Type string `json:"type"`
	// Checkable says whether it can be asked for its condition.
	Checkable bool `json:"checkable"`
	// Subscriptions are the topic filters that it gets messages of, where known.
	Subscriptions []string `json:"subscriptions,omitempty"`
}

// RuleInfo describes a rule. SQL is empty for a rule that is not a statement,
// Actions for one that does not tell what it does.
type RuleInfo struct {
	Name    string       `json:"name"`
	Type    string       `json:"type"`
	SQL     string       `json:"sql,omitempty"`
	Plan    string       `json:"plan,omitempty"`
	Filters []string     `json:"filters"`
	Actions []ActionInfo `json:"actions"`
	// Fallback is the sink that gets the messages on which the rule fails.
	Fallback string `json:"fallback,omitempty"`
}

// ActionInfo describes an action of a rule.
type ActionInfo struct {
	Sink     string `json:"sink"`
	Dest     string `json:"dest,omitempty"`
	Key      string `json:"key,omitempty"`
	Data     string `json:"data,omitempty"`
	Optional bool   `json:"optional,omitempty"`
}

// SinkInfo describes a sink and its queue.
type SinkInfo struct {
	Name      string `json:"name"`
	Type      string `json:"type"`
	Checkable bool   `json:"checkable"`
	Fallback  string `json:"fallback,omitempty"`
	BatchSize int    `json:"batch_size"`
	InFlight  int    `json:"in_flight"`
	OnFull    string `json:"on_full"`
	// DeadLetters reports whether the sink is a DeadLetters, Replay whether it can replay.
	DeadLetters bool `json:"dead_letters,omitempty"`
	Replay      bool `json:"replay,omitempty"`
}

func describe(cfg Config, parts bridge.Config) Topology {
	out := Topology{Title: cfg.Title, Sources: describeSources(cfg, parts), Rules: []RuleInfo{}, Sinks: []SinkInfo{}}
	for _, name := range slices.Sorted(maps.Keys(parts.Rules)) {
		out.Rules = append(out.Rules, describeRule(name, parts, cfg.Rules[name]))
	}
	for _, name := range slices.Sorted(maps.Keys(parts.Sinks)) {
		s, q := parts.Sinks[name], parts.Queues[name]
		_, checkable := s.(bridge.Checker)
		info := SinkInfo{
			Name: name, Type: typeName(s), Checkable: checkable, Fallback: q.Fallback,
			BatchSize: q.BatchSize, InFlight: q.InFlight, OnFull: q.OnFull.String(),
		}
		if d, ok := s.(*DeadLetters); ok {
			info.DeadLetters, info.Replay = true, d.cfg.Replay != nil
		}
		out.Sinks = append(out.Sinks, info)
	}
	return out
}

func describeSources(cfg Config, parts bridge.Config) []SourceInfo {
	list := make([]SourceInfo, 0, len(parts.Sources))
	for _, name := range slices.Sorted(maps.Keys(parts.Sources)) {
		list = append(list, describeSource(name, parts.Sources[name], cfg.Sources[name]))
	}
	return list
}

func sameSource(a, b SourceInfo) bool {
	return a.Name == b.Name && slices.Equal(a.Subscriptions, b.Subscriptions)
}

func describeSource(name string, s bridge.Source, known SourceConfig) SourceInfo {
	_, checkable := s.(bridge.Checker)
	info := SourceInfo{Name: name, Type: typeName(s), Checkable: checkable, Subscriptions: known.Subscriptions}
	if l, ok := s.(interface{ Subscriptions() []string }); ok && info.Subscriptions == nil {
		info.Subscriptions = l.Subscriptions()
	}
	return info
}

func describeRule(name string, parts bridge.Config, known RuleConfig) RuleInfo {
	r := parts.Rules[name]
	info := RuleInfo{Name: name, Type: typeName(r), SQL: known.SQL, Filters: r.Filters(), Actions: []ActionInfo{}, Fallback: parts.RuleFallbacks[name]}
	if s, ok := r.(interface{ SQL() string }); ok && info.SQL == "" {
		info.SQL = s.SQL()
	}
	if e, ok := r.(interface{ Explain() string }); ok {
		info.Plan = e.Explain()
	}
	actions := known.Actions
	if a, ok := r.(interface{ Actions() []rule.Action }); ok && actions == nil {
		actions = a.Actions()
	}
	for _, a := range actions {
		info.Actions = append(info.Actions, ActionInfo{a.Sink, a.Dest, a.Key, a.Data, a.Optional})
	}
	if len(parts.Sinks) != 1 {
		return info
	}
	for only := range parts.Sinks { // where all records go
		if len(info.Actions) == 0 {
			info.Actions = append(info.Actions, ActionInfo{})
		}
		for i := range info.Actions {
			info.Actions[i].Sink = only
		}
	}
	return info
}

// typeName is the Go type without the pointer, such as "kinesis.Sink".
func typeName(v any) string {
	name := fmt.Sprintf("%T", v)
	if len(name) > 0 && name[0] == '*' {
		name = name[1:]
	}
	return name
}
