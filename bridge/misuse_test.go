package bridge_test

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

// Sinks that do with the slice of records what they like before they fail one.
func TestFailInAChangedBatch(t *testing.T) {
	t.Parallel()
	bad := errors.New("not this one")
	for name, write := range map[string]func(b *bridge.Batch) (stored []bridge.Record){
		"shortened": func(b *bridge.Batch) []bridge.Record {
			rest := b.Records[1:]
			b.Records = b.Records[:1]
			b.Fail(&b.Records[0], bridge.Permanent(bad))
			return rest
		},
		"the last of a part": func(b *bridge.Batch) []bridge.Record {
			part := b.Part(b.Records[:1])
			part.Fail(&part.Records[0], bridge.Permanent(bad))
			return b.Records[1:]
		},
		"a copy": func(b *bridge.Batch) []bridge.Record {
			r, rest := b.Records[0], append([]bridge.Record(nil), b.Records[1:]...)
			clear(b.Records)
			b.Records = nil
			b.Fail(&r, bridge.Permanent(bad))
			return rest
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				stored := make(map[string]int)
				src := new(bridgetest.Source)
				r := &running{src: src}
				sink := bridge.SinkFunc(func(_ context.Context, b *bridge.Batch) error {
					for _, rec := range write(b) {
						stored[string(rec.Key)]++
					}
					return nil
				})
				p, err := bridge.New(bridge.Config{
					Sources: map[string]bridge.Source{"in": src}, Rules: map[string]bridge.Rule{"all": addressed("out")},
					Sinks: map[string]bridge.Sink{"out": sink}, Logger: quiet, Workers: 1,
				})
				require.NoError(t, err)
				r.publish(3, 3)
				src.End()
				require.NoError(t, p.Run(t.Context()))
				require.Equal(t, map[bridge.Outcome]int{bridge.Stored: 2, bridge.Refused: 1}, r.src.Outcomes())
				require.Equal(t, map[string]int{"1": 1, "2": 1}, stored)
			})
		})
	}
}

// A record that the sink has added to the batch itself cannot fail.
func TestFailOfAnAddedRecord(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int32
		sink := bridge.SinkFunc(func(_ context.Context, b *bridge.Batch) error {
			if calls.Add(1) == 1 {
				b.Add(bridge.Record{Key: []byte("own")})
				b.Fail(&b.Records[len(b.Records)-1], errors.New("failed"))
			}
			return nil
		})
		r := run(t, bridge.Config{Sinks: map[string]bridge.Sink{"out": sink}})
		r.publish(3, 1)
		require.NoError(t, r.end())
		s := r.Stats().Sinks["out"]
		require.Positive(t, s.Ambiguous)
		require.Contains(t, s.LastError, "not in the batch")
	})
}

// lanePanics is a sink that cannot be asked for the lane of some records.
type lanePanics struct{ bridgetest.Sink }

func (*lanePanics) Lane(r *bridge.Record) (lane, group uint64) {
	if string(r.Key) == "0" {
		panic("no lane")
	}
	return uint64(r.Key[0]), 0
}

// A dead letter that the fallback cannot even be asked about ends there; what is
// behind it goes on.
func TestFallbackPanicsInLane(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := run(t, bridge.Config{
			Sinks:  map[string]bridge.Sink{"out": &bridgetest.Sink{Fault: refuseAll}, "dead": new(lanePanics)},
			Queues: map[string]bridge.QueueConfig{"out": {Fallback: "dead"}},
		})
		r.publish(20, 2)
		require.NoError(t, r.end())
		require.Equal(t, map[bridge.Outcome]int{bridge.DeadLettered: 10, bridge.Refused: 10}, r.src.Outcomes())
		for _, s := range r.Stats().Sinks {
			invariant(t, s)
		}
	})
}

