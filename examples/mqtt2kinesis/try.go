package main

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/bridge/config"
	"github.com/sluiceio/sluice/rule"
	"github.com/sluiceio/sluice/sink/file"
)

// trying is what the flags of the command test say.
type trying struct {
	given map[string]bool // the flags

	// a statement alone
	in rule.TestInput
	// a rule of a definition
	path   string
	trial  config.Trial
	steps  bool
	asJSON bool
	// either
	topic, payload, payloadFile string
	clientID, username, event   string
	qos                         uint
}

func (t *trying) define(f *flag.FlagSet) {
	f.StringVar(&t.in.SQL, "sql", "", "the statement, when it is not one of -config")
	f.StringVar(&t.in.Template, "template", "", "with -sql: template to show for each row in place of JSON")
	f.StringVar(&t.path, "config", "", "`file` of a definition that has the rule")
	f.StringVar(&t.trial.Rule, "rule", "", "with -config: `name` of the rule; may be left out if there is only one")
	f.StringVar(&t.trial.Source, "source", "", "with -config: `name` of the source that the message comes from (default the first that subscribes to the topic)")
	f.UintVar(&t.qos, "qos", 1, "with -config: quality of service of the message")
	f.BoolVar(&t.trial.Retain, "retain", false, "with -config: the message is a retained one")
	f.Func("user-property", "with -config: a user property of the message as `name=value`; may be repeated", func(text string) error {
		name, value, ok := strings.Cut(text, "=")
		if !ok {
			return errors.New("want name=value")
		}
		t.trial.UserProperties = append(t.trial.UserProperties, bridge.UserProperty{Key: name, Value: value})
		return nil
	})
	f.BoolVar(&t.steps, "steps", false, "with -config: show how the rule comes to its records")
	f.BoolVar(&t.asJSON, "json", false, "with -config: print the records as a sink of type file writes them")
	f.StringVar(&t.topic, "topic", "t/a", "topic of the message")
	f.StringVar(&t.event, "event", "", "event topic, such as $events/client/connected, when it is not a message")
	f.StringVar(&t.payload, "payload", "", "payload of the message (default an example)")
	f.StringVar(&t.payloadFile, "payload-file", "", "`file` of the payload, any bytes; - for standard input")
	f.StringVar(&t.clientID, "clientid", "", "client id of the publisher, where the source learns it (default an example)")
	f.StringVar(&t.username, "username", "", "user name of the publisher, where the source learns it (default an example)")
}

// check refuses flags that do not go together.
func (t *trying) check() error {
	var wrong []string
	for name := range t.given {
		switch name {
		case "sql", "template":
			if t.path != "" {
				wrong = append(wrong, "-"+name+": the rule is that of -config")
			}
		case "rule", "source", "qos", "retain", "user-property", "steps", "json":
			if t.path == "" {
				wrong = append(wrong, "-"+name+": it needs -config")
			}
		}
	}
	switch {
	case len(wrong) > 0:
		return errors.New(strings.Join(wrong, "; "))
	case t.given["payload"] && t.given["payload-file"]:
		return errors.New("-payload and -payload-file exclude each other")
	case t.qos > 2:
		return fmt.Errorf("-qos: %d is not 0, 1 or 2", t.qos)
	}
	return nil
}

// testRule is the command test.
func (p *program) testRule(_ context.Context, args []string) error {
	f := p.flags("test", "-config bridge.yaml -rule NAME | -sql STATEMENT  [-topic t/1] [-payload '{…}' | -payload-file FILE]")
	t := trying{given: map[string]bool{}}
	t.define(f)
	if err := p.parse(f, args, 0); err != nil {
		return err
	}
	f.Visit(func(fl *flag.Flag) { t.given[fl.Name] = true })
	if err := t.check(); err != nil {
		return usageError{err}
	}
	if t.payloadFile != "" {
		payload, err := p.readPayload(t.payloadFile)
		if err != nil {
			return err
		}
		t.payload, t.given["payload"] = string(payload), true
	}
	if t.path != "" {
		return p.tryRule(&t)
	}
	return p.tryStatement(&t)
}

// maxPayload is the largest payload that MQTT has.
const maxPayload = 256 << 20

func (p *program) readPayload(path string) ([]byte, error) {
	from := p.stdin
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return nil, usageError{err}
		}
		defer file.Close()
		from = file
	}
	payload, err := io.ReadAll(io.LimitReader(from, maxPayload+1))
	if err == nil && len(payload) > maxPayload {
		err = fmt.Errorf("%s: more than the %d bytes that an MQTT message can have", path, maxPayload)
	}
	return payload, err
}

