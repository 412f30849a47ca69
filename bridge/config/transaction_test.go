package config

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
)

var silent = slog.New(slog.DiscardHandler)

// parseLines reads a definition of sinks and rules, given as lines.
func parseLines(t *testing.T, w *world, sinks, rules string) *Definition {
	t.Helper()
	def, err := Parse("f", []byte("sources: {s: {type: test}}\nsinks:\n"+sinks+"rules:\n"+rules), w.options())
	require.NoError(t, err)
	return def
}

// begin runs a definition until the test ends.
func begin(t *testing.T, def *Definition) *bridge.Pipeline {
	t.Helper()
	cfg, err := def.Build(silent)
	require.NoError(t, err)
	cfg.DrainTimeout = time.Second
	p, err := bridge.New(cfg)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		<-done
	})
	<-p.Ready()
	return p
}

const (
	sinkA = "  a: {type: test, tag: a}\n"
	toA   = `  r: {sql: SELECT * FROM "t/#", actions: [{sink: a, payload: "${payload}"}]}` + "\n"
	toB   = `  r: {sql: SELECT * FROM "t/#", actions: [{sink: b, payload: "${payload}"}]}` + "\n"
)

// A change of which one part cannot be made, opened or accepted changes nothing,
// and is made in full by the next attempt.
func TestApplyIsAllOrNothing(t *testing.T) {
	t.Parallel()
	for tag, why := range map[string]string{"fails": "cannot be made", "shut": "cannot be opened"} {
		synctest.Test(t, func(t *testing.T) {
			w := &world{in: make(chan string), changed: make(chan struct{})}
			old := parseLines(t, w, sinkA, toA)
			p := begin(t, old)
			w.in <- "1"
			w.await(t, "a: 1")
			before, version := p.Config(), p.Stats().Version

			next := parseLines(t, w, "  a: {type: test, tag: new}\n  b: {type: test, tag: "+tag+"}\n  c: {type: test, tag: c}\n", toB+`  q: {sql: SELECT * FROM "t/#", actions: [{sink: c}]}`+"\n")
			for range 2 {
				_, err := next.Apply(t.Context(), p, old, silent)
				require.ErrorContains(t, err, why)
			}
			require.Equal(t, version, p.Stats().Version)
			require.Equal(t, before.Rules, p.Config().Rules)
			require.Equal(t, before.Sinks, p.Config().Sinks)
			w.mu.Lock()
			closed := slices.Clone(w.closed)
			w.mu.Unlock()
			if tag == "shut" {
				require.ElementsMatch(t, []string{"c", "new", "shut", "c", "new", "shut"}, closed, "what was made and is not used is closed")
			}
			require.NotContains(t, closed, "a")
			w.in <- "2"
			w.await(t, "a: 2")

			next = parseLines(t, w, "  a: {type: test, tag: new}\n  b: {type: test, tag: b}\n", toB)
			c, err := next.Apply(t.Context(), p, old, silent)
			require.NoError(t, err)
			require.Equal(t, "added sinks.b; changed sinks.a (tag), rules.r (actions)", c.String())
			w.in <- "3"
			w.await(t, "b: 3")
		})
	}
}

// A sink that only gets another name keeps its queue: what waits in it is written
// first, and the counters go on.
func TestRenamedSinkKeepsItsOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &world{in: make(chan string), changed: make(chan struct{})}
		old := parseLines(t, w, "  a: {type: test, tag: refuses}\n", toA)
		p := begin(t, old)
		for _, text := range []string{"1", "2", "3"} {
			w.in <- text
		}
		synctest.Wait()
		next := parseLines(t, w, "  b: {type: test, tag: refuses}\n", toB)
		c, err := next.Apply(t.Context(), p, old, silent)
		require.NoError(t, err)
		require.Equal(t, "added sinks.b; changed rules.r (actions); removed sinks.a", c.String())
		for _, text := range []string{"4", "5"} {
			w.in <- text
		}
		synctest.Wait()
		require.NotContains(t, p.Stats().Sinks, "a")
		require.EqualValues(t, 5, p.Stats().Sinks["b"].Matched)
		require.Equal(t, 5, p.Stats().Sinks["b"].Queue.Waiting+p.Stats().Sinks["b"].Queue.Inflight)

		_, err = parseLines(t, w, "  b: {type: test, tag: b}\n", toB).Apply(t.Context(), p, next, silent)
		require.NoError(t, err)
		w.await(t, "b: 1", "b: 2", "b: 3", "b: 4", "b: 5")
	})
}

