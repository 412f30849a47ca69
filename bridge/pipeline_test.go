package bridge_test

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/bridge/bridgetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// quiet keeps expected warnings out of the test's output.
var quiet = slog.New(slog.DiscardHandler)

// keyed makes one record of a message: its client id is the key, its payload the
// data.
func keyed(filters ...string) bridge.Rule {
	return bridge.RuleFunc(func(out *bridge.Out, m *bridge.Message) error {
		out.Add(bridge.Record{Key: []byte(m.ClientID), Data: m.Payload})
		return nil
	}, filters...)
}

func message(key string, seq uint64) bridge.Message {
	return bridge.Message{
		Topic: "t/" + key, ClientID: key, QoS: 1,
		Payload: binary.BigEndian.AppendUint64(nil, seq),
	}
}

func check(c *bridgetest.Checker, records []bridgetest.Stored) bridgetest.Report {
	for _, r := range records {
		c.Got(r.Key, binary.BigEndian.Uint64([]byte(r.Data)))
	}
	return c.Report()
}

// invariant checks the sum that SinkStats promises.
func invariant(t *testing.T, s bridge.SinkStats) {
	t.Helper()
	require.Equal(t, s.Matched, sum(s.Ended)+uint64(s.Queue.Inflight)+uint64(s.Queue.Waiting), "%+v", s)
}

func TestPipelineDelivers(t *testing.T) {
	t.Parallel()
	src, sink := new(bridgetest.Source), new(bridgetest.Sink)
	p, err := bridge.New(bridge.Config{
		Sources: map[string]bridge.Source{"in": src},
		Rules:   map[string]bridge.Rule{"all": keyed("t/#")},
		Sinks:   map[string]bridge.Sink{"mem": sink},
	})
	require.NoError(t, err)
	var c bridgetest.Checker
	for i := range uint64(10_000) {
		key := strconv.Itoa(int(i % 100))
		c.Sent(key, i)
		src.Publish(message(key, i))
	}
	src.Publish(bridge.Message{Topic: "other"})
	src.End()
	require.NoError(t, p.Run(t.Context()))

	report := check(&c, sink.Records())
	require.True(t, report.OK(), report)
	require.Zero(t, report.Duplicates)
	acked, failed, open, twice := src.Counts()
	require.Equal(t, [4]int{10_001, 0, 0, 0}, [4]int{acked, failed, open, twice})
	require.Empty(t, sink.Violations())
	require.True(t, sink.Closed())
	require.True(t, src.Closed())

	s := p.Stats()
	require.EqualValues(t, 10_001, s.Sources["in"].Received)
	require.EqualValues(t, 1, s.Sources["in"].Unmatched)
	require.EqualValues(t, 10_000, s.Rules["all"].Passed)
	require.EqualValues(t, 10_000, s.Rules["all"].ActionsSuccess)
	require.EqualValues(t, 10_000, s.Sinks["mem"].Ended[bridge.Stored])
	invariant(t, s.Sinks["mem"])
}

// TestPipelineUnderFaults throws every kind of failure at a pipeline, by a seed,
// and checks what must hold whatever happens.
func TestPipelineUnderFaults(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { faults(t, seed) })
		})
	}
}

func faults(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 1))
	src := &bridgetest.Source{Window: 1 + rng.IntN(2000)}
	sink := randomFaults(rng)
	p, err := bridge.New(bridge.Config{
		Sources: map[string]bridge.Source{"in": src},
		Rules:   map[string]bridge.Rule{"all": keyed("t/#")},
		Sinks:   map[string]bridge.Sink{"mem": sink},
		Queue: bridge.QueueConfig{
			BatchSize: 1 + rng.IntN(100), InFlight: 1 + rng.IntN(20),
			MaxRecords: 1 + rng.IntN(1000),
		},
		ReadBatch: 1 + rng.IntN(64), Workers: 1 + rng.IntN(4), Logger: quiet,
	})
	require.NoError(t, err)
	const messages = 3000
	keys := 1 + rng.IntN(200)
	var c bridgetest.Checker
	for i := range uint64(messages) {
		key := strconv.Itoa(rng.IntN(keys))
		c.Sent(key, i)
		src.Publish(message(key, i))
	}
	src.End()
	require.NoError(t, p.Run(t.Context()))

	report := check(&c, sink.Records())
	require.True(t, report.OK(), report)
	acked, failed, open, twice := src.Counts()
	require.Equal(t, [4]int{messages, 0, 0, 0}, [4]int{acked, failed, open, twice})
	require.Empty(t, sink.Violations())
	s := p.Stats().Sinks["mem"]
	invariant(t, s)
	require.EqualValues(t, messages, s.Ended[bridge.Stored])
	require.LessOrEqual(t, report.Duplicates, int(s.Ambiguous))
	require.Zero(t, s.Queue.Lanes)
}

