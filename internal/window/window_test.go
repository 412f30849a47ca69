package window

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// possible returns how many records per second the sink can be sent.
func (s scenario) possible() float64 {
	lanes := min(s.keys, orElse(s.writers, 16)*orElse(s.lanes, 500))
	return float64(lanes) / (s.latency.Seconds() * (1 + s.jitter/2))
}

// worth returns what is accepted while a share is refused at random, measured by
// what would be without a window. The span is as long as it takes to see some
// hundred refusals.
func (s scenario) worth(share float64, p pacer) float64 {
	switch s.span = time.Minute; {
	case s.possible() > 100_000:
		s.span = 3 * time.Second
	case s.possible() < 300:
		s.span = 10 * time.Minute
	}
	free := sum(s.run(unlimited{}), 0, s.span)
	s.random = always(share)
	return float64(sum(s.run(p), 0, s.span).accepted) / float64(free.accepted) / (1 - share)
}

// use returns how much of the limit was used, others' records included, and
// which share of the attempts was refused.
func (s scenario) use(bins []bin, from, to time.Duration) (use, refused float64) {
	var possible float64
	for at := from; at < to; at += binTime {
		possible += s.rate(at) * binTime.Seconds()
	}
	total := sum(bins, from, to)
	return float64(total.accepted+total.other) / possible, total.refusedShare()
}

// recovers returns how long after a change of the limit use and refusals are
// as they should be for five seconds, and whether they ever are.
func (s scenario) recovers(bins []bin, change time.Duration) (time.Duration, bool) {
	good := 0
	for at := change; at+2*time.Second <= s.span; at += time.Second {
		use, refused := s.use(bins, at, at+2*time.Second)
		if good++; use < 0.9 || use > 1.1 || refused > 0.1 {
			good = 0
		}
		if good == 4 {
			return at - 3*time.Second - change, true
		}
	}
	return 0, false
}

var (
	manyKeys  = []int{1, 10, 100, 1000, 10_000}
	latencies = []time.Duration{5 * time.Millisecond, 20 * time.Millisecond, 100 * time.Millisecond, 500 * time.Millisecond}
)

func TestNothingRefused(t *testing.T) {
	var w Window
	for now := time.Duration(0); now < time.Minute; now += 7 * time.Millisecond {
		require.Zero(t, w.Wait(now))
		w.Fly()
		w.Landed(500, 0, now-5*time.Millisecond, now)
	}
	require.Zero(t, w.Rate())
}

// Random refusals are nobody's fault: sending less would not help.
func TestRandomRefusals(t *testing.T) {
	t.Parallel()
	for _, keys := range manyKeys {
		for _, latency := range latencies {
			for _, share := range []float64{0.05, 0.2, 0.6, 0.9} {
				s := scenario{keys: keys, latency: latency, jitter: 0.2, seed: 2}
				require.Greater(t, s.worth(share, new(Window)), 0.7, "%d keys, %v, %v refused", keys, latency, share)
			}
		}
	}
}

// A limit is used whole and hardly exceeded, whatever the size of the records:
// 1,000 per second is a Kinesis shard's limit for small ones, 10 that for
// records of 100 KiB.
func TestLimit(t *testing.T) {
	t.Parallel()
	for _, rate := range []float64{2, 10, 100, 1000} {
		for name, s := range map[string]scenario{
			"alone":                {},
			"shallow bucket":       {burst: 100 * time.Millisecond},
			"jitter":               {jitter: 0.5},
			"another writer":       {other: rate / 2},
			"one request at once":  {writers: 1},
			"one lane per request": {lanes: 1},
		} {
			for _, keys := range manyKeys {
				for _, s.latency = range latencies {
					s.keys, s.rate, s.seed = keys, always(rate), 3
					if s.span = 2 * time.Minute; rate < 20 {
						s.span = 10 * time.Minute
					}
					if s.possible() < 1.3*rate {
						continue
					}
					use, refused := s.use(s.run(new(Window)), s.span/2, s.span)
					at := fmt.Sprintf("%s: %v/s, %d keys, %v", name, rate, keys, s.latency)
					require.GreaterOrEqual(t, use, 0.95, at)
					require.LessOrEqual(t, refused, 0.1, at)
				}
			}
		}
	}
}

// Refusals of both kinds at once are told apart.
func TestLimitAndRandomRefusals(t *testing.T) {
	t.Parallel()
	for _, keys := range []int{100, 1000, 10_000} {
		for _, latency := range latencies {
			s := scenario{keys: keys, latency: latency, rate: always(1000), random: always(0.2), span: 2 * time.Minute}
			if s.possible() < 2000 {
				continue
			}
			use, refused := s.use(s.run(new(Window)), s.span/2, s.span)
			require.GreaterOrEqual(t, use, 0.95, "%d keys, %v", keys, latency)
			require.LessOrEqual(t, refused, 0.2+0.1, "%d keys, %v", keys, latency)
		}
	}
}

