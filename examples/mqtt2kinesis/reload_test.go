package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/sink/kinesis/kinesistest"
	"github.com/sluiceio/sluice/sink/republish"
)

// bridged is the command run, with a definition that changes.
type bridged struct {
	path, mqtt, listen string
	log                output
	hup                chan os.Signal
}

// runBridge runs a definition until the test ends, with %s for its listener.
func runBridge(t *testing.T, text string) *bridged {
	t.Helper()
	b := &bridged{path: filepath.Join(t.TempDir(), "bridge.yaml"), mqtt: "mqtt://" + freeAddr(t), listen: freeAddr(t), hup: make(chan os.Signal, 1)}
	b.write(t, text)
	p := &program{lookup: os.LookupEnv, stdout: io.Discard, stderr: &b.log, hup: b.hup}
	ctx, stop := context.WithCancel(t.Context())
	code := make(chan int, 1)
	go func() { code <- p.run(ctx, []string{"run", "-config", b.path, "-listen", b.listen}) }()
	t.Cleanup(func() {
		stop()
		<-code
		if t.Failed() {
			t.Log(b.log.String())
		}
	})
	b.says(t, 1, "source is connected")
	return b
}

func (b *bridged) write(t *testing.T, text string) {
	t.Helper()
	write(t, b.path, fmt.Sprintf("sources: {b: {type: broker, listeners: [%q]}}\npipeline: {drain_timeout: 1s}\n", b.mqtt)+text)
}

// load changes the definition and has it loaded.
func (b *bridged) load(t *testing.T, text string) {
	t.Helper()
	b.write(t, text)
	b.hup <- syscall.SIGHUP
}

// says waits until the log has a text n times.
func (b *bridged) says(t *testing.T, n int, text string) {
	t.Helper()
	eventually(t, text, func() bool { return strings.Count(b.log.String(), text) >= n })
}

// publish publishes the numbers from first to last-1, by QoS 0, since a publisher
// of QoS 1 would wait for the sink, and therefore not more at once than the broker
// takes in. It returns when the daemon has read them all.
func (b *bridged) publish(t *testing.T, first, last int) {
	t.Helper()
	c, err := republish.NewClient(republish.ClientConfig{Brokers: []string{b.mqtt}})
	require.NoError(t, err)
	require.NoError(t, c.Open(t.Context()))
	defer func() { require.NoError(t, c.Close(t.Context())) }()
	eventually(t, "connected", func() bool { return c.Check(t.Context()) == nil })
	for i := first; i < last; i++ {
		require.NoError(t, c.Publish(t.Context(), &republish.Message{Topic: "t/1", Payload: fmt.Appendf(nil, "%d", i)}))
		if i%20 == 19 || i == last-1 {
			b.received(t, i+1)
		}
	}
}

// received waits until the daemon has read n messages.
func (b *bridged) received(t *testing.T, n int) {
	t.Helper()
	eventually(t, "received", func() bool {
		return strings.Contains(get(t, b.listen, "/stats", 200), fmt.Sprintf(`"received":%d,`, n))
	})
}

// arrived waits until a stream has the numbers from 0 to n-1, and checks that they
// came in order. What was written twice counts once.
func arrived(t *testing.T, server *kinesistest.Server, n int) {
	t.Helper()
	next := 0
	eventually(t, "everything in the stream", func() bool {
		next = 0
		for _, r := range server.UserRecords("good") {
			var i int
			_, err := fmt.Sscan(string(r.Data), &i)
			require.NoError(t, err)
			require.LessOrEqual(t, i, next, "a later record is before it")
			next = max(next, i+1)
		}
		return next == n
	})
}

// toKinesis is a sink with its rule.
func toKinesis(name, url, stream, more string) string {
	return fmt.Sprintf(`
sinks: {%s: {type: kinesis, stream_name: %s, region: us-east-1, endpoint: %q, aws_access_key_id: a, aws_secret_access_key: b%s}}
rules: {r: {sql: SELECT * FROM "t/#", actions: [{sink: %s, partition_key: k, payload: "${payload}"}]}}
`, name, stream, url, more, name)
}

