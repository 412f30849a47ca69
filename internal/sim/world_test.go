package sim

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/internal/mqttfake"
	"github.com/sluiceio/sluice/internal/oracle"
	"github.com/sluiceio/sluice/sink/kinesis"
	"github.com/sluiceio/sluice/sink/kinesis/kinesistest"
)

// patience is how long everything may take to arrive once all is well: a dead
// connection is noticed after 60 seconds, and then pauses end.
const patience = 5 * time.Minute

// world is a run: the bridge of the moment and all that is around it.
type world struct {
	oracle.History
	settings settings
	dir      string // for buffers
	log      *slog.Logger
	began    time.Time
	broker   *mqttfake.Broker
	server   *kinesistest.Server
	http     *http.Client
	letters  *letterBox
	rules    map[string]*oracle.Rule
	labels   int
	sinkOff  bool
	life     *life
	lives    int
	waiting  sync.WaitGroup // for replacements of sinks
	story    []string

	mu       sync.Mutex
	problems []string
	trouble  trouble
}

// trouble is how MQTT misbehaves: the parts of the packets that meet each fault.
type trouble struct {
	rng               *rand.Rand
	cut, freeze, late float64
}

// run runs a script, and returns what was wrong, the story, and how long it took there.
func run(t *testing.T, sc script) (problems, story []string, took time.Duration) {
	dir := t.TempDir() // outside of the bubble, which has no end of its own
	synctest.Test(t, func(t *testing.T) {
		w := &world{
			settings: sc.settings, dir: dir, began: time.Now(), log: slog.New(slog.DiscardHandler),
			letters: &letterBox{failed: map[string]bool{}}, rules: map[string]*oracle.Rule{},
		}
		w.Payloads = sc.settings.buffer == "" // behind a buffer only the record is known
		w.broker = mqttfake.New(mqttfake.Options{Hook: w.hook, OnlyV3: sc.settings.v3})
		defer w.broker.Close()
		w.server = kinesistest.Start(t, kinesistest.Config{NoSocket: true, Logger: w.log, Streams: []kinesistest.StreamConfig{
			{Name: oracle.Streams[0], Shards: 4}, {Name: oracle.Streams[1], Shards: 2},
		}})
		w.http = w.server.HTTPClient()
		w.run(sc)
		problems, story, took = w.problems, w.story, time.Since(w.began)
	})
	return problems, story, took
}

func (w *world) run(sc script) {
	w.rules["whole"] = oracle.WholeRule()
	w.Change("whole", w.rules["whole"], 0, 0)
	if w.start(); w.life.pipeline == nil {
		return
	}
	time.Sleep(time.Second) // for the session: the broker keeps nothing for those it does not know
	for _, s := range sc.steps {
		i := slices.IndexFunc(ops, func(o op) bool { return o.what == s.what })
		ops[i].do(w, rand.New(rand.NewPCG(s.seed, 0)))
		w.look()
	}
	w.end()
}

// end heals everything, waits until all has arrived, and judges.
func (w *world) end() {
	w.behave(nil)
	w.calm(nil)
	w.healLetters(nil)
	w.waiting.Wait()
	w.replace(w.life, w.queue(), oracle.Streams[0], time.Minute)
	for end := time.Now().Add(patience); !w.idle(); time.Sleep(time.Second) {
		if time.Now().After(end) {
			w.wrong("%d messages are pending %v after the last fault: %+v", w.broker.Pending(), patience, w.life.pipeline.Stats())
			break
		}
	}
	w.look()
	if err := w.life.stop(); err != nil {
		w.wrong("the last drain, with nothing in its way: %v", err)
	}
	w.judge()
}

// idle reports whether the broker and the bridge have nothing left.
func (w *world) idle() bool {
	if w.broker.Pending() > 0 {
		return false
	}
	for _, s := range w.life.pipeline.Stats().Sinks {
		if s.Queue.Inflight+s.Queue.Waiting > 0 {
			return false
		}
	}
	return w.life.buffer == nil || w.life.buffer.Stats().Pending == 0
}

