package sim

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/internal/oracle"
	"github.com/sluiceio/sluice/sink/kinesis"
	"github.com/sluiceio/sluice/sink/spool"
	"github.com/sluiceio/sluice/source/mqtt"
)

const (
	drainTimeout = 5 * time.Second
	clientID     = "sim"
)

// life is a bridge from its start to its end. All its ways to the world outside go
// through it, so that a kill can close them: what it does later, nobody sees.
type life struct {
	w        *world
	pipeline *bridge.Pipeline
	buffer   *spool.Buffer // nil for none
	dir      string        // of the buffer
	cancel   context.CancelFunc
	ended    chan error // what Run has returned
	dead     atomic.Bool

	mu    sync.Mutex
	conns []net.Conn
}

// start builds a bridge on a copy of what the last one has left on disk, and runs it.
func (w *world) start() {
	w.lives++
	l := &life{w: w, dir: filepath.Join(w.dir, strconv.Itoa(w.lives)), ended: make(chan error, 1)}
	err := os.Mkdir(l.dir, 0o700)
	if w.life != nil {
		err = errors.Join(err, os.CopyFS(l.dir, os.DirFS(w.life.dir)))
	}
	w.life = l
	if err = errors.Join(err, l.build()); err != nil {
		w.wrong("a bridge does not start: %v", err)
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	l.cancel = cancel
	go func() { l.ended <- l.pipeline.Run(ctx) }()
}

func (l *life) build() error {
	w, s := l.w, l.w.settings
	src, err := mqtt.New(mqtt.Config{
		Brokers: []string{"mqtt://broker"}, ClientID: clientID, ReceiveMaximum: s.window, Dial: l.dial,
		Filters: []mqtt.Subscription{{Filter: "t/#", QoS: 1}}, Logger: w.log, BackoffMax: 2 * time.Second,
	})
	if err != nil {
		return err
	}
	sink, err := l.sink(oracle.Streams[0])
	if err != nil {
		return err
	}
	cfg := bridge.Config{
		Sources:      map[string]bridge.Source{"mqtt": src},
		Rules:        map[string]bridge.Rule{},
		Sinks:        map[string]bridge.Sink{oracle.Sink: sink, deadLetters: &letterSink{l}},
		Queue:        w.queue(),
		Queues:       map[string]bridge.QueueConfig{deadLetters: {BackoffMax: time.Second, ResumeInterval: time.Second, MaxRecords: s.letters}},
		DrainTimeout: drainTimeout, Workers: s.workers, ReadBatch: s.readBatch,
		RuleFallback: deadLetters, Logger: w.log,
	}
	if s.buffer != "" {
		mode := map[string]spool.Mode{"durable": spool.Durable, "volatile": spool.Volatile}[s.buffer]
		// What a volatile buffer has in memory is lost by a kill, so it has none here.
		l.buffer, err = spool.Open(spool.Config{Dir: l.dir, Name: "buffered", Mode: mode, MemoryBytes: -1, MaxBytes: 2 << 20, Logger: w.log})
		if err != nil {
			return errors.Join(err, sink.Close(context.Background()))
		}
		cfg.Sinks[oracle.Sink], cfg.Sinks[oracle.Last] = l.buffer.Sink(), sink
		cfg.Sources["buffered"], cfg.Rules["forward"] = l.buffer.Source(), l.buffer.Forward(oracle.Last)
	}
	for name, r := range w.rules {
		if cfg.Rules[name], err = r.Compile(); err != nil {
			return err
		}
	}
	if l.pipeline, err = bridge.New(cfg); err != nil {
		return err
	}
	for name, r := range w.rules {
		if r.Off {
			err = errors.Join(err, l.pipeline.EnableRule(name, false))
		}
	}
	return errors.Join(err, l.pipeline.EnableSink(oracle.Sink, !w.sinkOff))
}

// sink makes a sink for Kinesis with a default stream.
func (l *life) sink(stream string) (bridge.Sink, error) {
	cfg := l.w.server.AWSConfig()
	cfg.HTTPClient = l
	return kinesis.New(kinesis.Config{
		Stream: stream, AWS: &cfg, Aggregate: l.w.settings.aggregate, Pack: l.w.settings.pack, Slots: 32,
		RequestTimeout: 2 * time.Second, Logger: l.w.log,
	})
}

// last is the name of the sink for Kinesis.
func (l *life) last() string {
	if l.buffer != nil {
		return oracle.Last
	}
	return oracle.Sink
}

var errKilled = errors.New("the bridge was killed")

// Do sends a request to Kinesis. The answer to one that was under way when the bridge
// was killed is lost.
func (l *life) Do(r *http.Request) (*http.Response, error) {
	if l.dead.Load() {
		return nil, errKilled
	}
	answer, err := l.w.http.Do(r)
	if l.dead.Load() {
		if err == nil {
			_ = answer.Body.Close()
		}
		return nil, errKilled
	}
	return answer, err
}

func (l *life) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if l.dead.Load() {
		return nil, errKilled
	}
	c, err := l.w.broker.Dial(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dead.Load() {
		_ = c.Close()
		return nil, errKilled
	}
	l.conns = append(l.conns, c)
	return c, nil
}

// sever closes all ways out.
func (l *life) sever() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dead.Store(true)
	for _, c := range l.conns {
		_ = c.Close()
	}
}

// stop ends the bridge as SIGTERM does, and checks that it takes no longer than it may.
func (l *life) stop() error {
	began := time.Now()
	l.cancel()
	select {
	case err := <-l.ended:
		if took := time.Since(began); took > drainTimeout+10*time.Second {
			l.w.wrong("the drain took %v", took)
		}
		return err
	case <-time.After(10 * time.Minute):
		l.w.wrong("Run does not end: %+v", l.pipeline.Stats())
		return <-l.ended
	}
}
