package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/bridge/console"
	"github.com/sluiceio/sluice/rule"
	"github.com/sluiceio/sluice/sink/kinesis/kinesistest"
	"github.com/sluiceio/sluice/sink/republish"
	"github.com/sluiceio/sluice/source/mqtt"
)

// output collects what the program prints.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// eventually polls for what another goroutine does; 30 s bound a failure.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	require.Eventually(t, ok, 30*time.Second, 10*time.Millisecond, what)
}

func execute(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs output
	p := &program{lookup: func(string) (string, bool) { return "", false }, stdout: &out, stderr: &errs}
	code = p.run(t.Context(), args)
	return code, out.String(), errs.String()
}

func write(t *testing.T, path, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
}

func TestCommands(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	good, bad, emqx := filepath.Join(dir, "good.yaml"), filepath.Join(dir, "bad.yaml"), filepath.Join(dir, "emqx.json")
	odd := filepath.Join(dir, "odd.yaml")
	write(t, odd, strings.Replace(definition("mqtt://127.0.0.1:1883", filepath.Join(dir, "out"), "${id}"), "*", "topic", 1))
	away := filepath.Join(dir, "away.yaml")
	write(t, away, strings.Replace(definition("mqtt://127.0.0.1:1883", filepath.Join(dir, "new", "out"), "${payload}"),
		`{type: broker, listeners: ["mqtt://127.0.0.1:1883"]}`, "{type: mqtt, client_id: c, servers: mqtt://127.0.0.1:1, start_timeout: 100ms}", 1))
	write(t, good, definition("mqtt://127.0.0.1:1883", filepath.Join(dir, "out"), "${payload}"))
	write(t, bad, "sources: {s: {type: mqt}}\nsinks: {k: {type: file}}\n")
	write(t, emqx, `{"actions": [{"type": "kinesis", "name": "a", "parameters": {"stream_name": "s", "partition_key": "k"}}]}`)
	for _, c := range []struct {
		args           string
		code           int
		stdout, stderr string // parts
	}{
		{"version", 0, "mqtt2kinesis ", ""},
		{"version x", 2, "", `"x" is one argument too many`},
		{"plan -rate 50000", 0, "aggregated", ""},
		{"plan", 2, "", "-rate is missing"},
		{"plan -help", 0, "", "usage: mqtt2kinesis plan"},
		{"schema", 0, "$schema", ""},
		{"check -config " + good, 0, "is right; rules: r\n", ""},
		{"check -connect -config " + good, 0, "is right, and all that it names can be reached; rules: r\n", ""},
		{"check -connect -config " + away, 1, "", "away.yaml cannot be run now:\nsources.b: mqtt: broker mqtt://127.0.0.1:1"},
		{"check -config " + away, 0, "away.yaml is right; rules: r\n", ""},
		{"check -config " + odd, 0, "is right", "odd.yaml:7:26: rules.r.actions[0].payload: warning: ${id} has no value"},
		{"check -config " + bad, 2, "", `bad.yaml:1:21: sources.s.type: there is no source of type "mqt"; did you mean "mqtt"?`},
		{"check -config " + bad, 2, "", `bad.yaml:2:9: sinks.k.path: `},
		{"check", 2, "", "-config is missing"},
		{"check -config /no/such", 2, "", "/no/such"},
		{"run", 2, "", "-config is missing"},
		{"run -config " + good + " -listen nowhere:x", 1, "", "nowhere"},
		{"import " + emqx, 0, "stream_name: s", "note: sources.emqx: fill in"},
		{"import", 2, "", "the file is missing"},
		{"import " + good, 2, "", "good.yaml:5:4: ':' is not expected here"},
		{"import " + bad, 2, "", "bad.yaml: there are no actions and no rules in it"},
		{"-strem x", 2, "", "-strem"},
		{"", 2, "", "mqtt2kinesis run -config FILE"},
		{"-qos 1 x", 2, "", `"x" is not a flag; commands come first`},
		{"check " + good, 2, "", "good.yaml\" is one argument too many; see mqtt2kinesis help check"},
		{"check -confg x", 2, "", "-confg; see mqtt2kinesis help check"},
		{"help", 0, "mqtt2kinesis check -config bridge.yaml ", ""},
		{"help help", 0, "mqtt2kinesis check -config bridge.yaml ", ""},
		{"help plan", 0, "", "usage: mqtt2kinesis plan"},
		{"help frobnicate", 2, "", `no command "frobnicate"; the commands are run, check, `},
		{"help plan x", 2, "", `"x" is one argument too many`},
		{"-help", 0, "", "mqtt2kinesis check -config bridge.yaml "},
		{"frobnicate", 2, "", `no command "frobnicate"; the commands are run, check, `},
		{"chekc", 2, "", `did you mean "check"?`},
		{"up", 2, "", `no command "up"; the commands are`},
	} {
		code, stdout, stderr := execute(t, strings.Fields(c.args)...)
		require.Equal(t, c.code, code, "%s: %s", c.args, stderr)
		require.Contains(t, stdout, c.stdout, c.args)
		require.Contains(t, stderr, c.stderr, c.args)
		if strings.HasPrefix(c.args, "check") && code != 0 {
			require.Empty(t, stdout, "there is one verdict")
		}
	}
	require.NoFileExists(t, filepath.Join(dir, "out"))
	require.NoDirExists(t, filepath.Join(dir, "new"))
}

