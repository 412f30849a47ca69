package config

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/sluiceio/sluice/bridge"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world holds what the test's sources read and its sinks wrote.
type world struct {
	in chan string

	mu      sync.Mutex
	written []string // "tag: data"
	changed chan struct{}
	closed  []string      // tags
	hold    chan struct{} // Writes of sinks with the tag "hangs" wait for it
}

// testSource reads what the world hands in.
type testSource struct {
	Rate  Count `yaml:"rate" doc:"Nothing."`
	world *world
}

func (s *testSource) Source(Context) (bridge.Source, error) { return s, nil }

func (s *testSource) Read(ctx context.Context, dst []bridge.Message) (int, error) {
	select {
	case text, ok := <-s.world.in:
		if !ok {
			return 0, io.EOF
		}
		dst[0] = bridge.Message{Topic: "t/1", Payload: []byte(text)}
		return 1, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

func (s *testSource) Close(context.Context) error { return nil }

// testSink writes into the world with a tag.
type testSink struct {
	Tag   string `yaml:"tag" doc:"Comes before the data."`
	world *world
}

func (s *testSink) Validate(Context) error {
	if s.Tag == "bad" {
		return errors.Join(&bridge.FieldError{Path: "Tag", Err: errors.New("this is not a good Tag")}, errors.New("and all else is wrong"))
	}
	return nil
}

func (s *testSink) Sink(Context) (bridge.Sink, error) {
	if s.Tag == "fails" {
		return nil, errors.New("cannot be made")
	}
	return s, nil
}

func (s *testSink) Open(context.Context) error {
	if s.Tag == "shut" {
		return errors.New("cannot be opened")
	}
	return nil
}

func (s *testSink) Write(ctx context.Context, b *bridge.Batch) error {
	switch s.Tag {
	case "refuses":
		return errors.New("refused")
	case "hangs":
		<-s.world.hold // whatever ctx says
		return ctx.Err()
	}
	s.world.mu.Lock()
	defer s.world.mu.Unlock()
	for i := range b.Records {
		s.world.written = append(s.world.written, s.Tag+": "+string(b.Records[i].Data))
	}
	close(s.world.changed)
	s.world.changed = make(chan struct{})
	return nil
}

func (s *testSink) Close(context.Context) error {
	s.world.mu.Lock()
	defer s.world.mu.Unlock()
	s.world.closed = append(s.world.closed, s.Tag)
	return nil
}

func (w *world) options() Options {
	return Options{Types: &Types{
		Sources: map[string]func() SourceDefinition{
			"test":   func() SourceDefinition { return &testSource{world: w} },
			"broker": func() SourceDefinition { return new(brokerSource) },
		},
		Sinks: map[string]func() SinkDefinition{"test": func() SinkDefinition { return &testSink{world: w} }},
	}}
}

func (w *world) await(t *testing.T, want ...string) {
	t.Helper()
	for {
		w.mu.Lock()
		n, changed := len(w.written), w.changed
		w.mu.Unlock()
		if n >= len(want) {
			break
		}
		select {
		case <-changed:
		case <-t.Context().Done():
			require.FailNow(t, "test ended")
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	require.Equal(t, want, w.written)
	w.written = nil
}

const small = `
sources: {s: {type: test}}
sinks: {a: {type: test, tag: a}}
rules:
  r:
    sql: SELECT payload FROM "t/#"
    actions: [{payload: "${payload}"}]
`

func parseSmall(t *testing.T, w *world, oldnew ...string) *Definition {
	t.Helper()
	def, err := Parse("f", []byte(strings.NewReplacer(oldnew...).Replace(small)), w.options())
	require.NoError(t, err)
	return def
}

func TestApply(t *testing.T) {
	t.Parallel()
	w := &world{in: make(chan string), changed: make(chan struct{})}
	quiet := slog.New(slog.DiscardHandler)
	now := parseSmall(t, w)
	cfg, err := now.Build(quiet)
	require.NoError(t, err)
	p, err := bridge.New(cfg)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	w.in <- "1"
	w.await(t, "a: 1")

	apply := func(want string, oldnew ...string) {
		t.Helper()
		def := parseSmall(t, w, oldnew...)
		c, err := def.Apply(ctx, p, now, quiet)
		require.NoError(t, err)
		require.Equal(t, want, c.String())
		now = def
	}
	apply("nothing has changed", "tag: a", "'tag':  \"a\"")
	apply("changed sinks.a (tag)", "tag: a", "tag: b")
	w.in <- "2"
	w.await(t, "b: 2")
	apply("changed sinks.a (tag), rules.r (actions)", `"${payload}"`, `"<${payload}>"`)
	w.in <- "3"
	w.await(t, "a: <3>")
	apply("added sinks.b; changed sinks.a (resource_opts.fallback), rules.r (actions)",
		"sinks: {a: {type: test, tag: a}}", "sinks: {a: {type: test, tag: a, resource_opts: {fallback: b}}, b: {type: test, tag: b}}",
		"{payload:", "{sink: b, payload:")
	w.in <- "4"
	w.await(t, "b: 4")
	apply("changed sinks.a (resource_opts.fallback), rules.r (actions); removed sinks.b")
	w.in <- "5"
	w.await(t, "a: 5")
	apply("added rules.q; removed rules.r", "  r:", "  q:")
	w.in <- "6"
	w.await(t, "a: 6")

	for what, oldnew := range map[string][]string{
		"sources.s (rate)":                {"{type: test}}", "{type: test, rate: 5}}"},
		"sources.s2":                      {"{type: test}}", "{type: test}, s2: {type: test}}"},
		"pipeline (workers)":              {"sources:", "pipeline: {workers: 1}\nsources:"},
		"sinks.a (buffer)":                {"tag: a", "tag: a, resource_opts: {buffer_mode: durable, buffer_dir: /nowhere}"},
		"sources.s (topics of the rules)": {"t/#", "u/#"},
	} {
		oldnew = append(oldnew, "  r:", "  q:")
		_, err := parseSmall(t, w, oldnew...).Apply(ctx, p, now, quiet)
		require.ErrorIs(t, err, ErrRestart)
		require.ErrorContains(t, err, what)
	}
	_, err = parseSmall(t, w, "tag: a", "tag: fails", "  r:", "  q:").Apply(ctx, p, now, quiet)
	require.EqualError(t, err, "sinks.a: cannot be made")

	apply("changed rules.q (enable)", "  r:\n", "  q:\n    enable: false\n")
	require.Empty(t, p.Stats().Rules)
	stop()
	require.NoError(t, <-done)
}

func TestValidator(t *testing.T) {
	t.Parallel()
	_, err := Parse("f", []byte(strings.Replace(small, "tag: a", "tag: bad", 1)), (&world{}).options())
	require.EqualError(t, err, "f:3:9: sinks.a: and all else is wrong\nf:3:30: sinks.a.tag: this is not a good Tag")
}

// A sink with a buffer on disk gets its records by way of that, also those of an
// earlier run.
func TestBufferOnDisk(t *testing.T) {
	t.Parallel()
	w := &world{in: make(chan string, 10), changed: make(chan struct{})}
	def := parseSmall(t, w, "tag: a", "tag: a, resource_opts: {buffer_mode: durable, buffer_dir: "+t.TempDir()+"}")
	for range 2 {
		cfg, err := def.Build(slog.New(slog.DiscardHandler))
		require.NoError(t, err)
		require.Contains(t, cfg.Sinks, "a.buffer")
		p, err := bridge.New(cfg)
		require.NoError(t, err)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- p.Run(ctx) }()
		w.in <- "1"
		w.await(t, "a: 1")
		stop()
		require.NoError(t, <-done)
	}
}

func TestBuildFails(t *testing.T) {
	t.Parallel()
	def := parseSmall(t, &world{}, "tag: a", "tag: fails")
	_, err := def.Build(nil)
	require.EqualError(t, err, "sinks.a: cannot be made")
}
