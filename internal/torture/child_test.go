package torture

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/internal/oracle"
	"github.com/sluiceio/sluice/sink/file"
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
	Aggregate bool
	Window    int
	Buffer    string // folder of a durable buffer; none if empty
	Dead      string // file of dead letters
	TTL       time.Duration
	Rules     []oracle.Text
	SinkOff   bool // the sink that rules write to
}

// dead is the sink of dead letters.
const dead = "dead"

// report is what a child prints, a JSON line at a time.
type report struct {
	Stats  bridge.Stats
	Buffer spool.Stats
	RSS    int       // bytes
	Wall   time.Time // what its clock shows
	Open   int       // messages that are not settled
	Twice  int       // messages that were settled twice
	Reply  int       // number of the command that this answers, or 0
	Final  bool
	Error  string
}

// child is a bridge until it is told to stop.
func child(text string) int {
	c := &childBridge{log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})), out: json.NewEncoder(os.Stdout)}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := errors.Join(json.Unmarshal([]byte(text), &c.settings), c.build()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	done := make(chan error, 1)
	go func() { done <- c.pipeline.Run(ctx) }()
	go c.obey(ctx, os.Stdin)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			c.report(report{})
		case err := <-done:
			c.report(report{Final: true, Error: textOf(err)})
			return 0
		}
	}
}

