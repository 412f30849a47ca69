package bridge_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/bridge/bridgetest"
)

func refuseAll(int, *bridge.Record) bridgetest.Fault {
	return bridgetest.Fault{Err: bridge.Permanent(errors.New("refused"))}
}

// Dead letters that find their fallback full wait at the heads of their lanes, in
// order; no writer waits for another queue, so other lanes go on.
func TestDeadLettersWaitForRoom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		out := &bridgetest.Sink{Fault: func(_ int, r *bridge.Record) bridgetest.Fault {
			if string(r.Key) == "0" {
				return refuseAll(0, r)
			}
			return bridgetest.Fault{}
		}}
		dead := &bridgetest.Sink{Before: func(ctx context.Context, _ *bridge.Batch) error {
			<-release
			return nil
		}}
		r := run(t, bridge.Config{
			Sinks: map[string]bridge.Sink{"out": out, "dead": dead},
			Queues: map[string]bridge.QueueConfig{
				"out":  {Fallback: "dead", InFlight: 1},
				"dead": {MaxRecords: 2, InFlight: 1},
			},
		})
		r.publish(200, 2)
		time.Sleep(time.Minute)
		s := r.Stats().Sinks
		require.EqualValues(t, 100, s["out"].Ended[bridge.Stored], "the other lane does not wait")
		require.EqualValues(t, 2, s["out"].Ended[bridge.DeadLettered])
		require.Equal(t, 98, s["out"].Queue.Waiting)
		invariant(t, s["out"])
		close(release)
		require.NoError(t, r.end())
		report := check(&r.c, append(out.Records(), dead.Records()...))
		require.True(t, report.OK(), report)
		require.Zero(t, report.Duplicates)
		require.Equal(t, [4]int{200, 0, 0, 0}, counts(r.src))
		require.Equal(t, map[bridge.Outcome]int{bridge.Stored: 100, bridge.DeadLettered: 100}, r.src.Outcomes())
		require.Equal(t, "refused", dead.Records()[99].Attrs["error"])
	})
}

// A rule whose second record has nowhere to go fails as a whole: the first is not
// stored, and the letter stands for both.
func TestFailedRuleLeavesNoRecords(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		out, dead := new(bridgetest.Sink), new(bridgetest.Sink)
		src := new(bridgetest.Source)
		p, err := bridge.New(bridge.Config{
			Sources: map[string]bridge.Source{"in": src}, RuleFallback: "dead", Logger: quiet,
			Sinks: map[string]bridge.Sink{"out": out, "dead": dead},
			Rules: map[string]bridge.Rule{"half": bridge.RuleFunc(func(o *bridge.Out, m *bridge.Message) error {
				o.Add(bridge.Record{Sink: "out", Key: []byte("k"), Data: m.Payload})
				o.Add(bridge.Record{Sink: "nowhere", Key: []byte("k"), Data: m.Payload})
				return nil
			}, "#")},
		})
		require.NoError(t, err)
		src.Publish(bridge.Message{Topic: "t", Payload: []byte("1")}, bridge.Message{Topic: "t", Payload: []byte("2")})
		src.End()
		require.NoError(t, p.Run(t.Context()))
		require.Empty(t, out.Records())
		require.Len(t, dead.Records(), 2)
	})
}

// A dead letter that is too large for the room in its fallback waits, and so do smaller
// ones behind it in its lane, which would find room.
func TestSmallDeadLettersWaitBehindLargeOnes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		dead := &bridgetest.Sink{Before: func(context.Context, *bridge.Batch) error {
			<-release
			return nil
		}}
		src := new(bridgetest.Source)
		p, err := bridge.New(bridge.Config{
			Sources: map[string]bridge.Source{"in": src}, Rules: map[string]bridge.Rule{"all": bridge.RuleFunc(func(out *bridge.Out, m *bridge.Message) error {
				out.Add(bridge.Record{Sink: "out", Key: []byte("k"), Data: m.Payload})
				return nil
			}, "#")},
			Sinks: map[string]bridge.Sink{"out": &bridgetest.Sink{Fault: refuseAll}, "dead": dead},
			Queue: bridge.QueueConfig{Fallback: "dead"}, Queues: map[string]bridge.QueueConfig{"dead": {MaxBytes: 20_000, InFlight: 1}},
			Logger: quiet,
		})
		require.NoError(t, err)
		ran := make(chan error, 1)
		go func() { ran <- p.Run(t.Context()) }()
		send := func(data ...string) {
			for _, d := range data {
				src.Publish(bridge.Message{Topic: "t", Payload: []byte(d)})
			}
			time.Sleep(time.Second)
		}
		send("first") // which fills the flight of the fallback
		large := strings.Repeat("x", 30_000)
		send(large, "small")
		require.EqualValues(t, 1, p.Stats().Sinks["out"].Ended[bridge.DeadLettered])
		close(release)
		src.End()
		require.NoError(t, <-ran)
		require.Len(t, dead.Records(), 3)
		require.Equal(t, large, dead.Records()[1].Data)
	})
}

