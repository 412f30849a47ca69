package broker_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/source/broker"
)

// command returns the path of an installed program, or skips the test. In CI
// with the real parts it must be there.
func command(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if os.Getenv("CI") == "true" && os.Getenv("SLUICE_REAL_PARTS") == "1" {
			t.Fatalf("%s must be installed here (mosquitto-clients): %v", name, err)
		}
		t.Skipf("%s is not installed (mosquitto-clients): %v", name, err)
	}
	return path
}

// TestMosquittoClients publishes and subscribes with clients that are not ours.
func TestMosquittoClients(t *testing.T) {
	t.Parallel()
	pub, sub := command(t, "mosquitto_pub"), command(t, "mosquitto_sub")
	src := open(t, broker.Config{Events: []string{"$events/session/subscribed"}})
	host, port, err := net.SplitHostPort(src.Addr().String())
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for _, version := range []string{"mqttv311", "mqttv5"} {
		args := func(qos int, more ...string) []string {
			return append([]string{"-h", host, "-p", port, "-V", version, "-t", "t/" + version, "-q", fmt.Sprint(qos)}, more...)
		}
		var heard strings.Builder
		listen := exec.CommandContext(ctx, sub, args(2, "-C", "3")...)
		listen.Stdout = &heard
		require.NoError(t, listen.Start())
		readEvent(t, src, "$events/session/subscribed")
		for qos := range 3 {
			say := exec.CommandContext(ctx, pub, args(qos, "-i", version, "-m", fmt.Sprint("qos ", qos))...)
			done := make(chan error, 1)
			go func() { done <- say.Run() }()
			m := read(t, src, 1)[0]
			require.Equal(t, version, m.ClientID)
			require.Equal(t, "t/"+version, m.Topic)
			require.Equal(t, fmt.Sprint("qos ", qos), string(m.Payload))
			require.EqualValues(t, qos, m.QoS)
			m.Delivery.Done(bridge.Stored, nil)
			require.NoError(t, receive(t, done))
		}
		require.NoError(t, listen.Wait())
		require.Equal(t, "qos 0\nqos 1\nqos 2\n", heard.String())
	}
}
