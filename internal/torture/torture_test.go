package torture

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/internal/mqttfake"
	"github.com/sluiceio/sluice/sink/kinesis/kinesistest"
)

var (
	duration = flag.Duration("torture", 4*time.Second, "how long each torture lasts")
	seed     = flag.Uint64("seed", 0, "what decides everything random; 0: the time")
)

func TestMain(m *testing.M) {
	if text := os.Getenv(childEnv); text != "" {
		os.Exit(child(text))
	}
	flag.Parse()
	os.Exit(m.Run())
}

func TestTorture(t *testing.T) {
	if testing.Short() {
		t.Skip("runs a bridge as a process of its own")
	}
	start := *seed
	if start == 0 {
		start = uint64(time.Now().UnixNano())
	}
	for name, change := range map[string]func(*testing.T, *settings){
		"plain":     func(*testing.T, *settings) {},
		"aggregate": func(_ *testing.T, s *settings) { s.Aggregate = true },
		"buffer":    func(t *testing.T, s *settings) { s.Buffer = t.TempDir() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Logf("-seed %d", start)
			h := newTorture(t, start)
			change(t, &h.config)
			h.run()
		})
	}
}

// torture is one bridge and the world around it.
type torture struct {
	*testing.T
	rng    *rand.Rand
	broker *mqttfake.Broker
	server *kinesistest.Server
	ledger kinesistest.Ledger
	config settings
	sent   int
	keys   int
	bridge *process
	events map[string]int
}

const stream = "torture"

func newTorture(t *testing.T, seed uint64) *torture {
	rng := rand.New(rand.NewPCG(seed, 0))
	h := &torture{
		T: t, rng: rng, broker: mqttfake.New(mqttfake.Options{}), events: map[string]int{},
		server: kinesistest.Start(t, kinesistest.Config{Streams: []kinesistest.StreamConfig{{Name: stream, Shards: 4}}}),
		keys:   1 + rng.IntN(300),
	}
	t.Cleanup(h.broker.Close)
	addr, err := h.broker.Listen()
	require.NoError(t, err)
	h.config = settings{
		Broker: addr, Kinesis: h.server.URL(), Stream: stream, Window: 1 + rng.IntN(5000),
	}
	return h
}

func (h *torture) run() {
	h.start()
	h.publishWhenSubscribed()
	end := time.Now().Add(*duration)
	for time.Now().Before(end) {
		h.publish(h.rng.IntN(800))
		h.trouble()
		h.pause(time.Duration(h.rng.IntN(150)) * time.Millisecond)
	}
	require.NoError(h, h.server.SetFaults(kinesistest.Plan{}))
	h.settle()
	last := h.stop()
	require.Empty(h, last.Error, "the last drain, with nothing in its way")
	require.Empty(h, h.broker.Faults())
	require.NoError(h, h.ledger.Check(h.server.UserRecords(stream)).Err())
	require.Empty(h, h.server.DroppedByKCL(stream))
	h.Logf("%d messages with %d keys, window %d, %v", h.sent, h.keys, h.config.Window, h.events)
}

func (h *torture) pause(d time.Duration) {
	select {
	case <-time.After(d):
	case <-h.Context().Done():
	}
}

// publishWhenSubscribed waits until the bridge's session exists, for the broker
// keeps nothing for sessions that do not.
func (h *torture) publishWhenSubscribed() {
	for end := time.Now().Add(30 * time.Second); len(h.broker.Subscriptions("torture")) == 0; h.pause(10 * time.Millisecond) {
		require.True(h, time.Now().Before(end), "the bridge does not subscribe")
	}
}

func (h *torture) publish(n int) {
	msgs := make([]mqttfake.Message, n)
	for i := range msgs {
		key, seq := "key-"+strconv.Itoa(h.rng.IntN(h.keys)), strconv.Itoa(h.sent)
		h.sent++
		h.ledger.Sent(key, []byte(seq))
		// The topic is not the key's, so order must not hang on topics.
		msgs[i] = mqttfake.Message{
			Topic: "t/" + strconv.Itoa(h.rng.IntN(5)), QoS: 1,
			Payload: fmt.Appendf(nil, `{"key":%q,"seq":%s}`, key, seq),
		}
	}
	h.broker.Publish(msgs...)
}

// trouble makes one thing go wrong.
func (h *torture) trouble() {
	switch n := h.rng.IntN(20); {
	case n < 2:
		h.events["kill -9"]++
		h.bridge.kill()
		h.start()
	case n < 3:
		h.events["stop"]++
		h.stop()
		h.start()
	case n < 6:
		h.events["cut"]++
		h.broker.Cut()
	case n < 12:
		h.events["faults"]++
		require.NoError(h, h.server.SetFaults(h.faults()))
	case n < 13:
		h.split()
	case n < 15:
		h.events["no faults"]++
		require.NoError(h, h.server.SetFaults(kinesistest.Plan{}))
	}
}

