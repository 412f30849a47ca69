package config

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/internal/topic"
	"github.com/sluiceio/sluice/rule"
)

// Letter is a dead letter: a message on which a rule failed, or of which a sink did
// not take a record.
type Letter struct {
	// Topic, Payload, ClientID and QoS are those of the message.
	Topic    string
	Payload  []byte
	ClientID string
	QoS      byte
	// Rule is the rule that failed, or that made the record, and Error why it came
	// to that. Without a rule no rule wanted the message.
	Rule, Error string
	// Sink is the sink that did not take the record, empty if the rule failed.
	// Dest, Key and Data are the record's.
	Sink, Dest string
	Key, Data  []byte
}

// columnLetter has the letter of a message for redriving, whose event is eventLetter,
// so that no rule of the definition sees it as it is.
const (
	columnLetter = "letter"
	eventLetter  = "$redrive/letter"
)

// Message returns the message by which a source hands out the letter to the pipeline
// of Redrive.
func (l *Letter) Message() bridge.Message {
	return bridge.Message{
		Topic: l.Topic, Payload: l.Payload, ClientID: l.ClientID, QoS: l.QoS, Event: eventLetter,
		Columns: map[string]any{columnLetter: l},
	}
}

// Redrive returns the pipeline that sends dead letters through the rules again, as they
// are now: with the sinks of the definition, without their buffers on disk, and with
// a source of letters in place of its sources. What fails again goes to the sink
// failed.
func (def *Definition) Redrive(letters bridge.Source, failed bridge.Sink, log *slog.Logger) (bridge.Config, error) {
	const failedName = "redrive.failed"
	cfg := def.pipeline(log)
	cfg.RuleFallback, cfg.RuleFallbacks, cfg.Unmatched, cfg.KeepFailed = "", nil, "", true
	cfg.Sources = map[string]bridge.Source{"redrive": letters}
	cfg.Rules = map[string]bridge.Rule{"redrive": &redriven{def, failedName}}
	cfg.Sinks[failedName] = failed
	var errs []error
	for _, name := range sortedKeys(def.sinks) {
		s, err := def.sinks[name].def.Sink(def.context(name, log))
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", def.sinks[name].path, err))
			continue
		}
		cfg.Sinks[name], cfg.Queues[name] = s, def.sinks[name].queue()
		q := cfg.Queues[name]
		q.Fallback = failedName
		cfg.Queues[name] = q
	}
	if len(errs) > 0 {
		closeAll(bridge.Config{Sinks: cfg.Sinks})
		return bridge.Config{}, redact(def.values, errors.Join(errs...))
	}
	return cfg, nil
}

// redriven is the rule on letters.
type redriven struct {
	def    *Definition
	failed string
}

// Filters implements bridge.Rule.
func (r *redriven) Filters() []string { return []string{eventLetter} }

// Apply implements bridge.Rule.
func (r *redriven) Apply(out *bridge.Out, m *bridge.Message) error {
	l, ok := m.Columns[columnLetter].(*Letter)
	if !ok {
		return errors.New("it is no dead letter")
	}
	if err := r.def.redrive(out, l); err != nil {
		out.Reset()
		out.Add(l.again(r.failed, err))
	}
	return nil
}

// again is the letter for the next time.
func (l *Letter) again(sink string, err error) bridge.Record {
	return bridge.Record{
		Sink: sink, Topic: l.Topic, Rule: l.Rule, Key: []byte(cmp.Or(l.ClientID, l.Topic)), Data: l.Payload,
		Attrs: []bridge.Attr{
			{Name: "topic", Value: []byte(l.Topic)},
			{Name: "clientid", Value: []byte(l.ClientID)},
			{Name: "qos", Value: []byte{'0' + l.QoS}},
			{Name: "rule", Value: []byte(l.Rule)},
			{Name: "error", Value: []byte(err.Error())},
		},
	}
}

// RedriveRecords returns the records that the rules make of a letter now.
func (def *Definition) RedriveRecords(l *Letter) ([]bridge.Record, error) {
	var out bridge.Out
	err := def.redrive(&out, l)
	records := slices.Clone(out.Records())
	for i := range records {
		if s := def.sinks[records[i].Sink]; s != nil {
			records[i].Dest = cmp.Or(records[i].Dest, ownPlace(s.def))
		}
	}
	return records, err
}

// redrive adds the records that the rules make of a letter now.
func (def *Definition) redrive(out *bridge.Out, l *Letter) error {
	if topic.IsEvent(l.Topic) {
		return errors.New("it is an event, whose columns are not kept in dead letters")
	}
	if s := def.sinks[l.Sink]; s != nil && s.buffered() && bytes.Equal(l.Payload, l.Data) {
		// It comes from the buffer on disk, which has records and no messages.
		out.Add(bridge.Record{Sink: l.Sink, Dest: l.Dest, Key: l.Key, Data: l.Data, Topic: l.Topic, Rule: l.Rule})
		return nil
	}
	rules := map[string]*rule.Rule{}
	if l.Rule != "" {
		if rules[l.Rule] = def.compiled[l.Rule]; rules[l.Rule] == nil {
			return fmt.Errorf("there is no rule %q that is enabled", l.Rule)
		}
	} else {
		for name, r := range def.compiled {
			if slices.ContainsFunc(r.Filters(), func(f string) bool { return topic.Match(f, l.Topic) }) {
				rules[name] = r
			}
		}
	}
	for _, name := range sortedKeys(rules) {
		m := bridge.Message{Topic: l.Topic, Payload: l.Payload, ClientID: l.ClientID, QoS: l.QoS}
		from := out.Len()
		if err := rules[name].Apply(out, &m); err != nil {
			return err
		}
		records := out.Records()[from:]
		for i := range records {
			records[i].Sink = strings.TrimSuffix(records[i].Sink, bufferName(""))
			records[i].Topic, records[i].Rule = l.Topic, name
		}
		out.Truncate(from + l.choose(records))
	}
	return nil
}

// choose moves the records that stand for the letter's to the front, and returns how
// many these are. Of a rule that failed these are all. Of one whose record a sink
// did not take it is this record alone: the others of the message are stored, or are
// letters of their own.
func (l *Letter) choose(records []bridge.Record) int {
	if l.Sink == "" {
		return len(records)
	}
	keep := func(records []bridge.Record, ok func(*bridge.Record) bool) int {
		n := 0
		for i := range records {
			if ok(&records[i]) {
				records[n], records[i] = records[i], records[n]
				n++
			}
		}
		return n
	}
	n := keep(records, func(r *bridge.Record) bool { return r.Sink == l.Sink })
	if n <= 1 {
		return n
	}
	for _, same := range []func(*bridge.Record) bool{
		func(r *bridge.Record) bool { return bytes.Equal(r.Key, l.Key) && bytes.Equal(r.Data, l.Data) },
		func(r *bridge.Record) bool { return bytes.Equal(r.Key, l.Key) },
	} {
		if m := keep(records[:n], same); m > 0 {
			if bytes.Equal(records[0].Data, l.Data) {
				return 1
			}
			return m
		}
	}
	return n
}