func TestTester(t *testing.T) {
	t.Parallel()
	const sql = `SELECT payload.t * 2 AS x FROM "t/#" WHERE payload.t > 1`
	code, stdout, _ := execute(t, "test", "-sql", sql, "-topic", "t/1", "-payload", `{"t":2}`)
	require.Equal(t, 0, code)
	require.Equal(t, "{\"x\":4}\n", stdout)
	code, stdout, _ = execute(t, "test", "-sql", sql, "-topic", "t/1", "-payload", `{"t":2}`, "-template", "x is ${x}")
	require.Equal(t, 0, code)
	require.Equal(t, "x is 4\n", stdout)
	code, _, stderr := execute(t, "test", "-sql", sql, "-payload", `{"t":0}`)
	require.Equal(t, 1, code)
	require.Equal(t, "mqtt2kinesis: no rows: payload.t > 1 is false, with 0\n", stderr)
	code, _, stderr = execute(t, "test", "-sql", "SELECT")
	require.Equal(t, 2, code)
	require.Contains(t, stderr, "1:7")
}

func definition(listen, out, payload string) string {
	return fmt.Sprintf(`
sources: {b: {type: broker, listeners: ["%s"]}}
sinks: {f: {type: file, path: %s, format: raw}}
rules:
  r:
    sql: SELECT * FROM "t/#"
    actions: [{payload: "%s"}]
`, listen, out, payload)
}

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}

func TestRun(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, out := filepath.Join(dir, "bridge.yaml"), filepath.Join(dir, "out")
	mqtt, listen := "mqtt://"+freeAddr(t), freeAddr(t)
	write(t, path, definition(mqtt, out, "1 ${payload}"))
	var log output
	hup := make(chan os.Signal, 1)
	p := &program{lookup: os.LookupEnv, stdout: io.Discard, stderr: &log, hup: hup}
	ctx, stop := context.WithCancel(t.Context())
	code := make(chan int, 1)
	go func() { code <- p.run(ctx, []string{"run", "-config", path, "-listen", listen}) }()
	says := func(text string) {
		t.Helper()
		eventually(t, text, func() bool { return strings.Contains(log.String(), text) })
	}
	says("bridge is ready")

	publish(t, mqtt, "hello", 1)
	stored(t, out, "1 hello\n")
	require.Contains(t, get(t, listen, "/livez", 200), "alive")
	require.Contains(t, get(t, listen, "/readyz", 200), "ready")
	require.Contains(t, get(t, listen, "/console/", 200), "<html")
	require.Contains(t, get(t, listen, "/stats", 200), `"actions.success":1`)
	require.Contains(t, get(t, listen, "/metrics", 200), `sluice_sink_success_total{sink="f"} 1`)

	traced(t, mqtt, listen)
	healthy, stdout, stderr := execute(t, "health", "-listen", listen)
	require.Equal(t, 0, healthy, stderr)
	require.Equal(t, "ready\n", stdout)
	stored(t, out, "1 hello\n1 traced\n")

	write(t, path, definition(mqtt, out, "2 ${payload}"))
	hup <- syscall.SIGHUP
	says(`definition loaded" changes="changed rules.r (actions)"`)
	publish(t, mqtt, "hello", 1)
	stored(t, out, "1 hello\n1 traced\n2 hello\n")

	write(t, path, "sources: [")
	hup <- syscall.SIGHUP
	says("the definition is wrong; everything stays as it was")

	write(t, path, "pipeline: {workers: 1}"+definition(mqtt, out, "3 ${payload}"))
	hup <- syscall.SIGHUP
	says("the pipeline is drained and started again")
	eventually(t, "ready again", func() bool { return strings.Count(log.String(), "bridge is ready") == 2 })
	publish(t, mqtt, "hello", 1)
	stored(t, out, "1 hello\n1 traced\n2 hello\n3 hello\n")

	stop()
	require.Equal(t, 0, <-code, log.String())
	require.Contains(t, log.String(), "draining")
}