// tryStatement runs a statement on an example, with what the flags say in place.
func (p *program) tryStatement(t *trying) error {
	in := t.in
	in.Topic, in.EventTopic, in.Columns = t.topic, t.event, map[string]any{}
	for column, text := range map[string]string{"payload": t.payload, "clientid": t.clientID, "username": t.username} {
		if t.given[column] {
			in.Columns[column] = text
		}
	}
	var err error
	if in.Engine, err = newEngine(); err != nil {
		return err
	}
	result, err := rule.Test(in)
	if failed := (*rule.EvalError)(nil); errors.As(err, &failed) {
		return err
	}
	if err != nil {
		return usageError{err}
	}
	for _, w := range result.Warnings {
		fmt.Fprintf(p.stderr, "warning: %s\n", visible(w.Summary()))
	}
	if result.NoMatch != rule.Matched {
		return fmt.Errorf("no rows: %s", result.Reason)
	}
	rows := result.JSON
	if in.Template != "" {
		rows = result.Rendered
	}
	for _, row := range rows {
		fmt.Fprintln(terminal{p.stdout}, row)
	}
	return nil
}

// tryRule runs a rule of a definition and shows what would be sent.
func (p *program) tryRule(t *trying) error {
	engine, err := newEngine()
	if err != nil {
		return err
	}
	d := &daemon{path: t.path, opts: config.Options{Engine: engine, LookupEnv: p.lookup}, log: p.log}
	def, err := d.load()
	if err != nil {
		return usageError{err}
	}
	if names := def.Rules(); t.trial.Rule == "" && len(names) == 1 {
		t.trial.Rule = names[0]
	}
	if t.trial.Rule == "" {
		return usageError{fmt.Errorf("-rule is missing; there are %s", strings.Join(def.Rules(), ", "))}
	}
	for _, w := range def.Warnings() {
		if strings.HasPrefix(w.Path, "rules."+t.trial.Rule+".") {
			fmt.Fprintln(terminal{p.stderr}, w)
		}
	}
	t.trial.Topic, t.trial.Event, t.trial.QoS = t.topic, t.event, byte(t.qos)
	t.trial.ClientID, t.trial.Username = t.clientID, t.username
	t.trial.Payload = []byte(t.payload)
	if !t.given["payload"] {
		t.trial.Payload = []byte(`{"msg": "hello"}`)
	}
	tried, err := def.Try(t.trial)
	if tried == nil {
		return usageError{err}
	}
	if t.steps || err == nil && len(tried.Records) == 0 {
		for _, s := range tried.Steps {
			fmt.Fprintf(terminal{p.stderr}, "%s\n", strings.Join(strings.Fields(s.Name+" "+s.Text+" → "+s.Result), " "))
		}
	}
	if err != nil {
		return err
	}
	if len(tried.Records) == 0 {
		return fmt.Errorf("rule %s makes nothing of it", t.trial.Rule)
	}
	return p.showRecords(tried, t.asJSON)
}

// showRecords prints records as they would be sent.
func (p *program) showRecords(tried *config.Tried, asJSON bool) error {
	if asJSON {
		lines, err := file.New(file.Config{Writer: terminal{p.stdout}})
		if err != nil {
			return err
		}
		return lines.Write(context.Background(), &bridge.Batch{Records: tried.Records})
	}
	out := terminal{p.stdout}
	for i := range tried.Records {
		r := &tried.Records[i]
		fmt.Fprintf(out, "%s\n%s\n", recordHead(r), cmp.Or(shownBytes(r.Data), "(no data)"))
	}
	return nil
}

// recordHead is a line with all of a record but its data.
func recordHead(r *bridge.Record) string {
	head := "sink " + r.Sink
	for _, part := range []struct {
		name string
		text []byte
	}{{"to", []byte(r.Dest)}, {"key", r.Key}, {"hash key", r.HashKey}} {
		if len(part.text) > 0 {
			head += ", " + part.name + " " + line(shownBytes(part.text))
		}
	}
	for _, a := range r.Attrs {
		head += ", " + line(a.Name) + "=" + line(shownBytes(a.Value))
	}
	return head
}

// shownBytes is text as it is and other bytes in base64.
func shownBytes(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	return "base64:" + base64.StdEncoding.EncodeToString(b)
}
