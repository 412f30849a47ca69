package bridge_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/bridge/bridgetest"
)

// Parts of a pipeline that break their contracts, each in one way. Nothing may be
// lost or acknowledged because of it, the process lives, and the log names the part.

// logTo returns a logger and what it has written.
func logTo() (*slog.Logger, *lockedBuffer) {
	b := new(lockedBuffer)
	return slog.New(slog.NewTextHandler(b, nil)), b
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// once wraps a sink whose first Write goes wrong; later ones store everything.
func once(wrong func(ctx context.Context, b *bridge.Batch) error) (bridge.Sink, *bridgetest.Sink) {
	good := new(bridgetest.Sink)
	var did atomic.Bool
	good.Before = func(ctx context.Context, b *bridge.Batch) error {
		if did.Swap(true) {
			return nil
		}
		return wrong(ctx, b)
	}
	return good, good
}

type nilError struct{ text string }

func (e *nilError) Error() string { return e.text }

type panickingError struct{}

func (panickingError) Error() string { panic("no text") }

// An answer of Write that cannot be is taken for an ambiguous failure of the whole
// batch: everything is written again, and said once.
func TestImpossibleAnswers(t *testing.T) {
	t.Parallel()
	stale := make([]bridge.Record, 1)
	for name, c := range map[string]struct {
		write func(ctx context.Context, b *bridge.Batch) error
		log   string
	}{
		"a nil pointer as error": {func(context.Context, *bridge.Batch) error {
			var err *nilError
			return err
		}, `returned a nil *bridge_test.nilError as an error`},
		"an error that panics":  {func(context.Context, *bridge.Batch) error { return panickingError{} }, "cannot be read"},
		"a wrapped one":         {func(context.Context, *bridge.Batch) error { return fmt.Errorf("put: %w", (*nilError)(nil)) }, ""},
		"a panic":               {func(context.Context, *bridge.Batch) error { panic("out of order") }, `sink \"out\" panicked in Write: out of order`},
		"a panic with an error": {func(context.Context, *bridge.Batch) error { panic(panickingError{}) }, `panicked in Write`},
		"a record of no batch": {func(_ context.Context, b *bridge.Batch) error {
			b.Fail(&bridge.Record{}, bridge.Permanent(errors.New("never")))
			return nil
		}, "answered for a record that is not in the batch"},
		"a record of an earlier batch": {func(_ context.Context, b *bridge.Batch) error {
			b.Fail(&stale[0], bridge.Permanent(errors.New("never")))
			return nil
		}, "answered for a record that is not in the batch"},
		"a failure with a nil error": {func(_ context.Context, b *bridge.Batch) error {
			b.Fail(&b.Records[0], nil)
			for i := range b.Records[1:] {
				b.Fail(&b.Records[i+1], errors.New("behind it"))
			}
			return nil
		}, ""},
		"a failure with a nil pointer": {func(_ context.Context, b *bridge.Batch) error {
			for i := range b.Records {
				b.Fail(&b.Records[i], (*nilError)(nil))
			}
			return nil
		}, ""},
		"stores behind a failed record": {func(_ context.Context, b *bridge.Batch) error {
			b.Fail(&b.Records[0], errors.New("try again"))
			return nil
		}, "stored a record behind a failed one of the same lane"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				sink, stored := once(c.write)
				log, lines := logTo()
				gate := make(chan struct{})
				src := new(bridgetest.Source)
				r := run(t, bridge.Config{Sources: map[string]bridge.Source{"in": &gated{src, gate}}, Sinks: map[string]bridge.Sink{"out": sink}, Logger: log})
				r.src = src
				r.publish(10, 1)
				close(gate) // all ten are in the first batch
				require.NoError(t, r.end())
				report := check(&r.c, stored.Records())
				require.True(t, report.OK(), report)
				require.Equal(t, [4]int{10, 0, 0, 0}, counts(src))
				require.EqualValues(t, 10, r.Stats().Sinks["out"].Ended[bridge.Stored])
				require.Contains(t, lines.String(), c.log)
			})
		})
	}
}

// gated is a source that hands out nothing before the gate is open.
type gated struct {
	bridge.Source
	gate <-chan struct{}
}

