package bridge_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/bridge/bridgetest"
)

// A change is refused for what New would refuse.
func TestChangeIsCheckedLikeNew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := run(t, bridge.Config{Sinks: map[string]bridge.Sink{"out": new(bridgetest.Sink)}})
		<-r.Ready()
		require.ErrorContains(t, r.SetSink(t.Context(), "in", new(bridgetest.Sink), bridge.QueueConfig{}),
			`Sinks["in"]: a source has the same name`)
		require.ErrorContains(t, r.Apply(t.Context(), bridge.Change{RuleFallbacks: map[string]string{"all": "out"}}),
			`RuleFallbacks["all"]: Rules has no rule of this name`)
		require.NoError(t, r.end())
	})
}

// owned is a sink that counts how often it is opened and closed.
type owned struct {
	bridgetest.Sink
	opens, closes atomic.Int32
	open          func(context.Context) error
}

func (o *owned) Open(ctx context.Context) error {
	o.opens.Add(1)
	if o.open != nil {
		return o.open(ctx)
	}
	return nil
}

func (o *owned) Close(ctx context.Context) error {
	o.closes.Add(1)
	return o.Sink.Close(ctx)
}

// Other options for the same sink, while one of its Writes takes longer than the
// exchange waits: that Write's context ends, but not that of the Writes after it.
func TestOptionsChangeDuringALongWrite(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int32
		sink := &bridgetest.Sink{Before: func(ctx context.Context, _ *bridge.Batch) error {
			if calls.Add(1) == 1 {
				<-ctx.Done()
			}
			return ctx.Err()
		}}
		r := run(t, bridge.Config{Sinks: map[string]bridge.Sink{"out": sink}, DrainTimeout: time.Minute})
		r.publish(100, 5)
		time.Sleep(time.Second)
		require.NoError(t, r.SetSink(t.Context(), "out", sink, bridge.QueueConfig{BatchSize: 10}))
		r.publish(100, 5)
		require.NoError(t, r.end())
		require.Equal(t, [4]int{200, 0, 0, 0}, counts(r.src))
		require.True(t, check(&r.c, sink.Records()).OK())
		require.Empty(t, sink.Violations())
	})
}

// A sink has one owner: one that is in service, or named twice, is not taken under
// another name, and none is closed twice or while it is in service.
func TestSinkHasOneOwner(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(a, b, c bridge.Sink) bridge.Change{
		"a new sink twice": func(_, _, c bridge.Sink) bridge.Change {
			return bridge.Change{Sinks: map[string]bridge.Sink{"c": c, "d": c}}
		},
		"two sinks swapped": func(a, b, c bridge.Sink) bridge.Change {
			return bridge.Change{Sinks: map[string]bridge.Sink{"out": b, "b": a, "c": c}}
		},
		"moved without Renamed": func(_, b, c bridge.Sink) bridge.Change {
			return bridge.Change{Sinks: map[string]bridge.Sink{"b": nil, "d": b, "c": c}}
		},
		"moved onto another": func(_, b, c bridge.Sink) bridge.Change {
			return bridge.Change{Sinks: map[string]bridge.Sink{"b": nil, "out": b, "c": c}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var a, b, c owned
				r := run(t, bridge.Config{Sinks: map[string]bridge.Sink{"out": &a, "b": &b}})
				<-r.Ready()
				err := r.Apply(t.Context(), change(&a, &b, &c))
				var field *bridge.FieldError
				require.ErrorAs(t, err, &field)
				require.Equal(t, [3]int32{0, 0, 1}, [3]int32{a.closes.Load(), b.closes.Load(), c.closes.Load()})
				r.publish(10, 2)
				require.NoError(t, r.end())
				require.Equal(t, [3]int32{1, 1, 1}, [3]int32{a.closes.Load(), b.closes.Load(), c.closes.Load()})
				require.Empty(t, a.Violations())
			})
		})
	}
}

