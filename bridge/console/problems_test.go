package console

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/bridge/bridgetest"
)

// running starts a pipeline until the test ends.
func running(t *testing.T, cfg bridge.Config) *bridge.Pipeline {
	t.Helper()
	cfg.Logger, cfg.CheckInterval, cfg.DrainTimeout = slog.New(slog.DiscardHandler), -1, time.Millisecond
	p, err := bridge.New(cfg)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	t.Cleanup(func() { stop(); <-ended })
	return p
}

func TestAFullQueueIsFullSinceItWas(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		source := &bridgetest.Source{}
		copyAll := bridge.RuleFunc(func(out *bridge.Batch, m *bridge.Message) error {
			out.Add(bridge.Record{Data: m.Payload})
			return nil
		}, "#")
		p := running(t, bridge.Config{
			Sources: map[string]bridge.Source{"mqtt": source},
			Rules:   map[string]bridge.Rule{"all": copyAll},
			Sinks: map[string]bridge.Sink{"slow": bridge.SinkFunc(func(ctx context.Context, _ *bridge.Batch) error {
				<-ctx.Done()
				return ctx.Err()
			})},
			Queue: bridge.QueueConfig{MaxRecords: 1000},
		})
		for range 3000 {
			source.Publish(bridge.Message{Topic: "a", Payload: []byte("x")})
		}
		synctest.Wait()
		full := time.Now()
		time.Sleep(time.Minute) // nobody looks
		list := newSampler(Config{Pipeline: p}).take(time.Now()).Problems
		require.Len(t, list, 1)
		require.Equal(t, "cannot keep up", list[0].Title)
		require.True(t, list[0].HoldsUp)
		require.False(t, list[0].AtLeast)
		require.WithinDuration(t, full, list[0].Since, time.Second)
		require.Contains(t, list[0].Effect, "It holds up all sources")
	})
}

func TestExceptionsAndRefusalsSayWhy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		source := &bridgetest.Source{}
		p := running(t, bridge.Config{
			Sources: map[string]bridge.Source{"mqtt": source},
			Rules: map[string]bridge.Rule{"picky": bridge.RuleFunc(func(out *bridge.Batch, m *bridge.Message) error {
				if m.Topic == "bad" {
					return errors.New("this is no JSON")
				}
				out.Add(bridge.Record{Data: m.Payload})
				return nil
			}, "#")},
			Sinks: map[string]bridge.Sink{"out": bridge.SinkFunc(func(context.Context, *bridge.Batch) error {
				return bridge.Permanent(errors.New("record is too large"))
			})},
		})
		s := newSampler(Config{Pipeline: p})
		s.take(time.Now())
		source.Publish(bridge.Message{Topic: "bad"}, bridge.Message{Topic: "good"})
		synctest.Wait()
		time.Sleep(time.Second)
		snap := s.take(time.Now())
		reasons := map[string]string{}
		for _, p := range snap.Problems {
			reasons[p.Kind+" "+p.Title] = p.Reason
		}
		require.Contains(t, reasons["rule fails on messages"], "this is no JSON")
		require.Contains(t, reasons["sink gives up records"], "record is too large")
		require.False(t, snap.Rules["picky"].LastErrorAt.IsZero())
		// A minute later the problems are over, and the last exception is still known.
		for range 10 {
			time.Sleep(6 * time.Second)
			snap = s.take(time.Now())
		}
		require.Empty(t, snap.Problems)
		require.Contains(t, snap.Rules["picky"].LastError, "this is no JSON")
	})
}

func TestCountsAreGrouped(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567"} {
		require.Equal(t, want, grouped(n))
	}
}

// subscribed is a source whose subscriptions change.
type subscribed struct {
	bridgetest.Source
	filters atomic.Pointer[[]string]
}

func (s *subscribed) Subscriptions() []string { return *s.filters.Load() }

func TestSubscriptionsAreKeptUpToDate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		source := &subscribed{}
		source.filters.Store(&[]string{"a/#"})
		p := running(t, bridge.Config{
			Sources: map[string]bridge.Source{"mqtt": source},
			Sinks:   map[string]bridge.Sink{"out": bridge.SinkFunc(func(context.Context, *bridge.Batch) error { return nil })},
		})
		ctx, stop := context.WithCancel(t.Context())
		cfg := Config{Pipeline: p}
		h := newHub(ctx, newSampler(cfg))
		leave := h.join()
		synctest.Wait()
		first, _ := h.frame()
		require.Contains(t, string(first.topology), "a/#")
		time.Sleep(3 * time.Second)
		synctest.Wait()
		same, _ := h.frame()
		require.Equal(t, first.version, same.version)
		source.filters.Store(&[]string{"b/#"})
		time.Sleep(time.Second)
		synctest.Wait()
		next, _ := h.frame()
		require.Greater(t, next.version, first.version)
		require.Contains(t, string(next.topology), "b/#")
		leave()
		stop()
	})
}
