package itest

import (
	"context"
	"log/slog"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/source/broker"
)

// openEmbedded starts an embedded broker whose messages are all settled at once, and
// returns the addresses of its TCP and WebSocket listeners.
func openEmbedded(t *testing.T, cfg broker.Config) (tcp, ws string) {
	t.Helper()
	cfg.Listeners = []broker.Listener{{URL: "mqtt://127.0.0.1:0"}, {URL: "ws://127.0.0.1:0/mqtt"}}
	cfg.Logger = slog.New(slog.DiscardHandler)
	src, err := broker.New(cfg)
	require.NoError(t, err)
	require.NoError(t, src.Open(t.Context()))
	done := make(chan struct{})
	go func() {
		defer close(done)
		msgs := make([]bridge.Message, 100)
		for {
			n, err := src.Read(context.Background(), msgs)
			for _, m := range msgs[:n] {
				m.Delivery.Done(bridge.Stored, nil)
			}
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		require.NoError(t, src.Close(context.Background()))
		<-done
	})
	return src.URLs()[0], src.URLs()[1]
}

// TestEmbeddedBrokerWithMQTTJS lets MQTT.js publish, subscribe and resume a session
// at the embedded broker, with MQTT 3.1.1 and 5, over TCP and WebSocket.
func TestEmbeddedBrokerWithMQTTJS(t *testing.T) {
	t.Parallel()
	node, client := program(t, "node"), module(t, "mqtt")
	tcp, ws := openEmbedded(t, broker.Config{})
	for _, url := range []string{tcp, ws} {
		for _, version := range []string{"4", "5"} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			out, err := exec.CommandContext(ctx, node, filepath.Join("testdata", "mqttjs.js"), client, url, version).CombinedOutput()
			cancel()
			require.NoError(t, err, "%s, version %s: %s", url, version, out)
			require.Equal(t, "ok", strings.TrimSpace(string(out)))
		}
	}
}