// awayAWS is a service that is never there, so that nothing can be stored.
const awayAWS = `
sources: {b: {type: broker, listeners: ["%s"]}}
sinks: {k: {type: kinesis, stream_name: s, region: us-east-1, endpoint: "http://%s", aws_access_key_id: a, aws_secret_access_key: b}}
rules: {r: {sql: SELECT * FROM "t/#", actions: [{partition_key: a}]}}
pipeline: {drain_timeout: %s}
`

// A new pipeline is started although the one before could not write everything,
// and whoever stops the program meanwhile is obeyed.
func TestNewPipelineWhileSinkIsAway(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "bridge.yaml")
	mqtt, away := "mqtt://"+freeAddr(t), freeAddr(t)
	write(t, path, fmt.Sprintf(awayAWS, mqtt, away, "10ms"))
	var log output
	hup := make(chan os.Signal, 1)
	p := &program{lookup: os.LookupEnv, stdout: io.Discard, stderr: &log, hup: hup}
	ctx, stop := context.WithCancel(t.Context())
	code := make(chan int, 1)
	go func() { code <- p.run(ctx, []string{"run", "-config", path}) }()
	eventually(t, "up", func() bool { return strings.Contains(log.String(), "source is connected") })
	publish(t, mqtt, "held", 0) // with QoS 1 its publisher would wait for the sink
	eventually(t, "tried", func() bool { return strings.Contains(log.String(), "sink is disconnected") })

	write(t, path, fmt.Sprintf(awayAWS, mqtt, away, "11ms"))
	hup <- syscall.SIGHUP
	eventually(t, "goes on", func() bool { return strings.Count(log.String(), "source is connected") == 2 })
	require.Contains(t, log.String(), "not everything was written")
	require.Contains(t, log.String(), "dropped=0 records_left=1")
	stop()
	require.Equal(t, 0, <-code, log.String())
}

// Records that wait in a buffer on disk are safe, so a stop with some is a clean one;
// the next start goes on with them. The buffer of one sink does not excuse what is left
// of another.
func TestStopWithBuffer(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, mqtt, service, other := filepath.Join(dir, "bridge.yaml"), "mqtt://"+freeAddr(t), freeAddr(t), freeAddr(t)
	run := func(second string, until ...string) (code int, text string) {
		write(t, path, fmt.Sprintf(`
sources: {b: {type: broker, listeners: ["%s"]}}
sinks:
  k:
    {type: kinesis, stream_name: s, region: us-east-1, endpoint: "http://%s", aws_access_key_id: a, aws_secret_access_key: b,
     resource_opts: {buffer_mode: durable, buffer_dir: %q, request_ttl: infinity}}
  other:
    {type: kinesis, stream_name: s, region: us-east-1, endpoint: "http://%s", aws_access_key_id: a, aws_secret_access_key: b,
     resource_opts: {request_ttl: infinity}}
rules:
  r: {sql: SELECT * FROM "t/#", actions: [{sink: k, partition_key: a}]}
  second: {sql: SELECT * FROM "%s", actions: [{sink: other, partition_key: a}]}
pipeline: {drain_timeout: 100ms}
`, mqtt, service, filepath.Join(dir, "buffer"), other, second))
		var log output
		p := &program{lookup: os.LookupEnv, stdout: io.Discard, stderr: &log}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan int, 1)
		go func() { ended <- p.run(ctx, []string{"run", "-config", path}) }()
		eventually(t, "up", func() bool { return strings.Contains(log.String(), `connected" source=b`) })
		if len(until) > 0 {
			publish(t, mqtt, "kept", 0)
		}
		for _, line := range until {
			eventually(t, line, func() bool { return strings.Contains(log.String(), line) })
		}
		if len(until) == 0 {
			l, err := net.Listen("tcp", service)
			require.NoError(t, err)
			stream, err := kinesistest.New(kinesistest.Config{Streams: []kinesistest.StreamConfig{{Name: "s"}}})
			require.NoError(t, err)
			defer stream.Close()
			srv := &http.Server{Handler: stream, ReadHeaderTimeout: time.Minute}
			go func() { _ = srv.Serve(l) }()
			defer srv.Close()
			eventually(t, "stored", func() bool { return len(stream.Records("s")) == 2 })
		}
		stop()
		return <-ended, log.String()
	}
	code, text := run("none", `disconnected" sink=k `)
	require.Equal(t, 0, code, text)
	require.Contains(t, text, "records wait in the buffer on disk for the next start\" sink=k records_left=1")
	code, text = run("t/#", `disconnected" sink=k `, `disconnected" sink=other `)
	require.Equal(t, 1, code, "the other sink has no buffer: %s", text)
	code, text = run("none")
	require.Equal(t, 0, code, text)
}

