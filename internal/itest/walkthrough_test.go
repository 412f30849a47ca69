package itest

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

// The walk-through of the documentation: one rule on t/#, the partition key
// "key", a message to t/my_topic by a client that is not ours, read back by
// shard iterator with the AWS CLI.
const (
	walkSQL     = `SELECT * FROM "t/#"`
	walkTopic   = "t/my_topic"
	walkPayload = `{ "msg": "hello Amazon Kinesis" }`
)

func TestWalkThrough(t *testing.T) {
	t.Parallel()
	for _, e := range emulators() {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			walkThrough(t, mosquitto(t), e.start(t))
		})
	}
}

// walkThrough runs two bridges one after the other, with the payload as the data
// and with all columns, and lets every publisher publish to each.
func walkThrough(t *testing.T, b mqttBroker, endpoint string) {
	t.Helper()
	aws := awsCLI(t, endpoint)
	aws.createStream(t, stream, 2)
	clients := publishers()
	// through publishes by each client and returns the latest records that came
	// of it, when they are there; seen is how many were there before.
	through := func(seen int, flags ...string) []record {
		flags = append(flags, "-sql", walkSQL, "-key", "key", "-client-id", t.Name(), "-session-expiry", "1m")
		p := startBridge(t, b.url, endpoint, flags...)
		for _, c := range clients {
			c.publish(t, b.port, walkTopic, walkPayload)
		}
		records := aws.read(t, stream, seen+len(clients))
		stopBridge(t, p)
		require.Len(t, records, seen+len(clients))
		return records[seen:]
	}

	for _, r := range through(0, "-payload", "${payload}") {
		require.Equal(t, "key", r.PartitionKey)
		require.Equal(t, walkPayload, string(r.Data), "exactly the payload")
	}
	for _, r := range through(len(clients)) {
		require.Equal(t, "key", r.PartitionKey)
		var columns map[string]any
		require.NoError(t, json.Unmarshal(r.Data, &columns), "%s", r.Data)
		require.Equal(t, walkTopic, columns["topic"])
		require.Equal(t, walkPayload, columns["payload"])
		require.EqualValues(t, 1, columns["qos"])
	}
}
