package trace_test

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/bridge/bridgetest"
	"github.com/sluiceio/sluice/bridge/trace"
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

// tell puts a trace event into a short line.
func tell(e trace.Event) string {
	switch {
	case e.Message != nil:
		return fmt.Sprintf("%d received %s from %s for %v", e.ID, e.Message.Topic, e.Message.ClientID, e.Message.Rules)
	case e.Rule != nil:
		return fmt.Sprintf("%d %s made %d, %s", e.ID, e.Rule.Rule, len(e.Rule.Records)+e.Rule.More, e.Rule.Error)
	case e.Write != nil:
		return fmt.Sprintf("%d/%d write %d to %s, %s%s", e.ID, e.Write.Record, e.Write.Attempt, e.Write.Sink, e.Write.Error, e.Write.Fallback)
	case e.End != nil:
		return fmt.Sprintf("%d/%d %s, %s", e.ID, e.End.Record, e.End.Outcome, e.End.Error)
	case e.Settled != nil:
		return fmt.Sprintf("%d settled %v, %s", e.ID, e.Settled.Outcome, e.Settled.Error)
	default:
		return "nothing"
	}
}

// traced runs a pipeline of the messages and returns what a trace tells.
func traced(t *testing.T, cfg bridge.Config, filter trace.Filter, msgs ...bridge.Message) (lines []string, events []trace.Event) {
	t.Helper()
	src := new(bridgetest.Source)
	cfg.Sources = map[string]bridge.Source{"in": src}
	cfg.Workers, cfg.Logger = 1, quiet
	p, err := bridge.New(cfg)
	require.NoError(t, err)
	seq, err := trace.Messages(t.Context(), p, filter)
	require.NoError(t, err)
	src.Publish(msgs...)
	src.End()
	require.NoError(t, p.Run(t.Context()))
	for e := range seq {
		lines, events = append(lines, tell(e)), append(events, e)
	}
	_, err = trace.Messages(t.Context(), p, filter)
	require.ErrorIs(t, err, bridge.ErrClosed)
	return lines, events
}

func TestTraceMessages(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sink := &bridgetest.Sink{Fault: func(_ int, r *bridge.Record) (f bridgetest.Fault) {
			switch {
			case string(r.Key) == "bad":
				f.Err = bridge.Permanent(errors.New("too large"))
			case r.Attempt == 0:
				f.Err = errors.New("no route")
			}
			return f
		}}
		rule := func(apply func(out *bridge.Out, m *bridge.Message) error) bridge.Rule {
			return bridge.RuleFunc(apply, "t/#")
		}
		cfg := bridge.Config{
			Rules: map[string]bridge.Rule{
				"a": rule(func(out *bridge.Out, m *bridge.Message) error {
					out.Add(bridge.Record{Sink: "mem", Key: []byte(m.ClientID), Data: m.Payload})
					out.Add(bridge.Record{Sink: "off", Data: m.Payload})
					return nil
				}),
				"b": rule(func(*bridge.Out, *bridge.Message) error { return errors.New("no number") }),
				"c": rule(func(*bridge.Out, *bridge.Message) error { panic("oh") }),
				"d": rule(func(*bridge.Out, *bridge.Message) error { return nil }),
			},
			Sinks:  map[string]bridge.Sink{"mem": sink, "dead": new(bridgetest.Sink), "off": new(bridgetest.Sink)},
			Queues: map[string]bridge.QueueConfig{"mem": {Fallback: "dead"}},
		}
		lines, events := traced(t, cfg, trace.Filter{MaxText: 9}, message("good", 1), bridge.Message{Topic: "x", Payload: []byte("0123456789")})
		require.Equal(t, []string{
			"1 received t/good from good for [a b c d]",
			"1 a made 2, ",
			"1 b made 0, no number",
			`1 c made 0, rule "c" panicked in Apply: oh`,
			"1 d made 0, ",
			"2 received x from  for []",
			"2 settled stored, ",
		}, lines[:7], "%q", lines)
		require.Equal(t, trace.Excerpt{Text: "012345678", Size: 10}, events[5].Message.Payload)
		require.Contains(t, lines, "1/1 write 1 to mem, no route")
		require.Contains(t, lines, "1/1 write 2 to mem, ")
		require.Contains(t, lines, "1/1 stored, ")
		require.Contains(t, lines, "1/2 stored, ")
		require.Equal(t, "1 settled failed, no number", lines[len(lines)-1])
		for _, e := range events {
			text, err := json.Marshal(e)
			require.NoError(t, err)
			var again trace.Event
			require.NoError(t, json.Unmarshal(text, &again))
			require.Equal(t, tell(e), tell(again))
		}

		lines, _ = traced(t, cfg, trace.Filter{Rule: "a"}, message("bad", 1))
		require.Equal(t, "1 a made 2, ", lines[1])
		require.Subset(t, lines, []string{
			"1/1 write 1 to mem, too large", "1/1 write 0 to , too largedead", "1/1 write 1 to dead, ", "1/1 stored, ",
		}, "%q", lines)
		require.NotContains(t, strings.Join(lines[:len(lines)-1], "\n"), "no number", "that is another rule")
	})
}

