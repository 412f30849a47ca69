package torture

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/internal/mqttfake"
	"github.com/sluiceio/sluice/internal/oracle"
	"github.com/sluiceio/sluice/sink/kinesis/kinesistest"
)

var (
	duration = flag.Duration("torture", 4*time.Second, "how long each torture lasts")
	seed     = flag.Uint64("seed", 0, "what decides everything random; 0: the time")
	clock    = flag.Bool("clock", os.Getenv("CI") != "", "also with a wall clock that jumps, for which a minute is spent on compiling")
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
	for _, mode := range []struct {
		name string
		set  func(*torture)
	}{
		{"plain", func(*torture) {}},
		{"aggregate", func(h *torture) { h.config.Aggregate = true }},
		{"buffer", func(h *torture) { h.config.Buffer = h.TempDir() }},
		{"disk", func(h *torture) {
			h.disk = &smallDisk{mountSmall(h.T)}
			h.config.Buffer = filepath.Join(h.disk.dir, "buffer")
		}},
		{"clock", func(h *torture) {
			h.binary, h.env = buildJumping(h.T), jumping(h.rng)
			h.config.TTL = 30 * time.Minute // jumps are longer, and nothing may expire by them
			if h.rng.IntN(2) == 0 {
				h.config.Buffer = h.TempDir()
			}
		}},
	} {
		if mode.name == "clock" && !*clock {
			continue
		}
		t.Run(mode.name, func(t *testing.T) {
			t.Logf("-run /%s -seed %d", mode.name, start)
			h := newTorture(t, start)
			mode.set(h)
			h.run()
		})
	}
}

// torture is one bridge and the world around it.
type torture struct {
	*testing.T
	*world
	oracle.History
	rng    *rand.Rand
	binary string
	env    []string // of the bridge
	config settings
	keys   int
	disk   *smallDisk // nil for none
	rules  map[string]*oracle.Rule
	labels int
	did    int // commands
	bridge *process
	events map[string]int
	story  []string // the events in their order
	peak   int      // memory of the bridges
	jumped bool
}

func newTorture(t *testing.T, seed uint64) *torture {
	rng := rand.New(rand.NewPCG(seed, 0))
	h := &torture{
		T: t, world: newWorld(t), rng: rng, binary: os.Args[0], events: map[string]int{}, keys: 1 + rng.IntN(300),
		rules: map[string]*oracle.Rule{},
	}
	h.config = settings{
		Broker: h.addr, Kinesis: h.url, Window: 1 + rng.IntN(5000), Dead: filepath.Join(t.TempDir(), "dead.jsonl"),
	}
	h.rules["whole"] = oracle.WholeRule()
	for _, name := range ruleNames[:2] {
		h.rules[name] = h.newRule(name)
	}
	for name, s := range h.rules {
		h.Change(name, s, 0, 0)
	}
	return h
}

func (h *torture) run() {
	h.Payloads = h.config.Buffer == "" // behind a buffer only the record is known
	h.start()
	h.awaitSubscription()
	for end := time.Now().Add(*duration); time.Now().Before(end); {
		if h.broker.Pending() < 10_000 { // so that the end is near when the time is over
			h.publish(h.rng.IntN(800))
		}
		h.trouble()
		h.pause(time.Duration(h.rng.IntN(150)) * time.Millisecond)
	}
	h.setFaults(kinesistest.Plan{})
	if h.disk != nil {
		h.disk.free(h.T)
	}
	h.settle()
	require.Empty(h, h.stop().Error, "the last drain, with nothing in its way")
	require.Empty(h, h.broker.Faults())
	h.judge()
}

// judge compares what arrived with what must have.
func (h *torture) judge() {
	var arrived []oracle.Arrival
	for _, stream := range oracle.Streams {
		arrived = append(arrived, oracle.Arrivals(stream, h.server.UserRecords(stream))...)
		require.Empty(h, h.server.DroppedByKCL(stream))
	}
	letters := h.letters()
	expected, twice, problems := h.Check(append(arrived, letters...))
	require.Empty(h, problems[:min(len(problems), 10)], "%d problems\n%s", len(problems), strings.Join(h.story, "\n"))
	if h.env != nil {
		require.True(h, h.jumped, "the clock of the bridge has not jumped")
	}
	h.Logf("%d messages with %d keys, window %d, %d rules with %d versions; %d records of %d that might be, %d of them dead letters, %d more than once; %d requests refused for their time; memory up to %d MiB; %v",
		len(h.Sent), h.keys, h.config.Window, len(h.rules), h.labels, len(arrived)+len(letters)-twice, expected, len(letters), twice, h.skewed.Load(), h.peak>>20, h.events)
}

// letters reads the dead letters. A line may be torn by a kill.
func (h *torture) letters() (list []oracle.Arrival) {
	text, err := os.ReadFile(h.config.Dead)
	require.NoError(h, err)
	torn := 0
	for line := range bytes.Lines(text) {
		l := new(oracle.Letter)
		if json.Unmarshal(line, l) != nil {
			torn++
			continue
		}
		if l.Attrs.Dest == "" {
			l.Attrs.Dest = oracle.Streams[0]
		}
		list = append(list, oracle.Arrival{Stream: l.Attrs.Dest, Key: l.Key, Data: l.Data, Letter: l})
	}
	require.LessOrEqual(h, torn, h.events["kill -9"])
	return list
}

// event notes what happens, and behind which message.
func (h *torture) event(what string) {
	h.events[what]++
	h.story = append(h.story, fmt.Sprintf("%d (%d settled): %s", len(h.Sent), len(h.Sent)-h.broker.Pending(), what))
}

