package console

import (
	"context"
	"encoding/json"
	"slices"
	"sync"
	"time"
)

// hub takes one snapshot a second for all viewers together, and none while there
// are no viewers.
type hub struct {
	ctx     context.Context
	sampler *sampler

	mu      sync.Mutex
	viewers int
	stop    context.CancelFunc
	stopped chan struct{} // closed when the last goroutine has ended
	current *frame
	changed chan struct{} // closed when current is replaced
	history []point
}

// frame is what a viewer is sent.
type frame struct {
	topology []byte // shared by the frames until it changes
	version  uint64 // of topology
	snapshot []byte
}

// point is a moment of the history: the figures that are plotted, by name, in the
// order of the fields of SourceHistory, RuleHistory and SinkHistory.
type point struct {
	at      time.Time
	sources map[string][2]float64
	rules   map[string][4]float64
	sinks   map[string][9]float64
}

// historyLength is how many seconds a new viewer is shown of the past, if
// somebody else was looking.
const historyLength = 300

func newHub(ctx context.Context, s *sampler) *hub {
	return &hub{ctx: ctx, sampler: s, changed: make(chan struct{})}
}

// join makes snapshots be taken until leave is called.
func (h *hub) join() (leave func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.viewers++; h.viewers == 1 {
		ctx, stop := context.WithCancel(h.ctx)
		before, ended := h.stopped, make(chan struct{})
		h.stop, h.stopped = stop, ended
		go func() {
			defer close(ended)
			if before != nil {
				<-before
			}
			h.run(ctx)
		}()
	}
	return sync.OnceFunc(func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.viewers--; h.viewers == 0 {
			h.stop()
		}
	})
}

func (h *hub) run(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	defer h.forget()
	f := frame{}
	known := uint64(0)
	var sources []SourceInfo
	for now := time.Now(); ctx.Err() == nil; {
		snap := h.sampler.take(now)
		// Sources may change their subscriptions by themselves.
		have := describeSources(h.sampler.cfg, h.sampler.parts)
		if known != h.sampler.version || !slices.EqualFunc(sources, have, sameSource) {
			known, sources = h.sampler.version, have
			f.topology, _ = json.Marshal(describe(h.sampler.cfg, h.sampler.parts)) // texts and numbers only
			f.version++
		}
		f.snapshot, _ = json.Marshal(snap)
		h.publish(f, &snap)
		select {
		case <-ctx.Done():
		case now = <-tick.C:
		}
	}
}

func (h *hub) publish(f frame, snap *Snapshot) {
	p := pointOf(snap)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.current = &f
	if h.history = append(h.history, p); len(h.history) > historyLength {
		h.history = slices.Delete(h.history, 0, 1)
	}
	close(h.changed)
	h.changed = make(chan struct{})
}

// forget frees the past when the last viewer has gone.
func (h *hub) forget() {
	h.sampler.forget()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.current, h.history = nil, nil
}

// frame returns the latest frame, nil before the first, and a channel that is
// closed when there is a newer one.
func (h *hub) frame() (*frame, <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.current, h.changed
}