// randomFaults returns a sink that fails in every way a sink may and still, in
// the end, stores everything.
func randomFaults(rng *rand.Rand) *bridgetest.Sink {
	fault := rand.New(rand.NewPCG(rng.Uint64(), 2))
	errs := []error{
		errors.New("plain"),
		bridge.Throttled(errors.New("slow down"), 0),
		bridge.Throttled(errors.New("slow down"), time.Second),
		bridge.Unavailable(errors.New("no such stream")),
		bridge.Ambiguous(errors.New("timeout")),
	}
	sink := &bridgetest.Sink{Fault: func(int, *bridge.Record) bridgetest.Fault {
		if fault.IntN(10) > 0 {
			return bridgetest.Fault{}
		}
		err := errs[fault.IntN(len(errs))]
		return bridgetest.Fault{Err: err, Store: errors.Is(err, bridge.ErrAmbiguous) && fault.IntN(2) == 0}
	}}
	if rng.IntN(2) == 0 {
		sink.Max.LaneRecords = 1 + rng.IntN(3)
	}
	if rng.IntN(3) == 0 {
		sink.Max.Lanes, sink.Max.LaneFill = 1+rng.IntN(50), 1+rng.IntN(100)
	}
	seed := rng.Uint64()
	sink.Before = func(ctx context.Context, b *bridge.Batch) error {
		r := rand.New(rand.NewPCG(seed, b.Records[0].Lane+uint64(len(b.Records))+uint64(b.Records[0].Attempt)))
		select {
		case <-time.After(time.Duration(r.IntN(50)) * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
		switch r.IntN(20) {
		case 0:
			return errors.New("connection refused")
		case 1:
			return bridge.Unavailable(errors.New("access denied"))
		case 2:
			panic("sink bug")
		}
		return nil
	}
	sink.After = func(context.Context, *bridge.Batch) error {
		return nil
	}
	return sink
}

func TestPermanentFailuresGoToTheFallback(t *testing.T) {
	t.Parallel()
	src, dead := new(bridgetest.Source), new(bridgetest.Sink)
	sink := &bridgetest.Sink{Fault: func(_ int, r *bridge.Record) bridgetest.Fault {
		if binary.BigEndian.Uint64(r.Data)%10 == 3 {
			return bridgetest.Fault{Err: bridge.Permanent(errors.New("too large"))}
		}
		return bridgetest.Fault{}
	}}
	p, err := bridge.New(bridge.Config{
		Sources: map[string]bridge.Source{"in": src},
		Rules:   map[string]bridge.Rule{"all": keyed("t/#")},
		Sinks:   map[string]bridge.Sink{"main": sink, "dead": dead},
		Queues:  map[string]bridge.QueueConfig{"main": {Fallback: "dead"}},
		Logger:  quiet,
	})
	require.NoError(t, err)
	require.NoError(t, p.SetRule("all", bridge.RuleFunc(func(out *bridge.Out, m *bridge.Message) error {
		out.Add(bridge.Record{Sink: "main", Key: []byte(m.ClientID), Data: m.Payload})
		return nil
	}, "t/#")))
	for i := range uint64(100) {
		src.Publish(message("k", i))
	}
	src.End()
	require.NoError(t, p.Run(t.Context()))
	require.Len(t, sink.Records(), 90)
	letters := dead.Records()
	require.Len(t, letters, 10)
	require.Equal(t, "too large", letters[0].Attrs["error"])
	require.Equal(t, "main", letters[0].Attrs["sink"])
	require.Equal(t, "t/k", letters[0].Attrs["topic"])
	require.Equal(t, "all", letters[0].Attrs["rule"])
	require.Equal(t, "1", letters[0].Attrs["attempts"])
	acked, _, open, twice := src.Counts()
	require.Equal(t, [3]int{100, 0, 0}, [3]int{acked, open, twice})
	s := p.Stats()
	require.EqualValues(t, 10, s.Sinks["main"].Ended[bridge.DeadLettered])
	require.EqualValues(t, 10, s.Rules["all"].ActionsFailed)
	invariant(t, s.Sinks["main"])
	invariant(t, s.Sinks["dead"])
}

func TestDrainTimeoutLeavesMessagesUnacknowledged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := new(bridgetest.Source)
		sink := &bridgetest.Sink{Before: func(ctx context.Context, _ *bridge.Batch) error {
			<-ctx.Done()
			return ctx.Err()
		}}
		p, err := bridge.New(bridge.Config{
			Sources:      map[string]bridge.Source{"in": src},
			Rules:        map[string]bridge.Rule{"all": keyed("#")},
			Sinks:        map[string]bridge.Sink{"mem": sink},
			Queue:        bridge.QueueConfig{MaxRecords: 10},
			DrainTimeout: 5 * time.Second,
			Logger:       quiet,
		})
		require.NoError(t, err)
		for i := range uint64(100) {
			src.Publish(message(strconv.FormatUint(i, 10), i))
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		start := time.Now()
		err = p.Run(ctx)
		require.ErrorIs(t, err, bridge.ErrDrainTimeout)
		require.Equal(t, 6*time.Second, time.Since(start))
		acked, failed, open, twice := src.Counts()
		require.Zero(t, acked)
		require.Zero(t, twice)
		require.Equal(t, 100, failed+open)
		invariant(t, p.Stats().Sinks["mem"])
	})
}

func TestOptionalRecordsDoNotHoldUpOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src, good := new(bridgetest.Source), new(bridgetest.Sink)
		stuck := &bridgetest.Sink{Before: func(context.Context, *bridge.Batch) error {
			return bridge.Unavailable(errors.New("no such stream"))
		}}
		p, err := bridge.New(bridge.Config{
			Sources: map[string]bridge.Source{"in": src},
			Rules: map[string]bridge.Rule{"both": bridge.RuleFunc(func(out *bridge.Out, m *bridge.Message) error {
				out.Add(bridge.Record{Sink: "stuck", Key: []byte("k"), Data: m.Payload, Optional: true})
				out.Add(bridge.Record{Sink: "good", Key: []byte("k"), Data: m.Payload})
				return nil
			}, "#")},
			Sinks:        map[string]bridge.Sink{"good": good, "stuck": stuck},
			Queue:        bridge.QueueConfig{MaxRecords: 10},
			DrainTimeout: time.Second,
			Logger:       quiet,
		})
		require.NoError(t, err)
		for i := range uint64(1000) {
			src.Publish(message("k", i))
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- p.Run(ctx) }()
		require.NoError(t, src.WaitSettled(t.Context(), 1000))
		synctest.Wait()
		s := p.Stats()
		require.Len(t, good.Records(), 1000)
		require.EqualValues(t, 990, s.Sinks["stuck"].Ended[bridge.Dropped])
		require.Equal(t, bridge.Disconnected, s.Sinks["stuck"].Health.State)
		require.Equal(t, "no such stream", s.Sinks["stuck"].Health.Reason)
		require.Equal(t, bridge.Connected, s.Sinks["good"].Health.State)
		cancel()
		require.ErrorIs(t, <-done, bridge.ErrDrainTimeout)
	})
}

