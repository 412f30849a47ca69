package itest

import (
	"context"
	"encoding/json"
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/rule"
	"github.com/sluiceio/sluice/sink/kinesis"
	"github.com/sluiceio/sluice/source/broker"
)

// What the README promises of the first command.
func TestQuickstart(t *testing.T) {
	t.Parallel()
	p := start(t, "", awsEnv(), example(t, "quickstart"))
	require.Zero(t, p.wait(t))
	lines := strings.Split(strings.TrimSpace(p.out.String()), "\n")
	require.Equal(t, "24 messages simulated, 24 received, 8 did not pass the rule, 16 stored", lines[len(lines)-1])
}

// The commands that quickstart -serve prints work as they are.
func TestQuickstartServes(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	p := start(t, "", awsEnv(), example(t, "quickstart"), "-serve", "-mqtt", "127.0.0.1:"+port, "-kinesis", "127.0.0.1:0", "-console", "127.0.0.1:0")
	p.out.await(t, "Ctrl-C")
	endpoint := strings.Fields(p.out.await(t, "Kinesis  "))[1]

	shell := []string{program(t, "bash"), "-ec"}
	program(t, "mosquitto_pub")
	run(t, nil, append(shell, strings.TrimSpace(p.out.await(t, "mosquitto_pub")))...)
	p.out.await(t, `"temp":23.5,"topic":"sensors/hall/temp"}`)
	stored := awsCLI(t, endpoint).read(t, stream, 17)
	require.Len(t, stored, 17)
	require.Zero(t, p.terminate(t))
}

// The embedded broker knows who publishes: SELECT * then has the client's id.
func TestAllColumnsOfEmbeddedBroker(t *testing.T) {
	t.Parallel()
	for _, e := range emulators() {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			endpoint := e.start(t)
			aws := awsCLI(t, endpoint)
			aws.createStream(t, stream, 1)
			source, err := broker.New(broker.Config{Listeners: []broker.Listener{{URL: "mqtt://127.0.0.1:0"}}})
			require.NoError(t, err)
			r, err := rule.New(rule.Config{Name: "all", SQL: walkSQL, Actions: []rule.Action{{Sink: "kinesis", Key: "key"}}})
			require.NoError(t, err)
			sink, err := kinesis.New(kinesis.Config{
				Stream: stream, Endpoint: endpoint, Region: region, AccessKeyID: "test", SecretAccessKey: "test",
			})
			require.NoError(t, err)
			port := runPipeline(t, source, r, sink)

			clients := publishers()
			for _, c := range clients {
				c.publish(t, port, walkTopic, walkPayload)
			}
			records := aws.read(t, stream, len(clients))
			require.Len(t, records, len(clients))
			for _, rec := range records {
				var columns map[string]any
				require.NoError(t, json.Unmarshal(rec.Data, &columns), "%s", rec.Data)
				require.Equal(t, walkTopic, columns["topic"])
				require.Equal(t, walkPayload, columns["payload"])
				require.EqualValues(t, 1, columns["qos"])
				require.Equal(t, "pub-1", columns["clientid"])
			}
		})
	}
}

// runPipeline runs a pipeline until the test ends, and returns when the embedded
// broker listens.
func runPipeline(t *testing.T, source *broker.Source, r bridge.Rule, sink bridge.Sink) (port string) {
	t.Helper()
	listening := make(chan struct{}, 1)
	p, err := bridge.New(bridge.Config{
		Sources: map[string]bridge.Source{"broker": source},
		Rules:   map[string]bridge.Rule{"rule": r},
		Sinks:   map[string]bridge.Sink{"kinesis": sink},
		Hooks: bridge.Hooks{OnHealth: func(kind, _ string, h bridge.Health) {
			if kind == "source" && h.State == bridge.Connected {
				listening <- struct{}{}
			}
		}},
	})
	require.NoError(t, err)
	ctx, drain := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	t.Cleanup(func() {
		drain()
		require.NoError(t, <-ended)
	})
	select {
	case <-listening:
	case err := <-ended:
		ended <- err
		require.NoError(t, err)
	}
	_, port, err = net.SplitHostPort(source.Addr().String())
	require.NoError(t, err)
	return port
}
