package bridge_test

import (
	"context"
	"errors"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/bridge/bridgetest"
)

// addressed makes one record of a message for the sink of that name.
func addressed(sink string) bridge.Rule {
	return bridge.RuleFunc(func(out *bridge.Out, m *bridge.Message) error {
		out.Add(bridge.Record{Sink: sink, Key: []byte(m.ClientID), Data: m.Payload})
		return nil
	}, "#")
}

// running is a pipeline in a bubble of its own.
type running struct {
	*bridge.Pipeline
	t    *testing.T
	src  *bridgetest.Source
	c    bridgetest.Checker
	next uint64
	done chan error
	stop context.CancelFunc
}

// run starts a pipeline with a source "in"; what cfg leaves out is filled in.
func run(t *testing.T, cfg bridge.Config) *running {
	t.Helper()
	r := &running{t: t, src: new(bridgetest.Source), done: make(chan error, 1)}
	if cfg.Sources == nil {
		cfg.Sources = map[string]bridge.Source{"in": r.src}
	}
	if cfg.Rules == nil {
		cfg.Rules = map[string]bridge.Rule{"all": addressed("out")}
	}
	if cfg.Logger == nil {
		cfg.Logger = quiet
	}
	p, err := bridge.New(cfg)
	require.NoError(t, err)
	r.Pipeline = p
	ctx, stop := context.WithCancel(t.Context())
	r.stop = stop
	go func() { r.done <- p.Run(ctx) }()
	return r
}

// publish publishes n messages with as many keys as given.
func (r *running) publish(n, keys int) {
	for range n {
		key := strconv.Itoa(int(r.next) % keys)
		r.c.Sent(key, r.next)
		r.src.Publish(message(key, r.next))
		r.next++
	}
}

// end ends the source and waits for the end of the pipeline.
func (r *running) end() error {
	r.t.Helper()
	r.src.End()
	return <-r.done
}

func counts(s *bridgetest.Source) [4]int {
	acked, failed, open, twice := s.Counts()
	return [4]int{acked, failed, open, twice}
}

// refusing is a sink that takes nothing, with an error of each kind.
func refusing() map[string]func(context.Context, *bridge.Batch) error {
	err := errors.New("no such stream")
	return map[string]func(context.Context, *bridge.Batch) error{
		"whole":       func(context.Context, *bridge.Batch) error { return err },
		"unavailable": func(context.Context, *bridge.Batch) error { return bridge.Unavailable(err) },
		"throttled": func(_ context.Context, b *bridge.Batch) error {
			for i := range b.Records {
				b.Fail(&b.Records[i], bridge.Throttled(err, 0))
			}
			return nil
		},
		"each unavailable": func(_ context.Context, b *bridge.Batch) error {
			for i := range b.Records {
				b.Fail(&b.Records[i], bridge.Unavailable(err))
			}
			return nil
		},
		"hangs until its context ends": func(ctx context.Context, _ *bridge.Batch) error {
			<-ctx.Done()
			return ctx.Err()
		},
	}
}

// A sink that takes nothing is replaced by one that works: what waits goes to the
// new one, in order, and the counters go on.
func TestBrokenSinkIsReplaced(t *testing.T) {
	t.Parallel()
	for name, write := range refusing() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				broken, good := &bridgetest.Sink{Before: write}, new(bridgetest.Sink)
				r := run(t, bridge.Config{Sinks: map[string]bridge.Sink{"out": broken}})
				r.publish(500, 7)
				time.Sleep(time.Minute)
				before := r.Stats().Sinks["out"]
				require.EqualValues(t, 500, before.Matched)
				require.Equal(t, bridge.Disconnected, before.Health.State, before.Health.Reason)

				began := time.Now()
				require.NoError(t, r.SetSink(t.Context(), "out", good, bridge.QueueConfig{}))
				require.Less(t, time.Since(began), 7*time.Second)
				require.True(t, broken.Closed())
				r.publish(500, 7)
				require.NoError(t, r.end())

				report := check(&r.c, good.Records())
				require.True(t, report.OK(), report)
				require.Empty(t, append(broken.Violations(), good.Violations()...))
				require.Equal(t, [4]int{1000, 0, 0, 0}, counts(r.src))
				after := r.Stats().Sinks["out"]
				require.EqualValues(t, 1000, after.Matched, "the counters go on")
				require.Positive(t, after.WritesFailed)
				require.Equal(t, bridge.Connected, after.Health.State)
				invariant(t, after)
			})
		})
	}
}