func TestFullQueuePolicies(t *testing.T) {
	t.Parallel()
	for _, policy := range []bridge.FullPolicy{bridge.DropOldest, bridge.DropNewest} {
		t.Run(policy.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				release := make(chan struct{})
				src := new(bridgetest.Source)
				sink := &bridgetest.Sink{Before: func(context.Context, *bridge.Batch) error {
					<-release
					return nil
				}}
				p, err := bridge.New(bridge.Config{
					Sources: map[string]bridge.Source{"in": src},
					Rules:   map[string]bridge.Rule{"all": keyed("#")},
					Sinks:   map[string]bridge.Sink{"mem": sink},
					Queue:   bridge.QueueConfig{MaxRecords: 10, OnFull: policy, BatchSize: 1, InFlight: 1},
					Logger:  quiet,
				})
				require.NoError(t, err)
				src.Publish(message("first", 0))
				done := make(chan error)
				go func() { done <- p.Run(t.Context()) }()
				synctest.Wait() // the first one is in a Write
				for i := range uint64(29) {
					src.Publish(message(strconv.FormatUint(i%3, 10), i+1))
				}
				src.End()
				synctest.Wait()
				close(release)
				require.NoError(t, <-done)
				var got []uint64
				for _, r := range sink.Records() {
					got = append(got, binary.BigEndian.Uint64([]byte(r.Data)))
				}
				want := []uint64{0, 21, 22, 23, 24, 25, 26, 27, 28, 29}
				if policy == bridge.DropNewest {
					want = []uint64{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}
				}
				require.ElementsMatch(t, want, got)
				s := p.Stats().Sinks["mem"]
				require.EqualValues(t, 20, s.Ended[bridge.Dropped])
				invariant(t, s)
				acked, _, open, _ := src.Counts()
				require.Equal(t, [2]int{30, 0}, [2]int{acked, open})
			})
		})
	}
}

func TestRecordTTL(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := new(bridgetest.Source)
		var down atomic.Bool
		down.Store(true)
		sink := &bridgetest.Sink{Before: func(context.Context, *bridge.Batch) error {
			if down.Load() {
				return errors.New("connection refused")
			}
			return nil
		}}
		p, err := bridge.New(bridge.Config{
			Sources: map[string]bridge.Source{"in": src},
			Rules:   map[string]bridge.Rule{"all": keyed("#")},
			Sinks:   map[string]bridge.Sink{"mem": sink},
			Queue:   bridge.QueueConfig{RecordTTL: time.Minute},
			Logger:  quiet,
		})
		require.NoError(t, err)
		src.Publish(message("k", 1), message("k", 2))
		time.AfterFunc(45*time.Second, func() { src.Publish(message("k", 3)); src.End() })
		time.AfterFunc(90*time.Second, func() { down.Store(false) })
		require.NoError(t, p.Run(t.Context()))
		require.Len(t, sink.Records(), 1)
		s := p.Stats().Sinks["mem"]
		require.EqualValues(t, 2, s.Ended[bridge.Expired])
		invariant(t, s)
	})
}

func TestRuleErrorsAndPanics(t *testing.T) {
	t.Parallel()
	src, sink := new(bridgetest.Source), new(bridgetest.Sink)
	var events []error
	rule := func(f func(seq uint64) error) bridge.Rule {
		return bridge.RuleFunc(func(out *bridge.Out, m *bridge.Message) error {
			out.Add(bridge.Record{Key: []byte("k"), Data: m.Payload})
			return f(binary.BigEndian.Uint64(m.Payload))
		}, "t/#")
	}
	p, err := bridge.New(bridge.Config{
		Sources: map[string]bridge.Source{"in": src},
		Rules: map[string]bridge.Rule{
			"a-fails":  rule(func(uint64) error { return errors.New("bad") }),
			"b-panics": rule(func(seq uint64) error { return []error{}[seq] }),
			"c-works":  rule(func(uint64) error { return nil }),
			"d-lost":   bridge.RuleFunc(func(out *bridge.Out, _ *bridge.Message) error { out.Add(bridge.Record{Sink: "none"}); return nil }, "t/#"),
			"e-drops":  bridge.RuleFunc(func(*bridge.Out, *bridge.Message) error { return nil }, "t/#"),
		},
		Sinks:   map[string]bridge.Sink{"mem": sink},
		Workers: 1,
		Hooks:   bridge.Hooks{OnRuleError: func(_, _ string, err error) { events = append(events, err) }},
		Logger:  quiet,
	})
	require.NoError(t, err)
	src.Publish(message("x", 0), message("x", 1))
	src.End()
	require.NoError(t, p.Run(t.Context()))
	require.Len(t, sink.Records(), 2)
	require.Equal(t, "c-works", sink.Records()[0].Rule)
	require.Len(t, events, 6)
	require.ErrorContains(t, events[1], `rule "b-panics" panicked`)
	require.ErrorContains(t, events[2], `there is no sink "none"`)
	s := p.Stats().Rules
	for _, name := range []string{"a-fails", "b-panics", "d-lost"} {
		got := s[name]
		require.Contains(t, map[string]string{
			"a-fails": "bad", "d-lost": `there is no sink "none"`,
			"b-panics": `rule "b-panics" panicked in Apply: runtime error: index out of range [0] with length 0`,
		}[name], got.LastError)
		require.NotEmpty(t, got.LastError)
		require.WithinDuration(t, time.Now(), got.LastErrorAt, time.Hour)
		got.LastError, got.LastErrorAt = "", time.Time{}
		require.Equal(t, bridge.RuleStats{Matched: 2, Exception: 2, Enabled: true}, got, name)
	}
	require.Equal(t, bridge.RuleStats{Matched: 2, NoResult: 2, Enabled: true}, s["e-drops"])
	acked, _, open, twice := src.Counts()
	require.Equal(t, [3]int{2, 0, 0}, [3]int{acked, open, twice})
}

