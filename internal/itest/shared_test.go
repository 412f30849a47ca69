package itest

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/sink/kinesis/kinesistest"
	"github.com/sluiceio/sluice/source/broker"
)

// Processes that share a subscription divide the messages. One of them is killed
// while messages come in; when it is back, nothing is missing.
func TestSharedSubscription(t *testing.T) {
	for _, b := range []struct {
		name  string
		start func(t *testing.T, config ...string) mqttBroker
	}{{"mosquitto", mosquitto}, {"embedded", embedded}} {
		for _, processes := range []int{2, 4} {
			t.Run(fmt.Sprintf("%s/%d", b.name, processes), func(t *testing.T) {
				shareAndKill(t, b.start(t), processes)
			})
		}
	}
}

func shareAndKill(t *testing.T, b mqttBroker, processes int) {
	devices := &fleet{devices: 40, messages: 200}
	server := kinesistest.Start(t, kinesistest.Config{Streams: fourShards})
	members := make([]*process, processes)
	for i := range members {
		members[i] = startMember(t, b.url, server.URL(), i)
	}
	ctx, cancel := context.WithCancel(t.Context())
	published := make(chan error, 1)
	go func() { published <- devices.publish(ctx, b.address()) }()
	t.Cleanup(cancel)

	eventually(t, "records of every process", func() bool {
		_, by := shared(t, server)
		return len(by) == processes
	})
	members[0].kill()
	_, atKill := shared(t, server)
	require.Less(t, sum(atKill), devices.total(), "it was killed before the end")

	// What was under way to it belongs to its session, so it has to come back.
	eventually(t, "records of the others after its end", func() bool {
		_, by := shared(t, server)
		return sum(by) > sum(atKill)
	})
	startMember(t, b.url, server.URL(), 0)
	require.NoError(t, <-published)
	eventually(t, "all messages in Kinesis", func() bool {
		if server.Stats(stream).Records < int64(devices.total()) {
			return false
		}
		different, _ := shared(t, server)
		return different == devices.total()
	})
	_, by := shared(t, server)
	t.Logf("stored by process: %v, %d twice", by, sum(by)-devices.total())
}

// startMember starts a bridge that shares the subscription of its group. Its
// records say which one they came through.
func startMember(t *testing.T, mqtt, endpoint string, i int) *process {
	t.Helper()
	definition := fmt.Sprintf(`
sources:
  broker: {type: mqtt, servers: %q, client_id: member-%d, filters: [$share/group/t/+]}
sinks:
  kinesis: {type: kinesis, endpoint: %q, region: %s, stream_name: %s}
rules:
  all:
    sql: SELECT payload.id AS id, payload.seq AS seq, %d AS member FROM "t/+"
    actions: [{partition_key: "${id}"}]
`, mqtt, i, endpoint, region, stream, i)
	file := filepath.Join(t.TempDir(), "bridge.yaml")
	require.NoError(t, os.WriteFile(file, []byte(definition), 0o600))
	p := start(t, "", awsEnv(), example(t, "mqtt2kinesis"), "run", "-config", file)
	p.out.await(t, "bridge is ready")
	return p
}

// shared returns how many different messages are in the stream, and how many
// records by the process that they came through.
func shared(t *testing.T, server *kinesistest.Server) (different int, byMember map[int]int) {
	t.Helper()
	type message struct {
		ID  string
		Seq int
	}
	seen := map[message]bool{}
	byMember = map[int]int{}
	for _, r := range server.UserRecords(stream) {
		var m struct {
			message
			Member int
		}
		require.NoError(t, json.Unmarshal(r.Data, &m))
		seen[m.message] = true
		byMember[m.Member]++
	}
	return len(seen), byMember
}

func sum(counts map[int]int) (n int) {
	for _, c := range counts {
		n += c
	}
	return n
}

// embedded starts our own broker in this process, for its subscribers alone.
func embedded(t *testing.T, _ ...string) mqttBroker {
	t.Helper()
	src, err := broker.New(broker.Config{
		Listeners: []broker.Listener{{URL: "mqtt://127.0.0.1:0"}},
		Limits:    broker.Limits{SubscriberQueue: 65_535, SubscriberInflight: 65_535},
		Logger:    slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	require.NoError(t, src.Open(t.Context()))
	ctx, stop := context.WithCancel(context.Background())
	var reader sync.WaitGroup
	reader.Go(func() {
		msgs := make([]bridge.Message, 256)
		for {
			n, err := src.Read(ctx, msgs)
			if err != nil {
				return
			}
			for _, m := range msgs[:n] {
				m.Delivery.Done(bridge.Stored, nil)
			}
		}
	})
	t.Cleanup(func() {
		stop()
		reader.Wait()
		require.NoError(t, src.Close(context.Background()))
	})
	url := "mqtt://" + src.Addr().String()
	_, port, err := net.SplitHostPort(src.Addr().String())
	require.NoError(t, err)
	return mqttBroker{port: port, url: url}
}
