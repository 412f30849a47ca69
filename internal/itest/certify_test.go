package itest

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestCertify certifies Mosquitto with each Kinesis that runs here.
func TestCertify(t *testing.T) {
	t.Parallel()
	for _, e := range emulators() {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			endpoint := e.start(t)
			awsCLI(t, endpoint).createStream(t, stream, 2)
			broker := mosquitto(t, "max_queued_messages 0")
			out := run(t, awsEnv(), example(t, "mqtt2kinesis"), "certify", "-mqtt", "mqtt://"+broker.address(), "-endpoint", endpoint,
				"-stream", stream, "-region", region, "-messages", "500", "-yes")
			require.Contains(t, string(out), "Nothing was lost, and the first occurrences of every key are in order.")
			t.Logf("%s", out)
		})
	}
}