// The fallback of a sink is changed while its records are in a Write: what is
// refused before the change goes to the old one, what is refused after it to the
// new one, or ends as refused without one. None is forgotten.
func TestFallbackIsRemoved(t *testing.T) {
	t.Parallel()
	for _, next := range []string{"", "other"} {
		t.Run(next, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				release := make(chan struct{})
				out := &bridgetest.Sink{Before: func(context.Context, *bridge.Batch) error {
					<-release
					return nil
				}, Fault: refuseAll}
				dead, other := new(bridgetest.Sink), new(bridgetest.Sink)
				r := run(t, bridge.Config{
					Sinks:  map[string]bridge.Sink{"out": out, "dead": dead, "other": other},
					Queues: map[string]bridge.QueueConfig{"out": {Fallback: "dead"}},
				})
				r.publish(10, 10)
				time.Sleep(time.Second)
				go func() {
					time.Sleep(time.Second)
					close(release)
				}()
				require.NoError(t, r.Apply(t.Context(), bridge.Change{
					Sinks:  map[string]bridge.Sink{"dead": nil},
					Queues: map[string]bridge.QueueConfig{"out": {Fallback: next}},
				}))
				require.NoError(t, r.end())
				require.Equal(t, [4]int{10, 0, 0, 0}, counts(r.src))
				refused := int(r.Stats().Sinks["out"].Ended[bridge.Refused])
				require.Equal(t, 10, len(dead.Records())+len(other.Records())+refused)
				if next != "" {
					require.Zero(t, refused)
				}
			})
		})
	}
}

// Two sinks that would wait for each other are refused, however long the way.
func TestFallbackCycles(t *testing.T) {
	t.Parallel()
	sinks := map[string]bridge.Sink{"a": new(bridgetest.Sink), "b": new(bridgetest.Sink), "c": new(bridgetest.Sink), "d": new(bridgetest.Sink)}
	_, err := bridge.New(bridge.Config{
		Sources: map[string]bridge.Source{"in": new(bridgetest.Source)}, Sinks: sinks,
		Queues: map[string]bridge.QueueConfig{"a": {Fallback: "b"}, "b": {Fallback: "c"}, "c": {Fallback: "a"}, "d": {Fallback: "a"}},
	})
	for _, name := range []string{"a", "b", "c"} {
		require.ErrorContains(t, err, fmt.Sprintf("Queues[%q].Fallback: the fallbacks lead back to sink %q", name, name))
	}
	require.NotContains(t, err.Error(), `Queues["d"]`)
}

// A message on which a rule fails goes to the rule's fallback, in order and with
// what is known of it; the records of other rules are not touched.
func TestRuleFallback(t *testing.T) {
	t.Parallel()
	failing := bridge.RuleFunc(func(out *bridge.Out, m *bridge.Message) error {
		out.Add(bridge.Record{Sink: "out", Data: []byte("half")})
		return errors.New("payload is not JSON")
	}, "#")
	for name, c := range map[string]struct {
		cfg     func(*bridge.Config)
		letters int
		acked   int
		outcome bridge.Outcome
	}{
		"of all rules":      {func(c *bridge.Config) { c.RuleFallback = "failed" }, 50, 50, bridge.DeadLettered},
		"of one rule":       {func(c *bridge.Config) { c.RuleFallbacks = map[string]string{"bad": "failed"} }, 50, 50, bridge.DeadLettered},
		"switched off":      {func(c *bridge.Config) { c.RuleFallback = "failed"; c.RuleFallbacks = map[string]string{"bad": ""} }, 0, 50, bridge.Failed},
		"none":              {func(*bridge.Config) {}, 0, 50, bridge.Failed},
		"keep failed":       {func(c *bridge.Config) { c.KeepFailed = true }, 0, 0, bridge.Abandoned},
		"fallback and keep": {func(c *bridge.Config) { c.RuleFallback, c.KeepFailed = "failed", true }, 50, 50, bridge.DeadLettered},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				out, failed := new(bridgetest.Sink), new(bridgetest.Sink)
				cfg := bridge.Config{
					Rules: map[string]bridge.Rule{"bad": failing, "good": addressed("out")},
					Sinks: map[string]bridge.Sink{"out": out, "failed": failed},
				}
				c.cfg(&cfg)
				r := run(t, cfg)
				r.publish(50, 3)
				require.NoError(t, r.end())
				require.Len(t, out.Records(), 50)
				require.Len(t, failed.Records(), c.letters)
				acked, _, open, twice := r.src.Counts()
				require.Equal(t, [3]int{c.acked, 0, 0}, [3]int{acked, open, twice})
				require.Equal(t, map[bridge.Outcome]int{c.outcome: 50}, r.src.Outcomes())
				require.EqualValues(t, 50, r.Stats().Rules["bad"].Exception)
				if c.letters > 0 {
					report := check(&r.c, failed.Records())
					require.True(t, report.OK(), report)
					first := failed.Records()[0]
					require.Equal(t, "payload is not JSON", first.Attrs["error"])
					require.Equal(t, []string{"bad", "t/0", "in", "0", "1"}, []string{first.Attrs["rule"], first.Attrs["topic"], first.Attrs["source"], first.Attrs["clientid"], first.Attrs["qos"]})
				}
			})
		})
	}
}

