package torture

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/rule"
	"github.com/sluiceio/sluice/sink/kinesis"
	"github.com/sluiceio/sluice/sink/spool"
	"github.com/sluiceio/sluice/source/mqtt"
)

// childEnv is set in a child's environment to its settings, as JSON.
const childEnv = "SLUICE_TORTURE_CHILD"

// settings are what a child is told.
type settings struct {
	Broker    string
	Kinesis   string
	Stream    string
	Aggregate bool
	Window    int
	Buffer    string // folder of a durable buffer; none if empty
}

// report is what a child prints, a JSON line at a time.
type report struct {
	Stats  bridge.Stats
	Buffer spool.Stats
	RSS    int // bytes
	Final  bool
	Error  string
}

// child is a bridge until it is told to stop.
func child(text string) int {
	var s settings
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	p, buffer, err := s.pipeline()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	out := json.NewEncoder(os.Stdout)
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			_ = out.Encode(report{Stats: p.Stats(), Buffer: buffer(), RSS: rss()})
		case err := <-done:
			r := report{Stats: p.Stats(), Buffer: buffer(), RSS: rss(), Final: true}
			if err != nil {
				r.Error = err.Error()
			}
			_ = out.Encode(r)
			return 0
		}
	}
}

// pipeline returns the bridge and the figures of its buffer.
func (s settings) pipeline() (*bridge.Pipeline, func() spool.Stats, error) {
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	src, err := mqtt.New(mqtt.Config{
		Brokers: []string{"mqtt://" + s.Broker}, ClientID: "torture", ReceiveMaximum: s.Window,
		Filters: []mqtt.Subscription{{Filter: "t/#", QoS: 1}}, Logger: log,
	})
	if err != nil {
		return nil, nil, err
	}
	sink, err := kinesis.New(kinesis.Config{
		Stream: s.Stream, Endpoint: s.Kinesis, Region: "us-east-1", AccessKeyID: "id", SecretAccessKey: "secret",
		Aggregate: s.Aggregate, Slots: 32, RequestTimeout: 2 * time.Second, Logger: log,
	})
	if err != nil {
		return nil, nil, err
	}
	r, err := rule.New(rule.Config{
		Name:    "all",
		SQL:     `SELECT payload.key AS key, payload.seq AS seq FROM "t/#" WHERE payload.seq >= 0`,
		Actions: []rule.Action{{Sink: "first", Key: "${key}", Data: "${seq}"}},
	})
	if err != nil {
		return nil, nil, err
	}
	cfg := bridge.Config{
		Sources: map[string]bridge.Source{"mqtt": src},
		Rules:   map[string]bridge.Rule{"all": r},
		Sinks:   map[string]bridge.Sink{"first": sink},
		Queue: bridge.QueueConfig{
			BackoffMax: 200 * time.Millisecond, ResumeInterval: 200 * time.Millisecond, MaxBytes: 16 << 20,
		},
		DrainTimeout: 5 * time.Second,
		Logger:       log,
	}
	stats := func() spool.Stats { return spool.Stats{} }
	if s.Buffer != "" {
		buffer, err := spool.Open(spool.Config{Dir: s.Buffer, Name: "buffer", Logger: log})
		if err != nil {
			return nil, nil, err
		}
		stats = buffer.Stats
		cfg.Sinks["first"], cfg.Sinks["kinesis"] = buffer.Sink(), sink
		cfg.Sources["buffer"], cfg.Rules["forward"] = buffer.Source(), buffer.Forward("kinesis")
	}
	p, err := bridge.New(cfg)
	return p, stats, err
}

// rss is the memory of the process in bytes, 0 where it cannot be told.
func rss() int {
	text, err := os.ReadFile("/proc/self/statm")
	var size, resident int
	if _, scan := fmt.Sscan(string(text), &size, &resident); err != nil || scan != nil {
		return 0
	}
	return resident * os.Getpagesize()
}