// TestTraceMessagesFilter checks which of several messages are followed.
func TestTraceMessagesFilter(t *testing.T) {
	t.Parallel()
	msgs := []bridge.Message{
		{Topic: "a/1", ClientID: "c1", PeerHost: "10.1.2.3", PeerName: "10.1.2.3:4000"},
		{Topic: "a/2", ClientID: "c2", PeerHost: "10.1.2.4"},
		{Topic: "b/1", ClientID: "c1", PeerHost: "::1", PeerName: "[::1]:4000"},
		{Topic: "b/2", ClientID: "c3", PeerName: "[::ffff:10.1.2.3]:4001"},
		{Event: "$events/client/connected", ClientID: "c4"},
		{Topic: "c/1"},
	}
	for _, test := range []struct {
		name   string
		filter trace.Filter
		want   string
	}{
		{"all", trace.Filter{}, "[a/1 a/2 b/1 b/2 $events/client/connected c/1]"},
		{"client", trace.Filter{ClientID: "c1"}, "[a/1 b/1]"},
		{"topic", trace.Filter{Topic: "+/1"}, "[a/1 b/1 c/1]"},
		{"event", trace.Filter{Topic: "$events/#"}, "[$events/client/connected]"},
		{"rule", trace.Filter{Rule: "b"}, "[b/1 b/2]"},
		{"client and topic", trace.Filter{ClientID: "c1", Topic: "b/#"}, "[b/1]"},
		{"source", trace.Filter{Source: "other"}, "[]"},
		{"address", trace.Filter{Address: "10.1.2.3"}, "[a/1 b/2]"},
		{"prefix", trace.Filter{Address: "10.1.0.0/16"}, "[a/1 a/2 b/2]"},
		{"port", trace.Filter{Address: "10.1.2.3:4000"}, "[a/1]"},
		{"IPv6", trace.Filter{Address: "::1"}, "[b/1]"},
		{"IPv6 and port", trace.Filter{Address: "[::1]:4000"}, "[b/1]"},
		{"few", trace.Filter{Rate: 1}, "[a/1]"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				_, events := traced(t, bridge.Config{
					Rules: map[string]bridge.Rule{"a": keyed("a/+"), "b": keyed("b/#")},
					Sinks: map[string]bridge.Sink{"mem": new(bridgetest.Sink)},
				}, test.filter, msgs...)
				got := []string{}
				for _, e := range events {
					if e.Message != nil {
						got = append(got, e.Message.Topic+e.Message.Event)
					}
				}
				require.Equal(t, test.want, fmt.Sprint(got))
			})
		})
	}
	err := trace.Filter{Topic: "a/#/b", Address: "here", Rate: -1, MaxText: -1}.Validate()
	for _, field := range []string{"Topic", "Address", "Rate", "MaxText"} {
		require.ErrorContains(t, err, field+": ")
	}
}

// TestTraceMessagesMisses has more happen than the reader takes and the filter
// lets through: it is told how much it missed, and delays nothing.
func TestTraceMessagesMisses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := new(bridgetest.Source)
		p, err := bridge.New(bridge.Config{
			Sources: map[string]bridge.Source{"in": src},
			Rules:   map[string]bridge.Rule{"all": keyed("t/#")},
			Sinks:   map[string]bridge.Sink{"mem": new(bridgetest.Sink)},
			Logger:  quiet,
		})
		require.NoError(t, err)
		_, err = trace.Messages(t.Context(), p, trace.Filter{Rule: "none"})
		require.ErrorContains(t, err, `there is no rule "none"`)
		ctx, cancel := context.WithCancel(t.Context())
		seq, err := trace.Messages(ctx, p, trace.Filter{Rate: 600})
		require.NoError(t, err)
		done := make(chan error)
		go func() { done <- p.Run(t.Context()) }()
		for range 2 {
			for i := range uint64(700) {
				src.Publish(message("k", i))
			}
			synctest.Wait()
			time.Sleep(2 * time.Second)
		}
		events, missed := 0, uint64(0)
		for e := range seq {
			events++
			missed += e.Missed
			if events == 1000 {
				src.Publish(message("k", 0)) // the first to be told after those that were left out
			}
			if events == 1001 {
				break
			}
		}
		require.EqualValues(t, 200+2*600*5-1000, missed, "five events for each message")
		src.Publish(message("k", 1))
		src.End()
		require.NoError(t, <-done)
		cancel()
	})
}

