package itest

import (
	"encoding/json"
	"io"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/sink/kinesis/kinesistest"
)

const region = "us-east-1"

// awsEnv are credentials that emulators take.
func awsEnv() []string {
	return []string{
		"AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test",
		"AWS_EC2_METADATA_DISABLED=true", "AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null",
		"AWS_PAGER=", "AWS_REGION=" + region, "AWS_DEFAULT_REGION=" + region,
	}
}

// emulator is a Kinesis that runs here; start returns its URL.
type emulator struct {
	name  string
	start func(t *testing.T) string
}

// emulators are the ones the walk-through is done with: two that are not ours,
// and ours.
func emulators() []emulator {
	return []emulator{
		{"kinesis-local", kinesisLocal},
		{"kinesalite", kinesalite},
		{"kinesistest", func(t *testing.T) string { t.Helper(); return kinesistest.Start(t, kinesistest.Config{}).URL() }},
	}
}

func kinesisLocal(t *testing.T) string {
	t.Helper()
	dir := module(t, "kinesis-local")
	port, tls := freePort(t), freePort(t)
	env := []string{"KINESIS_MOCK_PLAIN_PORT=" + port, "KINESIS_MOCK_TLS_PORT=" + tls, "LOG_LEVEL=ERROR"}
	p := start(t, dir, env, program(t, "node"), "-r", preload("loopback.js"), "main.js")
	awaitPort(t, "127.0.0.1:"+port, p)
	return "http://127.0.0.1:" + port
}

func kinesalite(t *testing.T) string {
	t.Helper()
	port := freePort(t)
	p := start(t, "", nil, program(t, "node"), "-r", preload("loopback.js"), "-r", preload("survive.js"),
		filepath.Join(module(t, "kinesalite"), "cli.js"), "--port", port, "--createStreamMs", "10")
	awaitPort(t, "127.0.0.1:"+port, p)
	return "http://127.0.0.1:" + port
}

// preload is a script that Node runs before an emulator: loopback.js keeps it on the
// loopback interface, survive.js keeps it alive.
func preload(name string) string {
	return filepath.Join(projectRoot(), "internal", "itest", "testdata", name)
}

// A bridge that ends without a drain cuts its requests off; that does not end an
// emulator, so that what comes next is about the bridge.
func TestEmulatorsSurviveCutRequests(t *testing.T) {
	t.Parallel()
	for _, e := range emulators() {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			endpoint := e.start(t)
			conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(endpoint, "http://"))
			require.NoError(t, err)
			_, err = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
			require.NoError(t, err)
			time.Sleep(200 * time.Millisecond) // the request is being read
			require.NoError(t, conn.Close())
			time.Sleep(200 * time.Millisecond)
			awsCLI(t, endpoint).createStream(t, stream, 1)
		})
	}
}

// cli is the AWS CLI at an endpoint: the client that is not ours.
type cli struct{ path, endpoint string }

func awsCLI(t *testing.T, endpoint string) cli {
	t.Helper()
	return cli{program(t, "aws"), endpoint}
}

// call runs an operation and decodes its answer into out, unless that is nil.
func (c cli) call(t *testing.T, out any, operation string, args ...string) {
	t.Helper()
	argv := append([]string{c.path, "--endpoint-url", c.endpoint, "--region", region, "--output", "json", "kinesis", operation}, args...)
	answer := run(t, awsEnv(), argv...)
	if out != nil {
		require.NoError(t, json.Unmarshal(answer, out), "%s", answer)
	}
}

// createStream creates a stream and waits until it takes records.
func (c cli) createStream(t *testing.T, name string, shards int) {
	t.Helper()
	c.call(t, nil, "create-stream", "--stream-name", name, "--shard-count", strconv.Itoa(shards))
	eventually(t, "stream "+name+" is active", func() bool {
		var answer struct {
			StreamDescriptionSummary struct{ StreamStatus string }
		}
		c.call(t, &answer, "describe-stream-summary", "--stream-name", name)
		return answer.StreamDescriptionSummary.StreamStatus == "ACTIVE"
	})
}

// record is a Kinesis record as the AWS CLI shows it.
type record struct {
	PartitionKey   string
	Data           []byte // base64 in JSON
	SequenceNumber string
}

// read reads a stream from its beginning, shard by shard with a shard iterator,
// until it has found n records.
func (c cli) read(t *testing.T, stream string, n int) []record {
	t.Helper()
	var list struct{ Shards []struct{ ShardId string } }
	c.call(t, &list, "list-shards", "--stream-name", stream)
	require.NotEmpty(t, list.Shards)
	iterators := make([]string, len(list.Shards))
	for i, shard := range list.Shards {
		var answer struct{ ShardIterator string }
		c.call(t, &answer, "get-shard-iterator", "--stream-name", stream, "--shard-id", shard.ShardId,
			"--shard-iterator-type", "TRIM_HORIZON")
		iterators[i] = answer.ShardIterator
	}
	var found []record
	eventually(t, strconv.Itoa(n)+" records in "+stream, func() bool {
		for i := range iterators {
			var answer struct {
				Records           []record
				NextShardIterator string
			}
			c.call(t, &answer, "get-records", "--shard-iterator", iterators[i])
			found, iterators[i] = append(found, answer.Records...), answer.NextShardIterator
		}
		return len(found) >= n
	})
	return found
}