// A limit that changes is found again.
func TestChanges(t *testing.T) {
	t.Parallel()
	const at = time.Minute
	for _, latency := range latencies {
		for name, c := range map[string]struct {
			rate   when
			within time.Duration
		}{
			"halved":     {between(at, time.Hour, 500, 1000), 3*time.Second + 4*latency},
			"a tenth":    {between(at, time.Hour, 100, 1000), 8*time.Second + 4*latency},
			"split":      {between(at, time.Hour, 2000, 1000), 7*time.Second + 25*latency},
			"ten times":  {between(at, time.Hour, 10_000, 1000), 8*time.Second + 40*latency},
			"comes back": {between(at/2, at, 500, 1000), 9*time.Second + 25*latency},
		} {
			s := scenario{keys: 10_000, latency: latency, rate: c.rate, span: 2 * time.Minute}
			took, ok := s.recovers(s.run(new(Window)), at)
			t.Logf("%-10s %5v: %v", name, latency, took)
			require.True(t, ok, "%s, %v", name, latency)
			require.LessOrEqual(t, took, c.within, "%s, %v", name, latency)
		}
	}
}

// While everything is refused, little is tried; afterwards all is soon as it was.
func TestOutage(t *testing.T) {
	t.Parallel()
	const start, end = 20 * time.Second, 4 * time.Minute
	for _, keys := range manyKeys {
		for _, latency := range latencies {
			for _, limit := range []when{nil, always(1000)} {
				s := scenario{keys: keys, latency: latency, rate: limit, span: end + time.Minute}
				if limit == nil && s.possible() > 100_000 {
					continue // as below it, and slow to simulate
				}
				before := s
				before.span = start
				s.random = between(start, end, 1, 0)
				bins := s.run(new(Window))
				at := fmt.Sprintf("%d keys, %v, limited %v", keys, latency, limit != nil)

				normal := float64(sum(before.run(new(Window)), start/2, start).accepted) / (start / 2).Seconds()
				settled := start + 3*time.Second + 4*latency
				settled += time.Duration(outageLanes / normal * float64(time.Second))
				if settled < end {
					tried := sum(bins, settled.Truncate(binTime), end)
					require.LessOrEqual(t, float64(tried.requests)/(end-settled).Seconds(), 3.0, at)
				}
				again := end + 10*time.Second + 20*latency + time.Duration(200/normal*float64(time.Second))
				again = min(again, s.span-10*time.Second).Truncate(binTime)
				got := float64(sum(bins, again, s.span).accepted) / (s.span - again).Seconds()
				require.Greater(t, got, 0.9*normal, at)
			}
		}
	}
}

// What a group learned it keeps while it has little to do or nothing.
func TestDemandComesAndGoes(t *testing.T) {
	t.Parallel()
	for _, latency := range latencies {
		for _, few := range []float64{0, 1} {
			s := scenario{keys: 1000, latency: latency, rate: always(1000), span: 10 * time.Minute}
			s.demand = func(now time.Duration) float64 {
				if now%(2*time.Minute) < time.Minute {
					return few
				}
				return 1000
			}
			bins := s.run(new(Window))
			for busy := 3 * time.Minute; busy < s.span; busy += 2 * time.Minute {
				use, refused := s.use(bins, busy+time.Second, busy+30*time.Second)
				require.GreaterOrEqual(t, use, 0.95, "%v after %v lanes", latency, few)
				require.LessOrEqual(t, refused, 0.1, "%v after %v lanes", latency, few)
			}
		}
	}
}

// Two windows, say of two processes, use a limit together without more refusals.
// They do not share it evenly, but none starves.
func TestTwoWindows(t *testing.T) {
	t.Parallel()
	for _, latency := range latencies {
		for seed := range uint64(5) {
			s := scenario{keys: 1000, latency: latency, jitter: 0.5, rate: always(1000), span: 10 * time.Minute, seed: seed}
			bins := s.share(new(Window), new(Window))
			var total bin
			for _, b := range bins {
				one := sum(b, s.span/2, s.span)
				total.accepted += one.accepted
				total.refused += one.refused
				require.Greater(t, float64(one.accepted), 0.05*1000*(s.span/2).Seconds(), "%v", latency)
			}
			require.Greater(t, float64(total.accepted), 0.95*1000*(s.span/2).Seconds(), "%v", latency)
			require.Less(t, total.refusedShare(), 0.1, "%v", latency)
		}
	}
}

// The share that is refused at random may change, and may be none again.
func TestRandomShareChanges(t *testing.T) {
	t.Parallel()
	for _, latency := range latencies {
		s := scenario{keys: 1000, latency: latency, rate: always(1000), span: 3 * time.Minute}
		s.random = between(time.Minute, 2*time.Minute, 0.6, 0)
		if latency > 100*time.Millisecond {
			s.keys = 10_000
		}
		bins := s.run(new(Window))
		use, refused := s.use(bins, 80*time.Second, 2*time.Minute)
		require.GreaterOrEqual(t, use, 0.9, "%v", latency)
		require.LessOrEqual(t, refused, 0.6+0.15, "%v", latency)
		use, refused = s.use(bins, 150*time.Second, 3*time.Minute)
		require.GreaterOrEqual(t, use, 0.95, "%v", latency)
		require.LessOrEqual(t, refused, 0.1, "%v", latency)
	}
}