// A rule that keeps its Out and adds to it between two messages adds nothing.
func TestRuleKeepsItsOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var kept *bridge.Out
		src, sink := new(bridgetest.Source), new(bridgetest.Sink)
		for i := range uint64(20) {
			src.Publish(message("a", i))
		}
		src.End()
		p, err := bridge.New(bridge.Config{
			Sources: map[string]bridge.Source{"in": src}, Workers: 1, Logger: quiet, KeepFailed: true,
			Sinks: map[string]bridge.Sink{"out": sink},
			Rules: map[string]bridge.Rule{"all": bridge.RuleFunc(func(out *bridge.Out, m *bridge.Message) error {
				kept = out
				out.Add(bridge.Record{Sink: "out", Key: []byte(m.ClientID), Data: m.Payload})
				return nil
			}, "#")},
		})
		require.NoError(t, err)
		defer p.Trace(meddler(func() { kept.Add(bridge.Record{Data: []byte("never made")}) }))()
		require.NoError(t, p.Run(t.Context()))
		require.Equal(t, [4]int{20, 0, 0, 0}, counts(src))
		require.Len(t, sink.Records(), 20)
	})
}

// meddler is a tracer that calls the function between the messages.
type meddler func()

func (f meddler) Trace(*bridge.Message, []string) bridge.Trace { f(); return f }
func (meddler) Rule(string) func(step, text, result string)    { return nil }
func (f meddler) RuleDone(string, []bridge.Record, error)      { f() }
func (f meddler) Settled(bridge.Outcome, error)                {}
func (f meddler) Record(*bridge.Record) bridge.RecordTrace     { f(); return nil }

// hanging is a sink whose Check ignores its context until it is let go.
type hanging struct {
	bridgetest.Sink
	calls atomic.Int32
	goOn  chan struct{}
}

func (h *hanging) Check(context.Context) error {
	h.calls.Add(1)
	<-h.goOn
	return nil
}

// counted is a sink whose Check counts.
type counted struct {
	bridgetest.Sink
	calls atomic.Int32
}

func (c *counted) Check(context.Context) error { c.calls.Add(1); return nil }

// A Check that does not return keeps nobody from being checked, is one call and not
// one more at each interval, and is no good sign.
func TestCheckHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		bad, good := &hanging{goOn: make(chan struct{})}, new(counted)
		r := run(t, bridge.Config{Sinks: map[string]bridge.Sink{"out": good, "bad": bad}, CheckInterval: time.Second})
		<-r.Ready()
		time.Sleep(5 * time.Minute)
		require.Greater(t, good.calls.Load(), int32(10))
		require.EqualValues(t, 1, bad.calls.Load())
		require.Equal(t, bridge.Disconnected, r.Stats().Sinks["bad"].Health.State)
		close(bad.goOn)
		time.Sleep(time.Minute)
		require.Equal(t, bridge.Connected, r.Stats().Sinks["bad"].Health.State)
		require.NoError(t, r.end())
	})
}

// panickingHandler is a log handler that panics.
type panickingHandler struct{ slog.Handler }

func (panickingHandler) Handle(context.Context, slog.Record) error { panic("no log") }

// Hooks that change the pipeline, a logger that panics, and a tracer that stops
// itself at its first message.
func TestCallsFromWithin(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var r *running
		var changed, traced atomic.Int32
		began := make(chan struct{})
		sink := new(bridgetest.Sink)
		r = run(t, bridge.Config{
			Sinks: map[string]bridge.Sink{"out": sink}, Logger: slog.New(panickingHandler{slog.DiscardHandler}),
			Hooks: bridge.Hooks{OnWrite: func(string, int, int, time.Duration, error) {
				<-began
				if r.SetSink(t.Context(), "out", sink, bridge.QueueConfig{}) == nil && r.SetRule("all", addressed("out")) == nil {
					changed.Add(1)
				}
				r.Stats()
			}},
		})
		close(began)
		<-r.Ready()
		var stop func()
		stop = r.Trace(meddler(func() { traced.Add(1); stop() }))
		r.publish(50, 3)
		time.Sleep(time.Second)
		require.Positive(t, changed.Load())
		require.Positive(t, traced.Load())
		seen := traced.Load()
		r.publish(50, 3)
		require.NoError(t, r.end())
		require.Equal(t, [4]int{100, 0, 0, 0}, counts(r.src))
		require.True(t, check(&r.c, sink.Records()).OK())
		require.LessOrEqual(t, traced.Load()-seen, int32(0), "it was stopped")
	})
}