func (g *gated) Read(ctx context.Context, dst []bridge.Message) (int, error) {
	select {
	case <-g.gate:
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	return g.Source.Read(ctx, dst)
}

// It is the record that fails, wherever the sink has put it.
func TestSortedBatchFailsTheRightRecord(t *testing.T) {
	t.Parallel()
	dead, kept := new(bridgetest.Sink), new(bridgetest.Sink)
	src := new(bridgetest.Source)
	for i := range uint64(10) {
		src.Publish(message(string(rune('a'+i)), i))
	}
	src.End()
	p, err := bridge.New(bridge.Config{
		Sources: map[string]bridge.Source{"in": src},
		Rules:   map[string]bridge.Rule{"all": addressed("out")},
		Sinks: map[string]bridge.Sink{"dead": dead, "out": bridge.SinkFunc(func(ctx context.Context, b *bridge.Batch) error {
			slices.SortFunc(b.Records, func(x, y bridge.Record) int { return -bytes.Compare(x.Key, y.Key) })
			for _, r := range b.Records { // a copy does as well
				if string(r.Key) == "c" {
					b.Fail(&r, bridge.Permanent(errors.New("too large")))
				}
			}
			return nil
		})},
		Queues: map[string]bridge.QueueConfig{"out": {Fallback: "dead"}}, Logger: quiet,
	})
	require.NoError(t, err)
	require.NoError(t, p.Run(t.Context()))
	require.Empty(t, kept.Records())
	require.Len(t, dead.Records(), 1)
	require.Equal(t, "c", dead.Records()[0].Key)
	require.Equal(t, map[bridge.Outcome]int{bridge.Stored: 9, bridge.DeadLettered: 1}, src.Outcomes())
}

// Run ends although a Write, a Read or a Close ignores its context, and says which.
func TestPartsThatDoNotReturn(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		config func(cfg *bridge.Config, hang func())
		log    string
		err    error
	}{
		"Write": {func(cfg *bridge.Config, hang func()) {
			cfg.Sinks["out"] = bridge.SinkFunc(func(context.Context, *bridge.Batch) error { hang(); return nil })
		}, "call=Write", bridge.ErrDrainTimeout},
		"Read": {func(cfg *bridge.Config, hang func()) {
			cfg.Sources["stuck"] = sourceFunc(func(context.Context, []bridge.Message) (int, error) { hang(); return 0, io.EOF })
		}, "source=stuck call=Read", nil},
		"Close": {func(cfg *bridge.Config, hang func()) {
			cfg.Sinks["stuck"] = &closer{close: hang}
		}, "sink=stuck call=Close", context.DeadlineExceeded},
		"Apply": {func(cfg *bridge.Config, hang func()) {
			cfg.Rules["all"] = bridge.RuleFunc(func(*bridge.Out, *bridge.Message) error { hang(); return nil }, "#")
		}, "call=Apply", bridge.ErrDrainTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				release := make(chan struct{})
				log, lines := logTo()
				src := new(bridgetest.Source)
				cfg := bridge.Config{
					Sources: map[string]bridge.Source{"in": src},
					Rules:   map[string]bridge.Rule{"all": addressed("out")},
					Sinks:   map[string]bridge.Sink{"out": new(bridgetest.Sink)}, Logger: log, DrainTimeout: 5 * time.Second,
				}
				c.config(&cfg, func() { <-release })
				r := run(t, cfg)
				src.Publish(message("k", 1))
				time.Sleep(time.Second)
				r.stop()
				began := time.Now()
				err := <-r.done
				require.ErrorIs(t, err, c.err)
				require.Less(t, time.Since(began), 12*time.Second)
				require.Contains(t, lines.String(), c.log)
				_, _, _, twice := src.Counts()
				require.Zero(t, twice)
				close(release)
			})
		})
	}
}

type sourceFunc func(ctx context.Context, dst []bridge.Message) (int, error)

func (f sourceFunc) Read(ctx context.Context, dst []bridge.Message) (int, error) { return f(ctx, dst) }
func (sourceFunc) Close(context.Context) error                                   { return nil }

type closer struct {
	bridgetest.Sink
	close func()
}

func (c *closer) Close(context.Context) error { c.close(); return nil }

