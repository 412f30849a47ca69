package rule

import (
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/internal/topic"
	"github.com/sluiceio/sluice/template"
)

// TestInput is a statement and a simulated event to try it on.
type TestInput struct {
	// SQL is the statement.
	SQL string
	// Topic is the topic of the message, default "t/a".
	Topic string
	// EventTopic is the event topic, in its new or legacy form, when the event
	// is not a published message. Without it a column event says what the
	// event is.
	EventTopic string
	// Columns are the event's columns; values are as in bridge.Message.Columns,
	// and may be Undefined. Columns of the event that are not given have
	// example values, as in EMQX's tester.
	Columns map[string]any
	// Absent names columns that the event does not have.
	Absent []string
	// Template, when not empty, is rendered over every row; Dialect is its
	// dialect.
	Template string
	Dialect  template.Dialect
	// Engine runs the statement, nil means one of the default configuration.
	Engine *Engine
	// MaxRows and MaxBytes end the test when there are more rows, or when these
	// have more bytes as JSON or rendered. Zero means no such limit.
	MaxRows  int
	MaxBytes int
	// Rule is the rule's name, default "rule:test".
	Rule string
}

// NoMatch says why a statement made no rows of an event.
type NoMatch string

// The reasons.
const (
	Matched      NoMatch = ""      // it made rows
	NoMatchTopic NoMatch = "topic" // FROM does not name the event's topic
	NoMatchWhere NoMatch = "where" // WHERE was false
	NoMatchItems NoMatch = "items" // FOREACH had no items, or INCASE let none pass
)

// TestResult is what a statement made of an event.
type TestResult struct {
	// Rows are the output rows. Values are nil, bool, int64, *big.Int, float64,
	// string, []any, map[string]any, Undefined or BitString.
	Rows []map[string]any
	// JSON is each row as the template "${.}" renders it, and Rendered as the
	// template of the input does, if there was one.
	JSON     []string
	Rendered []string
	// NoMatch is why there are no rows, and Reason the same in words, with the
	// values that decided it.
	NoMatch NoMatch
	Reason  string
	// More reports that MaxRows or MaxBytes has ended the test.
	More bool
	// Warnings is what the compiler found odd.
	Warnings []*SyntaxError
}

