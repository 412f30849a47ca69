package console_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/bridge/bridgetest"
	"github.com/sluiceio/sluice/bridge/console"
	"github.com/sluiceio/sluice/rule"
	"github.com/sluiceio/sluice/sink"
)

// plant is a pipeline with a console, for a browser to look at.
type plant struct {
	pipeline *bridge.Pipeline
	source   *bridgetest.Source
	url      string
	replayed atomic.Int64
	broken   atomic.Bool // the sink "orders" refuses everything
	picky    atomic.Bool // the sink "archive" refuses records for good
}

type checked struct {
	bridge.Sink
	check func() error
}

func (c checked) Check(context.Context) error { return c.check() }

type checkedSource struct{ *bridgetest.Source }

func (checkedSource) Check(context.Context) error { return nil }

func newPlant(t *testing.T, rules, shards int) *plant {
	t.Helper()
	p := &plant{source: &bridgetest.Source{}}
	stored := bridge.SinkFunc(func(context.Context, *bridge.Batch) error { return nil })
	orders := bridge.SinkFunc(func(context.Context, *bridge.Batch) error {
		if p.broken.Load() {
			return bridge.Unavailable(errors.New("stream orders: ResourceNotFoundException: Stream orders under account 111122223333 not found"))
		}
		return nil
	})
	archive := bridge.SinkFunc(func(context.Context, *bridge.Batch) error {
		if p.picky.Load() {
			return bridge.Permanent(errors.New("record is larger than 10 MiB"))
		}
		return nil
	})
	dead := console.NewDeadLetters(console.DeadLettersConfig{MaxRecords: 12, Replay: func(context.Context, console.DeadLetter) error {
		p.replayed.Add(1)
		return nil
	}})
	kept := map[string]console.RuleConfig{}
	made := map[string]bridge.Rule{}
	add := func(name, sql string, sinks ...string) {
		cfg := rule.Config{Name: name, SQL: sql}
		for _, s := range sinks {
			cfg.Actions = append(cfg.Actions, rule.Action{Sink: s, Key: "${clientid}"})
		}
		r, err := rule.New(cfg)
		require.NoError(t, err)
		made[name], kept[name] = r, console.RuleConfig{SQL: sql, Actions: cfg.Actions}
	}
	add("temps", "SELECT payload.id AS id, payload.temp AS temp, clientid\nFROM \"sensors/+/temp\"\nWHERE payload.temp > 20", "readings")
	add("all-orders", "SELECT * FROM \"shop/orders/#\"", "orders", "archive")
	add("everything", "SELECT topic, payload, clientid FROM \"sensors/#\", \"shop/#\"", "archive")
	add("alarms", "SELECT payload.level AS level, clientid\nFROM \"alarms/#\"\nWHERE payload.level > 2", "readings")
	fed := []string{"readings", "archive"}
	if rules > 50 {
		for i := range 14 { // two are idle
			fed = append(fed, fmt.Sprintf("region-%02d", i))
		}
	}
	for i := range rules {
		add(fmt.Sprintf("plant-%02d-line", i), fmt.Sprintf("SELECT payload.v AS v, clientid FROM \"plants/%d/+/v\"", i), fed[i%len(fed)])
	}
	sinks := map[string]bridge.Sink{
		"readings": stored, "archive": archive, "dead": dead,
		"orders": checked{orders, func() error {
			if p.broken.Load() {
				return errors.New("stream orders does not exist")
			}
			return nil
		}},
	}
	if rules > 50 {
		for i := range 16 {
			sinks[fmt.Sprintf("region-%02d", i)] = stored
		}
	}
	var err error
	p.pipeline, err = bridge.New(bridge.Config{
		Sources: map[string]bridge.Source{"mqtt": checkedSource{p.source}},
		Rules:   made, Sinks: sinks,
		Queue:         bridge.QueueConfig{Fallback: "dead"},
		CheckInterval: time.Hour, DrainTimeout: 100 * time.Millisecond,
		Logger: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	c, err := console.New(console.Config{
		Pipeline: p.pipeline, Rules: kept,
		Sources: map[string]console.SourceConfig{"mqtt": {Subscriptions: []string{"sensors/#", "shop/#", "alarms/#", "plants/#"}}}, Authorize: func(*http.Request) error { return nil },
		Logger: slog.New(slog.DiscardHandler),
		Shards: map[string]func() []sink.ShardLoad{"readings": func() []sink.ShardLoad { return loads(shards) }},
	})
	require.NoError(t, err)
	mux := http.NewServeMux()
	mux.Handle("/any/path/", http.StripPrefix("/any/path", c))
	server := httptest.NewServer(mux)
	p.url = server.URL + "/any/path/"
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = p.pipeline.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		<-ended
		c.Close()
		server.CloseClientConnections()
		server.Close()
	})
	return p
}

func loads(n int) []sink.ShardLoad {
	list := make([]sink.ShardLoad, n)
	sum := 0.0
	for i := range list {
		list[i] = sink.ShardLoad{Dest: "readings", Shard: fmt.Sprintf("shardId-%012d", i), Share: 1 + float64(i*7919%13)/8}
		if i == n/3 {
			list[i].Share, list[i].Throttled = 6, uint64(time.Now().Unix())
		}
		sum += list[i].Share
	}
	for i := range list {
		list[i].Share /= sum
	}
	return list
}

func (p *plant) publish(topic, payload string) {
	p.source.Publish(bridge.Message{Topic: topic, Payload: []byte(payload), ClientID: "device-7", QoS: 1})
}

// load publishes messages until the test ends.
func (p *plant) load(t *testing.T) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			for j := range 12 {
				p.publish(fmt.Sprintf("sensors/hall-%d/temp", j), fmt.Sprintf(`{"id":"hall-%d","temp":%d.5}`, j, 14+(i+j)%14))
				p.publish(fmt.Sprintf("plants/%d/a/v", (i+j)%40), `{"v":1}`)
			}
			if p.picky.Load() {
				p.publish("alarms/attic", "level=3")
			}
			p.publish(fmt.Sprintf("shop/orders/%d", i), fmt.Sprintf(`{"order":%d,"items":[{"sku":"A-%d","n":2}],"total":19.9}`, i, i%9))
		}
	}()
	t.Cleanup(func() { stop(); <-ended })
}