// judge compares what arrived with what must have.
func (w *world) judge() {
	var arrived []oracle.Arrival
	for _, stream := range oracle.Streams {
		records := w.server.UserRecords(stream)
		if w.settings.pack == kinesis.Lines {
			for _, r := range records {
				for line := range strings.Lines(string(r.Data)) {
					arrived = append(arrived, oracle.Arrival{Stream: stream, Key: r.PartitionKey, Data: strings.TrimSuffix(line, "\n")})
				}
			}
		} else {
			arrived = append(arrived, oracle.Arrivals(stream, records)...)
		}
		if dropped := w.server.DroppedByKCL(stream); len(dropped) > 0 {
			w.wrong("a KCL would drop %d records", len(dropped))
		}
	}
	_, _, problems := w.Check(append(arrived, w.letters.letters...))
	for _, p := range problems {
		w.wrong("%s", p)
	}
	for i := range w.Sent {
		if m := &w.Sent[i]; m.Broken && !w.letters.failed[string(m.Payload())] {
			w.wrong("no letter about message %d, on which a rule fails", m.Seq)
		}
	}
	for _, f := range w.broker.Faults() {
		w.wrong("the broker complains: %s", f)
	}
}

// look checks what holds at any time.
func (w *world) look() {
	for name, s := range w.life.pipeline.Stats().Sinks {
		ended := uint64(0)
		for _, n := range s.Ended {
			ended += n
		}
		if s.Matched != ended+uint64(s.Queue.Inflight+s.Queue.Waiting) {
			w.wrong("%s: the counters do not add up: %+v", name, s)
		}
		if s.Ended[bridge.Dropped]+s.Ended[bridge.Expired] > 0 && !w.optional(s) {
			w.wrong("%s: records were dropped: %+v", name, s)
		}
	}
	w.life.pipeline.Health()
}

// optional reports whether what was dropped may be best effort.
func (w *world) optional(s bridge.SinkStats) bool {
	return s.Ended[bridge.Expired] == 0 && w.labels > 0
}

// wrong notes a problem.
func (w *world) wrong(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.problems) < 10 {
		w.problems = append(w.problems, fmt.Sprintf(format, args...))
	}
}

func (w *world) tell(format string, args ...any) {
	w.story = append(w.story, fmt.Sprintf("%10v %6d sent %6d settled  %s",
		time.Since(w.began).Round(time.Millisecond), len(w.Sent), w.settled(), fmt.Sprintf(format, args...)))
}

// settled is how many messages the broker got acknowledged, which it is in their order.
func (w *world) settled() int { return len(w.Sent) - w.broker.Pending() }

// hook is asked by the broker about each packet.
func (w *world) hook(e mqttfake.Event) (a mqttfake.Action) {
	w.mu.Lock()
	defer w.mu.Unlock()
	t := &w.trouble
	if t.rng == nil {
		return a
	}
	switch {
	case t.rng.Float64() < t.cut:
		a.Cut = true
	case t.rng.Float64() < t.freeze:
		a.Freeze = true
	case t.rng.Float64() < t.late:
		a.Delay = time.Duration(t.rng.IntN(2000)) * time.Millisecond
	}
	return a
}

// The steps.

func (w *world) publish(rng *rand.Rand) {
	n := rng.IntN(300)
	if w.settings.window == 1 { // which makes one message take as long as it takes
		n /= 10
	}
	w.tell("publish %d", n)
	msgs := make([]mqttfake.Message, n)
	for i := range msgs {
		m := oracle.RandomMessage(rng, len(w.Sent), w.settings.keys)
		w.Sent = append(w.Sent, m)
		msgs[i] = mqttfake.Message{Topic: m.Topic, QoS: 1, Payload: m.Payload()}
	}
	w.broker.Publish(msgs...)
}

func (w *world) wait(rng *rand.Rand) {
	d := time.Duration(rng.Int64N(int64([]time.Duration{20 * time.Millisecond, time.Second, 20 * time.Second}[rng.IntN(3)])))
	w.tell("wait %v", d)
	time.Sleep(d)
}

