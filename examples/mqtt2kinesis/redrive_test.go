package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/sink/file"
	"github.com/sluiceio/sluice/sink/spool"
)

// redriveDefinition has a rule that fails on payloads without n, and a sink.
func redriveDefinition(t *testing.T, sink string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "bridge.yaml")
	write(t, path, `
sources: {s: {type: mqtt, client_id: c, servers: mqtt://127.0.0.1:1}}
sinks:
  out: `+sink+`
rules:
  r:
    sql: SELECT payload.n + 1 AS n, topic FROM "t/#"
    actions: [{sink: out, key: $<topic>, payload: "$<topic> $<n>"}]
  list:
    sql: FOREACH payload.l AS x DO x FROM "l"
    actions: [{sink: out, key: k$<x>, payload: "x $<x>"}]
`)
	return path
}

// letterOfRule is a dead letter as a pipeline makes it when a rule fails.
func letterOfRule(topic, payload string) bridge.Record {
	return bridge.Record{Topic: topic, Rule: "r", Key: []byte(topic), Data: []byte(payload), Attrs: []bridge.Attr{
		{Name: "topic", Value: []byte(topic)},
		{Name: "clientid"},
		{Name: "qos", Value: []byte("1")},
		{Name: "rule", Value: []byte("r")},
		{Name: "error", Value: []byte("it failed")},
	}}
}

// letterOfSink is one as a pipeline makes it when a sink refuses a record.
func letterOfSink(topic, rule, key, data, payload string) bridge.Record {
	return bridge.Record{Topic: topic, Rule: rule, Key: []byte(key), Data: []byte(data), Attrs: []bridge.Attr{
		{Name: "sink", Value: []byte("out")},
		{Name: "topic", Value: []byte(topic)},
		{Name: "rule", Value: []byte(rule)},
		{Name: "error", Value: []byte("refused")},
		{Name: "payload", Value: []byte(payload)},
	}}
}

func writeLetters(t *testing.T, path string, letters ...bridge.Record) {
	t.Helper()
	s, err := file.New(file.Config{Path: path})
	require.NoError(t, err)
	require.NoError(t, s.Write(t.Context(), &bridge.Batch{Records: letters}))
	require.NoError(t, s.Close(t.Context()))
}

func lines(t *testing.T, path string) []string {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
}

// Letters go through the rules as they are now; what fails again is a letter again, and
// none is sent twice by another run.
func TestRedrive(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	out, dead := filepath.Join(dir, "out"), filepath.Join(dir, "dead.jsonl")
	path := redriveDefinition(t, "{type: file, format: raw, path: "+out+"}")
	writeLetters(t, dead,
		letterOfRule("t/1", `{"n":1}`),
		letterOfRule("t/1", ` {"n": 2}`),
		letterOfRule("t/1", "no JSON \xff"),
		letterOfSink("l", "list", "k2", "y 2", `{"l":[1,2,3]}`),
		letterOfSink("l", "list", "k3", "x 3", `{"l":[1,2,3]}`),
		letterOfSink("t/2", "r", "t/2", "old", `{"n":7}`),
	)
	code, stdout, stderr := execute(t, "redrive", "-dry-run", "-config", path, dead)
	require.Equal(t, 0, code, stderr)
	require.Equal(t, []string{
		"t/1: rule r failed: it failed", "  sink out, key t/1", "  t/1 2",
		"t/1: rule r failed: it failed", "  sink out, key t/1", "  t/1 3",
		"t/1: rule r failed: it failed",
	}, strings.Split(stdout, "\n")[:7])
	require.Contains(t, stdout, "  fails again: rule r: ")
	require.Contains(t, stdout, "sink out did not take a record of rule list: refused\n  sink out, key k2\n  x 2\n")
	require.Contains(t, stdout, "  sink out, key k3 (as before)\n  x 3\n")
	require.NoFileExists(t, out)
	require.NoFileExists(t, dead+".checkpoint")
	require.NoFileExists(t, dead+".failed")

	code, stdout, stderr = execute(t, "redrive", "-config", path, dead)
	require.Equal(t, 0, code, stderr)
	require.Equal(t, "6 letters read, 5 records stored, 1 failed again\n", stdout)
	require.ElementsMatch(t, []string{"t/1 2", "t/1 3", "x 2", "x 3", "t/2 8"}, lines(t, out))
	again := lines(t, dead+".failed")
	require.Len(t, again, 1)
	l, err := parseLetter([]byte(again[0]))
	require.NoError(t, err)
	require.Equal(t, "no JSON \xff", string(l.Payload))
	require.Equal(t, []string{"t/1", "r"}, []string{l.Topic, l.Rule})

	code, stdout, _ = execute(t, "redrive", "-config", path, dead)
	require.Equal(t, 0, code)
	require.Equal(t, "0 letters read, 0 records stored, 0 failed again\n", stdout)
	writeLetters(t, dead, letterOfRule("t/3", `{"n":0}`))
	code, stdout, _ = execute(t, "redrive", "-config", path, dead)
	require.Equal(t, 0, code)
	require.Equal(t, "1 letters read, 1 records stored, 0 failed again\n", stdout)

	write(t, dead, "another file\n")
	code, _, stderr = execute(t, "redrive", "-config", path, dead)
	require.Equal(t, 2, code)
	require.Contains(t, stderr, "remove the checkpoint to begin anew")
}

