package itest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/sink/kinesis/kinesistest"
)

var fourShards = []kinesistest.StreamConfig{{Name: stream, Shards: 4}}

// 100,000 messages with QoS 1 from 500 devices through Mosquitto, while 5 % of
// the Kinesis records are refused at random: no message is lost, and the order
// per device is kept.
func TestNothingLostUnderRefusals(t *testing.T) {
	for _, mode := range []struct {
		name  string
		flags []string
	}{
		{"plain", nil},
		{"aggregated", []string{"-aggregate", "-max-delay", "20ms"}},
	} {
		t.Run(mode.name, func(t *testing.T) {
			devices := &fleet{devices: 500, messages: 200}
			server := kinesistest.Start(t, kinesistest.Config{
				Streams: fourShards,
				Faults: kinesistest.Plan{Seed: 1, Faults: []kinesistest.Fault{
					{Kind: kinesistest.FailRecord, Op: "PutRecords", Rate: 0.04, Code: kinesistest.CodeThroughputExceeded},
					{Kind: kinesistest.FailRecord, Op: "PutRecords", Rate: 0.01, Code: kinesistest.CodeInternalFailure},
				}},
			})
			b := mosquitto(t)
			p := startBridge(t, b.url, server.URL(), fleetFlags(mode.flags...)...)

			require.NoError(t, devices.publish(t.Context(), b.address()))
			devices.await(t, server)
			stopBridge(t, p)
			report := devices.await(t, server)
			require.Zero(t, report.Duplicates, "a refused record is not stored, so none can be stored twice")
			stats := server.Stats(stream)
			refused := stats.Throttled + stats.Failed
			require.Greater(t, 20*refused, stats.Records/2, "the faults were at work: %d of %d refused", refused, stats.Records)
		})
	}
}

// The bridge is killed in the middle, more than once, and started again: the
// broker still has what was not acknowledged.
func TestNothingLostByKill(t *testing.T) {
	devices := &fleet{devices: 100, messages: 300}
	server := kinesistest.Start(t, kinesistest.Config{Streams: fourShards})
	b := mosquitto(t)
	flags := fleetFlags("-client-id", "killed", "-session-expiry", "1h")
	p := startBridge(t, b.url, server.URL(), flags...)

	published := make(chan error, 1)
	go func() { published <- devices.publish(t.Context(), b.address()) }()
	for _, part := range []int{5, 3, 2} {
		eventually(t, "some messages in Kinesis", func() bool {
			return server.Stats(stream).Records >= int64(devices.total()/part)
		})
		p.kill()
		p = startBridge(t, b.url, server.URL(), flags...)
	}
	require.NoError(t, <-published)
	devices.await(t, server)
	stopBridge(t, p)
	report := devices.await(t, server)
	t.Logf("%d duplicates of %d messages after three kills", report.Duplicates, devices.total())
}