func (w *world) misbehave(rng *rand.Rand) {
	kinds := []kinesistest.Fault{
		{Kind: kinesistest.FailRecord, Code: kinesistest.CodeThroughputExceeded, Rate: 0.3},
		{Kind: kinesistest.FailRecord, Rate: 0.2},
		{Kind: kinesistest.FailCall, Op: "PutRecords", Rate: 0.3},
		{Kind: kinesistest.FailCall, Op: "PutRecords", Code: "BrandNewException", Rate: 0.02},
		{Kind: kinesistest.FailCallAfter, Op: "PutRecords", Rate: 0.1},
		{Kind: kinesistest.ResetBefore, Op: "PutRecords", Rate: 0.2},
		{Kind: kinesistest.ResetAfter, Op: "PutRecords", Rate: 0.2},
		{Kind: kinesistest.Slow, Rate: 0.5, Delay: 300 * time.Millisecond},
		{Kind: kinesistest.Hang, Rate: 0.05},
		{Kind: kinesistest.HangAfter, Op: "PutRecords", Rate: 0.05},
		{Kind: kinesistest.Truncate, Op: "PutRecords", Rate: 0.1},
		{Kind: kinesistest.DropResults, Op: "PutRecords", Rate: 0.1},
		{Kind: kinesistest.FailCall, Code: kinesistest.CodeExpiredToken, Rate: 0.3},
		{Kind: kinesistest.FailCall, Code: kinesistest.CodeAccessDenied, Rate: 0.1},
		{Kind: kinesistest.FailCall, Code: kinesistest.CodeKMSThrottling, Op: "PutRecords", Rate: 0.2},
		{Kind: kinesistest.FailCall, Code: kinesistest.CodeResourceNotFound, Op: "PutRecords", Stream: oracle.Streams[1]},
		{Kind: kinesistest.FailCall},
	}
	p := kinesistest.Plan{Seed: rng.Uint64()}
	var names []string
	for range 1 + rng.IntN(3) {
		f := kinds[rng.IntN(len(kinds))]
		p.Faults = append(p.Faults, f)
		names = append(names, strings.TrimSpace(fmt.Sprintf("%s %s %s %g", f.Kind, f.Code, f.Stream, f.Rate)))
	}
	w.tell("Kinesis: %s", strings.Join(names, ", "))
	w.setFaults(p)
}

func (w *world) setFaults(p kinesistest.Plan) {
	if err := w.server.SetFaults(p); err != nil {
		w.wrong("%v", err)
	}
}

func (w *world) behave(*rand.Rand) {
	w.tell("Kinesis is well")
	w.setFaults(kinesistest.Plan{})
}

// shortly bounds what the script itself asks of Kinesis, which faults may hit, too.
func shortly() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), time.Second)
}

// openShards returns the open shards of a stream, by their place in the hash space.
func (w *world) openShards(stream string) []types.Shard {
	ctx, cancel := shortly()
	defer cancel()
	list, err := w.server.ListShards(ctx, &sdk.ListShardsInput{
		StreamName: &stream, ShardFilter: &types.ShardFilter{Type: types.ShardFilterTypeAtLatest},
	})
	if err != nil {
		return nil // a fault
	}
	slices.SortFunc(list.Shards, func(a, b types.Shard) int { return start(a).Cmp(start(b)) })
	return list.Shards
}

func start(s types.Shard) *big.Int {
	n, _ := new(big.Int).SetString(aws.ToString(s.HashKeyRange.StartingHashKey), 10)
	return n
}

func (w *world) split(rng *rand.Rand) {
	stream := oracle.Streams[rng.IntN(2)]
	shards := w.openShards(stream)
	if len(shards) == 0 || len(shards) > 16 {
		return
	}
	s := shards[rng.IntN(len(shards))]
	end, _ := new(big.Int).SetString(aws.ToString(s.HashKeyRange.EndingHashKey), 10)
	middle := end.Rsh(end.Add(end, start(s)), 1)
	w.tell("split %s of %s", *s.ShardId, stream)
	ctx, cancel := shortly()
	defer cancel()
	_, _ = w.server.SplitShard(ctx, &sdk.SplitShardInput{
		StreamName: &stream, ShardToSplit: s.ShardId, NewStartingHashKey: aws.String(middle.Add(middle, big.NewInt(1)).String()),
	})
}

