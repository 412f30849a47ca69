package bridge_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/bridge/bridgetest"
)

var (
	histories = flag.Int("histories", 300, "how many random histories TestHistories runs")
	firstSeed = flag.Uint64("seed", 1, "the seed of the first one")
)

// TestHistories runs pipelines through random histories: messages, sinks that fail
// in every way, and changes of every kind that meet each other, until the end comes
// at a random moment. A judge that sees only what came out of the source and into
// the sinks says whether anything was lost, reordered or settled wrongly.
func TestHistories(t *testing.T) {
	t.Parallel()
	for i := range *histories {
		seed := *firstSeed + uint64(i)
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { newHistory(t, seed).run() })
		})
	}
}

// place is where records go, whatever sink stands there under whatever name.
type place struct {
	name   string // of its sink now; empty when it has none
	stored map[string]int
	last   map[string]int // the highest number that was stored, by key
	mayEnd map[bridge.Outcome]bool
	killed map[string]bool // records that a sink has refused for good
}

// history is a run of a pipeline with a judge.
type history struct {
	t   *testing.T
	p   *bridge.Pipeline
	src bridgetest.Source

	naming chan struct{} // held by who changes names of sinks; no mutex, for synctest

	heal chan struct{} // closed when all sinks work

	mu      sync.Mutex
	rng     *rand.Rand
	places  map[string]*place // a, b, extra, dead
	made    map[int][]string  // the places of a message's records that are not optional, once a rule has seen it
	settled map[int][]bridge.Outcome
	healed  bool
	serial  int
	late    map[int]string // what is out of order, by number
	wrong   []string
}

func newHistory(t *testing.T, seed uint64) *history {
	h := &history{t: t, naming: make(chan struct{}, 1), heal: make(chan struct{}), rng: rand.New(rand.NewPCG(seed, 7)), places: map[string]*place{}, made: map[int][]string{}, settled: map[int][]bridge.Outcome{}, late: map[int]string{}}
	for _, name := range []string{"a", "b", "extra", "dead"} {
		h.places[name] = &place{name: name, stored: map[string]int{}, last: map[string]int{}, mayEnd: map[bridge.Outcome]bool{}, killed: map[string]bool{}}
	}
	cfg := bridge.Config{
		Sources: map[string]bridge.Source{"in": (*historySource)(h)}, Rules: map[string]bridge.Rule{"route": h.rule()},
		Sinks: map[string]bridge.Sink{}, Queues: map[string]bridge.QueueConfig{}, Logger: quiet,
		Workers: []int{1, 2, 16}[h.n(3)], ReadBatch: []int{1, 7, 100}[h.n(3)], DrainTimeout: 20 * time.Second,
	}
	for name, p := range h.places {
		cfg.Sinks[name], cfg.Queues[name] = h.sink(name), h.options(name, p)
	}
	p, err := bridge.New(cfg)
	require.NoError(t, err)
	h.p = p
	return h
}

func (h *history) n(n int) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.rng.IntN(n)
}

func (h *history) violate(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.wrong) < 10 {
		h.wrong = append(h.wrong, fmt.Sprintf(format, args...))
	}
}

// rule routes by topic to the places with the names that they have now.
func (h *history) rule() bridge.Rule {
	names := make(map[string]string)
	h.mu.Lock()
	for place, p := range h.places {
		names[place] = p.name
	}
	h.mu.Unlock()
	return bridge.RuleFunc(func(out *bridge.Out, m *bridge.Message) error {
		seq, _ := strconv.Atoi(string(m.Payload))
		var needed []string
		for _, to := range map[string][]string{
			"a": {"a"}, "b": {"b"}, "both": {"a", "b", "extra"}, "extra": {"extra"}, "optional": {"b", "a?"}, "none": nil,
		}[m.Topic] {
			place, optional := to, false
			if to == "a?" {
				place, optional = "a", true
			}
			if names[place] == "" {
				continue
			}
			if !optional {
				needed = append(needed, place)
			}
			out.Add(bridge.Record{Sink: names[place], Dest: place, Key: []byte(m.ClientID), Data: m.Payload, Optional: optional})
		}
		h.mu.Lock()
		h.made[seq] = needed
		h.mu.Unlock()
		return nil
	}, "#")
}

