package config_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/bridge/config"
	"github.com/sluiceio/sluice/rule"
)

// logSink is the options of sinks of type log, and the sink itself.
type logSink struct {
	Prefix string `yaml:"prefix" doc:"Comes before each record."`
}

// Sink makes the sink of the options.
func (s *logSink) Sink(config.Context) (bridge.Sink, error) { return s, nil }

// Write prints the records.
func (s *logSink) Write(_ context.Context, b *bridge.Batch) error {
	for i := range b.Records {
		fmt.Printf("%s%s\n", s.Prefix, b.Records[i].Data)
	}
	return nil
}

// Close does nothing.
func (s *logSink) Close(context.Context) error { return nil }

func Example() {
	shout := rule.Func1("shout", func(_ *rule.Call, s string) (any, error) { return strings.ToUpper(s) + "!", nil })
	engine, err := rule.NewEngine(rule.EngineConfig{Functions: []rule.Function{shout}})
	if err != nil {
		fmt.Println(err)
		return
	}
	types := config.DefaultTypes()
	types.Sinks["log"] = func() config.SinkDefinition { return new(logSink) }
	def, err := config.Parse("bridge.yaml", []byte(`
sources: {devices: {type: broker}}
sinks: {out: {type: log, prefix: "> "}}
rules:
  loud:
    sql: SELECT shout(payload.word) AS word FROM "t/#"
    actions: [{payload: "${word}"}]
`), config.Options{Engine: engine, Types: types})
	if err != nil {
		fmt.Println(err)
		return
	}
	cfg, err := def.Build(slog.Default()) // for bridge.New
	fmt.Println(len(cfg.Rules), len(cfg.Sinks), err)

	result, err := rule.Test(rule.TestInput{
		SQL: `SELECT shout(payload.word) AS word FROM "t/#"`, Engine: engine,
		Columns: map[string]any{"payload": `{"word": "hello"}`},
	})
	fmt.Println(result.JSON, err)
	// Output:
	// 1 1 <nil>
	// [{"word":"HELLO!"}] <nil>
}