func textOf(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// childBridge is the bridge in a child.
type childBridge struct {
	settings
	log      *slog.Logger
	pipeline *bridge.Pipeline
	buffer   *spool.Buffer // nil for none
	sources  []*counted

	mu  sync.Mutex
	out *json.Encoder
}

func (c *childBridge) report(r report) {
	r.Stats, r.RSS, r.Wall = c.pipeline.Stats(), rss(), time.Now()
	if c.buffer != nil {
		r.Buffer = c.buffer.Stats()
	}
	for _, s := range c.sources {
		open, twice := s.counts()
		r.Open, r.Twice = r.Open+open, r.Twice+twice
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = c.out.Encode(r)
}

// build makes the pipeline.
func (c *childBridge) build() error {
	src, err := mqtt.New(mqtt.Config{
		Brokers: []string{"mqtt://" + c.Broker}, ClientID: "torture", ReceiveMaximum: c.Window,
		Filters: []mqtt.Subscription{{Filter: "t/#", QoS: 1}}, Logger: c.log,
	})
	if err != nil {
		return err
	}
	sink, err := c.kinesis()
	if err != nil {
		return err
	}
	letters, err := file.New(file.Config{Path: c.Dead})
	if err != nil {
		return err
	}
	queue := c.queue()
	cfg := bridge.Config{
		Sources:      map[string]bridge.Source{"mqtt": c.counted(src)},
		Rules:        map[string]bridge.Rule{},
		Sinks:        map[string]bridge.Sink{oracle.Sink: sink, dead: letters},
		Queue:        bridge.QueueConfig{BackoffMax: queue.BackoffMax, ResumeInterval: queue.ResumeInterval},
		Queues:       map[string]bridge.QueueConfig{oracle.Sink: queue},
		DrainTimeout: 5 * time.Second,
		Logger:       c.log,
	}
	if c.Buffer != "" {
		if c.buffer, err = spool.Open(spool.Config{Dir: c.Buffer, Name: "buffered", Logger: c.log}); err != nil {
			return err
		}
		cfg.Sinks[oracle.Sink], cfg.Sinks[oracle.Last], cfg.Queues[oracle.Last] = c.buffer.Sink(), sink, queue
		cfg.Sources["buffered"], cfg.Rules["forward"] = c.counted(c.buffer.Source()), c.buffer.Forward(oracle.Last)
	}
	for _, r := range c.Rules {
		if cfg.Rules[r.Name], err = r.Compile(); err != nil {
			return err
		}
	}
	if c.pipeline, err = bridge.New(cfg); err != nil {
		return err
	}
	for _, r := range c.Rules {
		if r.Off {
			err = errors.Join(err, c.pipeline.EnableRule(r.Name, false))
		}
	}
	return errors.Join(err, c.pipeline.EnableSink(oracle.Sink, !c.SinkOff))
}

func (c *childBridge) kinesis() (*kinesis.Sink, error) {
	return kinesis.New(kinesis.Config{
		Stream: oracle.Streams[0], Endpoint: c.Kinesis, Region: "us-east-1", AccessKeyID: "id", SecretAccessKey: "secret",
		Aggregate: c.Aggregate, Slots: 32, RequestTimeout: 2 * time.Second, Logger: c.log,
	})
}

func (c *childBridge) queue() bridge.QueueConfig {
	return bridge.QueueConfig{
		BackoffMax: 200 * time.Millisecond, ResumeInterval: 200 * time.Millisecond, MaxBytes: 16 << 20,
		RecordTTL: c.TTL, Fallback: dead,
	}
}

// command is a change while messages flow.
type command struct {
	ID   int
	Op   string
	Rule oracle.Text
}

// obey carries out the commands that are read from in.
func (c *childBridge) obey(ctx context.Context, in io.Reader) {
	for d := json.NewDecoder(in); ; {
		var cmd command
		if d.Decode(&cmd) != nil {
			return
		}
		c.report(report{Reply: cmd.ID, Error: textOf(c.change(ctx, cmd))})
	}
}

func (c *childBridge) change(ctx context.Context, cmd command) error {
	switch p := c.pipeline; cmd.Op {
	case "set":
		r, err := cmd.Rule.Compile()
		if err != nil {
			return err
		}
		return p.SetRule(cmd.Rule.Name, r)
	case "enable", "disable":
		return p.EnableRule(cmd.Rule.Name, cmd.Op == "enable")
	case "remove":
		return p.RemoveRule(cmd.Rule.Name)
	case "sink on", "sink off":
		return p.EnableSink(oracle.Sink, cmd.Op == "sink on")
	case "swap":
		return c.swap(ctx)
	default:
		return fmt.Errorf("unknown command %q", cmd.Op)
	}
}

// swap replaces the sink for Kinesis. It does not wait for the old one to end,
// so that several may be retiring.
func (c *childBridge) swap(ctx context.Context) error {
	sink, err := c.kinesis()
	if err != nil {
		return err
	}
	name := oracle.Sink
	if c.buffer != nil {
		name = oracle.Last
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
	defer cancel()
	if err := c.pipeline.SetSink(ctx, name, sink, c.queue()); !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}

// counted is a source that counts how often its messages are settled.
type counted struct {
	bridge.Source
	mu    sync.Mutex
	next  uint64
	open  map[uint64]bridge.Delivery
	twice int
}

func (c *childBridge) counted(s bridge.Source) *counted {
	n := &counted{Source: s, open: map[uint64]bridge.Delivery{}}
	c.sources = append(c.sources, n)
	return n
}

func (n *counted) Open(ctx context.Context) error {
	if o, ok := n.Source.(bridge.Opener); ok {
		return o.Open(ctx)
	}
	return nil
}

func (n *counted) Check(ctx context.Context) error {
	if c, ok := n.Source.(bridge.Checker); ok {
		return c.Check(ctx)
	}
	return nil
}

func (n *counted) Read(ctx context.Context, dst []bridge.Message) (int, error) {
	got, err := n.Source.Read(ctx, dst)
	n.mu.Lock()
	defer n.mu.Unlock()
	for i := range dst[:got] {
		n.next++
		n.open[n.next] = dst[i].Delivery
		dst[i].Delivery = bridge.NewDelivery(n, n.next)
	}
	return got, err
}

// Done implements bridge.Acker.
func (n *counted) Done(seq uint64, o bridge.Outcome, err error) {
	n.mu.Lock()
	d, open := n.open[seq]
	delete(n.open, seq)
	if !open {
		n.twice++
	}
	n.mu.Unlock()
	d.Done(o, err)
}

func (n *counted) counts() (open, twice int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.open), n.twice
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
