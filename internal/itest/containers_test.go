package itest

import (
	"bytes"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/stretchr/testify/require"
	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/wait"
)

// The walk-through again, with the broker and the emulator in containers.
func TestWalkThroughInContainers(t *testing.T) {
	t.Parallel()
	b := mosquittoContainer(t)
	walkThrough(t, b, kinesisContainer(t))
}

// image is the name of a test image, from the environment.
func image(t *testing.T, variable string) string {
	t.Helper()
	if _, err := exec.LookPath("docker"); err != nil && os.Getenv("DOCKER_HOST") == "" {
		lacking(t, "there is no Docker engine")
	}
	provider, err := testcontainers.NewDockerProvider()
	if err == nil {
		defer provider.Close()
		err = provider.Health(t.Context())
	}
	if err != nil {
		lacking(t, "no Docker engine answers (%v)", err)
	}
	name := os.Getenv(variable)
	if name == "" {
		lacking(t, "%s does not name an image", variable)
	}
	return name
}

func mosquittoContainer(t *testing.T) mqttBroker {
	t.Helper()
	endpoint := startContainer(t, image(t, "SLUICE_MQTT_IMAGE"), "1883/tcp", "", testcontainers.WithFiles(testcontainers.ContainerFile{
		Reader:            bytes.NewReader(mosquittoConfig("listener 1883", "user root")),
		ContainerFilePath: "/mosquitto/config/mosquitto.conf",
		FileMode:          0o644,
	}))
	_, port, err := net.SplitHostPort(endpoint)
	require.NoError(t, err)
	return mqttBroker{port: port, url: "mqtt://" + endpoint}
}

func kinesisContainer(t *testing.T) string {
	t.Helper()
	return startContainer(t, image(t, "SLUICE_KINESIS_IMAGE"), "4568/tcp", "http") // kinesis-local's port without TLS
}

// startContainer starts a container, removes it at the end, and returns where
// its port is published on the loopback interface.
func startContainer(t *testing.T, image, port, scheme string, options ...testcontainers.ContainerCustomizer) string {
	t.Helper()
	options = append(options,
		testcontainers.WithExposedPorts(port),
		testcontainers.WithWaitStrategyAndDeadline(patience, wait.ForListeningPort(port).SkipInternalCheck()),
		testcontainers.WithHostConfigModifier(func(host *container.HostConfig) {
			host.PortBindings = network.PortMap{network.MustParsePort(port): {{HostIP: netip.MustParseAddr("127.0.0.1")}}}
		}))
	c, err := testcontainers.Run(t.Context(), image, options...)
	testcontainers.CleanupContainer(t, c, testcontainers.StopTimeout(time.Second))
	require.NoError(t, err)
	endpoint, err := c.PortEndpoint(t.Context(), port, scheme)
	require.NoError(t, err)
	return endpoint
}
