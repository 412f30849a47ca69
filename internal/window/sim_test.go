package window

import (
	"container/heap"
	"math/rand/v2"
	"time"
)

// pacer is what the simulation asks: a Window, or one of the algorithms that it
// was chosen from.
type pacer interface {
	Wait(now time.Duration) time.Duration
	Fly()
	Landed(landed, refused int, sent, now time.Duration)
}

// scenario is a sink in virtual time and, in front of it, lanes with an endless
// backlog. What is left out does not exist.
type scenario struct {
	keys    int
	latency time.Duration
	jitter  float64 // at most, as a share of the latency
	random  when    // share refused at random
	rate    when    // records per second of a token bucket
	burst   time.Duration
	other   float64 // records per second of another writer, which does not retry
	demand  when    // keys that have records; all by default
	writers int     // requests under way; 16 by default
	lanes   int     // per request; 500 by default
	span    time.Duration
	seed    uint64
}

// when is a figure that may change over time.
type when func(now time.Duration) float64

func always(x float64) when { return func(time.Duration) float64 { return x } }

// between is x from one time to another, and y otherwise.
func between(from, to time.Duration, x, y float64) when {
	return func(now time.Duration) float64 {
		if from <= now && now < to {
			return x
		}
		return y
	}
}

// bin is what happened to the records of one pacer within binTime.
type bin struct{ accepted, refused, requests, other int }

const binTime = 100 * time.Millisecond

// sum adds up the bins from one time to another.
func sum(bins []bin, from, to time.Duration) (t bin) {
	for _, b := range bins[from/binTime : min(int(to/binTime), len(bins))] {
		t.accepted += b.accepted
		t.refused += b.refused
		t.requests += b.requests
		t.other += b.other
	}
	return t
}

// refusedShare is the share of the attempts that was refused.
func (b bin) refusedShare() float64 {
	return float64(b.refused) / float64(max(1, b.accepted+b.refused))
}

// run simulates the scenario with one pacer.
func (s scenario) run(p pacer) []bin { return s.share(p)[0] }

// share simulates the scenario with several pacers that have the same sink, but
// keys and writers of their own.
func (s scenario) share(pacers ...pacer) [][]bin {
	s.writers, s.lanes = orElse(s.writers, 16), orElse(s.lanes, 500)
	s.burst = orElse(s.burst, time.Second)
	k := &sink{scenario: &s, rand: rand.New(rand.NewPCG(s.seed, 1))}
	if s.rate != nil {
		k.level = k.depth(0)
	}
	groups := make([]*group, len(pacers))
	for i, p := range pacers {
		groups[i] = &group{pacer: p, bins: make([]bin, s.span/binTime+1)}
	}
	var events requests
	for now := time.Duration(0); now < s.span; {
		wake := s.span
		keys := s.keys
		if s.demand != nil {
			keys = int(s.demand(now))
			wake = now + 10*time.Millisecond
		}
		for _, g := range groups {
			for g.underway < s.writers && g.flying < keys {
				if wait := g.Wait(now); wait > 0 {
					wake = min(wake, now+wait)
					break
				}
				heap.Push(&events, k.request(g, keys, now))
			}
		}
		if len(events) == 0 || events[0].at > wake {
			now = wake
			continue
		}
		r := heap.Pop(&events).(*request)
		now = r.at
		if !r.decided {
			k.decide(r, now)
			heap.Push(&events, r)
			continue
		}
		r.group.underway--
		r.group.flying -= r.lanes
		r.group.Landed(r.lanes, r.refused, r.sent, now)
	}
	all := make([][]bin, len(groups))
	for i, g := range groups {
		all[i] = g.bins[:s.span/binTime]
	}
	return all
}

func orElse[T int | time.Duration](x, y T) T {
	if x == 0 {
		return y
	}
	return x
}

// group is a pacer's part of the simulation.
type group struct {
	pacer
	flying, underway int // lanes, requests
	bins             []bin
}

// request is on its way to the sink, or on its way back once that has decided.
type request struct {
	group          *group
	sent, at       time.Duration
	lanes, refused int
	decided        bool
}

// requests is a heap by the time of what happens next.
type requests []*request

func (h requests) Len() int           { return len(h) }
func (h requests) Less(i, j int) bool { return h[i].at < h[j].at }
func (h requests) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *requests) Push(x any)        { *h = append(*h, x.(*request)) }
func (h *requests) Pop() any {
	last := len(*h) - 1
	r := (*h)[last]
	*h = (*h)[:last]
	return r
}

// sink refuses at random and beyond a token bucket.
type sink struct {
	*scenario
	rand      *rand.Rand
	level     float64       // of the bucket
	at        time.Duration // the time of the level
	otherNext time.Duration // when the other writer's next record comes
}

// request takes as many lanes as are ready and may fly.
func (k *sink) request(g *group, keys int, now time.Duration) *request {
	r := &request{group: g, sent: now, at: now + k.latency/2}
	for r.lanes < k.lanes && g.flying < keys && g.Wait(now) == 0 {
		g.Fly()
		r.lanes++
		g.flying++
	}
	if k.jitter > 0 {
		r.at += time.Duration(k.jitter * k.rand.Float64() * float64(k.latency))
	}
	g.underway++
	return r
}

func (k *sink) decide(r *request, now time.Duration) {
	r.decided, r.at = true, now+k.latency/2
	if k.random != nil {
		switch share := k.random(now); share {
		case 0:
		case 1:
			r.refused = r.lanes
		default:
			for range r.lanes {
				if k.rand.Float64() < share {
					r.refused++
				}
			}
		}
	}
	b := &r.group.bins[now/binTime]
	if k.rate != nil {
		for k.other > 0 && k.otherNext <= now {
			k.fill(k.otherNext)
			if k.level >= 1 {
				k.level--
				b.other++
			}
			k.otherNext += time.Duration(float64(time.Second) / k.other)
		}
		k.fill(now)
		taken := min(r.lanes-r.refused, int(k.level))
		k.level -= float64(taken)
		r.refused = r.lanes - taken
	}
	b.accepted += r.lanes - r.refused
	b.refused += r.refused
	b.requests++
}

func (k *sink) fill(now time.Duration) {
	k.level = min(k.level+k.rate(now)*(now-k.at).Seconds(), k.depth(now))
	k.at = now
}

// depth is that of the bucket. As with Kinesis it holds some records of any size.
func (k *sink) depth(now time.Duration) float64 {
	return max(10, k.rate(now)*k.burst.Seconds())
}

// unlimited is the pacer that never waits.
type unlimited struct{}

func (unlimited) Wait(time.Duration) time.Duration              { return 0 }
func (unlimited) Fly()                                          {}
func (unlimited) Landed(int, int, time.Duration, time.Duration) {}
