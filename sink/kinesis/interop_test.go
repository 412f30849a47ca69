package kinesis_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/bridge/bridgetest"
	"github.com/sluiceio/sluice/sink/kinesis"
	"github.com/sluiceio/sluice/sink/kinesis/kinesistest"
)

// lacking skips a test for want of a program, or fails it where all are to be
// there.
func lacking(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" && os.Getenv("SLUICE_REAL_PARTS") == "1" {
		require.FailNow(t, "not installed", format, args)
	}
	t.Skipf(format, args...)
}

// module returns the folder of an npm package, and node's path.
func module(t *testing.T, name string) (node, dir string) {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		lacking(t, "node is not installed")
	}
	root := os.Getenv("SLUICE_NPM_DIR")
	if root == "" {
		root = filepath.Join("..", "..", ".cache", "npm")
	}
	if root, err = filepath.Abs(root); err != nil {
		t.Fatal(err)
	}
	dir = filepath.Join(root, "node_modules", name)
	if _, err := os.Stat(dir); err != nil {
		lacking(t, "npm's %s is not installed in %s", name, root)
	}
	return node, dir
}

// deaggregate reads records with the reference implementation for Node.js.
const deaggregate = `
const agg = require(process.argv[1]);
const out = [];
for (const line of require("fs").readFileSync(0, "utf8").trim().split("\n")) {
  const record = JSON.parse(line);
  agg.deaggregateSync({kinesis: record, partitionKey: record.partitionKey, data: record.data, explicitHashKey: record.explicitHashKey},
    true, (err, records) => {
      if (err) throw err;
      for (const r of records) out.push({key: r.partitionKey, hash: r.explicitPartitionKey || "", data: r.data.toString("base64")});
    });
}
console.log(JSON.stringify(out));
`

// TestAggregatesReadByReference reads what the sink wrote with npm's
// aws-kinesis-agg.
func TestAggregatesReadByReference(t *testing.T) {
	t.Parallel()
	node, dir := module(t, "aws-kinesis-agg")
	server := kinesistest.Start(t, kinesistest.Config{NoSocket: true, Streams: []kinesistest.StreamConfig{{Name: "s", Shards: 3}}})
	awsConfig := server.AWSConfig()
	snk, err := kinesis.New(kinesis.Config{AWS: &awsConfig, Stream: "s", Aggregate: true, Slots: 8})
	require.NoError(t, err)
	src := newTraffic(1000, 50, 1000)
	runPipeline(t, src, snk, bridge.QueueConfig{BatchTime: 10 * time.Millisecond})

	var in bytes.Buffer
	for _, r := range server.Records("s") {
		require.NoError(t, json.NewEncoder(&in).Encode(map[string]any{
			"data": r.Data, "partitionKey": r.PartitionKey, "sequenceNumber": r.SequenceNumber,
		}))
	}
	cmd := exec.CommandContext(t.Context(), node, "-e", deaggregate, dir)
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr = &in, &stderr
	out, err := cmd.Output()
	require.NoError(t, err, stderr.String())
	var got []struct{ Key, Hash, Data string }
	require.NoError(t, json.Unmarshal(out, &got))

	want := server.UserRecords("s")
	require.Len(t, got, 1000)
	require.Len(t, want, 1000)
	for i := range want {
		require.Equal(t, want[i].PartitionKey, got[i].Key)
		data, err := base64Text(got[i].Data)
		require.NoError(t, err)
		require.Equal(t, string(want[i].Data), data)
		if want[i].Aggregated {
			require.Equal(t, want[i].ExplicitHashKey, got[i].Hash)
		}
	}
}

func base64Text(s string) (string, error) {
	var b []byte
	err := json.Unmarshal([]byte(strconv.Quote(s)), &b)
	return string(b), err
}

// startEmulator starts a Kinesis of other people as a process on the loopback
// interface and returns its URL.
func startEmulator(t *testing.T, name string) string {
	t.Helper()
	node, dir := module(t, name)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := l.Addr().String()
	require.NoError(t, l.Close())
	_, port, _ := net.SplitHostPort(addr)
	loopback, err := filepath.Abs(filepath.Join("..", "..", "internal", "itest", "testdata", "loopback.js"))
	require.NoError(t, err)
	args := []string{"-r", loopback}
	if name == "kinesalite" {
		args = append(args, "cli.js", "--port", port, "--createStreamMs", "10")
	} else {
		args = append(args, "main.js")
	}
	cmd := exec.CommandContext(t.Context(), node, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "KINESIS_MOCK_PLAIN_PORT="+port, "KINESIS_MOCK_TLS_PORT=0", "LOG_LEVEL=ERROR")
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	require.Eventually(t, func() bool {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	}, 40*time.Second, 50*time.Millisecond)
	return "http://" + addr
}