// A source that answers what it must not is named, and holds nothing up.
func TestWrongReads(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		read sourceFunc
		want string
	}{
		"too many":    {func(_ context.Context, dst []bridge.Message) (int, error) { return len(dst) + 1, nil }, `source "in": read returned 257 messages for 256 places`},
		"negative":    {func(context.Context, []bridge.Message) (int, error) { return -1, nil }, `source "in": read returned -1 messages`},
		"panics":      {func(context.Context, []bridge.Message) (int, error) { panic("lost") }, `source "in" panicked in Read: lost`},
		"a nil error": {func(context.Context, []bridge.Message) (int, error) { return 0, (*nilError)(nil) }, `a nil *bridge_test.nilError`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, err := bridge.New(bridge.Config{
				Sources: map[string]bridge.Source{"in": c.read}, Rules: map[string]bridge.Rule{"all": addressed("")},
				Sinks: map[string]bridge.Sink{"out": new(bridgetest.Sink)}, Logger: quiet,
			})
			require.NoError(t, err)
			require.ErrorContains(t, p.Run(t.Context()), c.want)
		})
	}
	t.Run("nothing, for ever", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			log, lines := logTo()
			calls := 0
			r := run(t, bridge.Config{
				Sources: map[string]bridge.Source{"in": sourceFunc(func(context.Context, []bridge.Message) (int, error) { calls++; return 0, nil })},
				Sinks:   map[string]bridge.Sink{"out": new(bridgetest.Sink)}, Logger: log,
			})
			time.Sleep(10 * time.Second)
			r.stop()
			require.NoError(t, <-r.done)
			require.Less(t, calls, 150)
			require.Contains(t, lines.String(), "source returns no messages and no error")
		})
	})
}

// everything panics in every call but Read and Write.
type everything struct {
	bridgetest.Sink
	where string
}

func (e *everything) at(where string) {
	if e.where == where {
		panic(where + " is broken")
	}
}

func (e *everything) Open(context.Context) error  { e.at("Open"); return nil }
func (e *everything) Check(context.Context) error { e.at("Check"); return nil }
func (e *everything) Close(ctx context.Context) error {
	e.at("Close")
	return e.Sink.Close(ctx)
}

func (e *everything) Lane(r *bridge.Record) (lane, group uint64) {
	if string(r.Key) == "poison" {
		e.at("Lane")
	}
	return uint64(r.Key[0]), 0
}

func (e *everything) Limits() bridge.Limits { e.at("Limits"); return bridge.Limits{} }

func (e *everything) Counts() map[string]uint64 { e.at("Counts"); return nil }

// A panic anywhere in a part names the part and the call, and ends nothing else.
func TestPanics(t *testing.T) {
	t.Parallel()
	for where, c := range map[string]struct {
		newErr, runErr, log string
		acked               int
	}{
		"Open":   {"", `sink "out" panicked in Open: Open is broken`, "", 0},
		"Limits": {`Sinks["out"]: sink "out" panicked in Limits`, "", "", 0},
		"Check":  {"", "", `panicked in Check`, 3},
		"Close":  {"", `sink "out" panicked in Close`, "", 3},
		"Lane":   {"", "", `sink \"out\" panicked in Lane: Lane is broken`, 3},
	} {
		t.Run(where, func(t *testing.T) {
			t.Parallel()
			log, lines := logTo()
			src := new(bridgetest.Source)
			src.Publish(message("a", 1), message("poison", 2), message("b", 3))
			src.End()
			p, err := bridge.New(bridge.Config{
				Sources: map[string]bridge.Source{"in": src}, Rules: map[string]bridge.Rule{"all": addressed("out")},
				Sinks: map[string]bridge.Sink{"out": &everything{where: where}}, Logger: log,
			})
			if c.newErr != "" {
				require.ErrorContains(t, err, c.newErr)
				return
			}
			require.NoError(t, err)
			err = p.Run(t.Context())
			if c.runErr != "" {
				require.ErrorContains(t, err, c.runErr)
			} else {
				require.NoError(t, err)
			}
			require.Contains(t, lines.String(), c.log)
			acked, _, _, _ := src.Counts()
			require.Equal(t, c.acked, acked)
			if where == "Lane" {
				require.EqualValues(t, 1, p.Stats().Sinks["out"].Ended[bridge.Refused])
				require.Equal(t, map[bridge.Outcome]int{bridge.Stored: 2, bridge.Refused: 1}, src.Outcomes())
			}
		})
	}
}