// When random refusals end, a limit is not taken for them.
func TestLimitAfterRandomRefusals(t *testing.T) {
	s := scenario{
		keys: 100, latency: 50 * time.Millisecond, span: 80 * time.Second,
		random: between(0, time.Minute, 0.6, 0), rate: between(0, 62*time.Second, 1e6, 1000),
	}
	use, refused := s.use(s.run(new(Window)), 65*time.Second, 70*time.Second)
	require.GreaterOrEqual(t, use, 0.95)
	require.LessOrEqual(t, refused, 0.1)
}

// Forty refusals in a row may be chance where nine in ten are refused.
func TestRefusedRound(t *testing.T) {
	var w Window
	now := time.Second
	for range 60 {
		now += 100 * time.Millisecond
		w.Landed(1, 1, now-100*time.Millisecond, now)
	}
	require.Zero(t, w.Rate())
	require.False(t, w.trial)
	for range outageLanes {
		now += 100 * time.Millisecond
		w.Landed(1, 1, now-100*time.Millisecond, now)
	}
	require.InDelta(t, outageRate, w.Rate(), 0)
}

// Time in which nothing was sent is no part of a round.
func TestIdle(t *testing.T) {
	var w Window
	now := time.Second
	land := func(n int) {
		for range n {
			now += 10 * time.Millisecond
			w.Landed(10, 5, now-10*time.Millisecond, now)
		}
	}
	land(10)
	now += 10 * time.Minute
	land(42)
	require.InDelta(t, 450, w.Rate(), 20)
}

// An outage that begins during a trial does not make its rate the normal one.
func TestOutageInTrial(t *testing.T) {
	var w Window
	now := time.Second
	land := func(refused int, until func() bool) {
		for !until() {
			now += 10 * time.Millisecond
			w.Landed(10, refused, now-10*time.Millisecond, now)
		}
	}
	land(9, func() bool { return w.trial })
	require.InDelta(t, 90, w.Rate(), 10)
	land(10, func() bool { return w.outage })
	land(0, func() bool { return !w.outage })
	require.InDelta(t, 500, w.Rate(), 50)
}

// Lanes get leave together, so that they share requests.
func TestFewRequests(t *testing.T) {
	t.Parallel()
	for _, latency := range latencies {
		s := scenario{keys: 10_000, latency: latency, rate: always(1000), span: time.Minute}
		total := sum(s.run(new(Window)), s.span/2, s.span)
		require.LessOrEqual(t, float64(total.requests)/(s.span/2).Seconds(), min(100.0, 10/latency.Seconds()), "%v", latency)
	}
}

// Whatever happens, a window stays one that lets something fly before long.
func FuzzWindow(f *testing.F) {
	f.Add([]byte{1, 0, 5, 200, 200, 9, 0, 0, 1, 255, 255, 255, 3, 1, 100})
	f.Fuzz(func(t *testing.T, history []byte) {
		var w Window
		now := time.Duration(0)
		for ; len(history) >= 3; history = history[3:] {
			now += time.Duration(history[0]) * time.Duration(history[0]) * time.Millisecond
			if w.Wait(now) == 0 {
				w.Fly()
			}
			landed := 2 * int(history[1])
			refused := landed * int(history[2]>>4) / 15
			sent := now - time.Duration(history[2]&15)*40*time.Millisecond
			w.Landed(landed, refused, sent, now)

			require.False(t, math.IsNaN(w.Rate()) || math.IsInf(w.Rate(), 0) || w.Rate() < 0)
			require.True(t, w.floor >= 0 && w.floor < 1, "floor %v", w.floor)
			waited := time.Duration(0)
			for wait := w.Wait(now); wait > 0; wait = w.Wait(now + waited) {
				waited += wait
				require.Less(t, waited, 3*time.Second)
			}
		}
	})
}

func TestNoAllocations(t *testing.T) {
	var w Window
	now := time.Duration(0)
	require.Zero(t, testing.AllocsPerRun(10_000, func() { step(&w, &now) }))
}

func BenchmarkWindow(b *testing.B) {
	b.ReportAllocs()
	var w Window
	now := time.Duration(0)
	for b.Loop() {
		step(&w, &now)
	}
}

// step lets a lane fly and land, one in three refused.
func step(w *Window, now *time.Duration) {
	*now += w.Wait(*now) + 300*time.Microsecond
	if w.Wait(*now) == 0 {
		w.Fly()
	}
	w.Landed(3, 1, *now-20*time.Millisecond, *now)
}
