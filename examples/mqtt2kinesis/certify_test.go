package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/internal/mqttfake"
	"github.com/sluiceio/sluice/sink/kinesis/kinesistest"
)

// certifyHere runs the command certify with a broker of this process.
func certifyHere(t *testing.T, endpoint string, more ...string) (code int, out string) {
	t.Helper()
	broker := mqttfake.New(mqttfake.Options{})
	t.Cleanup(broker.Close)
	addr, err := broker.Listen()
	require.NoError(t, err)
	t.Setenv("AWS_ACCESS_KEY_ID", "id")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	var stdout, stderr bytes.Buffer
	p := &program{lookup: os.LookupEnv, stdout: &stdout, stderr: &stderr}
	code = p.run(t.Context(), append([]string{
		"certify", "-mqtt", "mqtt://" + addr, "-stream", "s", "-region", "us-east-1", "-endpoint", endpoint, "-messages", "300",
	}, more...))
	return code, stdout.String() + stderr.String()
}

func TestCertify(t *testing.T) {
	report := filepath.Join(t.TempDir(), "report.md")
	server := kinesistest.Start(t, kinesistest.Config{
		Streams: []kinesistest.StreamConfig{{Name: "s", Shards: 2}},
		Faults:  kinesistest.Plan{Faults: []kinesistest.Fault{{Kind: kinesistest.FailRecord, Code: kinesistest.CodeThroughputExceeded, Rate: 0.1}}},
	})
	code, out := certifyHere(t, server.URL(), "-yes", "-reshard", "-report", report)
	require.Zero(t, code, out)
	require.Contains(t, out, "at most 900 PUT payload units, $0.0000")
	text, err := os.ReadFile(report)
	require.NoError(t, err)
	for _, want := range []string{
		"2 open shards before and 3 after", "| one record per message | 300 | 300 |", "| aggregated | 300 | 300 |", "| lines | 300 | 300 |",
		"Nothing was lost, and the first occurrences of every key are in order.",
	} {
		require.Contains(t, string(text), want)
	}
}

func TestCertifyNeedsYes(t *testing.T) {
	code, out := certifyHere(t, "http://127.0.0.1:1")
	require.Equal(t, 2, code)
	require.Contains(t, out, "nothing was sent: give -yes to go on")
}

// TestCertifyFindsLosses has a service that takes every other request and stores
// nothing of it.
func TestCertifyFindsLosses(t *testing.T) {
	streams := []kinesistest.StreamConfig{{Name: "s", Shards: 2}}
	real, other := kinesistest.Start(t, kinesistest.Config{Streams: streams}), kinesistest.Start(t, kinesistest.Config{NoSocket: true, Streams: streams})
	var puts atomic.Int32
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".PutRecords") && puts.Add(1)%2 == 0 {
			other.ServeHTTP(w, r)
			return
		}
		real.ServeHTTP(w, r)
	}))
	defer front.Close()
	code, out := certifyHere(t, front.URL, "-yes", "-patience", "3s")
	require.Equal(t, 1, code, out)
	require.Contains(t, out, "The promise does not hold here")
	require.Contains(t, out, " of 300 messages were lost, 0 came behind later ones")
}