// A queue cannot be given a name that another queue has: that one would be in no
// table, and its records would never end.
func TestRenameOntoAnotherSink(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var a, b, c owned
		r := run(t, bridge.Config{Sinks: map[string]bridge.Sink{"out": &a, "b": &b}})
		<-r.Ready()
		err := r.Apply(t.Context(), bridge.Change{Sinks: map[string]bridge.Sink{"out": &c}, Renamed: map[string]string{"out": "b"}})
		require.ErrorContains(t, err, `Renamed["out"]`)
		// But two may change their names.
		require.NoError(t, r.Apply(t.Context(), bridge.Change{
			Sinks:   map[string]bridge.Sink{"out": &b, "b": &a},
			Renamed: map[string]string{"out": "b", "b": "out"},
		}))
		r.publish(10, 2)
		require.NoError(t, r.end())
		require.Len(t, b.Records(), 10)
		require.Equal(t, [3]int32{1, 1, 1}, [3]int32{a.closes.Load(), b.closes.Load(), c.closes.Load()})
	})
}

// A change that does not even begin closes its new sinks, too.
func TestChangeThatDoesNotBegin(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var a owned
		r := run(t, bridge.Config{Sinks: map[string]bridge.Sink{"out": &a}})
		<-r.Ready()
		ended, end := context.WithCancel(t.Context())
		end()
		for range 10 {
			var late owned
			require.ErrorIs(t, r.SetSink(ended, "late", &late, bridge.QueueConfig{}), context.Canceled)
			require.EqualValues(t, 1, late.closes.Load())
		}

		goOn := make(chan struct{})
		slow := &owned{open: func(context.Context) error { <-goOn; return nil }}
		var wg sync.WaitGroup
		wg.Go(func() { require.NoError(t, r.SetSink(t.Context(), "slow", slow, bridge.QueueConfig{})) })
		synctest.Wait()
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var behind owned
		require.ErrorIs(t, r.SetSink(short, "behind", &behind, bridge.QueueConfig{}), context.DeadlineExceeded)
		require.EqualValues(t, 1, behind.closes.Load())
		close(goOn)
		wg.Wait()
		require.NoError(t, r.end())
	})
}

// A sink is set while the one of its name is being removed by a change that began
// before: it waits until that has written its records.
func TestSetSinkMeetsRemoveSink(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var open atomic.Bool
		old := &bridgetest.Sink{Before: func(context.Context, *bridge.Batch) error {
			if !open.Load() {
				return errors.New("not yet")
			}
			return nil
		}}
		goOn := make(chan struct{})
		slow := &owned{open: func(context.Context) error { <-goOn; return nil }}
		r := run(t, bridge.Config{Sinks: map[string]bridge.Sink{"out": old, "b": new(bridgetest.Sink)}})
		r.publish(100, 3)
		time.Sleep(time.Second)
		var wg sync.WaitGroup
		wg.Go(func() { // holds the changes until its new sink has opened
			require.NoError(t, r.Apply(t.Context(), bridge.Change{
				Rules: map[string]bridge.Rule{"all": addressed("b")},
				Sinks: map[string]bridge.Sink{"out": nil, "slow": slow},
			}))
		})
		synctest.Wait()
		next := new(bridgetest.Sink)
		wg.Go(func() { require.NoError(t, r.SetSink(t.Context(), "out", next, bridge.QueueConfig{})) })
		wg.Go(func() {
			time.Sleep(5 * time.Second)
			require.NoError(t, r.SetRule("all", addressed("b")), "who waits for a removed sink holds up no other change")
			open.Store(true)
		})
		synctest.Wait()
		close(goOn)
		time.Sleep(3 * time.Second)
		require.Nil(t, r.Config().Sinks["out"], "the records of the removed sink would be overtaken")
		wg.Wait()
		require.Len(t, old.Records(), 100)
		require.NoError(t, r.end())
	})
}

// The pipeline stops while a change waits for a sink that does not open: the change
// is given up, and others are not held up by it.
func TestStopWhileASinkDoesNotOpen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := run(t, bridge.Config{Sinks: map[string]bridge.Sink{"out": new(bridgetest.Sink)}, DrainTimeout: 2 * time.Second})
		<-r.Ready()
		goOn := make(chan struct{})
		slow := &owned{open: func(context.Context) error { <-goOn; return nil }}
		done := make(chan error, 1)
		go func() { done <- r.SetSink(t.Context(), "slow", slow, bridge.QueueConfig{}) }()
		synctest.Wait()
		r.stop()
		require.NoError(t, <-r.done)
		close(goOn)
		select {
		case err := <-done:
			require.ErrorIs(t, err, bridge.ErrClosed)
		case <-time.After(time.Minute):
			t.Fatal("Apply does not return")
		}
		require.EqualValues(t, 1, slow.closes.Load())
		require.ErrorIs(t, r.SetRule("all", addressed("out")), bridge.ErrClosed)
	})
}

