package itest

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// mqttBroker is an MQTT broker that is not ours.
type mqttBroker struct {
	port string
	url  string // as the flag -mqtt takes it
}

// mosquitto starts a Mosquitto on a port of the loopback interface. Its lines of
// configuration are followed by those given.
func mosquitto(t *testing.T, config ...string) mqttBroker {
	t.Helper()
	path := program(t, "mosquitto")
	port := freePort(t)
	if os.Geteuid() == 0 {
		config = append(config, "user root") // else it changes to a user that cannot read the test's files
	}
	file := filepath.Join(t.TempDir(), "mosquitto.conf")
	require.NoError(t, os.WriteFile(file, mosquittoConfig("listener "+port+" 127.0.0.1", config...), 0o600))
	p := start(t, "", nil, path, "-c", file)
	awaitPort(t, "127.0.0.1:"+port, p)
	return mqttBroker{port: port, url: "mqtt://127.0.0.1:" + port}
}

// mosquittoConfig lets everybody in unless told otherwise, and never drops what
// waits for a subscriber.
func mosquittoConfig(listener string, more ...string) []byte {
	lines := []string{listener, "max_queued_messages 0", "max_inflight_messages 65535", "persistence false", "log_type error", "log_type warning"}
	lines = append(lines, more...)
	if !slices.Contains(more, "allow_anonymous false") {
		lines = append(lines, "allow_anonymous true")
	}
	return []byte(strings.Join(lines, "\n") + "\n")
}

// publisher is a client that is not ours.
type publisher struct {
	name    string
	publish func(t *testing.T, port, topic, payload string)
}

// publishers are the MQTT clients that the walk-through is done with.
func publishers() []publisher {
	return []publisher{
		{"mosquitto_pub", func(t *testing.T, port, topic, payload string) {
			t.Helper()
			run(t, nil, program(t, "mosquitto_pub"), "-h", "127.0.0.1", "-p", port, "-q", "1", "-i", "pub-1", "-t", topic, "-m", payload)
		}},
		{"MQTT.js", func(t *testing.T, port, topic, payload string) {
			t.Helper()
			client := filepath.Join(module(t, "mqtt"), "build", "bin", "mqtt.js")
			run(t, nil, program(t, "node"), client, "publish", "-h", "127.0.0.1", "-p", port, "-q", "1", "-i", "pub-1", "-t", topic, "-m", payload)
		}},
	}
}

// address is where the broker listens.
func (b mqttBroker) address() string { return fmt.Sprintf("127.0.0.1:%s", b.port) }