// options are random ones for the queue of a place, for the judge to know.
func (h *history) options(place string, p *place) bridge.QueueConfig {
	h.mu.Lock()
	defer h.mu.Unlock()
	cfg := bridge.QueueConfig{
		MaxRecords: []int{3, 20, 1000}[h.rng.IntN(3)], InFlight: 1 + h.rng.IntN(4), BatchSize: []int{1, 5, 100}[h.rng.IntN(3)],
		BackoffMax: time.Second, ResumeInterval: time.Second,
	}
	if (place == "a" || place == "b") && h.rng.IntN(8) > 0 {
		cfg.Fallback = "dead"
	} else {
		p.mayEnd[bridge.Refused] = true
	}
	switch h.rng.IntN(6) {
	case 0:
		cfg.OnFull = bridge.DropOldest
		p.mayEnd[bridge.Dropped] = true
	case 1:
		cfg.OnFull = bridge.DropNewest
		p.mayEnd[bridge.Dropped] = true
	case 2:
		cfg.RecordTTL = 3 * time.Second
		p.mayEnd[bridge.Expired] = true
	}
	return cfg
}

// historySource hands out messages whose deliveries the judge sees.
type historySource history

func (s *historySource) Read(ctx context.Context, dst []bridge.Message) (int, error) {
	n, err := s.src.Read(ctx, dst)
	for i := range dst[:n] {
		seq, _ := strconv.ParseUint(string(dst[i].Payload), 10, 64)
		dst[i].Delivery = bridge.NewDelivery(s, seq)
	}
	return n, err
}

func (s *historySource) Close(ctx context.Context) error { return s.src.Close(ctx) }

func (s *historySource) Done(seq uint64, o bridge.Outcome, _ error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settled[int(seq)] = append(s.settled[int(seq)], o)
}

// run is a history from begin to end.
func (h *history) run() {
	ctx, stop := context.WithCancel(h.t.Context())
	defer stop()
	done := make(chan error, 1)
	go func() { done <- h.p.Run(ctx) }()
	var changes sync.WaitGroup
	topics := []string{"a", "b", "both", "extra", "optional", "none"}
	seq := 0
	for range 20 + h.n(40) {
		switch h.n(3) {
		case 0:
			for range h.n(60) {
				seq++
				if h.n(3) == 0 {
					time.Sleep(time.Millisecond) // while changes go on
				}
				h.src.Publish(bridge.Message{Topic: topics[h.n(len(topics))], ClientID: strconv.Itoa(h.n(12)), Payload: []byte(strconv.Itoa(seq))})
			}
		case 1:
			time.Sleep(time.Duration(h.n(3000)) * time.Millisecond)
		default:
			changes.Go(h.change)
		}
		h.look()
	}
	clean := h.n(3) > 0
	if clean {
		h.mu.Lock()
		h.healed = true
		close(h.heal)
		h.mu.Unlock()
		h.src.End()
	} else {
		stop()
	}
	var err error
	select {
	case err = <-done:
	case <-time.After(5 * time.Minute):
		h.t.Fatalf("Run does not end: %+v", h.p.Stats())
	}
	changes.Wait()
	time.Sleep(time.Minute) // what was given up comes back
	h.look()
	h.judge(seq, clean, err)
}

// look checks what holds at any time.
func (h *history) look() {
	for name, s := range h.p.Stats().Sinks {
		if s.Matched != sum(s.Ended)+uint64(s.Queue.Inflight+s.Queue.Waiting) {
			h.violate("%s: the counters do not add up: %+v", name, s)
		}
	}
	h.p.Health()
}

// change makes a random change, within a time that may be too short.
func (h *history) change() {
	within := time.Duration(h.n(8000)) * time.Millisecond
	ctx, cancel := context.WithTimeout(h.t.Context(), within)
	defer cancel()
	h.naming <- struct{}{}
	began := time.Now()
	defer func() {
		if took := time.Since(began); took > within+25*time.Second {
			h.violate("a change took %v", took)
		}
	}()
	name := []string{"a", "b", "extra", "dead"}[h.n(4)]
	p := h.places[name]
	old := p.name
	switch what := h.n(7); {
	case what == 0 && name != "dead" && old != "":
		defer func() { <-h.naming }()
		h.rename(ctx, name, p)
	case name == "extra" && old == "" || what == 1 && name == "extra":
		defer func() { <-h.naming }()
		h.addOrRemove(ctx, p)
	case what == 2 && old != "":
		<-h.naming
		h.mu.Lock()
		p.mayEnd[bridge.Discarded] = true
		h.mu.Unlock()
		_ = h.p.EnableSink(old, false)
		_ = h.p.EnableSink(old, true)
	case what == 3:
		defer func() { <-h.naming }()
		_ = h.p.Apply(ctx, bridge.Change{Rules: map[string]bridge.Rule{"route": h.rule()}})
	case what == 4:
		<-h.naming // meets the others
		_ = h.p.Apply(ctx, bridge.Change{Queues: map[string]bridge.QueueConfig{old: h.options(name, p)}})
	default:
		<-h.naming
		_ = h.p.SetSink(ctx, old, h.sink(name), h.options(name, p))
	}
}

