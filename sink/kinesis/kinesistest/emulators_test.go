package kinesistest_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/sluiceio/sluice/sink/kinesis/kinesistest/conformance"
	"github.com/stretchr/testify/require"
)

// npmModule is the folder of a module below $SLUICE_NPM_DIR. Without it the
// test is skipped; it fails where real parts were promised.
func npmModule(t *testing.T, name string) string {
	t.Helper()
	dir := filepath.Join(os.Getenv("SLUICE_NPM_DIR"), "node_modules", name)
	_, err := os.Stat(dir)
	if os.Getenv("SLUICE_NPM_DIR") != "" && err == nil {
		return dir
	}
	const why = "needs `npm install %s` in the folder that SLUICE_NPM_DIR names"
	if os.Getenv("CI") == "true" && os.Getenv("SLUICE_REAL_PARTS") == "1" {
		t.Fatalf(why, name)
	}
	t.Skipf(why, name)
	return ""
}

// emulator starts a Node program that listens on loopback, and returns a client
// of its plain HTTP port, which is the one that answers in HTTP.
func emulator(t *testing.T, dir string, env []string, args ...string) *kinesis.Client {
	t.Helper()
	preload, err := filepath.Abs(filepath.Join("testdata", "loopback.js"))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cmd := exec.CommandContext(ctx, "node", append([]string{"-r", preload}, args...)...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	stdin, err := cmd.StdinPipe() // Its end is the program's.
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = stdin.Close()
		cancel()
		_ = cmd.Wait()
	})
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		port := 0
		if _, err := fmt.Sscanf(lines.Text(), "LISTENING %d", &port); err != nil {
			continue
		}
		url := fmt.Sprintf("http://127.0.0.1:%d", port)
		if answers(t, url) {
			go func() { // Keep the pipe from filling.
				for lines.Scan() {
				}
			}()
			return clientOf(t, url)
		}
	}
	t.Fatalf("%s has not started: %v", dir, lines.Err())
	return nil
}

func answers(t *testing.T, url string) bool {
	transport := &http.Transport{DisableKeepAlives: true}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	res, err := transport.RoundTrip(req)
	if err != nil {
		return false
	}
	return res.Body.Close() == nil
}

func clientOf(t *testing.T, url string) *kinesis.Client {
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return kinesis.NewFromConfig(aws.Config{
		BaseEndpoint: &url, Region: "us-east-1", HTTPClient: &http.Client{Transport: transport, Timeout: time.Minute},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
		}),
	}, once)
}

func TestConformanceOfKinesisLocal(t *testing.T) {
	dir := npmModule(t, "kinesis-local")
	env := []string{"SHARD_LIMIT=1000", "LOG_LEVEL=ERROR"}
	for _, op := range []string{"CREATE_STREAM", "DELETE_STREAM", "SPLIT_SHARD", "MERGE_SHARDS", "UPDATE_SHARD_COUNT", "UPDATE_STREAM_MODE", "START_STREAM_ENCRYPTION"} {
		env = append(env, op+"_DURATION=1ms")
	}
	conformance.Test(t, conformance.Target{
		Client: emulator(t, dir, env, "main.js"), Prefix: "conformance-", Deviations: conformance.KinesisLocal,
	})
}

func TestConformanceOfKinesalite(t *testing.T) {
	dir := npmModule(t, "kinesalite")
	conformance.Test(t, conformance.Target{
		Client: emulator(t, dir, nil, "cli.js", "--createStreamMs", "1", "--deleteStreamMs", "1", "--updateStreamMs", "1", "--shardLimit", "1000"),
		Prefix: "conformance-", Deviations: conformance.Kinesalite,
	})
}

// conformanceOfAWS creates and deletes some 60 streams, which costs a few cents.
func conformanceOfAWS(t *testing.T) {
	cfg, err := config.LoadDefaultConfig(t.Context())
	require.NoError(t, err)
	if _, err := cfg.Credentials.Retrieve(t.Context()); err != nil {
		t.Fatalf("SLUICE_TEST_AWS is set, but there are no credentials: %v", err)
	}
	conformance.Test(t, conformance.Target{Client: kinesis.NewFromConfig(cfg), Prefix: "sluice-conformance-"})
}
