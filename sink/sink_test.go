package sink_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/bridge/bridgetest"
	"github.com/sluiceio/sluice/sink"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func ExampleWrap() {
	inner := bridge.SinkFunc(func(context.Context, *bridge.Batch) error { return nil })
	s := sink.Wrap(inner, func(ctx context.Context, b *bridge.Batch) error {
		fmt.Println("writing", len(b.Records))
		return inner.Write(ctx, b)
	})
	_ = s.Write(context.Background(), &bridge.Batch{Records: make([]bridge.Record, 3)})
	// Output: writing 3
}

// unwrapped finds the memory sink of a decorator by the decorator.
type unwrapped map[bridge.Sink]*bridgetest.Sink

func TestSuites(t *testing.T) {
	inner := make(unwrapped)
	for name, decorate := range map[string]func(*bridgetest.Sink) bridge.Sink{
		"wrap": func(s *bridgetest.Sink) bridge.Sink { return sink.Wrap(s, s.Write) },
		"rate": func(s *bridgetest.Sink) bridge.Sink {
			d, err := sink.RateLimit(s, sink.Rate{Records: 1 << 20, Bytes: 1 << 30})
			require.NoError(t, err)
			return d
		},
	} {
		t.Run(name, func(t *testing.T) {
			bridgetest.TestSink(t, bridgetest.SinkSuite{
				New: func(*testing.T) bridge.Sink {
					memory := new(bridgetest.Sink)
					d := decorate(memory)
					inner[d] = memory
					return d
				},
				Stored: func(_ *testing.T, s bridge.Sink) []bridgetest.Stored { return inner[s].Records() },
			})
		})
	}
}

type laner struct{ bridge.Sink }

func (laner) Lane(*bridge.Record) (lane, group uint64) { return 42, 43 }

type checker struct{ bridge.Sink }

func (checker) Check(context.Context) error { return context.Canceled }

type everything struct {
	bridge.Sink
	opened bool
}

func (*everything) Lane(*bridge.Record) (lane, group uint64) { return 42, 43 }
func (*everything) Check(context.Context) error              { return context.Canceled }
func (*everything) Limits() bridge.Limits                    { return bridge.Limits{Records: 7, Lanes: 3} }

func (e *everything) Open(context.Context) error {
	e.opened = true
	return nil
}

func (e *everything) Shards() []sink.ShardLoad { return []sink.ShardLoad{{Shard: "0"}} }

func TestOptionalInterfacesPassThrough(t *testing.T) {
	t.Parallel()
	plain := bridge.SinkFunc(func(context.Context, *bridge.Batch) error { return nil })
	all := &everything{Sink: plain}
	for name, tc := range map[string]struct {
		inner         bridge.Sink
		lanes, checks bool
	}{
		"plain":   {plain, false, false},
		"laner":   {laner{plain}, true, false},
		"checker": {checker{plain}, false, true},
		"all":     {all, true, true},
	} {
		d := sink.Wrap(tc.inner, plain.Write)
		l, lanes := d.(bridge.Laner)
		c, checks := d.(bridge.Checker)
		require.Equal(t, tc.lanes, lanes, name)
		require.Equal(t, tc.checks, checks, name)
		if lanes {
			lane, group := l.Lane(nil)
			require.Equal(t, [2]uint64{42, 43}, [2]uint64{lane, group})
		}
		if checks {
			require.ErrorIs(t, c.Check(t.Context()), context.Canceled)
		}
		require.NoError(t, d.(bridge.Opener).Open(t.Context()))
		require.NoError(t, d.Close(t.Context()))
		if tc.inner == all {
			require.True(t, all.opened)
			require.Equal(t, []sink.ShardLoad{{Shard: "0"}}, d.(sink.Sharder).Shards())
			require.Equal(t, bridge.Limits{Records: 7, Lanes: 3}, d.(bridge.Limiter).Limits())
		} else {
			require.Empty(t, d.(sink.Sharder).Shards())
			require.Zero(t, d.(bridge.Limiter).Limits())
		}
	}
	d, err := sink.RateLimit(all, sink.Rate{Records: 5, Bytes: 100})
	require.NoError(t, err)
	require.Equal(t, bridge.Limits{Records: 5, Bytes: 100, Lanes: 3}, d.(bridge.Limiter).Limits())
}

func TestRateLimit(t *testing.T) {
	t.Parallel()
	_, err := sink.RateLimit(new(bridgetest.Sink), sink.Rate{Records: -1, Bytes: -1})
	require.ErrorContains(t, err, "Records:")
	require.ErrorContains(t, err, "Bytes:")
	for name, tc := range map[string]struct {
		rate    sink.Rate
		seconds int // for 1,000 records of 10 bytes, after the first second's worth
	}{
		"records": {sink.Rate{Records: 100}, 9},
		"bytes":   {sink.Rate{Bytes: 500}, 19},
		"both":    {sink.Rate{Records: 100, Bytes: 500}, 19},
		"none":    {sink.Rate{}, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			memory := new(bridgetest.Sink)
			s, err := sink.RateLimit(memory, tc.rate)
			require.NoError(t, err)
			src := new(bridgetest.Source)
			for i := range 1000 {
				src.Publish(bridge.Message{Topic: fmt.Sprintf("t/%d", i%7), Payload: []byte("0123456789")})
			}
			src.End()
			p, err := bridge.New(bridge.Config{
				Sources: map[string]bridge.Source{"s": src},
				Rules: map[string]bridge.Rule{"r": bridge.RuleFunc(func(out *bridge.Out, m *bridge.Message) error {
					out.Add(bridge.Record{Data: m.Payload})
					return nil
				}, "#")},
				Sinks: map[string]bridge.Sink{"limited": s},
			})
			require.NoError(t, err)
			start := time.Now()
			require.NoError(t, p.Run(t.Context()))
			require.InDelta(t, tc.seconds, time.Since(start).Seconds(), 0.6, name)
			require.Len(t, memory.Records(), 1000)
		})
	}
}

func TestRateLimitEndsWithTheContext(t *testing.T) {
	t.Parallel()
	s, err := sink.RateLimit(new(bridgetest.Sink), sink.Rate{Records: 1})
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	require.Error(t, s.Write(ctx, &bridge.Batch{Records: make([]bridge.Record, 5)}))
}