// panicking is an acker that panics for one message.
type panicking struct{ done []uint64 }

func (p *panicking) Done(seq uint64, _ bridge.Outcome, _ error) {
	p.done = append(p.done, seq)
	if seq == 1 {
		panic("lost count")
	}
}

// An acker that panics for one message settles the others.
func TestAckerPanics(t *testing.T) {
	t.Parallel()
	log, lines := logTo()
	acks := new(panicking)
	sent := false
	p, err := bridge.New(bridge.Config{
		Sources: map[string]bridge.Source{"in": sourceFunc(func(_ context.Context, dst []bridge.Message) (int, error) {
			if sent {
				return 0, io.EOF
			}
			sent = true
			for i := range 5 {
				dst[i] = bridge.Message{Topic: "t", Delivery: bridge.NewDelivery(acks, uint64(i))}
			}
			return 5, nil
		})},
		Rules: map[string]bridge.Rule{"all": addressed("out")},
		Sinks: map[string]bridge.Sink{"out": new(bridgetest.Sink)}, Logger: log,
	})
	require.NoError(t, err)
	require.NoError(t, p.Run(t.Context()))
	require.ElementsMatch(t, []uint64{0, 1, 2, 3, 4}, acks.done)
	require.Contains(t, lines.String(), "panicked in Acker.Done: lost count")
}

// tracer panics in one of its calls.
type tracer struct{ where string }

func (x tracer) at(where string) {
	if x.where == where {
		panic("tracer")
	}
}

func (x tracer) Trace(*bridge.Message, []string) bridge.Trace { x.at("Trace"); return x }

func (x tracer) Rule(string) func(step, text, result string)               { x.at("Rule"); return nil }
func (x tracer) RuleDone(string, []bridge.Record, error)                   { x.at("RuleDone") }
func (x tracer) Settled(bridge.Outcome, error)                             { x.at("Settled") }
func (x tracer) Record(*bridge.Record) bridge.RecordTrace                  { x.at("Record"); return x }
func (x tracer) Write(string, int, time.Time, time.Time, time.Time, error) { x.at("Write") }
func (x tracer) Fallback(string, error)                                    { x.at("Fallback") }
func (x tracer) End(bridge.Outcome, error)                                 { x.at("End") }

// A tracer that panics is not told more; the message goes its way.
func TestTracerPanics(t *testing.T) {
	t.Parallel()
	for _, where := range []string{"Trace", "Rule", "RuleDone", "Record", "Write", "Fallback", "End", "Settled"} {
		t.Run(where, func(t *testing.T) {
			t.Parallel()
			log, lines := logTo()
			src, sink, dead := new(bridgetest.Source), new(bridgetest.Sink), new(bridgetest.Sink)
			sink.Fault = func(_ int, r *bridge.Record) bridgetest.Fault {
				if string(r.Key) == "b" {
					return bridgetest.Fault{Err: bridge.Permanent(errors.New("refused"))}
				}
				return bridgetest.Fault{}
			}
			src.Publish(message("a", 1), message("b", 2))
			src.End()
			p, err := bridge.New(bridge.Config{
				Sources: map[string]bridge.Source{"in": src}, Rules: map[string]bridge.Rule{"all": addressed("out")},
				Sinks:  map[string]bridge.Sink{"out": sink, "dead": dead},
				Queues: map[string]bridge.QueueConfig{"out": {Fallback: "dead"}}, Logger: log,
			})
			require.NoError(t, err)
			p.Trace(tracer{where})
			require.NoError(t, p.Run(t.Context()))
			require.Len(t, sink.Records(), 1)
			require.Len(t, dead.Records(), 1)
			require.Equal(t, [4]int{2, 0, 0, 0}, counts(src))
			require.Zero(t, p.Stats().Rules["all"].Exception, "the rule is not to blame")
			require.Contains(t, lines.String(), "tracer panicked in "+where)
		})
	}
}