func (w *world) merge(rng *rand.Rand) {
	stream := oracle.Streams[rng.IntN(2)]
	shards := w.openShards(stream)
	if len(shards) < 2 {
		return
	}
	i := rng.IntN(len(shards) - 1)
	w.tell("merge %s and %s of %s", *shards[i].ShardId, *shards[i+1].ShardId, stream)
	ctx, cancel := shortly()
	defer cancel()
	_, _ = w.server.MergeShards(ctx, &sdk.MergeShardsInput{
		StreamName: &stream, ShardToMerge: shards[i].ShardId, AdjacentShardToMerge: shards[i+1].ShardId,
	})
}

func (w *world) cut(*rand.Rand) {
	w.tell("cut all connections to the broker")
	w.broker.Cut()
}

func (w *world) disturb(rng *rand.Rand) {
	t := trouble{rng: rng}
	switch rng.IntN(3) {
	case 0:
		t.cut = 0.01
	case 1:
		t.freeze = 0.002
	default:
		t.late = 0.02
	}
	w.tell("MQTT: %g of the packets cut, %g freeze, %g late", t.cut, t.freeze, t.late)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.trouble = t
}

func (w *world) calm(*rand.Rand) {
	w.tell("MQTT is well")
	w.mu.Lock()
	defer w.mu.Unlock()
	w.trouble = trouble{}
}

func (w *world) disconnect(rng *rand.Rand) {
	codes := []byte{0x80, 0x8b, 0x89, 0x97, 0x93} // unspecified, shutting down, busy, quota, receive maximum
	code := codes[rng.IntN(len(codes))]
	w.tell("the broker disconnects with %#x", code)
	if w.settings.v3 {
		w.broker.Cut()
	} else {
		w.broker.Disconnect(code, "")
	}
}

var ruleNames = []string{"r1", "r2", "r3"}

// changeRule adds, replaces, removes, enables or disables a rule.
func (w *world) changeRule(rng *rand.Rand) {
	name := ruleNames[rng.IntN(len(ruleNames))]
	r, n := w.rules[name], rng.IntN(5)
	switch {
	case r == nil || n < 3:
		off := r != nil && r.Off // which it stays
		w.labels++
		r = oracle.RandomRule(rng, name, fmt.Sprintf("%s.%d", name, w.labels))
		r.Off = off
		w.rules[name] = r
		w.tell("rule %s: %s", r.Label, r.SQL)
		w.alter(map[string]*oracle.Rule{name: r}, func() error {
			compiled, err := r.Compile()
			return errors.Join(err, w.life.pipeline.SetRule(name, compiled))
		})
	case n == 3:
		w.tell("rule %s removed", r.Label)
		delete(w.rules, name)
		w.alter(map[string]*oracle.Rule{name: nil}, func() error { return w.life.pipeline.RemoveRule(name) })
	default:
		r.Off = !r.Off
		w.tell("rule %s off: %v", r.Label, r.Off)
		w.alter(map[string]*oracle.Rule{name: r}, func() error { return w.life.pipeline.EnableRule(name, !r.Off) })
	}
}

// alter makes a change of what rules mean, and notes it.
func (w *world) alter(changed map[string]*oracle.Rule, do func() error) {
	settled := w.settled()
	if err := do(); err != nil {
		w.wrong("a change fails: %v", err)
	}
	received := len(w.Sent)
	if !w.settings.v3 { // which has no window that the broker knows
		received = min(received, w.settled()+w.settings.window)
	}
	for name, r := range changed {
		if w.sinkOff || r != nil && r.Off {
			r = nil
		}
		w.Change(name, r, settled, received)
	}
}

// switchSink disables the sink for a while, so that what rules make is discarded.
func (w *world) switchSink(rng *rand.Rand) {
	for _, off := range []bool{true, false} {
		w.tell("sink off: %v", off)
		w.sinkOff = off
		w.alter(w.rules, func() error { return w.life.pipeline.EnableSink(oracle.Sink, !off) })
		if off {
			w.publish(rng)
			time.Sleep(time.Duration(rng.IntN(1000)) * time.Millisecond)
		}
	}
}