// A rule does not return until long after the end: Run says that messages were
// left, and settles those behind it as Abandoned.
func TestRuleHangsAtTheEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		goOn := make(chan struct{})
		sink := new(bridgetest.Sink)
		r := run(t, bridge.Config{
			Sinks: map[string]bridge.Sink{"out": sink}, Workers: 4, ReadBatch: 1, DrainTimeout: time.Second,
			Rules: map[string]bridge.Rule{"all": bridge.RuleFunc(func(out *bridge.Out, m *bridge.Message) error {
				if m.ClientID == "2" {
					<-goOn
				}
				out.Add(bridge.Record{Sink: "out", Key: []byte(m.ClientID), Data: m.Payload})
				return nil
			}, "#")},
		})
		r.publish(5, 5)
		time.Sleep(time.Second)
		r.stop()
		require.ErrorIs(t, <-r.done, bridge.ErrDrainTimeout)
		synctest.Wait()
		require.Equal(t, [4]int{2, 2, 1, 0}, counts(r.src))
		close(goOn)
		synctest.Wait()
		require.Equal(t, [4]int{2, 3, 0, 0}, counts(r.src))
		require.Len(t, sink.Records(), 2)
	})
}

// A worker waits for room in a queue whose sink hangs, and others wait behind it.
// When the drain is over all of their messages are settled, and no rule is blamed.
func TestWorkersWaitAtTheEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log, text := logTo()
		sink := &bridgetest.Sink{Before: func(ctx context.Context, _ *bridge.Batch) error { <-ctx.Done(); return ctx.Err() }}
		r := run(t, bridge.Config{
			Sinks: map[string]bridge.Sink{"out": sink}, Workers: 4, ReadBatch: 3, DrainTimeout: time.Second,
			Queue: bridge.QueueConfig{MaxRecords: 5}, Logger: log,
		})
		r.publish(12, 5)
		time.Sleep(time.Second)
		r.stop()
		require.ErrorIs(t, <-r.done, bridge.ErrDrainTimeout)
		require.Equal(t, [4]int{0, 12, 0, 0}, counts(r.src))
		require.NotContains(t, text.String(), "call=Apply")
	})
}

// A Read returns messages long after its context has ended: nobody queues them
// any more, so they are left to the upstream.
func TestReadReturnsLate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src, sink := new(bridgetest.Source), new(bridgetest.Sink)
		src.Publish(message("a", 1), message("a", 2))
		late := sourceFunc(func(_ context.Context, dst []bridge.Message) (int, error) {
			time.Sleep(10 * time.Second)
			return src.Read(t.Context(), dst)
		})
		r := run(t, bridge.Config{Sources: map[string]bridge.Source{"in": late}, Sinks: map[string]bridge.Sink{"out": sink}})
		time.Sleep(time.Second)
		r.stop()
		require.NoError(t, <-r.done)
		time.Sleep(time.Minute)
		require.Equal(t, [4]int{0, 2, 0, 0}, counts(src))
		require.Empty(t, sink.Records())
	})
}

