package console_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/bridge/bridgetest"
	"github.com/sluiceio/sluice/bridge/console"
	"github.com/sluiceio/sluice/rule"
	"github.com/sluiceio/sluice/sink"
	"github.com/sluiceio/sluice/source/mqtt"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(withBrowser{m})
}

// withBrowser ends the browser before goroutines are looked at.
type withBrowser struct{ *testing.M }

func (m withBrowser) Run() int {
	defer shared.close()
	return m.M.Run()
}

func pipeline(t *testing.T, sinks map[string]bridge.Sink) *bridge.Pipeline {
	t.Helper()
	p, err := bridge.New(bridge.Config{
		Sources: map[string]bridge.Source{"mqtt": &bridgetest.Source{}},
		Rules: map[string]bridge.Rule{"all": bridge.RuleFunc(func(out *bridge.Out, m *bridge.Message) error {
			out.Add(bridge.Record{Data: m.Payload})
			return nil
		}, "#")},
		Sinks:  sinks,
		Logger: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	return p
}

func stored(context.Context, *bridge.Batch) error { return nil }

func newConsole(t *testing.T, cfg console.Config) *console.Console {
	t.Helper()
	if cfg.Pipeline == nil {
		cfg.Pipeline = pipeline(t, map[string]bridge.Sink{"out": bridge.SinkFunc(stored)})
	}
	cfg.Logger = slog.New(slog.DiscardHandler)
	c, err := console.New(cfg)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

func ask(h http.Handler, method, path, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(context.Background(), method, path, strings.NewReader(body))
	r.Host, r.RemoteAddr = "localhost:8080", "127.0.0.1:50000"
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestConfigValidate(t *testing.T) {
	t.Parallel()
	_, err := console.New(console.Config{Shards: map[string]func() []sink.ShardLoad{"k": nil}})
	require.ErrorContains(t, err, "Pipeline")
	require.ErrorContains(t, err, "Shards")
}

func TestPageIsStrict(t *testing.T) {
	t.Parallel()
	c := newConsole(t, console.Config{})
	w := ask(c, "GET", "/", "")
	require.Equal(t, 200, w.Code)
	policy := w.Header().Get("Content-Security-Policy")
	require.Contains(t, policy, "default-src 'none'")
	require.NotContains(t, policy, "unsafe")
	require.NotContains(t, w.Body.String(), "://", "the page asks nobody else")
	for _, file := range []string{"app.js", "style.css", "vendor/uPlot.iife.min.js", "vendor/uPlot.LICENSE"} {
		require.Equal(t, 200, ask(c, "GET", "/"+file, "").Code, file)
	}
}

func TestReadOnlyByDefault(t *testing.T) {
	t.Parallel()
	c := newConsole(t, console.Config{})
	for _, path := range []string{"PUT /api/rules/all/enabled", "POST /api/rules/all/reset", "POST /api/trace", "PUT /api/sinks/out/enabled", "GET /api/deadletters/out"} {
		method, path, _ := strings.Cut(path, " ")
		w := ask(c, method, path, `{"enabled":false}`)
		require.Equal(t, http.StatusForbidden, w.Code, path)
		require.Contains(t, w.Body.String(), "read-only")
	}
}

func TestChangesNeedPermissionAndTheSameOrigin(t *testing.T) {
	t.Parallel()
	p := pipeline(t, map[string]bridge.Sink{"out": bridge.SinkFunc(stored)})
	c := newConsole(t, console.Config{Pipeline: p, Authorize: func(r *http.Request) error {
		if r.Header.Get("Authorization") != "Bearer x" {
			return errors.New("log in first")
		}
		return nil
	}})
	off := func(header ...string) int {
		return ask(c, "PUT", "/api/rules/all/enabled", `{"enabled":false}`, header...).Code
	}
	require.Equal(t, http.StatusForbidden, off())
	require.Equal(t, http.StatusForbidden, off("Authorization", "Bearer x", "Sec-Fetch-Site", "cross-site"))
	require.True(t, p.Stats().Rules["all"].Enabled)
	require.Equal(t, http.StatusOK, off("Authorization", "Bearer x", "Sec-Fetch-Site", "same-origin"))
	require.False(t, p.Stats().Rules["all"].Enabled)
	require.Equal(t, http.StatusNotFound, ask(c, "PUT", "/api/sinks/nobody/enabled", `{"enabled":true}`, "Authorization", "Bearer x").Code)
	require.Equal(t, http.StatusBadRequest, ask(c, "PUT", "/api/sinks/out/enabled", `{"on":true}`, "Authorization", "Bearer x").Code)
}

func TestTester(t *testing.T) {
	t.Parallel()
	c := newConsole(t, console.Config{})
	for _, test := range []struct{ name, body, want string }{
		{"rows", `{"sql":"SELECT payload.n AS n FROM \"a/#\"","topic":"a/b","payload":"{\"n\":12345678901234567890}"}`, `{\"n\":12345678901234567890}`},
		{"template", `{"sql":"SELECT topic FROM \"#\"","topic":"a","payload":"","template":"<${topic}>"}`, `"rendered":["\u003ca\u003e"]`},
		{"syntax", `{"sql":"SELECT 1 +\nFROM \"a\"","topic":"a","payload":""}`, `"faults":[{"line":2`},
		{"where", `{"sql":"SELECT 1 AS x FROM \"a\" WHERE qos = 7","topic":"a","payload":""}`, `"no_match":"where"`},
		{"event", `{"sql":"SELECT clientid FROM \"$events/client/connected\"","topic":"$events/client/connected","payload":"","columns":{"clientid":"c9"}}`, `c9`},
		{"failure", `{"sql":"SELECT payload.x FROM \"a\"","topic":"a","payload":"no json"}`, `"error":`},
		{"budget", `{"sql":"SELECT pad(payload, 100000000) AS x FROM \"a\"","topic":"a","payload":""}`, ` at 1:8: `},
		{"plan", `{"sql":"SELECT 1 AS x FROM \"a\"","topic":"a","payload":""}`, `"plan":"statement`},
	} {
		w := ask(c, "POST", "/api/test", test.body)
		require.Equal(t, 200, w.Code, test.name)
		require.Contains(t, w.Body.String(), test.want, test.name)
	}
}

// The tester's events have the columns that the source's have, unless they are given.
func TestTesterKnowsTheSource(t *testing.T) {
	t.Parallel()
	client, err := mqtt.New(mqtt.Config{
		Brokers: []string{"mqtt://127.0.0.1:1"}, ClientID: "c", Filters: []mqtt.Subscription{{Filter: "#"}},
		UsernameFrom: mqtt.Origin{TopicLevel: 1},
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, client.Close(context.Background())) })
	of := func(sources map[string]bridge.Source) *console.Console {
		p, err := bridge.New(bridge.Config{
			Sources: sources, Sinks: map[string]bridge.Sink{"out": bridge.SinkFunc(stored)},
			Rules: map[string]bridge.Rule{"all": bridge.RuleFunc(func(*bridge.Out, *bridge.Message) error { return nil }, "#")},
		})
		require.NoError(t, err)
		return newConsole(t, console.Config{Pipeline: p})
	}
	one := of(map[string]bridge.Source{"broker": client})
	two := of(map[string]bridge.Source{"broker": client, "mem": new(bridgetest.Source)})
	const sql = `{"sql":"SELECT clientid, username FROM \"a\"","topic":"a","payload":""`
	for _, test := range []struct {
		c           *console.Console
		more, wants string
	}{
		{one, ``, `{\"clientid\":\"undefined\",\"username\":\"u_emqx\"}`},
		{one, `,"columns":{"clientid":"c9"}`, `\"clientid\":\"c9\"`},
		{two, ``, `\"clientid\":\"c_emqx\"`},
		{two, `,"source":"mem"`, `\"clientid\":\"c_emqx\"`},
		{two, `,"source":"broker"`, `\"clientid\":\"undefined\"`},
		{two, `,"source":"nobody"`, `there is no source`},
	} {
		require.Contains(t, ask(test.c, "POST", "/api/test", sql+test.more+"}").Body.String(), test.wants, test.more)
	}
}

// next reads the next server-sent event.
func next(t *testing.T, r *bufio.Reader) (event, data string) {
	t.Helper()
	for {
		line, err := r.ReadString('\n')
		require.NoError(t, err)
		switch key, value, _ := strings.Cut(strings.TrimSpace(line), ": "); key {
		case "event":
			event = value
		case "data":
			data = value
		case "":
			return event, data
		}
	}
}

// counted counts how often the console looks.
type counted struct {
	bridge.SinkFunc
	looks atomic.Int64
}

func (c *counted) Shards() []sink.ShardLoad {
	c.looks.Add(1)
	return []sink.ShardLoad{{Dest: "s", Shard: "shardId-0", Share: 1}}
}

func TestStreamLooksOnlyWhileSomebodyDoes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sink := &counted{SinkFunc: stored}
		c := newConsole(t, console.Config{Pipeline: pipeline(t, map[string]bridge.Sink{"out": sink})})
		time.Sleep(time.Minute)
		require.Zero(t, sink.looks.Load(), "nobody looks")

		view := func() (*bufio.Reader, func()) {
			ctx, stop := context.WithCancel(t.Context())
			r, w := io.Pipe()
			go func() {
				c.ServeHTTP(&pipeWriter{w, http.Header{}}, httptest.NewRequestWithContext(ctx, "GET", "http://localhost/api/stream", nil))
				_ = w.Close()
			}()
			return bufio.NewReader(r), func() { stop(); _, _ = io.Copy(io.Discard, r) }
		}
		one, leaveOne := view()
		for _, want := range []string{"access", "history", "topology", "snapshot", "snapshot"} {
			event, data := next(t, one)
			require.Equal(t, want, event)
			require.True(t, json.Valid([]byte(data)))
		}
		two, leaveTwo := view()
		for range 3 {
			_, _ = next(t, two)
		}
		before := sink.looks.Load()
		for range 10 {
			event, _ := next(t, one)
			require.Equal(t, "snapshot", event)
			_, _ = next(t, two)
		}
		require.InDelta(t, 10, sink.looks.Load()-before, 1, "two viewers, one look a second")
		leaveOne()
		leaveTwo()
		synctest.Wait()
		before = sink.looks.Load()
		time.Sleep(time.Minute)
		require.Equal(t, before, sink.looks.Load(), "the last viewer has gone")
	})
}