// Test runs a statement on a simulated event. The error is a *SyntaxError (or
// several, joined) when the statement is refused, and an *EvalError when it fails
// on the event.
func Test(in TestInput) (*TestResult, error) {
	if in.Engine == nil {
		var err error
		if in.Engine, err = NewEngine(EngineConfig{}); err != nil {
			return nil, err
		}
	}
	if in.Rule == "" {
		in.Rule = "rule:test"
	}
	p, err := compile(in.Rule, in.SQL, in.Engine, slices.Collect(maps.Keys(in.Columns)))
	if err != nil {
		return nil, err
	}
	tmpl, err := template.CompileWith(in.Template, template.Options{Dialect: in.Dialect})
	if err != nil {
		return nil, err
	}
	result := &TestResult{Warnings: p.warnings}
	m, trigger := in.message()
	if !matches(p.filters, trigger) {
		result.NoMatch, result.Reason = NoMatchTopic, p.whyNoMatch(trigger)
		return result, nil
	}
	r := p.get()
	defer p.release(r)
	r.begin(m)
	size := 0
	how, err := r.evaluate(func(r *run) error {
		if in.MaxRows > 0 && len(result.JSON) == in.MaxRows || in.MaxBytes > 0 && size > in.MaxBytes {
			return errEnough
		}
		n := result.add(&r.row)
		if in.Template != "" {
			text, err := tmpl.Append(nil, &r.row)
			if err != nil {
				return r.prog.fault("template", err)
			}
			result.Rendered = append(result.Rendered, string(text))
			n += len(text)
		}
		size += n
		r.arena.Spend(recordCost + exportFactor*n)
		if err := r.arena.Err(); err != nil {
			return p.fault("the rows", err)
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		result.More = true
		return result, nil
	}
	switch how {
	case failed:
		return nil, err
	case filtered:
		result.NoMatch, result.Reason = NoMatchWhere, whyFalse(r, p.where, p.stmt.Where)
	case empty:
		result.NoMatch, result.Reason = NoMatchItems, p.whyEmpty(r)
	}
	return result, nil
}

// errEnough ends a test whose rows are too many.
var errEnough = errors.New("there are rows enough")

// add keeps a row and returns its size as JSON.
func (t *TestResult) add(w *Row) int {
	text := string(w.AppendJSON(nil))
	if len(text) > w.r.arena.Left() {
		return len(text) // the caller sees that it exceeds the budget
	}
	row := make(map[string]any, len(w.shape.columns))
	for _, name := range w.extra() {
		v, _ := w.value(name)
		row[strings.Clone(name)] = export(v)
	}
	for i := range w.shape.columns {
		if v, ok := w.get(&w.shape.columns[i]); ok {
			row[w.shape.columns[i].name] = export(v)
		}
	}
	t.Rows = append(t.Rows, row)
	t.JSON = append(t.JSON, text)
	return len(text)
}

// exportFactor is how many times its text a row takes as values of Go.
const exportFactor = 4

func matches(filters []string, trigger string) bool {
	for _, f := range filters {
		if topic.Match(f, trigger) {
			return true
		}
	}
	return false
}

// message makes the simulated event, and returns what FROM is matched with.
func (in *TestInput) message() (m *bridge.Message, trigger string) {
	kind, known := &events[0], true
	trigger = in.Topic
	if trigger == "" {
		trigger = exampleTopic
	}
	name, _ := in.Columns["event"].(string)
	switch e, ok := eventByName(name); {
	case in.EventTopic != "":
		trigger = normalFilter(in.EventTopic)
		kind, known = eventByTopic(trigger)
	case ok && e != kind:
		trigger, kind = e.topic, e
	}
	columns := make(map[string]any)
	list := ingressColumns
	if known {
		columns["event"] = kind.name
		list = kind.columns
	}
	for c := range strings.FieldsSeq(list) {
		columns[c] = example(c)
	}
	if in.Topic != "" {
		columns["topic"] = in.Topic
	}
	maps.Copy(columns, in.Columns)
	for _, c := range in.Absent {
		columns[c] = Undefined{}
	}
	m = &bridge.Message{Columns: columns}
	if trigger != in.Topic && topic.IsEvent(trigger) {
		m.Event = trigger
		for _, c := range in.Absent {
			delete(columns, c)
		}
	}
	return m, trigger
}

const exampleTopic = "t/a"

// example is the example value of a column, as EMQX's tester has them.
func example(column string) any {
	if v, ok := examples[column]; ok {
		return v
	}
	return nil
}

var examples = map[string]any{
	"action":              "publish",
	"activated_at":        int64(1645003578536),
	"authz_source":        "file",
	"clean_start":         true,
	"client_attrs":        map[string]any{"test": "example"},
	"clientid":            "c_emqx",
	"conn_props":          exampleProps(map[string]any{"Session-Expiry-Interval": int64(7200), "Receive-Maximum": int64(32)}),
	"connected_at":        int64(1645003578536),
	"deactivated_at":      int64(1645003578536),
	"details":             map[string]any{"some_key_that_is_not_a_known_atom": "yes"},
	"disconn_props":       exampleProps(map[string]any{"Reason-Code": int64(0), "Reason-String": "Redirect to another server"}),
	"disconnected_at":     int64(1645003578536),
	"dup":                 false,
	"expiry_interval":     int64(3600),
	"flags":               map[string]any{},
	"from_clientid":       "c_emqx_1",
	"from_username":       "u_emqx_1",
	"id":                  "0005F8F84FFFAD7A2C1F0000000A0001",
	"is_anonymous":        false,
	"is_bridge":           false,
	"is_superuser":        true,
	"keepalive":           int64(60),
	"message":             "an alarm",
	"message_received_at": int64(1645003578536),
	"mountpoint":          Undefined{},
	"name":                "alarm_name",
	"payload":             `{"msg": "hello"}`,
	"peerhost":            "192.168.0.10",
	"peername":            "192.168.0.10:56431",
	"proto_name":          "MQTT",
	"proto_ver":           int64(5),
	"pub_props":           exampleProps(map[string]any{"Payload-Format-Indicator": int64(0), "Message-Expiry-Interval": int64(30)}),
	"puback_props":        exampleProps(map[string]any{"Reason-String": "OK"}),
	"publish_received_at": int64(1645003578536),
	"qos":                 int64(1),
	"reason":              "normal",
	"reason_code":         "success",
	"receive_maximum":     int64(65535),
	"result":              "allow",
	"retain":              false,
	"server":              "192.168.0.10:1883",
	"sockname":            "0.0.0.0:1883",
	"sub_props":           exampleProps(map[string]any{}),
	"topic":               exampleTopic,
	"transformation":      "my_transformation",
	"unsub_props":         exampleProps(map[string]any{}),
	"username":            "u_emqx",
	"validation":          "my_validation",
}

// exampleProps adds user properties to other MQTT 5 properties.
func exampleProps(props map[string]any) map[string]any {
	props["User-Property"] = map[string]any{"foo": "bar"}
	props["User-Property-Pairs"] = []any{map[string]any{"key": "foo", "value": "bar"}}
	return props
}

// ExampleEvent returns an event that is not a published message, given by its topic,
// such as "$events/client/connected", with example values for its columns; nil if
// no event has that topic.
func ExampleEvent(eventTopic string) *bridge.Message {
	in := TestInput{EventTopic: eventTopic}
	if _, known := eventByTopic(normalFilter(eventTopic)); !known {
		return nil
	}
	m, _ := in.message()
	m.Event = normalFilter(eventTopic)
	return m
}