func (w *world) replaceSink(rng *rand.Rand) {
	w.tell("replace the sink")
	w.replaceBehind(rng, oracle.Streams[0])
}

func (w *world) breakSink(rng *rand.Rand) {
	w.tell("replace the sink by one for a stream that does not exist")
	w.replaceBehind(rng, "nowhere")
}

// replaceBehind replaces the sink while the script goes on.
func (w *world) replaceBehind(rng *rand.Rand, stream string) {
	within := time.Duration(rng.IntN(8000)) * time.Millisecond
	life, queue := w.life, w.queue() // of now: the script goes on
	if rng.IntN(2) == 0 {
		w.replace(life, queue, stream, within)
		return
	}
	w.waiting.Go(func() { w.replace(life, queue, stream, within) })
}

// replace replaces the sink. The time may be too short for it.
func (w *world) replace(l *life, queue bridge.QueueConfig, stream string, within time.Duration) {
	s, err := l.sink(stream)
	if err != nil {
		w.wrong("a sink is not made: %v", err)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	began := time.Now()
	err = l.pipeline.SetSink(ctx, l.last(), s, queue)
	if took := time.Since(began); took > within+15*time.Second {
		w.wrong("it took %v to replace a sink, of %v", took, within)
	}
	if err != nil && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, bridge.ErrClosed) {
		w.wrong("a sink is not replaced: %v", err)
	}
}

func (w *world) queue() bridge.QueueConfig {
	s := w.settings
	return bridge.QueueConfig{
		BackoffMax: 200 * time.Millisecond, ResumeInterval: time.Second, MaxRecords: s.records, InFlight: s.inFlight,
		BatchSize: s.batchSize, Fallback: deadLetters,
	}
}

func (w *world) changeQueue(rng *rand.Rand) {
	w.settings.records = []int{20, 200, 100_000}[rng.IntN(3)]
	w.settings.inFlight, w.settings.batchSize = 1+rng.IntN(8), 1+rng.IntN(100)
	w.tell("the queue: %d records, %d in flight, batches of %d", w.settings.records, w.settings.inFlight, w.settings.batchSize)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	err := w.life.pipeline.Apply(ctx, bridge.Change{Queues: map[string]bridge.QueueConfig{w.life.last(): w.queue()}})
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		w.wrong("the options of a queue do not change: %v", err)
	}
}

// trace follows messages with a tracer that panics, now at one call, now at another.
func (w *world) trace(rng *rand.Rand) {
	at := rng.IntN(5)
	w.tell("a tracer that panics at call %d", at)
	stop := w.life.pipeline.Trace(&panicking{at: at})
	w.waiting.Go(func() {
		time.Sleep(2 * time.Second)
		stop()
	})
}

// replaceWhileStarting restarts the bridge, and does not wait until it has opened its
// sinks.
func (w *world) replaceWhileStarting(rng *rand.Rand) {
	w.restart(nil)
	w.replaceBehind(rng, oracle.Streams[0])
}

func (w *world) failLetters(rng *rand.Rand) {
	err := []error{bridge.Unavailable(errAway), bridge.Throttled(errAway, 0), errAway}[rng.IntN(3)]
	w.tell("dead letters fail: %v", err)
	w.letters.fail(err)
}

func (w *world) healLetters(*rand.Rand) {
	w.tell("dead letters are well")
	w.letters.fail(nil)
}

// restart ends the bridge in order. With faults it may not be able to drain; then it
// must say so.
func (w *world) restart(*rand.Rand) {
	w.tell("restart")
	w.waiting.Wait()
	if err := w.life.stop(); err != nil && !errors.Is(err, bridge.ErrDrainTimeout) {
		w.wrong("the bridge ends with %v", err)
	}
	w.start()
}

// kill ends the bridge in the middle. It is not really gone, but nobody can see what
// it does from then on, and the next one works on a copy of its files, made when all
// its goroutines wait for something that cannot come.
func (w *world) kill(*rand.Rand) {
	w.tell("kill")
	old := w.life
	old.sever()
	synctest.Wait()
	w.start()
	w.waiting.Go(func() { _ = old.stop() })
}
