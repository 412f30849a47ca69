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
		copyAll := bridge.RuleFunc(func(out *bridge.Out, m *bridge.Message) error {
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
		time.Sleep(10 * time.Second) // nobody looks
		list := newSampler(Config{Pipeline: p}).take(time.Now()).Problems
		require.Len(t, list, 1)
		require.Equal(t, "cannot keep up", list[0].Title)
		require.True(t, list[0].HoldsUp)
		require.False(t, list[0].AtLeast)
		require.WithinDuration(t, full, list[0].Since, time.Second)
		require.Contains(t, list[0].Effect, "It holds up all sources")

		time.Sleep(time.Minute)
		list = newSampler(Config{Pipeline: p}).take(time.Now()).Problems
		require.Len(t, list, 1)
		require.Equal(t, "is disconnected", list[0].Title)
		require.True(t, list[0].HoldsUp)
		require.Contains(t, list[0].Reason, "nothing was stored for 1m")
		require.Contains(t, list[0].Effect, "It holds up all sources")
	})
}

func TestExceptionsAndRefusalsSayWhy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		source := &bridgetest.Source{}
		p := running(t, bridge.Config{
			Sources: map[string]bridge.Source{"mqtt": source},
			Rules: map[string]bridge.Rule{"picky": bridge.RuleFunc(func(out *bridge.Out, m *bridge.Message) error {
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

// windowed is a source that waits for what it has handed out.
type windowed struct{ bridgetest.Source }

func (*windowed) Window() (unsettled, limit int) { return 100, 100 }

// All is not well while something waits, a window is full, or a rule fails.
func TestWhatWaitsIsAProblem(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		source := &windowed{}
		answers := make(chan struct{})
		p := running(t, bridge.Config{
			Sources: map[string]bridge.Source{"mqtt": source},
			Rules: map[string]bridge.Rule{"picky": bridge.RuleFunc(func(out *bridge.Out, m *bridge.Message) error {
				if m.Topic == "bad" {
					return errors.New("this is no JSON")
				}
				out.Add(bridge.Record{Sink: "out", Data: m.Payload})
				return nil
			}, "#")},
			Sinks: map[string]bridge.Sink{"out": bridge.SinkFunc(func(ctx context.Context, _ *bridge.Batch) error {
				select {
				case <-answers:
				case <-ctx.Done():
				}
				return ctx.Err()
			}), "dead": bridge.SinkFunc(func(context.Context, *bridge.Batch) error { return nil })},
			RuleFallback: "dead",
		})
		s := newSampler(Config{Pipeline: p})
		s.take(time.Now())
		source.Publish(bridge.Message{Topic: "bad"}, bridge.Message{Topic: "good"})
		find := func(title string) *Problem {
			synctest.Wait()
			for _, x := range s.take(time.Now()).Problems {
				if x.Title == title {
					return &x
				}
			}
			return nil
		}
		require.Equal(t, "dead", describe(Config{}, p.Config()).Rules[0].Fallback)
		time.Sleep(2 * time.Second)
		require.Contains(t, find("fails on messages").Effect, `go to "dead"`)
		require.Nil(t, find("is behind"), "it has hardly waited")
		time.Sleep(4 * time.Second)
		behind := find("is behind")
		require.NotNil(t, behind)
		require.Equal(t, "A record has waited for 6s; 0.0 records per second are stored.", behind.Reason)
		require.WithinDuration(t, time.Now().Add(-6*time.Second), behind.Since, time.Second)
		held := find("is held back")
		require.NotNil(t, held)
		require.Contains(t, held.Reason, `all 100 messages that may be unsettled are; sink "out" has held the oldest`)
		close(answers)
		time.Sleep(time.Second)
		require.Nil(t, find("is behind"))
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