// A definition that turns out to be impossible gives way to the last one that was
// ready, not to one that waits for its broker in vain.
func TestGoBack(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, out, mqtt := filepath.Join(dir, "bridge.yaml"), filepath.Join(dir, "out"), "mqtt://"+freeAddr(t)
	write(t, path, definition(mqtt, out, "${payload}"))
	var log output
	hup := make(chan os.Signal, 1)
	p := &program{lookup: os.LookupEnv, stdout: io.Discard, stderr: &log, hup: hup}
	ctx, stop := context.WithCancel(t.Context())
	code := make(chan int, 1)
	go func() { code <- p.run(ctx, []string{"run", "-config", path}) }()
	ready := func(n int) {
		t.Helper()
		eventually(t, "ready", func() bool { return strings.Count(log.String(), "bridge is ready") == n })
	}
	ready(1)
	away := strings.Replace(definition(mqtt, out, "${payload}"), fmt.Sprintf(`{type: broker, listeners: [%q]}`, mqtt),
		fmt.Sprintf(`{type: mqtt, servers: %q, client_id: x}`, "mqtt://"+freeAddr(t)), 1)
	require.Contains(t, away, "type: mqtt")
	write(t, path, away)
	hup <- syscall.SIGHUP
	eventually(t, "a broker that is not there", func() bool { return strings.Contains(log.String(), "source is disconnected") })
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	write(t, path, definition("mqtt://"+taken.Addr().String(), out, "${payload}"))
	hup <- syscall.SIGHUP
	ready(2)
	require.Contains(t, log.String(), "the definition cannot be run; going back to the last one that was ready")
	publish(t, mqtt, "hello", 1)
	stored(t, out, "hello\n")
	stop()
	require.Equal(t, 0, <-code, log.String())
}

// traced follows a message from a second program.
func traced(t *testing.T, mqtt, listen string) {
	t.Helper()
	var out, errs output
	p := &program{lookup: os.LookupEnv, stdout: &out, stderr: &errs}
	ctx, stop := context.WithCancel(t.Context())
	code := make(chan int, 1)
	go func() { code <- p.run(ctx, []string{"trace", "-listen", listen, "-rule", "r", "-topic", "t/#"}) }()
	eventually(t, "trace begins", func() bool { return strings.Contains(errs.String(), "Ctrl-C ends it") })
	publish(t, mqtt, "traced", 1)
	eventually(t, "trace", func() bool { return strings.Contains(out.String(), "stored: its broker may forget it") })
	for _, part := range []string{
		"#1 message from b, t/1, QoS 1, 6 bytes: traced", "rule r, ", `data 1 ${payload} => 1 traced`,
		"record 1: attempt 1 to write to f", "record 1: stored",
	} {
		require.Contains(t, out.String(), part)
	}
	stop()
	require.Equal(t, 0, <-code, errs.String())
}

