package window

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// This file holds what the Window was chosen from, as small as it can be and
// still do what its name says.

// additive is the window that the queue had before: lanes in flight, one more
// per round trip, and fewer by up to a half when some were refused.
type additive struct {
	window float64
	flying int
	cut    time.Duration
	rest   time.Duration // until then, where the window is below one
}

func (a *additive) Wait(now time.Duration) time.Duration {
	switch {
	case a.window == 0 || now >= a.rest && float64(a.flying) < max(a.window, 1):
		return 0
	case now < a.rest:
		return a.rest - now
	}
	return time.Hour // until something lands
}

func (a *additive) Fly() { a.flying++ }

func (a *additive) Landed(lanes, refused int, sent, now time.Duration) {
	if a.window == 0 && refused > 0 {
		a.window = float64(a.flying)
	}
	a.flying -= lanes
	if a.window == 0 {
		return
	}
	landed, bad := float64(lanes), float64(refused)
	if share := bad / landed; refused > 0 && sent >= a.cut {
		cut := min(2*share, 0.5)
		if share <= 0.1 {
			cut = share / 2
		}
		if a.window > 1 {
			a.window = max(1, a.window*(1-cut))
		} else {
			a.window = max(1.0/16, a.window*(1-0.3*share))
		}
		a.cut = now
	}
	if a.window < 1 {
		a.window = min(1, a.window*(1+0.1*(landed-bad)))
		a.rest = now + time.Duration(float64(now-sent)*(1/a.window-1))
	} else if a.window += (landed - bad) / a.window; a.window > 4096 {
		a.window = 0
	}
}

// rounds gives the algorithms below the Window's pacing and its rounds.
type rounds struct {
	Window
	next func(share, attempted float64) (rate float64)
}

func (r *rounds) Landed(landed, refused int, sent, now time.Duration) {
	r.flight = now - sent
	if sent < r.changed {
		return
	}
	if r.since == 0 {
		r.since = now
		return
	}
	r.Window.landed += landed
	r.Window.refused += refused
	elapsed := now - r.since
	if elapsed < max(100*time.Millisecond, r.flight) || r.Window.landed < 40 {
		return
	}
	n := float64(r.Window.landed)
	share := float64(r.Window.refused) / n
	r.Window.landed, r.Window.refused = 0, 0
	if rate := r.next(share, n/elapsed.Seconds()); r.rate > 0 || share > 0 {
		r.change(rate, now)
	}
}

// probing is the idea of BBR: the rate is the best that was accepted in the last
// ten rounds, and in turns a quarter more, a quarter less, and just that.
func probing() pacer {
	var best [10]float64
	round := 0
	return &rounds{next: func(share, attempted float64) float64 {
		best[round%len(best)] = attempted * (1 - share)
		round++
		rate := 0.0
		for _, b := range best {
			rate = max(rate, b)
		}
		switch round % 8 {
		case 0:
			return 1.25 * rate
		case 1:
			return 0.75 * rate
		}
		return rate
	}}
}

// gradient is the idea of PCC: a round a little faster and one a little slower,
// and then a step to where more was accepted for what it cost.
func gradient() pacer {
	const step = 0.1
	var base, fast float64
	up := false
	return &rounds{next: func(share, attempted float64) float64 {
		if base == 0 {
			base = attempted
		}
		accepted := attempted * (1 - share)
		if up = !up; up {
			if fast > 0 {
				// Half of what a rate without limit would bring is enough.
				if fast > accepted*(1+step) {
					base *= 1 + step
				} else {
					base *= 1 - step
				}
			}
			return base * (1 + step)
		}
		fast = accepted
		return base * (1 - step)
	}}
}

var algorithms = []struct {
	name string
	new  func() pacer
}{
	{"no window", func() pacer { return unlimited{} }},
	{"additive", func() pacer { return new(additive) }},
	{"probing", probing},
	{"gradient", gradient},
	{"Window", func() pacer { return new(Window) }},
}

// TestAlgorithms prints the table of docs/windows.md. What the Window must reach
// is asserted by other tests; here, that it is the only one which reaches it.
func TestAlgorithms(t *testing.T) {
	good := map[string]bool{}
	for _, a := range algorithms {
		var random [3]float64
		for i, share := range []float64{0.2, 0.6, 0.9} {
			random[i] = math.Inf(1)
			for _, keys := range []int{1, 10, 100, 1000} {
				for _, latency := range []time.Duration{20 * time.Millisecond, 500 * time.Millisecond} {
					s := scenario{keys: keys, latency: latency, seed: 1}
					random[i] = min(random[i], s.worth(share, a.new()))
				}
			}
		}
		var use, refused [2]float64
		for i, rate := range []float64{10, 1000} {
			s := scenario{keys: 1000, latency: 20 * time.Millisecond, span: 5 * time.Minute, rate: always(rate)}
			use[i], refused[i] = s.use(s.run(a.new()), s.span/2, s.span)
		}
		halved := scenario{
			keys: 1000, latency: 20 * time.Millisecond, span: 2 * time.Minute,
			rate: between(time.Minute, time.Hour, 500, 1000),
		}
		after, ok := halved.recovers(halved.run(a.new()), time.Minute)
		t.Logf("%-10s random %.2f   10/s %.2f %.2f   1000/s %.2f %.2f   halved %v %v",
			a.name, random, use[0], refused[0], use[1], refused[1], after, ok)
		good[a.name] = min(random[0], random[1], random[2]) > 0.7 && ok &&
			min(use[0], use[1]) > 0.95 && max(refused[0], refused[1]) < 0.1
	}
	require.Equal(t, map[string]bool{
		"no window": false, "additive": false, "probing": false, "gradient": false, "Window": true,
	}, good)
}