// A Write that never returns does not keep its sink in service: its records are
// written again, and counted as possible duplicates.
func TestHungSinkIsReplaced(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		hung := bridge.SinkFunc(func(context.Context, *bridge.Batch) error {
			<-release
			return bridge.Permanent(errors.New("too late to matter"))
		})
		good := new(bridgetest.Sink)
		r := run(t, bridge.Config{Sinks: map[string]bridge.Sink{"out": hung}})
		r.publish(100, 3)
		time.Sleep(time.Second)
		require.NoError(t, r.SetSink(t.Context(), "out", good, bridge.QueueConfig{}))
		require.NoError(t, r.end())
		report := check(&r.c, good.Records())
		require.True(t, report.OK(), report)
		require.Equal(t, [4]int{100, 0, 0, 0}, counts(r.src))
		require.Positive(t, r.Stats().Sinks["out"].Ambiguous)
		close(release) // what it says now changes nothing
		synctest.Wait()
		require.Equal(t, [4]int{100, 0, 0, 0}, counts(r.src))
		require.Zero(t, r.Stats().Sinks["out"].Ended[bridge.Refused])
	})
}

// opened is a sink that counts how often it is opened and closed.
type opened struct {
	bridge.SinkFunc
	opens, closes atomic.Int32
	openErr       error
	openFor       time.Duration
}

func (o *opened) Open(ctx context.Context) error {
	o.opens.Add(1)
	select {
	case <-time.After(o.openFor):
		return o.openErr
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (o *opened) Close(context.Context) error {
	o.closes.Add(1)
	return nil
}

func stores(context.Context, *bridge.Batch) error { return nil }

// Each sink is opened at most once, and closed once, whatever is done while Run
// still opens the first ones.
func TestSinkIsReplacedWhileRunOpens(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		first, second := &opened{SinkFunc: stores, openFor: time.Second}, &opened{SinkFunc: stores}
		other := &opened{SinkFunc: stores, openFor: time.Second}
		r := run(t, bridge.Config{Sinks: map[string]bridge.Sink{"out": first, "other": other}})
		time.Sleep(time.Second / 2)
		require.NoError(t, r.SetSink(t.Context(), "out", second, bridge.QueueConfig{}))
		<-r.Ready()
		r.publish(10, 1)
		require.NoError(t, r.end())
		for _, o := range []*opened{first, second, other} {
			require.Equal(t, [2]int32{1, 1}, [2]int32{o.opens.Load(), o.closes.Load()})
		}
		require.Equal(t, [4]int{10, 0, 0, 0}, counts(r.src))
	})
}

// A sink that is refused is closed, opened or not, and changes nothing.
func TestRefusedSinkIsClosed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		good := new(bridgetest.Sink)
		r := run(t, bridge.Config{Sinks: map[string]bridge.Sink{"out": good}})
		<-r.Ready()
		for name, c := range map[string]struct {
			sink  *opened
			cfg   bridge.QueueConfig
			opens int32
			want  string
		}{
			"no fallback":    {&opened{SinkFunc: stores}, bridge.QueueConfig{Fallback: "none"}, 0, `Queues["out"].Fallback: there is no sink "none"`},
			"own fallback":   {&opened{SinkFunc: stores}, bridge.QueueConfig{Fallback: "out"}, 0, `the fallbacks lead back to sink "out"`},
			"bad options":    {&opened{SinkFunc: stores}, bridge.QueueConfig{InFlight: -1}, 0, `Queues["out"].InFlight: must not be negative`},
			"does not open":  {&opened{SinkFunc: stores, openErr: errors.New("no such host")}, bridge.QueueConfig{}, 1, `sink "out": no such host`},
			"opens too long": {&opened{SinkFunc: stores, openFor: time.Hour}, bridge.QueueConfig{}, 1, `deadline exceeded`},
		} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			require.ErrorContains(t, r.SetSink(ctx, "out", c.sink, c.cfg), c.want, name)
			cancel()
			require.Equal(t, [2]int32{c.opens, 1}, [2]int32{c.sink.opens.Load(), c.sink.closes.Load()}, name)
		}
		r.publish(10, 1)
		require.NoError(t, r.end())
		require.Len(t, good.Records(), 10)
		late := &opened{SinkFunc: stores}
		require.ErrorIs(t, r.SetSink(t.Context(), "out", late, bridge.QueueConfig{}), bridge.ErrClosed)
		require.Equal(t, [2]int32{0, 1}, [2]int32{late.opens.Load(), late.closes.Load()})
	})
}