// pipeWriter is a response that is read while it is written.
type pipeWriter struct {
	*io.PipeWriter
	header http.Header
}

func (w *pipeWriter) Header() http.Header { return w.header }
func (w *pipeWriter) WriteHeader(int)     {}
func (w *pipeWriter) Flush()              {}

func TestCloseEndsStreams(t *testing.T) {
	t.Parallel()
	c := newConsole(t, console.Config{})
	server := httptest.NewServer(c)
	defer server.Close()
	resp, err := http.Get(server.URL + "/api/stream")
	require.NoError(t, err)
	defer resp.Body.Close()
	c.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	require.NoError(t, err)
}

func TestDeadLettersKeepTheLatest(t *testing.T) {
	t.Parallel()
	var replayed []uint64
	d := console.NewDeadLetters(console.DeadLettersConfig{MaxRecords: 3, Replay: func(_ context.Context, l console.DeadLetter) error {
		if string(l.Record.Data) == "4" {
			return errors.New("still refused")
		}
		replayed = append(replayed, l.ID)
		return nil
	}})
	data := []byte("0")
	for i := range 5 {
		data[0] = '0' + byte(i)
		require.NoError(t, d.Write(t.Context(), &bridge.Batch{Records: []bridge.Record{{Data: data, Attrs: []bridge.Attr{{Name: "error", Value: []byte("why")}}}}}))
	}
	all := d.All()
	require.Len(t, all, 3)
	require.Equal(t, "4", string(all[0].Record.Data), "the latest first, copied")
	require.Equal(t, "why", string(all[0].Attr("error")))
	n, err := d.Replay(t.Context(), 3, 4, 5)
	require.ErrorContains(t, err, "still refused")
	require.Equal(t, 2, n)
	require.Equal(t, []uint64{3, 4}, replayed)
	require.Equal(t, 1, d.Len())
	require.Equal(t, 1, d.Delete(5, 77))
	require.Zero(t, d.Len())
}

