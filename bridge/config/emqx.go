package config

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
)

// ImportEMQX makes a definition of EMQX's Kinesis connectors, actions and rules.
// It reads EMQX's own files, such as cluster.hocon, and what "emqx ctl conf show"
// prints; the file must hold what it includes. Or it reads JSON with what the REST
// API answers to GET /connectors, /actions and /rules:
//
//	{"connectors": […], "actions": […], "rules": {"data": […]}}
//
// In the place of connectors and actions there may be the bridges of the time
// before EMQX 5.6. Each action becomes a sink of its name. The notes say what was
// left out because it has no counterpart, and what to fill in: secrets are not
// taken over. A mistake in the text is an *Error without a file's name.
func ImportEMQX(text []byte) (definition []byte, notes []string, err error) {
	in, err := readEMQX(text)
	if err != nil {
		return nil, nil, err
	}
	m := &importer{connectors: map[string]emqxObject{}, sinks: map[string]yaml.MapSlice{}, action: map[string]yaml.MapSlice{}, locals: map[string]string{}}
	for _, c := range in.connectors {
		if typ := c.text("type"); typ == "" || isKinesis(typ) {
			m.connectors[c.text("name")] = c
		}
	}
	for _, a := range in.actions {
		m.addAction(a)
	}
	rules := m.rules(in.rules)
	m.forward(rules)
	source := yaml.MapSlice{
		{Key: "type", Value: "mqtt"}, {Key: "servers", Value: "mqtt://localhost:1883"}, {Key: "client_id", Value: "sluice"},
	}
	m.notef("sources.emqx: fill in the address of the broker, and user name and password if it asks for them")
	out, err := yaml.MarshalWithOptions(yaml.MapSlice{
		{Key: "sources", Value: yaml.MapSlice{{Key: "emqx", Value: source}}},
		{Key: "sinks", Value: byName(m.sinks)},
		{Key: "rules", Value: byName(rules)},
	}, yaml.UseLiteralStyleIfMultiline(true))
	if err != nil {
		return nil, nil, err
	}
	// What is not right yet, such as a statement that is not valid, is a note.
	def, err := Parse("definition", out, Options{LookupEnv: func(string) (string, bool) { return "filled-in", true }})
	for _, e := range leaves(err) {
		m.notef("%v", e)
	}
	if def != nil {
		for _, w := range def.Warnings() {
			m.notef("%s: %v", w.Path, w.Err)
		}
	}
	return out, m.notes, nil
}

type importer struct {
	connectors map[string]emqxObject
	sinks      map[string]yaml.MapSlice
	action     map[string]yaml.MapSlice // what a rule's action takes from EMQX's
	locals     map[string]string        // topics that a bridge forwards without a rule
	notes      []string
}

func (m *importer) notef(format string, args ...any) {
	m.notes = append(m.notes, fmt.Sprintf(format, args...))
}

// isKinesis reports whether a type is that of Kinesis, in new or old EMQX.
func isKinesis(typ string) bool { return typ == "kinesis" || typ == "kinesis_producer" }

func (m *importer) addAction(a emqxObject) {
	name := a.text("name")
	if !isKinesis(a.text("type")) {
		m.notef("action %s: type %q has no counterpart and is left out", name, a.text("type"))
		return
	}
	path := "sinks." + name
	parameters := a.object("parameters")
	if parameters == nil {
		parameters = a // of the time before 5.6
	}
	sink := yaml.MapSlice{{Key: "type", Value: "kinesis"}, {Key: "stream_name", Value: parameters.text("stream_name")}}
	connector := m.connectors[a.text("connector")]
	if connector == nil && parameters.text("endpoint") == "" {
		m.notef("%s: there is no connector %q; fill in region and credentials", path, a.text("connector"))
	}
	if e := first([]synonym{{"", connector.text("endpoint")}, {"", a.text("endpoint")}}); e != "" {
		if !strings.Contains(e, "://") {
			e = "https://" + e
		}
		sink = append(sink, yaml.MapItem{Key: "endpoint", Value: e})
	}
	if id := first([]synonym{{"", connector.text("aws_access_key_id")}, {"", a.text("aws_access_key_id")}}); id != "" {
		secret := m.secret(path, first([]synonym{{"", connector.text("aws_secret_access_key")}, {"", a.text("aws_secret_access_key")}}))
		sink = append(sink, yaml.MapItem{Key: "aws_access_key_id", Value: id}, yaml.MapItem{Key: "aws_secret_access_key", Value: secret})
	}
	options := m.resourceOptions(path, a.object("resource_opts"))
	if f := m.fallback(name, a); f != "" {
		options = append(options, yaml.MapItem{Key: "fallback", Value: f})
	}
	if len(options) > 0 {
		sink = append(sink, yaml.MapItem{Key: "resource_opts", Value: options})
	}
	for _, key := range []string{"max_retries", "pool_size"} {
		if _, ok := connector[key]; ok {
			m.notef("connector %s: %s has no counterpart: what may succeed later is tried until it does, and connections are opened as needed", a.text("connector"), key)
		}
	}
	m.sinks[name] = sink
	m.action[name] = yaml.MapSlice{
		{Key: "sink", Value: name},
		{Key: "partition_key", Value: parameters.text("partition_key")},
		{Key: "payload_template", Value: first([]synonym{{"", parameters.text("payload_template")}, {"", "${.}"}})},
		{Key: "undefined_key", Value: "constant"},
	}
	if a["enable"] == false || connector["enable"] == false {
		m.notef("action %s is disabled in EMQX; here it is not: disable the rules that use it, or take it out of them", name)
	}
	if topic := a.text("local_topic"); topic != "" {
		m.locals[name] = topic
	}
}