// rename gives a sink another name and, now and then, puts another in its place.
func (h *history) rename(ctx context.Context, name string, p *place) {
	old, s := p.name, h.sink(name)
	h.serial++
	if h.n(2) == 0 {
		if s = h.p.Config().Sinks[old]; s == nil {
			return
		}
		s.(interface{ again() }).again()
	}
	h.setName(p, fmt.Sprint(name, h.serial))
	if h.p.Apply(ctx, bridge.Change{
		Sinks: map[string]bridge.Sink{p.name: s}, Renamed: map[string]string{p.name: old}, Rules: map[string]bridge.Rule{"route": h.rule()},
	}) != nil {
		h.setName(p, old)
	}
}

// addOrRemove adds the place that need not be there, under the name that it always
// has, or removes it.
func (h *history) addOrRemove(ctx context.Context, p *place) {
	old := p.name
	change := bridge.Change{Sinks: map[string]bridge.Sink{}, Rules: map[string]bridge.Rule{}}
	if old == "" {
		h.setName(p, "extra")
		change.Sinks["extra"] = h.sink("extra")
	} else {
		h.mu.Lock()
		p.mayEnd[bridge.Abandoned] = true
		h.mu.Unlock()
		h.setName(p, "")
		change.Sinks[old] = nil
	}
	change.Rules["route"] = h.rule()
	if err := h.p.Apply(ctx, change); err != nil && !errors.Is(err, bridge.ErrDrainTimeout) {
		h.setName(p, old)
	}
}

func (h *history) setName(p *place, name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	p.name = name
}

// judge says what is wrong with how it ended.
func (h *history) judge(sent int, clean bool, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	mayAbandon := !clean || h.places["extra"].mayEnd[bridge.Abandoned]
	if err != nil && !(mayAbandon && errors.Is(err, bridge.ErrDrainTimeout)) {
		h.wrong = append(h.wrong, fmt.Sprintf("Run: %v", err))
	}
	for seq := 1; seq <= sent && len(h.wrong) < 10; seq++ {
		places, read := h.made[seq]
		ended := h.settled[seq]
		if !read && len(ended) == 0 && !clean {
			continue // still in the source
		}
		if len(ended) != 1 {
			h.wrong = append(h.wrong, fmt.Sprintf("%d for %v was settled as %v", seq, places, ended))
			continue
		}
		if ended[0] == bridge.Abandoned {
			if !mayAbandon {
				h.wrong = append(h.wrong, fmt.Sprintf("%d for %v was abandoned", seq, places))
			}
			continue
		}
		// What was given up may still be stored by a Write that was, too, and so may
		// what is optional: that is in no order then.
		if late := h.late[seq]; late != "" && ended[0] == bridge.Stored {
			h.wrong = append(h.wrong, late)
		}
		worst := bridge.Stored
		for _, name := range places {
			worst = max(worst, h.best(name, strconv.Itoa(seq), ended[0]))
		}
		if worst > ended[0] {
			h.wrong = append(h.wrong, fmt.Sprintf("%d for %v was settled as %v, and is %v", seq, places, ended[0], worst))
		}
	}
	require.Empty(h.t, h.wrong)
}

// best is the best that can be said of a record. With outcomes that leave no trace
// it is the one that was told, if that is possible at its place.
func (h *history) best(name, id string, told bridge.Outcome) bridge.Outcome {
	p, dead := h.places[name], h.places["dead"]
	if p.stored[id] > 0 {
		return bridge.Stored
	}
	if dead.stored[name+id] > 0 {
		return bridge.DeadLettered
	}
	for _, o := range []bridge.Outcome{bridge.Discarded, bridge.Expired, bridge.Dropped} {
		if told >= o && (p.mayEnd[o] || dead.mayEnd[o] && o != bridge.Discarded) {
			return o
		}
	}
	if p.killed[name+id] && p.mayEnd[bridge.Refused] || dead.killed[id] {
		return bridge.Refused
	}
	return bridge.Abandoned // it is lost
}
