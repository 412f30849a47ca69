package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/sluiceio/sluice/internal/mqttfake"
	"github.com/sluiceio/sluice/sink/kinesis/kinesistest"
)

// scenario is what goes wrong.
type scenario struct {
	name   string
	faults []kinesistest.Fault
	away   time.Duration // how long the endpoint fails in the middle
	kill   bool          // kill -9 in the middle
}

var scenarios = []scenario{
	{name: "nothing"},
	{name: "5 % of the records refused", faults: []kinesistest.Fault{{Kind: kinesistest.FailRecord, Op: "Put*", Code: kinesistest.CodeThroughputExceeded, Rate: 0.05}}},
	{name: "5 % of the connections reset after storing", faults: []kinesistest.Fault{{Kind: kinesistest.ResetAfter, Op: "Put*", Rate: 0.05}}},
	{name: "the endpoint away for 10 s", away: 10 * time.Second},
	{name: "kill -9 in the middle", kill: true},
}

var (
	messages = flag.Int("messages", 20_000, "messages of each run, at 4,000 per second")
	keys     = flag.Int("keys", 100, "topics, each of which is a key")
	only     = flag.String("run", "", "scenarios, a regular expression")
	telegraf = flag.String("telegraf", "", "a binary of Telegraf")
	asPlain  = flag.Bool("plain", false, "be the bridge called plain Go")
)

func main() {
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := errors.New("-plain BROKER ENDPOINT")
	switch {
	case !*asPlain:
		err = compare(ctx)
	case flag.NArg() == 2:
		err = plain(ctx, flag.Arg(0), flag.Arg(1))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// compare runs every bridge through every scenario and prints a table.
func compare(ctx context.Context) error {
	which, err := regexp.Compile(*only)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "peers")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	list, err := bridges(ctx, dir, *telegraf)
	if err != nil {
		return err
	}
	fmt.Println("| what fails | bridge | lost | out of order | stored twice | seconds |\n|---|---|---|---|---|---|")
	for _, s := range scenarios {
		if !which.MatchString(s.name) {
			continue
		}
		for _, b := range list {
			if err := s.run(ctx, dir, b); err != nil {
				return fmt.Errorf("%s, %s: %w", b.name, s.name, err)
			}
		}
	}
	return nil
}

// run runs a bridge through the scenario and prints a row.
func (s *scenario) run(ctx context.Context, dir string, b bridge) error {
	broker := mqttfake.New(mqttfake.Options{})
	defer broker.Close()
	addr, err := broker.Listen()
	if err != nil {
		return err
	}
	faults := append([]kinesistest.Fault{{Kind: kinesistest.Slow, Op: "Put*", Delay: 5 * time.Millisecond}}, s.faults...)
	server, err := kinesistest.New(kinesistest.Config{
		Streams: []kinesistest.StreamConfig{{Name: stream, Shards: 4}}, Logger: slog.New(slog.DiscardHandler),
		Faults: kinesistest.Plan{Seed: 1, Faults: faults},
	})
	if err != nil {
		return err
	}
	defer server.Close()
	start := func() (*exec.Cmd, error) {
		cmd, err := b.command(ctx, dir, "mqtt://"+addr, server.URL())
		if err != nil {
			return nil, err
		}
		if cmd.Stderr, err = os.Create(filepath.Join(dir, "log")); err != nil {
			return nil, err
		}
		cmd.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID=id", "AWS_SECRET_ACCESS_KEY=secret")
		return cmd, cmd.Start()
	}
	cmd, err := start()
	if err != nil {
		return err
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	for end := time.Now().Add(30 * time.Second); len(broker.Subscriptions(clientID)) == 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			log, _ := os.ReadFile(filepath.Join(dir, "log"))
			return fmt.Errorf("it does not subscribe: %.2000s", log)
		}
	}
	began := time.Now()
	var ledger kinesistest.Ledger
	for i := range *messages {
		if i%40 == 0 {
			time.Sleep(time.Until(began.Add(time.Duration(i/40) * 10 * time.Millisecond)))
		}
		topic := fmt.Sprintf("t/%d", i%*keys)
		data := fmt.Appendf(nil, "%s %d %s", topic, i, strings.Repeat("x", 180))
		ledger.Sent(topic, data)
		broker.Publish(mqttfake.Message{Topic: topic, Payload: data, QoS: 1})
		if i != *messages/2 {
			continue
		}
		if s.away > 0 {
			if err := server.SetFaults(kinesistest.Plan{Faults: []kinesistest.Fault{{Kind: kinesistest.FailCall, Code: kinesistest.CodeServiceUnavailable}}}); err != nil {
				return err
			}
			time.AfterFunc(s.away, func() { _ = server.SetFaults(kinesistest.Plan{Faults: faults}) })
		}
		if s.kill {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			if cmd, err = start(); err != nil {
				return err
			}
		}
	}
	settle(broker, server)
	took := time.Since(began)
	report := ledger.Check(server.UserRecords(stream))
	fmt.Printf("| %s | %s | %d | %d | %d | %.0f |\n", s.name, b.name, len(report.Lost), len(report.Reordered), report.Duplicates, took.Seconds())
	return nil
}

// settle waits until nothing has happened for a while: the broker has nothing left and
// nothing more is stored, or nothing changes for half a minute.
func settle(broker *mqttfake.Broker, server *kinesistest.Server) {
	last, since := -1, time.Now()
	for {
		time.Sleep(200 * time.Millisecond)
		pending := broker.Pending()
		now := pending<<32 + len(server.Records(stream))
		if now != last {
			last, since = now, time.Now()
		}
		if quiet := time.Since(since); quiet > 30*time.Second || pending == 0 && quiet > 5*time.Second {
			return
		}
	}
}
