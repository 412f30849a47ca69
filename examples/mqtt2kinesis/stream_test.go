package main

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/sink/kinesis/kinesistest"
)

// Letters in a stream are sent in the order of their keys, and none twice by another
// run.
func TestRedriveStream(t *testing.T) {
	t.Parallel()
	server := kinesistest.Start(t, kinesistest.Config{Streams: []kinesistest.StreamConfig{{Name: "dead", Shards: 2}}})
	dir := t.TempDir()
	out, path := filepath.Join(dir, "out"), filepath.Join(dir, "bridge.yaml")
	write(t, path, fmt.Sprintf(`
sources: {s: {type: mqtt, client_id: c, servers: mqtt://127.0.0.1:1}}
sinks:
  dead: {type: kinesis, stream_name: dead, region: us-east-1, endpoint: %q, aws_access_key_id: a, aws_secret_access_key: b, resource_opts: {request_ttl: infinity}}
  out: {type: file, format: raw, path: %s}
pipeline: {rule_fallback: dead}
rules: {r: {sql: 'SELECT payload.n + 1 AS n, topic FROM "t/#"', actions: [{sink: out, key: $<topic>, payload: "$<topic> $<n>"}]}}
`, server.URL(), out))
	client := server.Client()
	want := map[string][]string{}
	put := func(from, to int) {
		for i := from; i < to; i++ {
			key := fmt.Sprintf("t/%d", i%5)
			_, err := client.PutRecord(t.Context(), &sdk.PutRecordInput{
				StreamName: aws.String("dead"), PartitionKey: &key, Data: fmt.Appendf(nil, `{"n":%d}`, i),
			})
			require.NoError(t, err)
			want[key] = append(want[key], fmt.Sprintf("%s %d", key, i+1))
		}
	}
	stored := func() map[string][]string {
		got := map[string][]string{}
		for _, text := range lines(t, out) {
			key := text[:3]
			got[key] = append(got[key], text)
		}
		return got
	}
	flags := []string{"redrive", "-config", path, "-checkpoint", filepath.Join(dir, "c"), "-failed", filepath.Join(dir, "f")}
	put(0, 20)
	code, stdout, stderr := execute(t, append(flags, "-dry-run", "sink:dead")...)
	require.Equal(t, 0, code, stderr)
	require.Contains(t, stdout, "sink out, key t/3\n  t/3 19\n")
	code, stdout, stderr = execute(t, append(flags, "sink:dead")...)
	require.Equal(t, 0, code, stderr)
	require.Equal(t, "20 letters read, 20 records stored, 0 failed again\n", stdout)
	require.Equal(t, want, stored())

	put(20, 30)
	code, stdout, stderr = execute(t, append(flags, "-rule", "r", "sink:dead")...)
	require.Equal(t, 0, code, stderr)
	require.Equal(t, "10 letters read, 10 records stored, 0 failed again\n", stdout)
	require.Equal(t, want, stored())

	code, _, stderr = execute(t, append(flags, "sink:out")...)
	require.Equal(t, 2, code)
	require.Contains(t, stderr, "sinks.out is not of type kinesis")
	code, _, stderr = execute(t, append(flags, "sink:deadd")...)
	require.Equal(t, 2, code)
	require.Contains(t, stderr, `did you mean "dead"?`)
	code, _, stderr = execute(t, append(flags, "-topic", "t", out)...)
	require.Equal(t, 2, code)
	require.Contains(t, stderr, "-rule and -topic are for letters in a stream")
}