func TestTraceMistakes(t *testing.T) {
	t.Parallel()
	code, _, stderr := execute(t, "trace", "-listen", freeAddr(t))
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "start it with run -listen, and name that address")

	for _, c := range []struct{ remote, host, header string }{
		{"192.0.2.1:1", "localhost", ""}, {"127.0.0.1:1", "evil.example:8080", ""}, {"127.0.0.1:1", "localhost", "192.0.2.1"},
	} {
		r := httptest.NewRequest(http.MethodGet, "/trace", http.NoBody)
		r.RemoteAddr, r.Host = c.remote, c.host
		if c.header != "" {
			r.Header.Set("X-Forwarded-For", c.header)
		}
		w := httptest.NewRecorder()
		new(status).serveTrace(w, r)
		require.Equal(t, http.StatusForbidden, w.Code, c)
	}
	require.True(t, console.FromHere(&http.Request{RemoteAddr: "[::1]:5", Host: "[::1]:8080"}))

	s, err := serve(listening{addr: "127.0.0.1:0"}, false, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(s.close)
	code, _, stderr = execute(t, "trace", "-listen", s.addr)
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "not started")
	code, _, stderr = execute(t, "health", "-listen", s.addr)
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "pipeline: not started")
	client, err := mqtt.New(mqtt.Config{
		Brokers: []string{"mqtt://127.0.0.1:1"}, ClientID: "c", Filters: []mqtt.Subscription{{Filter: "#"}},
	})
	require.NoError(t, err)
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, "/trace?client=c1", http.NoBody)
	r.RemoteAddr, r.Host = "127.0.0.1:1", "localhost"
	(&status{current: new(bridge.Pipeline), sources: map[string]bridge.Source{"m": client}}).serveTrace(w, r)
	require.Equal(t, http.StatusBadRequest, w.Code)
	require.Contains(t, w.Body.String(), "does not learn who published")
	_, err = traceFilter(url.Values{"rate": {"x"}, "topic": {"a/#/b"}})
	require.ErrorContains(t, err, `-rate: "x" is not a number`)
	require.ErrorContains(t, err, "Topic")
}

// With -watch a new definition, and a new secret, are seen without a signal.
func TestWatch(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, out, secret := filepath.Join(dir, "bridge.yaml"), filepath.Join(dir, "out"), filepath.Join(dir, "secret")
	write(t, secret, "1")
	write(t, path, definition("mqtt://"+freeAddr(t), out, "${file:"+secret+"} ${payload}"))
	var log output
	p := &program{lookup: os.LookupEnv, stdout: io.Discard, stderr: &log}
	ctx, stop := context.WithCancel(t.Context())
	code := make(chan int, 1)
	go func() { code <- p.run(ctx, []string{"run", "-config", path, "-watch", "10ms"}) }()
	count := func(n int, text string) {
		t.Helper()
		eventually(t, text, func() bool { return strings.Count(log.String(), text) == n })
	}
	count(1, "bridge is ready")
	replace(t, secret, "2")
	count(1, "changed rules.r (actions)")
	require.NoError(t, os.Remove(secret))
	count(1, "the definition is wrong; everything stays as it was")
	replace(t, secret, "3")
	count(2, "changed rules.r (actions)")
	stop()
	require.Equal(t, 0, <-code, log.String())
}

// replace changes a file at once, as tools that mount secrets do.
func replace(t *testing.T, path, text string) {
	t.Helper()
	write(t, path+".new", text)
	require.NoError(t, os.Rename(path+".new", path))
}

func publish(t *testing.T, broker, payload string, qos byte) {
	t.Helper()
	c, err := republish.NewClient(republish.ClientConfig{Brokers: []string{broker}})
	require.NoError(t, err)
	require.NoError(t, c.Open(t.Context()))
	defer func() { require.NoError(t, c.Close(t.Context())) }()
	eventually(t, "connected", func() bool { return c.Check(t.Context()) == nil })
	require.NoError(t, c.Publish(t.Context(), &republish.Message{Topic: "t/1", Payload: []byte(payload), QoS: qos}))
}

func stored(t *testing.T, path, want string) {
	t.Helper()
	eventually(t, want, func() bool {
		text, _ := os.ReadFile(path)
		return string(text) == want
	})
}

func get(t *testing.T, addr, path string, code int) string {
	t.Helper()
	r, err := http.Get("http://" + addr + path)
	require.NoError(t, err)
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	require.Equal(t, code, r.StatusCode, string(text))
	return string(text)
}

// What is odd about the rule of the flags is logged.
func TestFlagsOddRule(t *testing.T) {
	t.Parallel()
	r, err := rule.New(rule.Config{
		SQL:     `SELECT payload.temp AS temp, tmep FROM "t/#"`,
		Actions: []rule.Action{{Sink: "kinesis", Key: "${id}", UndefinedKey: rule.KeyTopic, Data: "a ${temp"}},
	})
	require.NoError(t, err)
	var log output
	warnRule(slog.New(slog.NewTextHandler(&log, nil)), r)
	require.Contains(t, log.String(), "there is no column tmep")
	require.Contains(t, log.String(), `msg="-key: ${id} has no value`)
	require.Contains(t, log.String(), "-payload: ")
}