// lossy is an HTTP client that forgets the answers to some puts.
type lossy struct {
	http.Client
	mu   sync.Mutex
	dice *rand.Rand
}

var errLost = errors.New("the answer was lost")

func (c *lossy) Do(r *http.Request) (*http.Response, error) {
	resp, err := c.Client.Do(r)
	c.mu.Lock()
	lose := err == nil && c.dice.IntN(10) == 0 && strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".PutRecords")
	c.mu.Unlock()
	if lose {
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		return nil, errLost
	}
	return resp, err
}

// TestEmulators writes to other people's ideas of Kinesis, with every tenth
// answer lost.
func TestEmulators(t *testing.T) {
	for _, name := range []string{"kinesalite", "kinesis-local"} {
		t.Run(name, func(t *testing.T) {
			url := startEmulator(t, name)
			transport := &http.Transport{}
			t.Cleanup(transport.CloseIdleConnections)
			awsConfig := aws.Config{
				Region: "us-east-1", BaseEndpoint: &url,
				HTTPClient: &lossy{Client: http.Client{Transport: transport}, dice: rand.New(rand.NewPCG(1, 2))},
				Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
					return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
				}),
			}
			client := sdk.NewFromConfig(awsConfig)
			for _, aggregate := range []bool{false, true} {
				stream := fmt.Sprintf("s-%t", aggregate)
				snk, err := kinesis.New(kinesis.Config{
					AWS: &awsConfig, Stream: stream, Aggregate: aggregate, Slots: 16, Logger: slog.New(slog.DiscardHandler),
				})
				require.NoError(t, err)
				require.ErrorContains(t, snk.Check(t.Context()), "no such stream")
				_, err = client.CreateStream(t.Context(), &sdk.CreateStreamInput{StreamName: &stream, ShardCount: aws.Int32(3)})
				require.NoError(t, err)
				// No waiting until it is active: the sink does.
				src := newTraffic(1000, 100, 300)
				stats := runPipeline(t, src, snk, bridge.QueueConfig{
					BatchTime: 10 * time.Millisecond, ResumeInterval: 100 * time.Millisecond, BackoffMax: 100 * time.Millisecond,
				})
				duplicates := verifyRead(t, client, stream, src)
				require.LessOrEqual(t, duplicates, int(stats.Ambiguous))
			}
		})
	}
}

// verifyRead checks what a consumer reads, as verify does.
func verifyRead(t *testing.T, client kinesistest.Reader, stream string, src *traffic) (duplicates int) {
	t.Helper()
	next := map[string]int{}
	total := 0
	for r, err := range kinesistest.Consume(t.Context(), client, stream, kinesistest.ConsumeConfig{}) {
		require.NoError(t, err)
		_, number, _ := strings.Cut(string(r.Data), ":")
		n, err := strconv.Atoi(number)
		require.NoError(t, err)
		require.LessOrEqual(t, n, next[r.PartitionKey], "out of order")
		if n < next[r.PartitionKey] {
			duplicates++
			continue
		}
		next[r.PartitionKey]++
		total++
	}
	require.Equal(t, src.messages, total)
	return duplicates
}

func TestConformance(t *testing.T) {
	for name, cfg := range map[string]kinesis.Config{
		"plain": {}, "aggregated": {Aggregate: true}, "lines": {Pack: kinesis.Lines},
	} {
		t.Run(name, func(t *testing.T) {
			var server *kinesistest.Server
			fault := func(t *testing.T, f kinesistest.Fault) {
				require.NoError(t, server.SetFaults(kinesistest.Plan{Faults: []kinesistest.Fault{f}}))
			}
			bridgetest.TestSink(t, bridgetest.SinkSuite{
				New: func(t *testing.T) bridge.Sink {
					server = kinesistest.Start(t, kinesistest.Config{NoSocket: true, Streams: []kinesistest.StreamConfig{{Name: "s", Shards: 4}}})
					awsConfig := server.AWSConfig()
					cfg.AWS, cfg.Stream = &awsConfig, "s"
					snk, err := kinesis.New(cfg)
					require.NoError(t, err)
					return snk
				},
				Stored: func(*testing.T, bridge.Sink) (list []bridgetest.Stored) {
					for _, r := range server.UserRecords("s") {
						for data := range strings.SplitSeq(strings.TrimSuffix(string(r.Data), "\n"), "\n") {
							list = append(list, bridgetest.Stored{Key: r.PartitionKey, Data: data})
						}
					}
					return list
				},
				// The record that has "2" among others in it.
				Fail: func(t *testing.T, _ bridge.Sink, _ string) {
					fault(t, kinesistest.Fault{Kind: kinesistest.FailRecord, Key: "k", Times: 1})
				},
				Block: func(t *testing.T, _ bridge.Sink) func() {
					fault(t, kinesistest.Fault{Kind: kinesistest.Hang})
					return func() { require.NoError(t, server.SetFaults(kinesistest.Plan{})) }
				},
			})
		})
	}
}

