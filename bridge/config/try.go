package config

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/internal/topic"
	"github.com/sluiceio/sluice/rule"
)

// Trial is a message to try a rule on.
type Trial struct {
	// Rule is the name of the rule, and Source that of the source that the message
	// comes from. Default: the first one that would hand it out.
	Rule, Source string
	// Topic and Payload, QoS, Retain and UserProperties are the message's.
	Topic          string
	Payload        []byte
	QoS            byte
	Retain         bool
	UserProperties []bridge.UserProperty
	// Event is the topic of an event of a source of type broker, instead of a
	// message. It has example values.
	Event string
	// ClientID and Username are the publisher's. A source of type mqtt does not
	// learn them, unless it has clientid_from or username_from.
	ClientID, Username string
}

// Tried is what a rule made of a message.
type Tried struct {
	// Source is the source that the message is taken to come from.
	Source string
	// Records are what would be sent: Sink is the name in the definition, and Dest
	// the sink's own where the action has none.
	Records []bridge.Record
	// Steps are how the rule came to them; see rule.Rule.ApplySteps.
	Steps []TriedStep
}

// TriedStep is a step of the evaluation of a rule.
type TriedStep struct{ Name, Text, Result string }

// Try runs a rule of the definition, enabled or not, on a message, with the columns
// that its source would give it and no others. Nothing is sent.
func (def *Definition) Try(t Trial) (*Tried, error) {
	r := def.every[t.Rule]
	if r == nil {
		return nil, fmt.Errorf("there is no rule %q%s", t.Rule, cmp.Or(didYouMean(t.Rule, def.Rules()), "; there are "+strings.Join(def.Rules(), ", ")))
	}
	if t.Event == "" {
		if err := topic.ValidateName(t.Topic); err != nil {
			return nil, err
		}
	}
	m, err := def.message(&t)
	if err != nil {
		return nil, err
	}
	tried := &Tried{Source: t.Source}
	if !def.triggered(&t, t.Source) {
		return nil, fmt.Errorf("rule %s is on %s, which %q does not match", t.Rule, quoted(r.Filters()), cmp.Or(m.Event, m.Topic))
	}
	var out bridge.Out
	err = r.ApplySteps(&out, m, func(name, text, result string) {
		tried.Steps = append(tried.Steps, TriedStep{name, text, result})
	})
	for _, rec := range out.Records() {
		rec.Sink = strings.TrimSuffix(rec.Sink, bufferName(""))
		rec.Dest = cmp.Or(rec.Dest, ownPlace(def.sinks[rec.Sink].def))
		rec.Topic, rec.Rule = cmp.Or(m.Event, m.Topic), t.Rule
		tried.Records = append(tried.Records, rec)
	}
	return tried, err
}

// message makes the message of a trial, as its source would.
func (def *Definition) message(t *Trial) (*bridge.Message, error) {
	if t.Source == "" {
		for _, name := range sortedKeys(def.sources) {
			if def.handsOut(name, t) != nil {
				continue
			}
			t.Source = cmp.Or(t.Source, name)
			if def.triggered(t, name) {
				t.Source = name
				break
			}
		}
	}
	if t.Source == "" {
		return nil, fmt.Errorf("no source subscribes to %q", t.Topic)
	}
	if def.sources[t.Source] == nil {
		return nil, fmt.Errorf("there is no source %q%s", t.Source, didYouMean(t.Source, sortedKeys(def.sources)))
	}
	if err := def.handsOut(t.Source, t); err != nil {
		return nil, err
	}
	m := &bridge.Message{
		Topic: t.Topic, Payload: t.Payload, QoS: t.QoS, Retain: t.Retain, Received: time.Now(), Source: t.Source, Seq: 1,
		ClientID: t.ClientID, Username: t.Username,
	}
	if len(t.UserProperties) > 0 {
		m.Props = &bridge.Properties{User: t.UserProperties}
	}
	switch source := def.sources[t.Source].def.(type) {
	case *mqttSource:
		if err := source.publisher(m); err != nil {
			return nil, fmt.Errorf("source %s: %w", t.Source, err)
		}
		m.Server = address(source.Servers[0])
	case *brokerSource:
		m.ClientID = cmp.Or(m.ClientID, "example")
		m.PeerHost = "127.0.0.1"
		m.PeerName = net.JoinHostPort(m.PeerHost, "50000")
	}
	if t.Event == "" {
		return m, nil
	}
	event := rule.ExampleEvent(t.Event)
	if event == nil {
		return nil, fmt.Errorf("there is no event %q", t.Event)
	}
	event.Received, event.Source, event.Seq = m.Received, m.Source, m.Seq
	for column, value := range map[string]string{"clientid": t.ClientID, "username": t.Username} {
		if value != "" {
			event.Columns[column] = value
		}
	}
	return event, nil
}

// handsOut returns why a source would not hand out the message of a trial.
func (def *Definition) handsOut(name string, t *Trial) error {
	source, client := def.sources[name].def.(*mqttSource)
	switch {
	case !client:
		return nil
	case t.Event != "":
		return fmt.Errorf("source %s is of type mqtt, which sees published messages only", name)
	}
	filters := def.context(name, nil).Filters
	if !source.followsRules() {
		filters = nil
		for i := range source.Filters {
			filters = append(filters, source.Filters[i].Topic)
		}
	} else if r := def.every[t.Rule]; r != nil {
		more, _ := split(r.Filters()) // it may not be enabled yet
		filters = append(filters, more...)
	}
	for _, f := range filters {
		if _, own, _ := topic.Share(f); topic.Match(own, t.Topic) {
			return nil
		}
	}
	return fmt.Errorf("source %s does not subscribe to %q", name, t.Topic)
}

// publisher sets who published a message, if the source learns that.
func (m *mqttSource) publisher(msg *bridge.Message) error {
	var user []bridge.UserProperty
	if msg.Props != nil {
		user = msg.Props.User
	}
	if msg.ClientID != "" && !m.ClientIDFrom.given() || msg.Username != "" && !m.UsernameFrom.given() {
		return errors.New("it is of type mqtt, which does not learn who published without clientid_from and username_from")
	}
	if msg.ClientID == "" {
		msg.ClientID = m.ClientIDFrom.origin().Find(msg.Topic, user)
	}
	if msg.Username == "" {
		msg.Username = m.UsernameFrom.origin().Find(msg.Topic, user)
	}
	return nil
}

// triggered reports whether the rule of a trial is on what comes from a source.
func (def *Definition) triggered(t *Trial, source string) bool {
	names := append(def.sourceNames(source), t.Topic)
	if t.Event != "" {
		names[len(names)-1] = t.Event
		if e := rule.ExampleEvent(t.Event); e != nil {
			names[len(names)-1] = e.Event // by its new name
		}
	}
	return slices.ContainsFunc(def.every[t.Rule].Filters(), func(filter string) bool {
		wanted := strings.Replace(filter, "$bridges/", "$sources/", 1)
		return slices.ContainsFunc(names, func(name string) bool { return topic.Match(wanted, name) })
	})
}

// ownPlace is where a sink puts records of actions that name no place.
func ownPlace(sink SinkDefinition) string {
	switch s := sink.(type) {
	case *kinesisSink:
		return s.StreamName
	case *firehoseSink:
		return s.StreamName
	}
	return ""
}