// recorder is a bridge.Tracer that follows what its choice takes and writes down
// what it is told.
type recorder struct {
	choose func(m *bridge.Message) bool

	mu    sync.Mutex
	lines []string
}

func (r *recorder) add(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, fmt.Sprintf(format, args...))
}

func (r *recorder) Trace(m *bridge.Message, _ []string) bridge.Trace {
	if !r.choose(m) {
		return nil
	}
	return r
}

func (r *recorder) Rule(string) (see func(step, text, result string)) { return nil }

func (r *recorder) RuleDone(name string, records []bridge.Record, _ error) {
	r.add("rule %s made %d", name, len(records))
}

func (r *recorder) Settled(o bridge.Outcome, err error) { r.add("settled %v %v", o, err) }

func (r *recorder) Record(rec *bridge.Record) bridge.RecordTrace {
	rec.Attrs = append(rec.Attrs, bridge.Attr{Name: "trace", Value: []byte("1")})
	rec.Data = []byte("other data")
	return r
}

func (r *recorder) Write(_ string, attempt int, queued, start, _ time.Time, _ error) {
	r.add("write %d waited %v", attempt, start.Sub(queued))
}

func (r *recorder) Fallback(sink string, err error) { r.add("to %s: %v", sink, err) }
func (r *recorder) End(o bridge.Outcome, err error) { r.add("%v %v", o, err) }

// TestTracer lets a tracer follow one message on its way, changing its record,
// and others to their ends of every kind.
func TestTracer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		follow := &recorder{choose: func(m *bridge.Message) bool { return m.ClientID != "other" }}
		src := new(bridgetest.Source)
		hold := make(chan struct{})
		slow := &bridgetest.Sink{Before: func(ctx context.Context, _ *bridge.Batch) error {
			select {
			case <-hold:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}}
		p, err := bridge.New(bridge.Config{
			Sources: map[string]bridge.Source{"in": src},
			Rules:   map[string]bridge.Rule{"all": keyed("t/#")},
			Sinks:   map[string]bridge.Sink{"mem": slow},
			Queue:   bridge.QueueConfig{MaxRecords: 2, OnFull: bridge.DropNewest, InFlight: 1},
			Logger:  quiet, DrainTimeout: time.Second,
		})
		require.NoError(t, err)
		p.Trace(follow)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- p.Run(ctx) }()
		step := func(key string, wait time.Duration, want ...string) {
			t.Helper()
			if key != "" {
				src.Publish(message(key, 7))
			}
			time.Sleep(wait)
			synctest.Wait()
			follow.mu.Lock()
			defer follow.mu.Unlock()
			require.Equal(t, want, follow.lines)
			follow.lines = nil
		}
		made := "rule all made 1"
		step("other", time.Second)
		step("k", time.Second, made) // the first write is under way
		step("x", time.Second, made, "dropped queue is full", "settled dropped queue is full")
		hold <- struct{}{} // stores the other
		step("", 0)
		hold <- struct{}{}
		step("", 0, "write 1 waited 2s", "stored <nil>", "settled stored <nil>")
		require.Equal(t, map[string]string{"trace": "1"}, slow.Records()[1].Attrs)
		require.Equal(t, "other data", slow.Records()[1].Data)
		require.Nil(t, slow.Records()[0].Attrs)

		require.NoError(t, p.EnableSink("mem", false))
		step("k", 0, made, "discarded <nil>", "settled discarded <nil>")
		require.NoError(t, p.EnableSink("mem", true))
		step("k", 0, made)
		step("k", 0, made) // the same key: it waits for the one before
		cancel()
		step("", 2*time.Second, "abandoned drain timed out", "settled abandoned drain timed out",
			"write 1 waited 0s", "abandoned drain timed out", "settled abandoned drain timed out")
		require.ErrorIs(t, <-done, bridge.ErrDrainTimeout)
	})
}