// A sink that refuses everything is replaced by one that takes it, and what waited
// arrives in order.
func TestReloadCuresASink(t *testing.T) {
	t.Parallel()
	for _, wrong := range []string{"stream", "token", "endpoint"} {
		t.Run(wrong, func(t *testing.T) {
			t.Parallel()
			server := kinesistest.Start(t, kinesistest.Config{Streams: []kinesistest.StreamConfig{{Name: "good"}}})
			bad := toKinesis("k", server.URL(), "nosuch", "")
			switch wrong {
			case "token":
				expired := kinesistest.Start(t, kinesistest.Config{
					Streams: []kinesistest.StreamConfig{{Name: "good"}},
					Faults:  kinesistest.Plan{Faults: []kinesistest.Fault{{Kind: kinesistest.FailCall, Code: kinesistest.CodeExpiredToken}}},
				})
				bad = toKinesis("k", expired.URL(), "good", "")
			case "endpoint":
				bad = toKinesis("k", "http://"+freeAddr(t), "good", "")
			}
			b := runBridge(t, bad)
			b.publish(t, 0, 300)
			b.says(t, 1, "sink is disconnected")
			require.Contains(t, get(t, b.listen, "/readyz", 503), "sinks.k")

			b.load(t, toKinesis("k", server.URL(), "good", ""))
			b.says(t, 1, "definition loaded")
			b.publish(t, 300, 400)
			arrived(t, server, 400)
			eventually(t, "ready", func() bool { return strings.Contains(get(t, b.listen, "/stats", 200), `"success":400`) })
		})
	}
}

// A sink that gets another name keeps what waits for it, in order.
func TestReloadRenamesASink(t *testing.T) {
	t.Parallel()
	server := kinesistest.Start(t, kinesistest.Config{
		Streams: []kinesistest.StreamConfig{{Name: "good", Shards: 1}},
		Faults: kinesistest.Plan{Faults: []kinesistest.Fault{
			{Kind: kinesistest.FailRecord, Op: "PutRecords", Rate: 0.05, Code: kinesistest.CodeThroughputExceeded},
			{Kind: kinesistest.Slow, Op: "PutRecords", Delay: 5e6},
		}},
	})
	b := runBridge(t, toKinesis("a", server.URL(), "good", ""))
	names := []string{"k", "a", "c"}
	for i, name := range names {
		b.publish(t, i*100, (i+1)*100)
		b.load(t, toKinesis(name, server.URL(), "good", ""))
		b.says(t, i+1, "definition loaded")
	}
	b.publish(t, 300, 400)
	arrived(t, server, 400)
	require.NotContains(t, b.log.String(), "cannot be applied")
}

// A definition of which one part cannot be put into service changes nothing, and
// the next signal tries all of it again.
func TestReloadIsAllOrNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	out, blocked := filepath.Join(dir, "out"), filepath.Join(dir, "file")
	write(t, blocked, "where a directory should be")
	first := fmt.Sprintf(`
sinks: {f: {type: file, path: %s, format: raw}}
rules: {r: {sql: SELECT * FROM "t/#", actions: [{sink: f, payload: "1 ${payload}"}]}}
`, out)
	second := fmt.Sprintf(`
sinks: {f: {type: file, path: %s, format: raw}, g: {type: file, path: %s, format: raw}}
rules:
  r: {sql: SELECT * FROM "t/#", actions: [{sink: g, payload: "2 ${payload}"}]}
  new: {sql: SELECT * FROM "t/#", actions: [{sink: f, payload: "new ${payload}"}]}
`, out, filepath.Join(blocked, "out"))
	b := runBridge(t, first)
	publish(t, b.mqtt, "a", 1)
	for i := range 2 {
		b.load(t, second)
		b.says(t, i+1, "the definition cannot be applied; everything stays as it was")
		publish(t, b.mqtt, "b", 1)
	}
	stored(t, out, "1 a\n1 b\n1 b\n")
	require.NotContains(t, b.log.String(), "nothing has changed")
	require.Contains(t, get(t, b.listen, "/readyz", 200), "ready")

	require.NoError(t, os.Remove(blocked))
	b.load(t, second)
	b.says(t, 1, "definition loaded")
	publish(t, b.mqtt, "c", 1)
	stored(t, out, "1 a\n1 b\n1 b\nnew c\n")
	stored(t, filepath.Join(blocked, "out"), "2 c\n")
}

// A change that waits for a sink that does not answer gives way to the next one.
func TestReloadIsSuperseded(t *testing.T) {
	t.Parallel()
	server := kinesistest.Start(t, kinesistest.Config{Streams: []kinesistest.StreamConfig{{Name: "good"}}})
	hangs := kinesistest.Start(t, kinesistest.Config{
		Streams: []kinesistest.StreamConfig{{Name: "good"}},
		Faults:  kinesistest.Plan{Faults: []kinesistest.Fault{{Kind: kinesistest.Hang, Op: "PutRecords"}}},
	})
	b := runBridge(t, toKinesis("k", hangs.URL(), "good", ""))
	b.publish(t, 0, 10)
	eventually(t, "a request", func() bool { return hangs.Calls()["PutRecords"] > 0 })
	b.load(t, toKinesis("k", server.URL(), "other", ""))
	b.says(t, 1, "definition is being applied")
	b.load(t, toKinesis("k", server.URL(), "good", ""))
	b.says(t, 1, "a newer one takes its place")
	b.says(t, 1, "definition loaded")
	b.publish(t, 10, 20)
	arrived(t, server, 20)
}