// TestStreamAppears starts before its stream exists: nothing is lost, Check says
// why nothing moves, and no restart is needed. Another stream goes on meanwhile.
func TestStreamAppears(t *testing.T) {
	t.Parallel()
	server := kinesistest.Start(t, kinesistest.Config{
		NoSocket: true, CreateDelay: 50 * time.Millisecond, Streams: []kinesistest.StreamConfig{{Name: "other"}},
	})
	awsConfig := server.AWSConfig()
	snk, err := kinesis.New(kinesis.Config{AWS: &awsConfig, Stream: "late", Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	src := new(bridgetest.Source)
	p, err := bridge.New(bridge.Config{
		Sources: map[string]bridge.Source{"memory": src},
		Rules: map[string]bridge.Rule{"all": bridge.RuleFunc(func(out *bridge.Out, m *bridge.Message) error {
			out.Add(bridge.Record{Dest: m.ClientID, Key: []byte(m.Topic), Data: m.Payload})
			return nil
		}, "#")},
		Sinks:  map[string]bridge.Sink{"kinesis": snk},
		Queue:  bridge.QueueConfig{ResumeInterval: 20 * time.Millisecond},
		Logger: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	for i := range 300 {
		dest := []string{"", "other"}[i%2]
		src.Publish(bridge.Message{Topic: strconv.Itoa(i % 10), ClientID: dest, Payload: []byte(strconv.Itoa(i))})
	}
	within := func(what string, f func() bool) {
		require.Eventually(t, f, 20*time.Second, 5*time.Millisecond, what)
	}
	within("the other stream", func() bool { return len(server.Records("other")) == 150 })
	require.ErrorContains(t, snk.Check(ctx), "no such stream")
	within("health", func() bool { return strings.Contains(p.Stats().Sinks["kinesis"].Health.Reason, "no such stream") })
	_, err = server.CreateStream(ctx, &sdk.CreateStreamInput{StreamName: aws.String("late"), ShardCount: aws.Int32(1)})
	require.NoError(t, err)
	within("the late stream", func() bool { return len(server.Records("late")) == 150 })
	cancel()
	require.NoError(t, <-ended)
	byKey := map[string][]int{}
	for _, r := range server.Records("late") {
		n, err := strconv.Atoi(string(r.Data))
		require.NoError(t, err)
		byKey[r.PartitionKey] = append(byKey[r.PartitionKey], n)
	}
	for key, list := range byKey {
		require.True(t, slices.IsSorted(list), "%s: %v", key, list)
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	server := kinesistest.Start(t, kinesistest.Config{TLS: true, Streams: []kinesistest.StreamConfig{{Name: "s"}}})
	cfg := kinesis.Config{
		Endpoint: server.URL(), Stream: "s", AccessKeyID: "a", SecretAccessKey: "b", Logger: slog.New(slog.DiscardHandler),
	}
	b := new(bridge.Batch)
	b.Add(bridge.Record{Key: []byte("k"), Data: []byte("1")})

	stranger, err := kinesis.New(cfg)
	require.NoError(t, err)
	require.ErrorContains(t, stranger.Check(t.Context()), "is not trusted")
	err = bridgetest.Write(t.Context(), stranger, b)
	require.ErrorIs(t, err, bridge.ErrUnavailable)
	require.NotErrorIs(t, err, bridge.ErrAmbiguous)
	require.NoError(t, stranger.Close(t.Context()))

	cfg.TLS = &tls.Config{RootCAs: server.CertPool()}
	friend, err := kinesis.New(cfg)
	require.NoError(t, err)
	require.NoError(t, friend.Check(t.Context()))
	require.NoError(t, bridgetest.Write(t.Context(), friend, b))
	require.NoError(t, friend.Close(t.Context()))
	require.Len(t, server.Records("s"), 1)
}