// Lines that are no letters are told of, and hold up none.
func TestRedriveOddLines(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	out, dead := filepath.Join(dir, "out"), filepath.Join(dir, "dead.jsonl")
	path := redriveDefinition(t, "{type: file, format: raw, path: "+out+"}")
	write(t, dead, "nonsense\n\n{\"data\":{}}\n{\"topic\":\"t/1\"}\n"+
		`{"topic":"t/1","rule":"r","data":{"n":1},"attrs":{}}`+"\n"+`{"topic":"t/9","rule":"gone","data":{}}`+"\n"+
		`{"topic":"$events/client/connected","rule":"r","data":{}}`+"\n"+`{"topic":"t/2","data":{"n":2}}`+"\n{\"topic\":\"t/1\"")
	code, stdout, stderr := execute(t, "redrive", "-config", path, dead)
	require.Equal(t, 1, code)
	require.Equal(t, "4 letters read, 2 records stored, 2 failed again\n", stdout)
	require.Contains(t, stderr, "dead.jsonl at byte 0 is passed over")
	require.Contains(t, stderr, "at byte 10 is passed over: it has no topic")
	require.Contains(t, stderr, "3 lines of "+dead+" are no dead letters")
	require.ElementsMatch(t, []string{"t/1 2", "t/2 3"}, lines(t, out), "without a rule all that match are meant")
	require.Contains(t, strings.Join(lines(t, dead+".failed"), ""), `there is no rule \"gone\" that is enabled`)
	code, stdout, _ = execute(t, "redrive", "-config", path, dead)
	require.Equal(t, 0, code)
	require.Contains(t, stdout, "0 letters read")
}

// The letters of a buffer on disk leave it when they are stored.
func TestRedriveBuffer(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	out, dead := filepath.Join(dir, "out"), filepath.Join(dir, "dead")
	path := redriveDefinition(t, "{type: file, format: raw, path: "+out+"}")
	buffer, err := spool.Open(spool.Config{Dir: dead})
	require.NoError(t, err)
	require.NoError(t, buffer.Sink().Write(t.Context(), &bridge.Batch{Records: []bridge.Record{
		letterOfRule("t/1", `{"n":1}`), letterOfSink("t/2", "r", "t/2", "old", `{"n":7}`), letterOfRule("t/1", "x"),
	}}))
	require.NoError(t, buffer.Close())
	code, stdout, stderr := execute(t, "redrive", "-dry-run", "-config", path, dead)
	require.Equal(t, 0, code, stderr)
	require.Contains(t, stdout, "  t/2 8\n")
	code, stdout, stderr = execute(t, "redrive", "-config", path, dead)
	require.Equal(t, 0, code, stderr)
	require.Equal(t, "3 letters read, 2 records stored, 1 failed again\n", stdout)
	require.ElementsMatch(t, []string{"t/1 2", "t/2 8"}, lines(t, out))
	code, stdout, stderr = execute(t, "redrive", "-config", path, dead)
	require.Equal(t, 0, code, stderr)
	require.Equal(t, "0 letters read, 0 records stored, 0 failed again\n", stdout)
}

