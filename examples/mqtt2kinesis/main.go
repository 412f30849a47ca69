// Command mqtt2kinesis bridges an MQTT broker into a Kinesis stream by one rule:
//
//	mqtt2kinesis -mqtt mqtt://localhost:1883 -stream readings \
//	  -sql 'SELECT payload.id AS id, payload.temp AS temp FROM "t/+" WHERE payload.temp > 10' -key '${id}'
//
// AWS credentials and region come from where every AWS program finds them. Each
// flag can also be given by the environment: -client-id by SLUICE_CLIENT_ID, and
// so on; give the password in that way. -help lists the flags.
//
// It says in one line when it is ready. SIGTERM or an interrupt drains it: what
// was received is written within -drain, and what is not stays unacknowledged at
// the broker. It exits with 0 after a clean drain, 2 when the flags are wrong and
// 1 otherwise, with one sentence on what is the matter.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/rule"
	"github.com/sluiceio/sluice/sink/kinesis"
	"github.com/sluiceio/sluice/source/mqtt"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(run(ctx, os.Args[1:], os.LookupEnv, os.Stderr))
}

// run is main with its surroundings as parameters; it returns the exit code.
func run(ctx context.Context, args []string, lookup func(string) (string, bool), stderr io.Writer) int {
	o, err := parse(args, lookup, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintf(stderr, "mqtt2kinesis: %v\n", err)
		return 2
	}
	if err := o.bridge(ctx, slog.New(slog.NewTextHandler(stderr, nil))); err != nil {
		fmt.Fprintf(stderr, "mqtt2kinesis: %v\n", err)
		return 1
	}
	return 0
}

// bridge runs until ctx is done and drains then.
func (o *options) bridge(ctx context.Context, log *slog.Logger) error {
	r, err := rule.New(rule.Config{
		Name: "rule", SQL: o.sql,
		// A message without the columns of the key is stored by its topic rather
		// than not at all.
		Actions: []rule.Action{{Sink: "kinesis", Key: o.key, UndefinedKey: rule.KeyTopic, Data: o.payload}},
	})
	if err != nil {
		return err
	}
	source, err := o.source(r.Filters(), log)
	if err != nil {
		return err
	}
	sink, err := kinesis.New(kinesis.Config{
		Stream: o.stream, Region: o.region, Endpoint: o.endpoint,
		Aggregate: o.aggregate, Ordering: o.ordering, Slots: o.slots, Logger: log,
	})
	if err != nil {
		return err
	}
	p, err := bridge.New(bridge.Config{
		Sources:      map[string]bridge.Source{"mqtt": source},
		Rules:        map[string]bridge.Rule{"rule": r},
		Sinks:        map[string]bridge.Sink{"kinesis": sink},
		Queue:        bridge.QueueConfig{BatchSize: o.batch, BatchTime: o.batchTime()},
		DrainTimeout: o.drain,
		Hooks:        bridge.Hooks{OnState: o.announce(log)},
		Logger:       log,
	})
	if err != nil {
		return err
	}
	if err := o.check(ctx, p); err != nil {
		return err
	}
	err = p.Run(ctx)
	s := p.Stats()
	log.Info("bridge has stopped", "received", s.Sources["mqtt"].Received, "filtered", s.Rules["rule"].NoResult,
		"rule_errors", s.Rules["rule"].Exception, "stored", s.Sinks["kinesis"].Success, "failed", s.Sinks["kinesis"].Failed)
	return err
}

// source subscribes to the topic filters of the rule.
func (o *options) source(filters []string, log *slog.Logger) (*mqtt.Source, error) {
	subscriptions := make([]mqtt.Subscription, len(filters))
	for i, f := range filters {
		if strings.HasPrefix(f, "$events/") {
			return nil, fmt.Errorf("the rule is on %q, which only the broker itself sees; a client of the broker gets published messages", f)
		}
		subscriptions[i] = mqtt.Subscription{Filter: f, QoS: byte(o.qos)}
	}
	return mqtt.New(mqtt.Config{
		Brokers: []string{o.mqtt}, ClientID: o.clientID, Username: o.username, Password: o.password,
		CAFile: o.ca, CertFile: o.cert, KeyFile: o.certKey,
		CleanStart: o.cleanStart, SessionExpiry: cmp.Or(o.sessionExpiry, -1), ReceiveMaximum: o.receiveMaximum,
		Filters: subscriptions, StartTimeout: o.startTimeout, Logger: log,
	})
}

// check asks Kinesis whether the stream can be written to, so that a mistake is
// told at once; the source does the same when it is opened.
func (o *options) check(ctx context.Context, p *bridge.Pipeline) error {
	if o.startTimeout == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, o.startTimeout)
	defer cancel()
	return p.Check(ctx, "kinesis")
}

// announce returns a hook that logs one line when both ends are connected for
// the first time.
func (o *options) announce(log *slog.Logger) func(bridge.StateEvent) {
	var mu sync.Mutex
	waiting := map[string]bool{"mqtt": true, "kinesis": true}
	return func(e bridge.StateEvent) {
		mu.Lock()
		defer mu.Unlock()
		if e.Health.State != bridge.Connected || len(waiting) == 0 {
			return
		}
		if delete(waiting, e.Name); len(waiting) == 0 {
			log.Info("bridge is ready", "mqtt", o.mqtt, "client_id", o.clientID, "stream", o.stream)
		}
	}
}