// An exchange that is given up leaves the old sink at work.
func TestExchangeIsGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		slow := &bridgetest.Sink{Before: func(context.Context, *bridge.Batch) error {
			time.Sleep(2 * time.Second)
			return nil
		}}
		other, second, third := new(bridgetest.Sink), &opened{SinkFunc: stores}, &opened{SinkFunc: stores}
		r := run(t, bridge.Config{Sinks: map[string]bridge.Sink{"out": slow, "other": other}})
		r.publish(50, 5)
		time.Sleep(time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second/2)
		defer cancel()
		err := r.Apply(ctx, bridge.Change{
			Sinks: map[string]bridge.Sink{"out": second, "other": third, "new": new(bridgetest.Sink)},
			Rules: map[string]bridge.Rule{"all": addressed("new")},
		})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, `sink "out"`)
		require.EqualValues(t, 1, second.closes.Load())
		require.NotContains(t, r.Stats().Sinks, "new")
		require.EqualValues(t, 1, third.closes.Load())
		r.publish(50, 5)
		synctest.Wait()
		require.NoError(t, r.SetRule("all", addressed("other")))
		r.src.Publish(message("other", 1))
		require.NoError(t, r.end())
		require.Len(t, other.Records(), 1, "a sink that waited for the other one goes on")
		report := check(&r.c, slow.Records())
		require.True(t, report.OK(), report)
		require.Zero(t, report.Duplicates)
	})
}

// A change is made at one point: no message sees the new rule with the old sink.
func TestChangeIsAtomic(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sinks := map[string]*bridgetest.Sink{"a": {}, "b": {}}
		r := run(t, bridge.Config{
			Rules: map[string]bridge.Rule{"one": addressed("a"), "two": addressed("a")},
			Sinks: map[string]bridge.Sink{"a": sinks["a"]}, Workers: 4, ReadBatch: 3,
		})
		r.src.Window = 50
		for range 10 {
			r.publish(100, 3)
			time.Sleep(time.Millisecond)
			require.NoError(t, r.Apply(t.Context(), bridge.Change{
				Rules: map[string]bridge.Rule{"one": addressed("b"), "two": addressed("b")},
				Sinks: map[string]bridge.Sink{"b": sinks["b"], "a": nil},
			}))
			sinks["a"], sinks["b"] = &bridgetest.Sink{}, &bridgetest.Sink{}
			require.NoError(t, r.Apply(t.Context(), bridge.Change{
				Rules: map[string]bridge.Rule{"one": addressed("a"), "two": addressed("a")},
				Sinks: map[string]bridge.Sink{"a": sinks["a"], "b": nil},
			}))
		}
		require.NoError(t, r.end())
		require.Equal(t, [4]int{1000, 0, 0, 0}, counts(r.src))
		s := r.Stats()
		require.EqualValues(t, 1000, s.Rules["one"].Passed)
		require.EqualValues(t, 1000, s.Rules["two"].ActionsSuccess)
		require.Zero(t, s.Rules["one"].Exception+s.Rules["two"].Exception)
	})
}

// A sink that gets another name keeps its queue, and so the order of its records.
func TestRenamedSinkKeepsItsQueue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var got bridgetest.Sink
		slow := func(ctx context.Context, _ *bridge.Batch) error {
			time.Sleep(10 * time.Millisecond)
			return nil
		}
		got.Before = slow
		place := func() bridge.Sink { return bridge.SinkFunc(got.Write) } // two clients of one stream
		r := run(t, bridge.Config{Sinks: map[string]bridge.Sink{"out": place()}, Queue: bridge.QueueConfig{BatchSize: 10, InFlight: 4}})
		r.publish(1000, 10)
		time.Sleep(50 * time.Millisecond)
		require.NoError(t, r.Apply(t.Context(), bridge.Change{
			Rules:   map[string]bridge.Rule{"all": addressed("renamed")},
			Sinks:   map[string]bridge.Sink{"renamed": place()},
			Renamed: map[string]string{"renamed": "out"},
		}))
		r.publish(1000, 10)
		require.NoError(t, r.end())
		report := check(&r.c, got.Records())
		require.True(t, report.OK(), report)
		require.Zero(t, report.Duplicates)
		s := r.Stats()
		require.NotContains(t, s.Sinks, "out")
		require.EqualValues(t, 2000, s.Sinks["renamed"].Ended[bridge.Stored])
	})
}

// A sink that something still names is not removed.
func TestRemoveSinkIsRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := run(t, bridge.Config{
			Rules:         map[string]bridge.Rule{"all": targeted{addressed("out"), []bridge.Target{{Sink: "out"}}}},
			Sinks:         map[string]bridge.Sink{"out": new(bridgetest.Sink), "dead": new(bridgetest.Sink), "failed": new(bridgetest.Sink), "free": new(bridgetest.Sink)},
			Queues:        map[string]bridge.QueueConfig{"out": {Fallback: "dead"}},
			RuleFallbacks: map[string]string{"all": "failed"},
		})
		<-r.Ready()
		for name, want := range map[string]string{
			"out": `Rules["all"]: there is no sink "out"`, "dead": `Queues["out"].Fallback: there is no sink "dead"`,
			"failed": `RuleFallbacks["all"]: there is no sink "failed"`, "none": `Sinks["none"]: there is no sink`,
		} {
			err := r.RemoveSink(t.Context(), name)
			require.ErrorContains(t, err, want)
			field, ok := errors.AsType[*bridge.FieldError](err)
			require.True(t, ok)
			require.NotEmpty(t, field.Path)
		}
		require.NoError(t, r.RemoveSink(t.Context(), "free"))
		require.NoError(t, r.end())
	})
}