func TestTrace(t *testing.T) {
	t.Parallel()
	source := &bridgetest.Source{}
	r, err := rule.New(rule.Config{
		Name: "warm", SQL: `SELECT payload.t AS t FROM "#" WHERE payload.t > 20`,
		Actions: []rule.Action{{Sink: "out", Key: "k-${t}"}},
	})
	require.NoError(t, err)
	p, err := bridge.New(bridge.Config{
		Sources: map[string]bridge.Source{"mqtt": source},
		Rules:   map[string]bridge.Rule{"warm": r},
		Sinks:   map[string]bridge.Sink{"out": bridge.SinkFunc(stored)},
		Logger:  slog.New(slog.DiscardHandler), CheckInterval: -1,
	})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	c := newConsole(t, console.Config{Pipeline: p, Authorize: func(*http.Request) error { return nil }})
	server := httptest.NewServer(c)
	defer server.Close()

	watch, leave := context.WithCancel(t.Context())
	defer leave() // or the server would wait for the reader
	req, err := http.NewRequestWithContext(watch, http.MethodPost, server.URL+"/api/trace", strings.NewReader(`{"rule":"warm","topic":"a/+"}`))
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, resp.StatusCode)
	source.Publish(
		bridge.Message{Topic: "b/other", Payload: []byte(`{"t":50}`)},
		bridge.Message{Topic: "a/cold", Payload: []byte(`{"t":7}`)},
		bridge.Message{Topic: "a/warm", Payload: []byte(`{"t":21}`), ClientID: "c1"},
	)
	var lines []string
	for in := bufio.NewReader(resp.Body); len(lines) == 0 || !strings.Contains(lines[len(lines)-1], `"end"`); {
		line, err := in.ReadString('\n')
		require.NoError(t, err)
		lines = append(lines, line)
	}
	all := strings.Join(lines, "")
	require.NotContains(t, all, "b/other")
	require.Contains(t, all, `"a/cold"`)
	require.Contains(t, all, `"WHERE"`)
	require.Contains(t, all, `"k-21"`, "the rendered key")
	leave()
	_ = resp.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	stop()
	require.NoError(t, <-ended)
}

func TestTraceRefusesWhatIsWrong(t *testing.T) {
	t.Parallel()
	c := newConsole(t, console.Config{Authorize: func(*http.Request) error { return nil }})
	for body, want := range map[string]string{
		`{"rule":"nobody"}`:       "there is no rule",
		`{"topic":"a/#/b"}`:       "Topic",
		`{"address":"10.1.0.0"`:   "body",
		`{"address":"next door"}`: "Address",
	} {
		w := ask(c, "POST", "/api/trace", body)
		require.Equal(t, http.StatusBadRequest, w.Code, body)
		require.Contains(t, w.Body.String(), want, body)
	}
}
