package console

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/sluiceio/sluice/bridge"
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

// point is a moment of the history of the sinks' and rules' figures.
type point struct {
	at    time.Time
	rules map[string]float64
	sinks map[string][4]float64
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
	var known bridge.Topology
	for now := time.Now(); ctx.Err() == nil; {
		snap := h.sampler.take(now)
		if !known.Same(h.sampler.parts) {
			known = h.sampler.parts
			f.topology, _ = json.Marshal(describe(h.sampler.cfg, known)) // texts and numbers only
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
	p := point{snap.Time, make(map[string]float64, len(snap.Rules)), make(map[string][4]float64, len(snap.Sinks))}
	for name, r := range snap.Rules {
		p.rules[name] = r.Rate
	}
	for name, s := range snap.Sinks {
		p.sinks[name] = [4]float64{float64(s.Queuing + s.Inflight), float64(s.QueuingBytes), s.Rate, s.StoredRate}
	}
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

// History is the recent past, by columns: the n-th number of each belongs to the
// n-th of Times.
type History struct {
	Times []int64                `json:"times"` // Unix, milliseconds
	Rules map[string][]float64   `json:"rules"` // messages matched per second
	Sinks map[string]SinkHistory `json:"sinks"`
}

// SinkHistory is the recent past of a sink.
type SinkHistory struct {
	Queued []float64 `json:"queued"`
	Bytes  []float64 `json:"bytes"`
	Rate   []float64 `json:"rate"`
	Stored []float64 `json:"stored"`
}

// past returns the history of the parts that there are now.
func (h *hub) past() History {
	h.mu.Lock()
	points := slices.Clone(h.history)
	h.mu.Unlock()
	out := History{Times: []int64{}, Rules: map[string][]float64{}, Sinks: map[string]SinkHistory{}}
	if len(points) == 0 {
		return out
	}
	last := points[len(points)-1]
	for _, p := range points {
		out.Times = append(out.Times, p.at.UnixMilli())
		for name := range maps.Keys(last.rules) {
			out.Rules[name] = append(out.Rules[name], p.rules[name])
		}
		for name := range maps.Keys(last.sinks) {
			v, s := p.sinks[name], out.Sinks[name]
			s.Queued, s.Bytes = append(s.Queued, v[0]), append(s.Bytes, v[1])
			s.Rate, s.Stored = append(s.Rate, v[2]), append(s.Stored, v[3])
			out.Sinks[name] = s
		}
	}
	return out
}
