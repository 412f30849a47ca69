//go:build paho

package itest

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/source/broker"
)

// TestEmbeddedBrokerWithPahoTesting runs the Eclipse Paho interoperability tests
// (github.com/eclipse/paho.mqtt.testing) from SLUICE_PAHO_TESTING, the path of their
// folder "interoperability". No package registry has them, so a build tag keeps
// what only some can run out of the ordinary tests, where a skip is a failure.
func TestEmbeddedBrokerWithPahoTesting(t *testing.T) {
	t.Parallel()
	dir := os.Getenv("SLUICE_PAHO_TESTING")
	require.NotEmpty(t, dir, "set SLUICE_PAHO_TESTING to the folder interoperability of github.com/eclipse/paho.mqtt.testing")
	python := program(t, "python3")
	for module, without := range map[string][]string{
		"client_test": nil,
		// These demand what is optional for a broker: to send topic aliases, to
		// shorten every client's keep-alive to 60 s, to say 0x80 where "not
		// authorized" fits, and to acknowledge nothing of a flood before it
		// ends the connection.
		"client_test5": {"test_server_topic_alias", "test_server_keep_alive", "test_subscribe_failure", "test_flow_control2"},
	} {
		tcp, _ := openEmbedded(t, broker.Config{
			Authorize: func(_ broker.Client, access broker.Access, topic string) bool {
				return access != broker.Subscribe || topic != "test/nosubscribe"
			},
		})
		host, port, err := net.SplitHostPort(strings.TrimPrefix(tcp, "mqtt://"))
		require.NoError(t, err)
		path, err := filepath.Abs(filepath.Join("testdata", "pahotesting.py"))
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
		cmd := exec.CommandContext(ctx, python, append([]string{path, module, host, port}, without...)...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		cancel()
		require.NoError(t, err, "%s:\n%s", module, out)
		t.Logf("%s:\n%s", module, out)
	}
}