// Hooks may call the pipeline, block and panic; the logger may block. Nothing waits
// for them.
func TestHooksAndLogHoldNothingUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var r *running
		var seen atomic.Int32
		sink := &bridgetest.Sink{Fault: func(call int, _ *bridge.Record) bridgetest.Fault {
			if call%2 == 1 {
				return bridgetest.Fault{Err: bridge.Unavailable(errors.New("away"))}
			}
			return bridgetest.Fault{}
		}}
		r = run(t, bridge.Config{
			Sinks: map[string]bridge.Sink{"out": sink}, Queue: bridge.QueueConfig{ResumeInterval: time.Millisecond},
			Logger: slog.New(slog.NewTextHandler(writerFunc(func(p []byte) (int, error) { <-release; return len(p), nil }), nil)),
			Hooks: bridge.Hooks{
				OnHealth: func(string, string, bridge.Health) { _ = r.Stats(); _ = r.Health(); seen.Add(1) },
				OnWrite:  func(string, int, int, time.Duration, error) { panic("hook") },
			},
		})
		r.publish(100, 3)
		require.NoError(t, r.src.WaitSettled(t.Context(), 100))
		require.NoError(t, r.end())
		require.Equal(t, [4]int{100, 0, 0, 0}, counts(r.src))
		close(release)
		synctest.Wait()
		require.Positive(t, seen.Load())
	})
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// What a rule does to its Out and its message reaches neither the next rule nor the
// source.
func TestRulesThatMeddle(t *testing.T) {
	t.Parallel()
	src, sink := new(bridgetest.Source), new(bridgetest.Sink)
	src.Publish(message("k", 1), message("k", 2), message("k", 3))
	src.End()
	meddle := func(out *bridge.Out, m *bridge.Message) error {
		m.Delivery.Done(bridge.Stored, nil)
		out.Add(bridge.Record{Sink: "out", Key: []byte("mine"), Data: []byte("x")})
		out.Reset()
		m.Topic, m.Payload, m.ClientID, m.Source, m.Event = "gone", nil, "gone", "gone", ""
		return nil
	}
	p, err := bridge.New(bridge.Config{
		Sources: map[string]bridge.Source{"in": src},
		Rules:   map[string]bridge.Rule{"a": addressed("out"), "b": bridge.RuleFunc(meddle, "#"), "c": addressed("out")},
		Sinks:   map[string]bridge.Sink{"out": sink}, Logger: quiet, Workers: 1,
	})
	require.NoError(t, err)
	require.NoError(t, p.Run(t.Context()))
	require.Equal(t, [4]int{3, 0, 0, 0}, counts(src))
	var got []string
	for _, r := range sink.Records() {
		got = append(got, r.Rule+" "+r.Key+" "+r.Topic)
	}
	require.Equal(t, strings.Split(strings.Repeat("a k t/k,c k t/k,", 3)+"", ",")[:6], got)
}

// Truncate takes back what the rule at hand has added, and no more.
func TestOutTruncate(t *testing.T) {
	t.Parallel()
	var out bridge.Out
	out.Add(bridge.Record{Key: []byte("1")})
	out.Add(bridge.Record{Key: []byte("2")})
	out.Truncate(1)
	require.Equal(t, 1, out.Len())
	require.Panics(t, func() { out.Truncate(2) })
	require.Panics(t, func() { out.Truncate(-1) })
	out.Reset()
	require.Empty(t, out.Records())
}

// The parts of a batch share its failures.
func TestBatchPart(t *testing.T) {
	t.Parallel()
	b := &bridge.Batch{Records: make([]bridge.Record, 5)}
	part := b.Part(b.Records[2:4])
	part.Fail(&part.Records[1], errors.New("fourth"))
	require.NoError(t, b.Err(&b.Records[2]))
	require.EqualError(t, b.Err(&b.Records[3]), "fourth")
	b.Fail(&b.Records[3], errors.New("again"))
	require.EqualError(t, b.Err(&b.Records[3]), "fourth", "the first error counts")
	require.Equal(t, 1, b.Failed())
	require.Zero(t, new(bridge.Batch).Failed())
	require.NoError(t, new(bridge.Batch).Err(&b.Records[0]))
}
