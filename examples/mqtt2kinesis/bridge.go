package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/internal/redact"
	"github.com/sluiceio/sluice/rule"
	"github.com/sluiceio/sluice/sink/kinesis"
	"github.com/sluiceio/sluice/source/mqtt"
)

// runFlags bridges one broker into one stream by one rule.
func (p *program) runFlags(ctx context.Context, args []string) error {
	o, err := parse(args, p.lookup, p.stderr, p.overview)
	if err != nil {
		return usageError{err}
	}
	log := p.log
	t, err := newTelemetry(ctx, p.lookup, log)
	if err != nil {
		return err
	}
	defer t.close()
	return o.bridge(ctx, t, log)
}

// bridge runs until ctx is done and drains then.
func (o *options) bridge(ctx context.Context, t *telemetry, log *slog.Logger) error {
	r, err := rule.New(rule.Config{
		Name: "sql", SQL: o.sql,
		// A message without the columns of the key is stored by its topic rather
		// than not at all.
		Actions: []rule.Action{{Sink: "kinesis", Key: o.key, UndefinedKey: rule.KeyTopic, Data: o.payload}},
	})
	if err != nil {
		return err
	}
	warnRule(log, r)
	source, err := o.source(r.Filters(), log.With("source", "mqtt"))
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
		LogPayload:   t.logPayload,
		Logger:       log,
	})
	if err != nil {
		return err
	}
	if t.tracer != nil {
		p.Trace(t.tracer)
	}
	if o.startTimeout > 0 {
		if err := sink.Check(ctx); ctx.Err() != nil {
			return nil
		} else if err != nil { // a mistake about the stream is told at once
			return err
		}
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	status, err := serve(o.listen, t.perShard, log)
	if err != nil {
		return err
	}
	defer status.close()
	status.show(p, map[string]bridge.Source{"mqtt": source})
	var announced sync.WaitGroup
	announced.Go(func() {
		if ready(ctx, source) {
			log.Info("bridge is ready", "broker", redact.URL(o.mqtt), "client_id", o.clientID, "stream", o.stream)
		}
	})
	stopped := showDrain(ctx, p, log)
	err = p.Run(ctx)
	stopped()
	stop()
	announced.Wait()
	s := p.Stats()
	log.Info("bridge has stopped", "received", s.Sources["mqtt"].Received, "filtered", s.Rules["rule"].NoResult,
		"rule_errors", s.Rules["rule"].Exception, "stored", s.Sinks["kinesis"].Ended[bridge.Stored], "failed", s.Sinks["kinesis"].Ended[bridge.Refused])
	return err
}

// warnRule logs what is odd about a rule.
func warnRule(log *slog.Logger, r *rule.Rule) {
	for _, w := range r.Warnings() {
		log.Warn("-sql: " + w.Summary())
	}
	flags := map[string]string{"Key": "-key", "Data": "-payload"}
	for _, w := range r.ActionWarnings() {
		log.Warn(flags[w.Field] + ": " + w.String())
	}
}

// ready returns true when the source is connected and subscribed, and false when
// ctx ends before.
func ready(ctx context.Context, source bridge.Checker) bool {
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for source.Check(ctx) != nil {
		select {
		case <-poll.C:
		case <-ctx.Done():
			return false
		}
	}
	return ctx.Err() == nil
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