func (h *torture) pause(d time.Duration) {
	select {
	case <-time.After(d):
	case <-h.Context().Done():
	}
}

// awaitSubscription waits until the bridge's session exists, for the broker
// keeps nothing for sessions that do not.
func (h *torture) awaitSubscription() {
	for end := time.Now().Add(patience); len(h.broker.Subscriptions("torture")) == 0; h.pause(10 * time.Millisecond) {
		h.bridge.alive()
		require.True(h, time.Now().Before(end), "the bridge does not subscribe")
	}
}

func (h *torture) publish(n int) {
	msgs := make([]mqttfake.Message, n)
	for i := range msgs {
		m := oracle.RandomMessage(h.rng, len(h.Sent), h.keys)
		h.Sent = append(h.Sent, m)
		msgs[i] = mqttfake.Message{Topic: m.Topic, QoS: 1, Payload: m.Payload()}
	}
	h.broker.Publish(msgs...)
}

// trouble makes one thing go wrong, or changes one.
func (h *torture) trouble() {
	switch n := h.rng.IntN(28); {
	case n < 2:
		h.kill()
	case n < 3:
		h.event("stop")
		h.stop()
		h.start()
	case n < 6:
		h.event("cut")
		h.broker.Cut()
	case n < 12:
		h.event("faults")
		h.setFaults(h.randomFaults())
	case n < 13:
		h.split()
	case n < 15:
		h.event("no faults")
		h.setFaults(kinesistest.Plan{})
	case n < 20:
		h.changeRule()
	case n < 23:
		for range 1 + h.rng.IntN(3) {
			h.event("swap")
			h.do("swap", oracle.Text{})
			h.publish(h.rng.IntN(200))
		}
	case n < 24:
		h.switchSink()
	case n < 28 && h.disk != nil:
		h.event("full disk")
		if h.disk.fill(h.T); n < 26 {
			h.disk.free(h.T)
		}
	}
}

var ruleNames = []string{"r1", "r2", "r3", "r4"}

func (h *torture) newRule(name string) *oracle.Rule {
	h.labels++
	return oracle.RandomRule(h.rng, name, fmt.Sprintf("%s.%d", name, h.labels))
}

// changeRule adds, replaces, removes, enables or disables a rule.
func (h *torture) changeRule() {
	name := ruleNames[h.rng.IntN(len(ruleNames))]
	s := h.rules[name]
	switch n := h.rng.IntN(5); {
	case s == nil || n < 3:
		h.event("rule set")
		off := s != nil && s.Off // which it stays
		s = h.newRule(name)
		s.Off = off
		h.rules[name] = s
		h.alter(map[string]*oracle.Rule{name: s}, "set", s.Text)
	case n == 3:
		h.event("rule removed")
		delete(h.rules, name)
		h.alter(map[string]*oracle.Rule{name: nil}, "remove", s.Text)
	default:
		h.event("rule switched")
		s.Off = !s.Off
		op := map[bool]string{true: "disable", false: "enable"}[s.Off]
		h.alter(map[string]*oracle.Rule{name: s}, op, s.Text)
	}
}

// switchSink disables the sink for a while, so that what rules make is discarded.
func (h *torture) switchSink() {
	h.event("sink switched")
	h.config.SinkOff = true
	h.alter(h.rules, "sink off", oracle.Text{})
	h.publish(h.rng.IntN(300))
	if h.rng.IntN(2) == 0 {
		h.kill()
	}
	h.config.SinkOff = false
	h.alter(h.rules, "sink on", oracle.Text{})
}

// alter carries out a command which changes what the rules mean, and notes it.
func (h *torture) alter(changed map[string]*oracle.Rule, op string, r oracle.Text) {
	settled := len(h.Sent) - h.broker.Pending()
	h.do(op, r)
	received := min(len(h.Sent), len(h.Sent)-h.broker.Pending()+h.config.Window)
	for name, s := range changed {
		if h.config.SinkOff || s != nil && s.Off {
			s = nil
		}
		h.Change(name, s, settled, received)
	}
}

func (h *torture) do(op string, r oracle.Text) {
	h.did++
	h.bridge.do(command{h.did, op, r})
}

// settle waits until the broker and the bridge have nothing left.
func (h *torture) settle() {
	for end := time.Now().Add(patience); h.broker.Pending() > 0 || !h.bridge.idle(); h.pause(20 * time.Millisecond) {
		h.bridge.alive()
		require.True(h, time.Now().Before(end), "%d messages are still pending; last report: %+v", h.broker.Pending(), h.bridge.last())
	}
}

func (h *torture) start() {
	h.config.Rules = nil
	for _, s := range h.rules {
		h.config.Rules = append(h.config.Rules, s.Text)
	}
	slices.SortFunc(h.config.Rules, func(a, b oracle.Text) int { return strings.Compare(a.Name, b.Name) })
	h.bridge = startProcess(h.T, h.binary, h.env, h.config)
}

// kill ends the bridge the hard way and starts another.
func (h *torture) kill() {
	h.event("kill -9")
	h.note()
	h.bridge.kill()
	h.start()
}

// stop asks the bridge to drain. With faults it may not be able to; then it must
// say so.
func (h *torture) stop() report {
	end := h.bridge.stop()
	h.note()
	require.True(h, end.Final, "the bridge died")
	return end
}

// note keeps what is known of a bridge that ends.
func (h *torture) note() {
	h.bridge.mu.Lock()
	defer h.bridge.mu.Unlock()
	h.peak, h.jumped = max(h.peak, h.bridge.peak), h.jumped || h.bridge.jumped
}