// What is stored as JSON comes back as the bytes that it was.
func TestLetterBytes(t *testing.T) {
	t.Parallel()
	for _, payload := range []string{"", "x", `"x"`, `"\u0041"`, " 1", "1 ", `{"a": 1.50, "a":2}`, "[1,\n2]", "null", "\x00\xff", "\u2028<>", `\`} {
		var out bytes.Buffer
		s, err := file.New(file.Config{Writer: &out})
		require.NoError(t, err)
		require.NoError(t, s.Write(t.Context(), &bridge.Batch{Records: []bridge.Record{
			letterOfRule("t", payload), letterOfSink("t", "r", "\xff", "d", payload),
		}}))
		for text := range strings.Lines(out.String()) {
			require.True(t, json.Valid([]byte(text)))
			l, err := parseLetter([]byte(text))
			require.NoError(t, err)
			require.Equal(t, payload, string(l.Payload))
		}
	}
}

// TestRedriveChild is the process that TestRedriveAfterKill kills.
func TestRedriveChild(t *testing.T) {
	args := os.Getenv("REDRIVE_ARGS")
	if args == "" {
		return
	}
	execute(t, strings.Fields(args)...)
}

// A redrive that is killed goes on where it was: no letter is missing, and each key is
// in order.
func TestRedriveAfterKill(t *testing.T) {
	t.Parallel()
	const letters, keys = 3000, 5
	var mu sync.Mutex
	var got []string
	enough := make(chan struct{})
	web := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		if got = append(got, string(body)); len(got) == letters/3 {
			close(enough)
		}
	}))
	t.Cleanup(web.Close)
	dead := filepath.Join(t.TempDir(), "dead.jsonl")
	path := redriveDefinition(t, "{type: http, url: '"+web.URL+"', resource_opts: {request_ttl: infinity}}")
	var list []bridge.Record
	for i := range letters {
		list = append(list, letterOfRule(fmt.Sprintf("t/%d", i%keys), fmt.Sprintf(`{"n":%d}`, i)))
	}
	writeLetters(t, dead, list...)
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestRedriveChild$")
	child.Env = append(os.Environ(), "REDRIVE_ARGS=redrive -config "+path+" "+dead)
	require.NoError(t, child.Start())
	<-enough
	require.NoError(t, child.Process.Kill())
	_ = child.Wait()
	mu.Lock()
	got = append(got, "killed")
	mu.Unlock()
	code, _, stderr := execute(t, "redrive", "-config", path, dead)
	require.Equal(t, 0, code, stderr)

	next := map[string]int{}
	seen := map[string]bool{}
	mu.Lock()
	defer mu.Unlock()
	for _, text := range got {
		var key string
		var n int
		if _, err := fmt.Sscanf(text, "%s %d", &key, &n); err != nil || seen[text] {
			continue
		}
		seen[text] = true
		require.Greater(t, n, next[key], "key %s is in order", key)
		next[key] = n
	}
	require.Len(t, seen, letters)
}

// The checkpoint stands behind the letters that are settled without a gap, whatever is
// settled behind them.
func TestLetterProgress(t *testing.T) {
	t.Parallel()
	dead := filepath.Join(t.TempDir(), "dead.jsonl")
	writeLetters(t, dead, letterOfRule("t/1", "1"), letterOfRule("t/1", "2"), letterOfRule("t/1", "3"))
	ends := []int64{0}
	for _, text := range lines(t, dead) {
		ends = append(ends, ends[len(ends)-1]+int64(len(text))+1)
	}
	s, err := openLetters(dead, 0)
	require.NoError(t, err)
	msgs := make([]bridge.Message, 10)
	n, err := s.Read(t.Context(), msgs)
	require.Equal(t, 3, n)
	require.ErrorIs(t, err, io.EOF)
	at := func(offset int64, left int) {
		t.Helper()
		gotOffset, gotLeft := s.progress()
		require.Equal(t, []any{offset, left}, []any{gotOffset, gotLeft})
	}
	at(0, 3)
	msgs[1].Delivery.Done(bridge.Stored, nil)
	at(0, 3)
	msgs[0].Delivery.Done(bridge.DeadLettered, nil)
	at(ends[2], 1)
	msgs[2].Delivery.Done(bridge.Abandoned, nil)
	at(ends[2], 1)
	require.NoError(t, s.Close(t.Context()))

	path := dead + ".checkpoint"
	require.NoError(t, checkpoint{Offset: ends[2]}.write(path, dead))
	c, err := readCheckpoint(path, dead)
	require.NoError(t, err)
	s, err = openLetters(dead, c.Offset)
	require.NoError(t, err)
	l, end, err := s.next()
	require.NoError(t, err)
	require.Equal(t, "3", string(l.Payload))
	require.Equal(t, ends[3], end)
	require.NoError(t, s.Close(t.Context()))
	write(t, path, "{")
	_, err = readCheckpoint(path, dead)
	require.ErrorContains(t, err, "checkpoint "+path)
}
