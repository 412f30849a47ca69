// Command ruletest tries a rule on a simulated event: SQL and event in, rows or a
// precise reason out. It is EMQX's SQL tester for the command line.
//
//	ruletest -sql 'SELECT payload.temp * 1.8 + 32 AS f FROM "t/#"' -topic t/1 -payload '{"temp":20}'
//
// Columns that are not given have example values; -payload-file reads a payload of
// any bytes from a file or standard input. With -explain it shows how the
// rule was compiled. With -jsonl it is driven by a program: see jsonl.go.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/sluiceio/sluice/rule"
	"github.com/sluiceio/sluice/template"
)

func main() {
	if err := run(os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// options are the command line.
type options struct {
	rule.TestInput
	context, engine string
	explain, jsonl  bool
}

func run(args []string, stdin io.Reader, stdout io.Writer) error {
	var o options
	fs := flag.NewFlagSet("ruletest", flag.ContinueOnError)
	fs.StringVar(&o.SQL, "sql", "", "the statement")
	fs.StringVar(&o.Topic, "topic", "", `topic of the message (default "t/a")`)
	fs.StringVar(&o.EventTopic, "event", "", "event topic, such as $events/client/connected, when it is not a message")
	payload := fs.String("payload", "", "payload of the message")
	file := fs.String("payload-file", "", "file with the payload, of any bytes; - is standard input")
	fs.StringVar(&o.context, "context", "", "further columns, as a JSON object")
	fs.StringVar(&o.Template, "template", "", "template to render over every row")
	fs.StringVar(&o.engine, "engine", "bridge", "dialect of the template: bridge, republish or json")
	fs.BoolVar(&o.explain, "explain", false, "show how the statement was compiled")
	fs.BoolVar(&o.jsonl, "jsonl", false, "answer JSON requests, one per line")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if o.jsonl {
		return serve(stdin, stdout)
	}
	columns := make(map[string]any)
	if o.context != "" {
		var err error
		if columns, err = decodeColumns([]byte(o.context)); err != nil {
			return fmt.Errorf("-context: %w", err)
		}
	}
	fs.Visit(func(f *flag.Flag) {
		if f.Name == "payload" {
			columns["payload"] = *payload
		}
	})
	var err error
	if *file != "" {
		if columns["payload"], err = readPayload(*file, stdin); err != nil {
			return fmt.Errorf("-payload-file: %w", err)
		}
	}
	o.Columns = columns
	if o.Dialect, err = dialect(o.engine); err != nil {
		return err
	}
	return try(&o, stdout)
}

// readPayload reads a file, or standard input.
func readPayload(name string, stdin io.Reader) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(stdin)
	}
	return os.ReadFile(name)
}

func dialect(name string) (template.Dialect, error) {
	switch name {
	case "", "bridge":
		return template.Bridge, nil
	case "republish":
		return template.Republish, nil
	case "json":
		return template.JSON, nil
	default:
		return 0, fmt.Errorf("there is no template engine %q: it is bridge, republish or json", name)
	}
}

// try runs the statement and prints what comes of it for a person.
func try(o *options, w io.Writer) error {
	if o.explain {
		r, err := rule.New(rule.Config{SQL: o.SQL})
		if err != nil {
			return err
		}
		fmt.Fprintln(w, r.Explain())
		return nil
	}
	result, err := rule.Test(o.TestInput)
	if err != nil {
		return err
	}
	for _, warning := range result.Warnings {
		fmt.Fprintf(w, "warning: %v\n", warning)
	}
	t, err := template.CompileWith(o.Template, template.Options{Dialect: o.Dialect})
	if err != nil {
		return err
	}
	for _, warning := range t.Warnings() {
		fmt.Fprintf(w, "warning: template: %v\n", warning)
	}
	if result.NoMatch != rule.Matched {
		fmt.Fprintf(w, "no rows (%s): %s\n", result.NoMatch, result.Reason)
	}
	for i, row := range result.JSON {
		if o.Template != "" {
			row = result.Rendered[i]
		}
		fmt.Fprintln(w, row)
	}
	return nil
}

// decodeColumns reads columns as a JSON object that keeps integers apart from
// floats and may hold the marks of jsonl.go.
func decodeColumns(text []byte) (map[string]any, error) {
	var v map[string]any
	if err := unmarshal(text, &v); err != nil {
		return nil, err
	}
	for name := range v {
		v[name] = unmark(v[name])
	}
	return v, nil
}