// A sink of another place gets nothing of what waits for the one that is removed.
func TestSamePlace(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b SinkDefinition
		want bool
	}{
		{&kinesisSink{StreamName: "s"}, &kinesisSink{StreamName: "s", Aggregate: true, SessionToken: "new"}, true},
		{&kinesisSink{StreamName: "s"}, &kinesisSink{StreamName: "t"}, false},
		{&kinesisSink{StreamName: "s"}, &kinesisSink{StreamName: "s", Region: "eu-west-1"}, false},
		{&kinesisSink{StreamName: "s"}, &firehoseSink{StreamName: "s"}, false},
		{&fileSink{Path: "p"}, &fileSink{Path: "q"}, false},
		{&httpSink{URL: "u"}, &httpSink{URL: "v"}, false},
		{&testSink{Tag: "a"}, &testSink{Tag: "a"}, true},
		{&testSink{Tag: "a"}, &testSink{Tag: "b"}, false},
	} {
		require.Equal(t, c.want, samePlace(c.a, c.b), "%+v %+v", c.a, c.b)
	}
}

// A sink whose Write never returns is replaced all the same.
func TestHangingSinkIsReplaced(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &world{in: make(chan string), changed: make(chan struct{}), hold: make(chan struct{})}
		old := parseLines(t, w, "  a: {type: test, tag: hangs}\n", toA)
		p := begin(t, old)
		w.in <- "1"
		w.in <- "2"
		synctest.Wait()
		next := parseLines(t, w, sinkA, toA)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := next.Apply(ctx, p, old, silent)
		require.ErrorIs(t, err, context.DeadlineExceeded, "a change that is given up changes nothing")
		_, err = next.Apply(t.Context(), p, old, silent)
		require.NoError(t, err)
		w.await(t, "a: 1", "a: 2")
		close(w.hold)
	})
}

// Messages on which a rule fails, and those that no rule wants, go where the
// definition says, into the buffer of a sink that has one.
func TestFallbacks(t *testing.T) {
	t.Parallel()
	text := `
pipeline: {rule_fallback: bad, unmatched: rest, keep_failed: true}
sources: {s: {type: test}}
sinks:
  a: {type: test, tag: a, resource_opts: {fallback: bad, inflight_bytes: 1MB}}
  bad: {type: test, tag: kept, resource_opts: {buffer_mode: durable, buffer_dir: DIR}}
  rest: {type: test, tag: rest}
rules:
  own: {sql: SELECT * FROM "t/#", fallback: rest, actions: [{sink: a}]}
  none: {sql: SELECT * FROM "t/#", actions: [{sink: a}]}
  off: {sql: SELECT * FROM "t/#", enable: false, fallback: rest, actions: [{sink: a}]}
`
	w := &world{}
	def, err := Parse("f", []byte(strings.ReplaceAll(text, "DIR", t.TempDir())), w.options())
	require.NoError(t, err)
	cfg, err := def.Build(silent)
	require.NoError(t, err)
	require.Equal(t, "bad.buffer", cfg.RuleFallback)
	require.Equal(t, map[string]string{"own": "rest"}, cfg.RuleFallbacks, "a rule that is off has none")
	require.Equal(t, "rest", cfg.Unmatched)
	require.True(t, cfg.KeepFailed)
	require.Equal(t, "bad.buffer", cfg.Queues["a"].Fallback)
	require.Equal(t, 1<<20, cfg.Queues["a"].InFlightBytes)
	require.NoError(t, cfg.Validate())
	closeAll(cfg)
}

// The fallback of a rule changes with the rule.
func TestRuleFallbackIsReloaded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &world{in: make(chan string), changed: make(chan struct{})}
		const sinks = sinkA + "  b: {type: test, tag: b}\n  c: {type: test, tag: c}\n"
		rule := `  r: {sql: SELECT * FROM "t/#", fallback: b, actions: [{sink: a, key: "${payload.key}"}]}` + "\n"
		old := parseLines(t, w, sinks, rule)
		p := begin(t, old)
		w.in <- "1"
		w.await(t, "b: 1")
		next := parseLines(t, w, sinks, strings.Replace(rule, "fallback: b", "fallback: c", 1))
		c, err := next.Apply(t.Context(), p, old, silent)
		require.NoError(t, err)
		require.Equal(t, "changed rules.r (fallback)", c.String())
		w.in <- "2"
		w.await(t, "c: 2")
	})
}
