// Command quickstart shows Sluice at work with nothing but Go: devices publish to
// a broker inside the process, a rule filters and reshapes their messages, and
// the records arrive in a Kinesis inside the process.
//
//	go run ./examples/quickstart          # runs for a second and ends
//	go run ./examples/quickstart -serve   # stays up, and says what to paste
//
// Change the addresses and the same pipeline runs between your broker and AWS;
// examples/mqtt2kinesis is that program.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/rule"
	"github.com/sluiceio/sluice/sink/kinesis"
	"github.com/sluiceio/sluice/sink/kinesis/kinesistest"
	"github.com/sluiceio/sluice/source/broker"
)

const (
	stream = "readings"
	sql    = `SELECT payload.id AS id, payload.temp AS temp, round(payload.temp * 1.8 + 32) AS fahrenheit, topic ` +
		`FROM "sensors/+/temp" WHERE payload.temp > 20`
	key = "${id}" // records of one device stay in order
)

func main() {
	serve := flag.Bool("serve", false, "stay up until interrupted")
	mqttAddr := flag.String("mqtt", "127.0.0.1:1883", "`address` of the broker with -serve")
	kinesisAddr := flag.String("kinesis", "127.0.0.1:4567", "`address` of Kinesis with -serve")
	consoleAddr := flag.String("console", "127.0.0.1:8080", "`address` of the console with -serve")
	flag.Parse()
	if !*serve {
		*mqttAddr, *kinesisAddr = "127.0.0.1:0", "127.0.0.1:0" // ports that are free
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	if err := run(ctx, os.Stdout, *mqttAddr, *kinesisAddr, *consoleAddr, *serve); err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, mqttAddr, kinesisAddr, consoleAddr string, serve bool) error {
	server, err := kinesistest.New(kinesistest.Config{
		Addr: kinesisAddr, Streams: []kinesistest.StreamConfig{{Name: stream, Shards: 4}},
	})
	if err != nil {
		return err
	}
	defer server.Close()
	b, err := newBridge(mqttAddr, server.URL())
	if err != nil {
		return err
	}

	ctx, drain := context.WithCancel(ctx)
	defer drain()
	ended := make(chan error, 1)
	go func() { ended <- b.pipeline.Run(ctx) }()
	select {
	case <-b.listening:
	case err := <-ended:
		return err
	}
	mqttURL := b.source.URLs()[0]
	fmt.Fprintf(out, "MQTT broker  %s\nKinesis      %s\nrule         %s\nkey          %s\n\n", mqttURL, server.URL(), sql, key)

	published, err := simulate(ctx, b.source.Addr().String())
	if err != nil {
		return err
	}
	if serve {
		stop, err := serveConsole(ctx, out, consoleAddr, b.pipeline)
		if err != nil {
			return err
		}
		defer stop()
		hints(out, mqttURL, server.URL())
		for r, err := range kinesistest.Consume(ctx, server, stream, kinesistest.ConsumeConfig{Follow: true}) {
			if err != nil {
				return err
			}
			fmt.Fprintf(out, "%s  %-6s %s\n", r.ShardID, r.PartitionKey, r.Data)
		}
	}
	drain()
	if err := <-ended; err != nil {
		return err
	}
	if !serve {
		report(out, server.UserRecords(stream))
	}
	stats := b.pipeline.Stats()
	fmt.Fprintf(out, "\n%d messages simulated, %d received, %d did not pass the rule, %d stored\n",
		published, stats.Sources["devices"].Received, stats.Rules["warm"].NoResult, stats.Sinks["kinesis"].Ended[bridge.Stored])
	return nil
}

// parts are the pipeline and what is needed of it while it runs.
type parts struct {
	pipeline  *bridge.Pipeline
	source    *broker.Source
	listening chan struct{} // closed when the broker listens
}

func newBridge(mqttAddr, kinesisURL string) (*parts, error) {
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	source, err := broker.New(broker.Config{Listeners: []broker.Listener{{URL: "mqtt://" + mqttAddr}}, Logger: log})
	if err != nil {
		return nil, err
	}
	warm, err := rule.New(rule.Config{Name: "warm", SQL: sql, Actions: []rule.Action{{Sink: "kinesis", Key: key}}})
	if err != nil {
		return nil, err
	}
	sink, err := kinesis.New(kinesis.Config{
		Stream: stream, Endpoint: kinesisURL, Region: kinesistest.DefaultRegion,
		AccessKeyID: "test", SecretAccessKey: "test", Logger: log,
	})
	if err != nil {
		return nil, err
	}
	p := &parts{source: source, listening: make(chan struct{})}
	var once sync.Once
	p.pipeline, err = bridge.New(bridge.Config{
		Sources: map[string]bridge.Source{"devices": source},
		Rules:   map[string]bridge.Rule{"warm": warm},
		Sinks:   map[string]bridge.Sink{"kinesis": sink},
		Logger:  log,
		Hooks: bridge.Hooks{OnHealth: func(kind, _ string, h bridge.Health) {
			if kind == "source" && h.State == bridge.Connected {
				once.Do(func() { close(p.listening) })
			}
		}},
	})
	return p, err
}

// report prints what arrived, shard by shard.
func report(out io.Writer, records []kinesistest.UserRecord) {
	slices.SortStableFunc(records, func(a, b kinesistest.UserRecord) int { return strings.Compare(a.ShardID, b.ShardID) })
	shard := ""
	for _, r := range records {
		if r.ShardID != shard {
			shard = r.ShardID
			fmt.Fprintln(out, shard)
		}
		fmt.Fprintf(out, "  %-6s %s\n", r.PartitionKey, r.Data)
	}
}

func hints(out io.Writer, mqttURL, kinesisURL string) {
	hostPort := strings.TrimPrefix(mqttURL, "mqtt://")
	host, port, _ := strings.Cut(hostPort, ":")
	fmt.Fprintf(out, `Publish from another terminal:

  mosquitto_pub -h %[1]s -p %[2]s -q 1 -t sensors/hall/temp -m '{"id":"hall","temp":23.5}'
  mqttx pub -h %[1]s -p %[2]s -q 1 -t sensors/hall/temp -m '{"id":"hall","temp":23.5}'

Read with the AWS CLI:

  export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_DEFAULT_REGION=%[4]s
  aws --endpoint-url %[3]s kinesis list-shards --stream-name %[5]s
  aws --endpoint-url %[3]s kinesis get-records --shard-iterator "$(aws --endpoint-url %[3]s kinesis get-shard-iterator \
    --stream-name %[5]s --shard-id shardId-000000000000 --shard-iterator-type TRIM_HORIZON --query ShardIterator --output text)"

What arrives is shown here; Ctrl-C ends it.

`, host, port, kinesisURL, kinesistest.DefaultRegion, stream)
}