// Dead letters push other records out of a fallback that drops, and its own fallback
// is full: the writer that brings them waits for neither, so that its sink can be
// exchanged, and then the one that is in the way.
func TestWriterWaitsForNoFallback(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hang := func(ctx context.Context, _ *bridge.Batch) error { <-ctx.Done(); return ctx.Err() }
		first := &bridgetest.Sink{Fault: refuseAll}
		second, third := &bridgetest.Sink{Before: hang}, &bridgetest.Sink{Before: hang}
		rule := bridge.RuleFunc(func(out *bridge.Out, m *bridge.Message) error {
			out.Add(bridge.Record{Sink: m.Topic, Key: []byte(m.ClientID), Data: m.Payload})
			return nil
		}, "#")
		r := run(t, bridge.Config{
			Rules: map[string]bridge.Rule{"all": rule},
			Sinks: map[string]bridge.Sink{"first": first, "second": second, "third": third},
			Queues: map[string]bridge.QueueConfig{
				"first":  {Fallback: "second"},
				"second": {Fallback: "third", MaxRecords: 4, InFlight: 1, BatchSize: 1, OnFull: bridge.DropOldest},
				"third":  {MaxRecords: 2, InFlight: 1, BatchSize: 1},
			},
		})
		send := func(sink string, n int) {
			for range n {
				m := message("k", r.next)
				m.Topic, m.ClientID = sink, fmt.Sprint(r.next)
				r.src.Publish(m)
				r.next++
			}
			time.Sleep(time.Second)
		}
		send("third", 2)
		send("second", 4)
		send("first", 20)
		changed := make(chan error, 1)
		go func() {
			var errs []error
			for _, name := range []string{"first", "second", "third"} {
				errs = append(errs, r.SetSink(t.Context(), name, new(bridgetest.Sink), r.Config().Queues[name]))
			}
			changed <- errors.Join(errs...)
		}()
		select {
		case err := <-changed:
			require.NoError(t, err)
		case <-time.After(time.Minute):
			t.Fatal("the exchange does not end")
		}
		require.NoError(t, r.end())
		acked, failed, open, twice := r.src.Counts()
		require.Equal(t, [4]int{26, 0, 0, 0}, [4]int{acked, failed, open, twice})
		for _, s := range r.Stats().Sinks {
			invariant(t, s)
		}
	})
}

// What the options leave to a sink follows the sink that is in service.
func TestDefaultsFollowTheSink(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		small := &bridgetest.Sink{Max: bridge.Limits{Records: 3, Bytes: 1000, BatchTime: time.Second}}
		r := run(t, bridge.Config{Sinks: map[string]bridge.Sink{"out": small}, Queue: bridge.QueueConfig{InFlight: 2}})
		<-r.Ready()
		require.NoError(t, r.Apply(t.Context(), bridge.Change{Sinks: map[string]bridge.Sink{"out": new(bridgetest.Sink)}}))
		cfg := r.Config().Queues["out"]
		require.Equal(t, 500, cfg.BatchSize)
		require.Equal(t, 4<<20, cfg.BatchBytes)
		require.Equal(t, 5*time.Millisecond, cfg.BatchTime)
		require.Equal(t, 2, cfg.InFlight)
		require.NoError(t, r.end())
	})
}

// The end waits for a sink that is being removed; the removal gives up a Write that
// does not return, and with it the end has nothing to wait for.
func TestEndWaitsForARemovedSink(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		goOn := make(chan struct{})
		defer close(goOn)
		stuck := bridge.SinkFunc(func(context.Context, *bridge.Batch) error { <-goOn; return nil })
		r := run(t, bridge.Config{Sinks: map[string]bridge.Sink{"out": stuck, "b": new(bridgetest.Sink)}})
		r.publish(3, 1)
		time.Sleep(time.Second)
		removed := make(chan error, 1)
		go func() {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			removed <- r.Apply(ctx, bridge.Change{
				Rules: map[string]bridge.Rule{"all": addressed("b")}, Sinks: map[string]bridge.Sink{"out": nil},
			})
		}()
		time.Sleep(time.Second)
		r.src.End()
		select {
		case err := <-r.done:
			require.ErrorIs(t, err, bridge.ErrDrainTimeout)
		case <-time.After(time.Minute):
			t.Fatal("Run does not end")
		}
		require.ErrorIs(t, <-removed, bridge.ErrDrainTimeout)
		require.Equal(t, [4]int{0, 3, 0, 0}, counts(r.src))
	})
}

// slowClose is a sink that takes a second to close.
type slowClose struct{ owned }

func (s *slowClose) Close(ctx context.Context) error {
	time.Sleep(time.Second)
	return s.owned.Close(ctx)
}

// Run ends while a removed sink is being closed: it waits for that, and does not close
// the sink again.
func TestEndMeetsRemoveSink(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		out := new(slowClose)
		r := run(t, bridge.Config{Sinks: map[string]bridge.Sink{"out": out, "b": new(bridgetest.Sink)}})
		<-r.Ready()
		require.NoError(t, r.SetRule("all", addressed("b")))
		go func() { _ = r.RemoveSink(t.Context(), "out") }()
		synctest.Wait()
		require.NoError(t, r.end())
		require.EqualValues(t, 1, out.closes.Load())
		time.Sleep(time.Minute)
		require.EqualValues(t, 1, out.closes.Load())
	})
}