// Messages that no rule wants go where they are wanted.
func TestUnmatched(t *testing.T) {
	t.Parallel()
	src, out, rest := new(bridgetest.Source), new(bridgetest.Sink), new(bridgetest.Sink)
	src.Publish(bridge.Message{Topic: "a", Payload: []byte("1")}, bridge.Message{Topic: "b", Payload: []byte("2")})
	src.End()
	cfg := bridge.Config{
		Sources: map[string]bridge.Source{"in": src}, Rules: map[string]bridge.Rule{"a": bridge.RuleFunc(func(out *bridge.Out, m *bridge.Message) error {
			out.Add(bridge.Record{Sink: "out", Data: m.Payload})
			return nil
		}, "a")},
		Sinks: map[string]bridge.Sink{"out": out, "rest": rest}, Unmatched: "rest", Logger: quiet,
	}
	p, err := bridge.New(cfg)
	require.NoError(t, err)
	require.NoError(t, p.Run(t.Context()))
	require.Len(t, out.Records(), 1)
	require.Len(t, rest.Records(), 1)
	require.Equal(t, "2", rest.Records()[0].Data)
	require.Equal(t, "b", rest.Records()[0].Attrs["topic"])
	cfg.Unmatched = "none"
	_, err = bridge.New(cfg)
	require.ErrorContains(t, err, `Unmatched: there is no sink "none"`)
}

// A rule whose target is not there, or that does not give what the sink requires,
// is refused when it is made.
func TestWiringIsChecked(t *testing.T) {
	t.Parallel()
	keyed := &bridgetest.Sink{Max: bridge.Limits{Requires: bridge.Target{Key: true}}}
	same := new(bridgetest.Sink)
	cfg := bridge.Config{
		Sources: map[string]bridge.Source{"in": new(bridgetest.Source), "twin": new(bridgetest.Source)},
		Rules: map[string]bridge.Rule{
			"fine":     targeted{addressed("keyed"), []bridge.Target{{Sink: "keyed", Key: true}}},
			"lost":     targeted{addressed("none"), []bridge.Target{{Sink: "none"}}},
			"keyless":  targeted{addressed("keyed"), []bridge.Target{{Sink: "keyed", Data: true}}},
			"unclear":  targeted{addressed(""), []bridge.Target{{}}},
			"filters":  targeted{bridge.RuleFunc(nil, "a/#"), nil},
			"a filter": targeted{bridge.RuleFunc(nil, "a/#"), nil},
		},
		Sinks: map[string]bridge.Sink{"keyed": keyed, "x": same, "y": same},
	}
	_, err := bridge.New(cfg)
	for _, want := range []string{
		`Rules["lost"]: there is no sink "none"`,
		`Rules["keyless"]: records for sink "keyed" need a Key, and the action has none`,
		`Rules["unclear"]: the record names no sink, and there are 3`,
		`Sinks["y"]: is the same sink as Sinks["x"]`,
	} {
		require.ErrorContains(t, err, want)
	}
	require.NotContains(t, err.Error(), `Rules["fine"]`)

	cfg.Sources["keyed"] = new(bridgetest.Source)
	_, err = bridge.New(cfg)
	require.ErrorContains(t, err, `Sources["keyed"]: a sink has the same name`)
}