func (h *torture) faults() kinesistest.Plan {
	kinds := []kinesistest.Fault{
		{Kind: kinesistest.FailRecord, Code: kinesistest.CodeThroughputExceeded, Rate: 0.3},
		{Kind: kinesistest.FailRecord, Rate: 0.2},
		{Kind: kinesistest.FailCall, Op: "PutRecords", Rate: 0.3},
		{Kind: kinesistest.ResetBefore, Op: "PutRecords", Rate: 0.2},
		{Kind: kinesistest.ResetAfter, Op: "PutRecords", Rate: 0.2},
		{Kind: kinesistest.Slow, Op: "PutRecords", Rate: 0.5, Delay: 30 * time.Millisecond},
		{Kind: kinesistest.FailCall, Code: kinesistest.CodeAccessDenied, Op: "PutRecords", Rate: 0.1},
	}
	p := kinesistest.Plan{Seed: h.rng.Uint64()}
	for range 1 + h.rng.IntN(3) {
		p.Faults = append(p.Faults, kinds[h.rng.IntN(len(kinds))])
	}
	return p
}

// split halves the largest open shard.
func (h *torture) split() {
	h.events["split"]++
	ctx := h.Context()
	list, err := h.server.ListShards(ctx, &sdk.ListShardsInput{
		StreamName: aws.String(stream), ShardFilter: &types.ShardFilter{Type: types.ShardFilterTypeAtLatest},
	})
	require.NoError(h, err)
	if len(list.Shards) >= 32 {
		return
	}
	s := list.Shards[h.rng.IntN(len(list.Shards))]
	_, err = h.server.SplitShard(ctx, &sdk.SplitShardInput{
		StreamName: aws.String(stream), ShardToSplit: s.ShardId, NewStartingHashKey: middle(s.HashKeyRange),
	})
	require.NoError(h, err)
}

// settle waits until the broker and the bridge have nothing left.
func (h *torture) settle() {
	for end := time.Now().Add(time.Minute); h.broker.Pending() > 0 || !h.bridge.idle(); h.pause(20 * time.Millisecond) {
		require.True(h, time.Now().Before(end), "%d messages are still pending; last report: %+v", h.broker.Pending(), h.bridge.last())
	}
}

func (h *torture) start() { h.bridge = startProcess(h.T, h.config) }

// stop asks the bridge to drain. With faults it may not be able to; then it must
// say so.
func (h *torture) stop() report {
	last := h.bridge.stop()
	require.True(h, last.Final, "the bridge died")
	return last
}

// process is a running child.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	up   chan struct{} // closed at the first report
	done chan struct{}

	mu     sync.Mutex
	latest report
}

// memoryLimit is what a child may use: the queue's bound of 16 MiB, the window,
// the runtime, and the test binary itself.
const memoryLimit = 300 << 20

func startProcess(t *testing.T, s settings) *process {
	text, err := json.Marshal(s)
	require.NoError(t, err)
	p := &process{t: t, cmd: exec.Command(os.Args[0]), up: make(chan struct{}), done: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), childEnv+"="+string(text))
	p.cmd.Stderr = os.Stderr
	out, err := p.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	t.Cleanup(p.kill)
	go func() {
		defer close(p.done)
		lines := bufio.NewScanner(out)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			var r report
			if err := json.Unmarshal(lines.Bytes(), &r); err == nil {
				p.check(r)
			} else if json.Valid(lines.Bytes()) { // else it is the cut last line of one that was killed
				p.t.Errorf("report: %v", err)
			}
		}
	}()
	return p
}

// check looks at what must hold at any time.
func (p *process) check(r report) {
	p.mu.Lock()
	if p.latest.Stats.Sinks == nil {
		close(p.up)
	}
	p.latest = r
	p.mu.Unlock()
	for name, s := range r.Stats.Sinks {
		if sum := s.Success + s.Failed + s.Dropped.Total() + uint64(s.Inflight) + uint64(s.Queuing); sum != s.Matched {
			p.t.Errorf("sink %s: matched %d, but the sum is %d: %+v", name, s.Matched, sum, s)
		}
		if s.Failed > 0 {
			p.t.Errorf("sink %s gave up %d records", name, s.Failed)
		}
	}
	if r.RSS > memoryLimit {
		p.t.Errorf("the bridge uses %d MiB", r.RSS>>20)
	}
}

func (p *process) last() report {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.latest
}

// idle tells whether everything that the bridge took has been stored.
func (p *process) idle() bool {
	r := p.last()
	for _, s := range r.Stats.Sinks {
		if s.Inflight+s.Queuing > 0 {
			return false
		}
	}
	return r.Stats.Sinks != nil && r.Buffer.Pending == 0
}

func (p *process) kill() {
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Errorf("kill: %v", err)
	}
	p.wait()
}

func (p *process) stop() report {
	select {
	case <-p.up: // before, the signal would just kill it
	case <-p.done:
	}
	require.NoError(p.t, p.cmd.Process.Signal(syscall.SIGTERM))
	p.wait()
	return p.last()
}

func (p *process) wait() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	select {
	case <-p.done:
	case <-ctx.Done():
		p.t.Error("the bridge does not end")
		_ = p.cmd.Process.Kill()
		<-p.done
	}
	_ = p.cmd.Wait() // killed or ended; the reports tell
}