// targeted is a rule that tells its targets.
type targeted struct {
	bridge.Rule
	targets []bridge.Target
}

func (t targeted) Targets() []bridge.Target { return t.targets }

// What a removed sink does not write in time stays unacknowledged, and a sink of
// its name waits for it.
func TestRemovedSinkDrains(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		slow := &bridgetest.Sink{Before: func(ctx context.Context, _ *bridge.Batch) error {
			select {
			case <-time.After(3 * time.Second):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}}
		second := new(bridgetest.Sink)
		r := run(t, bridge.Config{Sinks: map[string]bridge.Sink{"out": slow, "other": new(bridgetest.Sink)}})
		r.publish(1, 1)
		time.Sleep(time.Second)
		r.publish(1, 1) // waits behind the first
		time.Sleep(time.Second)
		removed := make(chan error)
		go func() {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			removed <- r.RemoveSink(ctx, "out")
		}()
		time.Sleep(time.Second / 2)
		require.Contains(t, r.Stats().Sinks, "out", "it is seen until it has ended")
		require.NoError(t, r.SetSink(t.Context(), "out", second, bridge.QueueConfig{}))
		err := <-removed
		require.ErrorIs(t, err, bridge.ErrDrainTimeout)
		require.ErrorContains(t, err, "1 records were not stored")
		require.True(t, slow.Closed())
		require.Equal(t, [4]int{1, 1, 0, 0}, counts(r.src))
		r.publish(1, 1)
		require.ErrorIs(t, r.end(), bridge.ErrDrainTimeout, "what was given up is told at the end, too")
		require.Len(t, second.Records(), 1)
	})
}

// A change that comes while the pipeline stops, or the other way round, ends.
func TestStopDuringExchange(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		stuck := &bridgetest.Sink{Before: func(ctx context.Context, _ *bridge.Batch) error {
			<-ctx.Done()
			return ctx.Err()
		}}
		next := &opened{SinkFunc: stores}
		r := run(t, bridge.Config{Sinks: map[string]bridge.Sink{"out": stuck}, DrainTimeout: time.Second})
		r.publish(10, 2)
		time.Sleep(time.Second)
		changed := make(chan error)
		go func() { changed <- r.SetSink(t.Context(), "out", next, bridge.QueueConfig{}) }()
		time.Sleep(time.Millisecond)
		r.stop()
		err := <-r.done
		changeErr := <-changed
		if err != nil { // either may come first
			require.ErrorIs(t, err, bridge.ErrDrainTimeout)
		}
		if changeErr != nil {
			require.ErrorIs(t, changeErr, bridge.ErrClosed)
		}
		require.True(t, stuck.Closed())
		require.EqualValues(t, 1, next.closes.Load())
		acked, failed, open, twice := r.src.Counts()
		require.Equal(t, [3]int{10, 0, 0}, [3]int{acked + failed, open, twice})
	})
}

// Options of a queue can be changed without another sink.
func TestQueueIsReconfigured(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sink := &opened{SinkFunc: stores}
		r := run(t, bridge.Config{Sinks: map[string]bridge.Sink{"out": sink}})
		<-r.Ready()
		require.NoError(t, r.Apply(t.Context(), bridge.Change{Queues: map[string]bridge.QueueConfig{"out": {MaxRecords: 5}}}))
		require.Equal(t, 5, r.Stats().Sinks["out"].Queue.MaxRecords)
		require.Equal(t, 5, r.Config().Queues["out"].MaxRecords)
		require.Zero(t, sink.closes.Load())
		r.publish(100, 2)
		require.NoError(t, r.end())
		require.EqualValues(t, 1, sink.closes.Load())
		require.EqualValues(t, 100, r.Stats().Sinks["out"].Ended[bridge.Stored])
	})
}

// A sink that is removed while the pipeline ends is closed once.
func TestRemovedWhileThePipelineEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sink := &opened{SinkFunc: func(context.Context, *bridge.Batch) error {
			time.Sleep(time.Second)
			return nil
		}}
		r := run(t, bridge.Config{Sinks: map[string]bridge.Sink{"out": sink, "other": &opened{SinkFunc: stores}}})
		r.publish(3, 1)
		time.Sleep(time.Second / 2)
		removed := make(chan error)
		go func() { removed <- r.RemoveSink(t.Context(), "out") }()
		time.Sleep(time.Millisecond)
		require.NoError(t, r.end())
		require.NoError(t, <-removed)
		require.EqualValues(t, 1, sink.closes.Load())
		require.Equal(t, [4]int{3, 0, 0, 0}, counts(r.src))
	})
}