// secret returns what to write for a secret, which is taken over only when it is
// the name of a file.
func (m *importer) secret(path, given string) string {
	if file, ok := strings.CutPrefix(given, "file://"); ok {
		return "${file:" + file + "}"
	}
	m.notef("%s.aws_secret_access_key: set AWS_SECRET_ACCESS_KEY, or leave out both keys and use a role", path)
	return "${env:AWS_SECRET_ACCESS_KEY}"
}

// fallback returns the sink that takes what an action cannot store.
func (m *importer) fallback(action string, a emqxObject) (sink string) {
	for _, item := range a.list("fallback_actions") {
		o, _ := item.(map[string]any)
		f := emqxObject(o)
		if f.text("kind") == "reference" && isKinesis(f.text("type")) && sink == "" {
			sink = f.text("name")
			continue
		}
		m.notef("action %s: the fallback %s has no counterpart and is left out; a sink has one fallback, which is a sink", action,
			strings.TrimSpace(f.text("kind")+" "+f.text("name")))
	}
	return sink
}

// resourceOptions takes over what means the same.
func (m *importer) resourceOptions(path string, in emqxObject) yaml.MapSlice {
	var out yaml.MapSlice
	for _, key := range sortedKeys(in) {
		switch key {
		case "batch_size", "batch_time":
			out = append(out, yaml.MapItem{Key: key, Value: whole(in[key])})
		case "request_ttl":
			out = append(out, yaml.MapItem{Key: key, Value: whole(in[key])})
			if in[key] != "infinity" {
				m.notef("%s.resource_opts.request_ttl: records are dropped after %v, as in EMQX; without it none is", path, in[key])
			}
		case "max_buffer_bytes":
			out = append(out, yaml.MapItem{Key: key, Value: whole(in[key])})
			m.notef("%s.resource_opts.max_buffer_bytes: it bounds the whole sink; in EMQX each of %v workers has as much", path, workers(in["worker_pool_size"]))
		case "buffer_mode":
			if in[key] == "volatile_offload" {
				out = append(out, yaml.MapItem{Key: key, Value: whole(in[key])}, yaml.MapItem{Key: "buffer_dir", Value: "buffer/" + path[len("sinks."):]})
				m.notef("%s.resource_opts.buffer_dir: choose a directory; its content survives a restart, unlike EMQX's", path)
			}
		case "inflight_window":
			m.notef("%s.resource_opts.inflight_window is left out: here it counts requests, 16 by default, not messages", path)
		case "start_after_created", "start_timeout", "metrics_flush_interval", "auto_restart_interval", "enable_batch", "enable_queue",
			"health_check_interval_jitter", "health_check_timeout":
			// Nothing would behave differently.
		default:
			m.notef("%s.resource_opts.%s has no counterpart and is left out", path, key)
		}
	}
	return out
}

// whole makes an integer of a JSON number that is one.
func whole(v any) any {
	if f, ok := v.(float64); ok && f == math.Trunc(f) {
		return int64(f)
	}
	return v
}

// workers is the size of a worker pool, 16 by default.
func workers(v any) any {
	if v == nil {
		return 16
	}
	return v
}

func (m *importer) rules(list []emqxObject) map[string]yaml.MapSlice {
	rules := map[string]yaml.MapSlice{}
	for _, r := range list {
		name := strings.NewReplacer(".", "_", " ", "_").Replace(first([]synonym{{"", r.text("id")}, {"", r.text("name")}}))
		rule := yaml.MapSlice{}
		if d := r.text("description"); d != "" {
			rule = append(rule, yaml.MapItem{Key: "description", Value: d})
		}
		if r["enable"] == false {
			rule = append(rule, yaml.MapItem{Key: "enable", Value: false})
		}
		rule = append(rule, yaml.MapItem{Key: "sql", Value: strings.TrimSpace(r.text("sql")) + "\n"})
		var kept []yaml.MapSlice
		for _, a := range r.list("actions") {
			if action := m.ruleAction(name, a); action != nil {
				kept = append(kept, action)
			}
		}
		rules[name] = append(rule, yaml.MapItem{Key: "actions", Value: kept})
	}
	return rules
}

// forward adds the rules of bridges that EMQX forwards a topic to without one.
func (m *importer) forward(rules map[string]yaml.MapSlice) {
	for _, name := range sortedKeys(m.locals) {
		rule := name + "_local_topic"
		rules[rule] = yaml.MapSlice{
			{Key: "sql", Value: fmt.Sprintf("SELECT * FROM %q\n", m.locals[name])},
			{Key: "actions", Value: []yaml.MapSlice{m.action[name]}},
		}
		m.notef("rules.%s takes the place of the bridge's local_topic", rule)
	}
}

// ruleAction is a reference "kinesis:NAME", or a built-in function such as
// republish.
func (m *importer) ruleAction(rule string, a any) yaml.MapSlice {
	id, ok := a.(string)
	if !ok {
		o, _ := a.(map[string]any)
		m.notef("rule %s: action %q has no counterpart here and is left out", rule, emqxObject(o).text("function"))
		return nil
	}
	typ, name, _ := strings.Cut(id, ":")
	if action := m.action[name]; isKinesis(typ) && action != nil {
		return action
	}
	m.notef("rule %s: action %s is not among the Kinesis actions and is left out", rule, id)
	return nil
}

func byName(parts map[string]yaml.MapSlice) yaml.MapSlice {
	out := make(yaml.MapSlice, 0, len(parts))
	for _, name := range sortedKeys(parts) {
		out = append(out, yaml.MapItem{Key: name, Value: parts[name]})
	}
	return slices.Clip(out)
}
