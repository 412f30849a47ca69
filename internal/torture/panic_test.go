package torture

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/bridge/bridgetest"
	"github.com/sluiceio/sluice/rule"
)

// TestPanics: a rule, a function and a sink of the user's that panic with every
// message are held, counted, and reported with their stack, each once per
// interval; the others go on.
func TestPanics(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const messages = 25 // one a second
		engine, err := rule.NewEngine(rule.EngineConfig{Functions: []rule.Function{
			rule.Func1("explode", func(*rule.Call, string) (any, error) { panic("bug in a function") }),
		}})
		require.NoError(t, err)
		explode, err := rule.New(rule.Config{
			Name: "function", SQL: `SELECT explode(topic) FROM "#"`, Engine: engine, Actions: []rule.Action{{Sink: "well"}},
		})
		require.NoError(t, err)
		well, err := rule.New(rule.Config{
			Name: "well", SQL: `SELECT topic FROM "#"`, Actions: []rule.Action{{Sink: "well"}, {Sink: "ill", Optional: true}},
		})
		require.NoError(t, err)
		src, sink := new(bridgetest.Source), new(bridgetest.Sink)
		var log bytes.Buffer
		p, err := bridge.New(bridge.Config{
			Sources: map[string]bridge.Source{"memory": src},
			Rules: map[string]bridge.Rule{
				"function": explode, "well": well,
				"rule": bridge.RuleFunc(func(*bridge.Out, *bridge.Message) error { panic("bug in a rule") }, "#"),
			},
			Sinks: map[string]bridge.Sink{
				"well": sink, "ill": bridge.SinkFunc(func(context.Context, *bridge.Batch) error { panic("bug in a sink") }),
			},
			// It panics every second or so, whatever the backoff's dice say.
			Queues:  map[string]bridge.QueueConfig{"ill": {BackoffMax: time.Second}},
			Workers: 1, DrainTimeout: time.Second, Logger: slog.New(slog.NewJSONHandler(&log, nil)),
		})
		require.NoError(t, err)
		done := make(chan error)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { done <- p.Run(ctx) }()
		for range messages {
			src.Publish(bridge.Message{Topic: "t"})
			time.Sleep(time.Second)
		}
		s := p.Stats()
		cancel()
		require.ErrorIs(t, <-done, bridge.ErrDrainTimeout, "what the sink could not write")

		require.Len(t, sink.Records(), messages)
		for _, name := range []string{"rule", "function"} {
			require.EqualValues(t, messages, s.Rules[name].Exception, name)
		}
		require.Positive(t, s.Sinks["ill"].WritesFailed)
		require.Positive(t, s.Sinks["ill"].Ambiguous, "what it stored before is not known")
		acked, _, open, _ := src.Counts()
		require.Equal(t, [2]int{messages, 0}, [2]int{acked, open})

		stacks := map[string]int{}
		for line := range bytes.Lines(log.Bytes()) {
			var entry struct{ Error, Stack string }
			require.NoError(t, json.Unmarshal(line, &entry))
			for _, bug := range []string{"bug in a rule", "bug in a function", "bug in a sink"} {
				if bytes.Contains(line, []byte(bug)) && bytes.Contains([]byte(entry.Stack), []byte("panic_test.go")) {
					stacks[bug]++
				}
			}
		}
		require.Equal(t, map[string]int{"bug in a rule": 3, "bug in a function": 3, "bug in a sink": 3}, stacks, log.String())
	})
}