func TestNewReportsEverything(t *testing.T) {
	t.Parallel()
	_, err := bridge.New(bridge.Config{
		Rules:  map[string]bridge.Rule{"r": keyed("a/#/b"), "n": nil},
		Sinks:  map[string]bridge.Sink{"s": new(bridgetest.Sink)},
		Queue:  bridge.QueueConfig{MaxBytes: -1},
		Queues: map[string]bridge.QueueConfig{"t": {}, "s": {Fallback: "u"}},
	})
	for _, want := range []string{
		"Sources: at least one", `Rules["r"]`, `Rules["n"]: is nil`, "Queue.MaxBytes",
		`Queues["t"]: there is no sink`, `Queues["s"].Fallback: there is no sink "u"`,
	} {
		require.ErrorContains(t, err, want)
	}
	require.Len(t, strings.Split(err.Error(), "\n"), 6)
}

// TestInvariantWhileBlocked looks at the counters while a record waits for room.
func TestInvariantWhileBlocked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		src := new(bridgetest.Source)
		sink := &bridgetest.Sink{Before: func(context.Context, *bridge.Batch) error {
			<-release
			return nil
		}}
		p, err := bridge.New(bridge.Config{
			Sources: map[string]bridge.Source{"in": src},
			Rules:   map[string]bridge.Rule{"all": keyed("#")},
			Sinks:   map[string]bridge.Sink{"mem": sink},
			Queue:   bridge.QueueConfig{MaxRecords: 3},
			Logger:  quiet,
		})
		require.NoError(t, err)
		for i := range uint64(10) {
			src.Publish(message("k", i))
		}
		src.End()
		done := make(chan error)
		go func() { done <- p.Run(t.Context()) }()
		synctest.Wait()
		s := p.Stats().Sinks["mem"]
		require.EqualValues(t, 3, s.Matched)
		invariant(t, s)
		close(release)
		require.NoError(t, <-done)
		require.Len(t, sink.Records(), 10)
	})
}

func sum(ended [bridge.Abandoned + 1]uint64) (n uint64) {
	for _, x := range ended {
		n += x
	}
	return n
}

// TestStopWhileOpening cancels Run while a part is still being opened. Nothing has
// been read, so that this is a clean end, like any other cancellation.
func TestStopWhileOpening(t *testing.T) {
	t.Parallel()
	for name, late := range map[string]error{"canceled": nil, "broken as well": errors.New("no route")} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sink := &openingSink{open: func(ctx context.Context) error {
				<-ctx.Done()
				return cmp.Or(late, fmt.Errorf("dial: %w", ctx.Err()))
			}}
			p, err := bridge.New(bridge.Config{
				Sources: map[string]bridge.Source{"in": new(bridgetest.Source)}, Rules: map[string]bridge.Rule{"all": bridge.RuleFunc(func(*bridge.Out, *bridge.Message) error { return nil }, "#")},
				Sinks: map[string]bridge.Sink{"s": sink}, Logger: quiet,
			})
			require.NoError(t, err)
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
			defer cancel()
			require.ErrorIs(t, p.Run(ctx), late)
			require.True(t, sink.closed.Load())
		})
	}
}

type openingSink struct {
	bridgetest.Sink
	open   func(context.Context) error
	closed atomic.Bool
}

func (s *openingSink) Open(ctx context.Context) error { return s.open(ctx) }

func (s *openingSink) Close(context.Context) error {
	s.closed.Store(true)
	return nil
}
