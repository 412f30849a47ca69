package torture

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/bridge/bridgetest"
	"github.com/sluiceio/sluice/rule"
)

// TestOneDeadSinkOfTwo: an action that is best effort must not slow down the
// other, in whatever way its sink is dead. The clock is synctest's, so that the
// time until all is stored can be compared.
func TestOneDeadSinkOfTwo(t *testing.T) {
	t.Parallel()
	alone := deliver(t, nil)
	for name, write := range map[string]func(context.Context, *bridge.Batch) error{
		"hangs": func(ctx context.Context, _ *bridge.Batch) error {
			<-ctx.Done()
			return ctx.Err()
		},
		"fails":          func(context.Context, *bridge.Batch) error { return errors.New("connection refused") },
		"is unavailable": func(context.Context, *bridge.Batch) error { return bridge.Unavailable(errors.New("no such stream")) },
		"throttles": func(context.Context, *bridge.Batch) error {
			return bridge.Throttled(errors.New("slow down"), time.Hour)
		},
		"refuses": func(context.Context, *bridge.Batch) error { return bridge.Permanent(errors.New("too large")) },
		"panics":  func(context.Context, *bridge.Batch) error { panic("a bug") },
		"is slow": func(ctx context.Context, _ *bridge.Batch) error {
			select {
			case <-time.After(time.Minute):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		},
	} {
		// How batches fall differs by a few milliseconds.
		require.LessOrEqual(t, deliver(t, write), alone+alone/4, "the other sink %s", name)
	}
}

// deliver sends messages to a sink which is well and, as best effort, to one that
// is not, and returns how long the former took.
func deliver(t *testing.T, bad func(context.Context, *bridge.Batch) error) (took time.Duration) {
	t.Helper()
	const messages = 5000
	synctest.Test(t, func(t *testing.T) {
		well := &bridgetest.Sink{Before: func(context.Context, *bridge.Batch) error {
			<-time.After(20 * time.Millisecond)
			return nil
		}}
		cfg := bridge.Config{
			Sinks: map[string]bridge.Sink{"well": well}, Queue: bridge.QueueConfig{MaxRecords: 1000, BatchSize: 100, InFlight: 4},
			Workers: 1, DrainTimeout: time.Second, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
		}
		actions := []rule.Action{{Sink: "well", Key: "${key}"}}
		if bad != nil {
			cfg.Sinks["ill"] = bridge.SinkFunc(bad)
			actions = append(actions, rule.Action{Sink: "ill", Key: "${key}", Optional: true})
		}
		r, err := rule.New(rule.Config{Name: "both", SQL: `SELECT payload.key AS key FROM "t/#"`, Actions: actions})
		require.NoError(t, err)
		src := &bridgetest.Source{Window: 500}
		cfg.Rules, cfg.Sources = map[string]bridge.Rule{"both": r}, map[string]bridge.Source{"memory": src}
		p, err := bridge.New(cfg)
		require.NoError(t, err)
		for i := range messages {
			src.Publish(bridge.Message{Topic: "t/1", Payload: fmt.Appendf(nil, `{"key":"k%d"}`, i%200)})
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		start := time.Now()
		go func() { done <- p.Run(ctx) }()
		require.NoError(t, src.WaitSettled(t.Context(), messages))
		took = time.Since(start)
		require.Len(t, well.Records(), messages)
		cancel()
		<-done // with an error when the other sink still had records
	})
	return took
}
