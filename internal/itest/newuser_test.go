package itest

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge/bridgetest"
	"github.com/sluiceio/sluice/internal/mqttfake"
	"github.com/sluiceio/sluice/sink/kinesis/kinesistest"
)

// TestNewUser is somebody whose broker speaks MQTT 3.1.1 only, and whose access key
// is in a shared file that another process rotates. The daemon is told neither, and
// started once.
func TestNewUser(t *testing.T) {
	t.Parallel()
	const each, keys = 200, 7
	broker := mqttfake.New(mqttfake.Options{OnlyV3: true})
	t.Cleanup(broker.Close)
	addr, err := broker.Listen()
	require.NoError(t, err)

	service := kinesistest.Start(t, kinesistest.Config{NoSocket: true, Streams: fourShards, Logger: slog.New(slog.DiscardHandler)})
	var known atomic.Value // the access key that is good
	var refused atomic.Int64
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.Header.Get("Authorization"), "Credential="+known.Load().(string)+"/") {
			service.ServeHTTP(w, r)
			return
		}
		refused.Add(1)
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"__type":"UnrecognizedClientException","message":"The security token included in the request is invalid."}`)
	}))
	t.Cleanup(front.Close)
	file := filepath.Join(t.TempDir(), "credentials")
	rotate := func(key string) {
		text := fmt.Sprintf("[default]\naws_access_key_id = %s\naws_secret_access_key = secret\n", key)
		require.NoError(t, os.WriteFile(file+".new", []byte(text), 0o600))
		require.NoError(t, os.Rename(file+".new", file))
	}
	known.Store("FIRST")
	rotate("FIRST")

	p := start(t, "", []string{
		"AWS_SHARED_CREDENTIALS_FILE=" + file, "AWS_CONFIG_FILE=/dev/null", "AWS_EC2_METADATA_DISABLED=true",
	}, example(t, "mqtt2kinesis"), "-mqtt", "mqtt://"+addr, "-endpoint", front.URL, "-stream", stream, "-region", region,
		"-sql", `SELECT * FROM "t/#"`, "-payload", "${payload}")
	p.out.await(t, "bridge is ready")

	checker, n := new(bridgetest.Checker), 0
	publish := func() {
		for range each {
			topic := fmt.Sprint("t/", n%keys)
			checker.Sent(topic, uint64(n))
			broker.Publish(mqttfake.Message{Topic: topic, QoS: 1, Payload: strconv.AppendInt(nil, int64(n), 10)})
			n++
		}
	}
	arrived := func() { eventually(t, "everything in Kinesis", func() bool { return broker.Pending() == 0 }) }
	publish()
	arrived()
	require.Zero(t, refused.Load())

	rotate("SECOND") // the file first
	known.Store("SECOND")
	publish()
	arrived()

	known.Store("THIRD") // the service first: the key is good for nothing for a while
	before := refused.Load()
	publish()
	eventually(t, "a refusal", func() bool { return refused.Load() > before })
	broker.Cut()
	publish()
	require.NotZero(t, broker.Pending(), "nothing is acknowledged that is not stored")
	rotate("THIRD")
	arrived()

	require.Zero(t, p.terminate(t), "exit code; output:\n%s", p.out)
	for _, r := range service.UserRecords(stream) {
		seq, err := strconv.ParseUint(string(r.Data), 10, 64)
		require.NoError(t, err)
		checker.Got(r.PartitionKey, seq)
	}
	report := checker.Report()
	require.True(t, report.OK(), report)
	require.Equal(t, 4*each, report.Sent)
	require.Empty(t, broker.Faults())
}
