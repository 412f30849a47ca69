package window

import (
	"math"
	"time"
)

// A Window paces the lanes of one group. The zero value has met no refusals and
// holds nothing back. It is not safe for concurrent use. All times are readings
// of one monotonic clock.
type Window struct {
	rate   float64       // lanes per second; 0 is unlimited
	growth float64       // share by which rate grows next
	credit float64       // lanes that may take off now
	filled time.Duration // credit was given up to this time
	flight time.Duration // how long the last request took

	// A round is a sample of what the sink does at one rate.
	changed         time.Duration // what took off earlier tells nothing about rate
	since           time.Duration // start of the round, 0 before the first landing
	last            time.Duration // the last landing
	landed, refused int

	// The floor is the share that is refused at any rate. Trials find it.
	floor     float64
	trial     bool
	before    float64       // rate before the trial
	share     float64       // refused in the round before the trial
	attempted float64       // lanes per second in that round
	accepted  float64       // those of them that were accepted
	again     time.Duration // when the next trial is due, if floor is not 0
	spacing   int           // of trials, as a multiple of what one takes

	// In an outage everything is refused.
	outage   bool
	dry      int           // lanes refused since the last that was accepted
	drySince time.Duration // when the first of them landed
}

const (
	// tick is how often lanes get leave to take off, all groups at once, so
	// that they share requests.
	tick = 10 * time.Millisecond

	minRate   = 1    // lanes per second
	maxGrowth = 0.25 // of the rate in a round

	tolerated  = 0.1  // share above the floor that needs no explanation
	negligible = 0.03 // a floor below this is none

	outageLanes = 200 // refused in a row make an outage
	outageRate  = 2   // lanes per second meanwhile
)

// Wait returns how long the next lane must wait before it may take off, 0 if it
// may do so now.
func (w *Window) Wait(now time.Duration) time.Duration {
	rate := w.Rate()
	if rate == 0 {
		return 0
	}
	// Only so many requests can be under way. If they take long, let them be
	// fewer and fuller.
	step := tick
	for step < w.flight/8 {
		step *= 2
	}
	if at := now.Truncate(step); at > w.filled {
		most := 1 + rate*(w.flight+step).Seconds()
		w.credit = min(most, w.credit+rate*(at-w.filled).Seconds())
		w.filled = at
	}
	if w.credit >= 1 {
		return 0
	}
	enough := w.filled + time.Duration((1-w.credit)/rate*float64(time.Second))
	return max(enough+step-1, now+step).Truncate(step) - now
}

// Fly notes that a lane takes off. Call it after Wait has returned 0.
func (w *Window) Fly() {
	if w.Rate() > 0 {
		w.credit--
	}
}

// Rate returns how many lanes may take off per second, 0 if any number may.
func (w *Window) Rate() float64 {
	if w.outage {
		return outageRate
	}
	return w.rate
}

// Landed notes that a request has come back that was sent at the given time. It
// carried so many lanes of the group, and some of these were refused. A request
// whose outcome is not known, or that failed as a whole for another reason, tells
// nothing about the pace and is not reported.
func (w *Window) Landed(landed, refused int, sent, now time.Duration) {
	w.flight = now - sent
	if sent < w.changed || landed == 0 || w.inOutage(landed, refused, now) {
		return
	}
	idle := now-w.last > 2*time.Second+2*w.flight
	unharmed := w.rate == 0 && w.refused+refused == 0
	w.last = now
	if w.since == 0 || idle || unharmed {
		w.since, w.landed, w.refused = now, 0, 0
		return
	}
	w.landed += landed
	w.refused += refused
	elapsed := now - w.since
	enough := w.landed >= 400 || w.landed >= 40 && elapsed >= 4*time.Second
	if !enough || w.refused == w.landed || elapsed < max(100*time.Millisecond, w.flight) {
		return
	}
	n, share := float64(w.landed), float64(w.refused)/float64(w.landed)
	w.since, w.landed, w.refused = now, 0, 0
	w.learn(n, share, n/elapsed.Seconds(), now)
}

// inOutage reports whether there is an outage, in view of what has landed.
func (w *Window) inOutage(landed, refused int, now time.Duration) bool {
	switch {
	case refused < landed:
		w.dry = 0
		if w.outage {
			w.outage = false
			w.change(w.rate, now)
			w.growth = maxGrowth
		}
	case w.outage:
	default:
		if w.dry == 0 {
			w.drySince = now
		}
		w.dry += refused
		took := now - w.drySince
		if w.dry < outageLanes || took < 2*w.flight || took == 0 {
			break
		}
		// A rate far above a limit looks the same. It is halved for that.
		rate := float64(w.dry) / took.Seconds()
		if w.trial {
			rate = w.attempted
		} else if w.rate > 0 {
			rate = min(rate, w.rate)
		}
		w.outage, w.trial = true, false
		w.change(max(rate/2, 2*outageRate), now)
	}
	return w.outage
}

// learn draws conclusions from a round of n lanes, so many per second, of which
// a share was refused.
func (w *Window) learn(n, share, attempted float64, now time.Duration) {
	accepted := attempted * (1 - share)
	w.floor = min(w.floor, share+noise(share, n))
	excess := share - w.floor - noise(w.floor, n)
	switch {
	case w.trial:
		w.conclude(n, share, accepted, now)
	case share > w.floor+tolerated+noise(max(w.floor, 0.05), n),
		// Going slower did not help, or the floor may have changed.
		w.floor > 0 && (excess > 0 && accepted < 0.85*w.accepted || now >= w.again):
		w.trial = true
		w.before, w.share, w.attempted, w.accepted = w.rate, share, attempted, accepted
		w.change(0.9*accepted, now)
	case w.rate == 0:
	case excess > 0:
		w.change(w.rate*min(1, gain(w.rate)*(1-share)/(1-w.floor)), now)
	case attempted > 0.8*w.rate:
		growth := min(maxGrowth, 1.5*w.growth)
		w.change(w.rate*(1+w.growth), now)
		w.growth = growth
	}
}

// conclude ends a trial. Its rate was one that the sink had just accepted, hence
// what was refused all the same is the floor.
func (w *Window) conclude(n, share, accepted float64, now time.Duration) {
	took := now - w.changed
	rate := w.before
	w.spacing = min(2*w.spacing, 32)
	if math.Abs(share-w.floor) > 2*noise(share, n) || w.spacing == 0 {
		w.spacing = 4
	}
	w.trial, w.floor = false, share
	if share < negligible {
		w.floor = 0
	}
	if w.floor == 0 || share < w.share-noise(w.share, n)-noise(share, n) {
		// Going slower helped: there is a limit.
		rate = max(accepted, w.accepted, w.before*(1-w.share)) / (1 - w.floor)
		rate *= gain(rate)
	}
	w.again = now + time.Duration(w.spacing)*took
	w.change(rate, now)
}

// change sets the rate, 0 for unlimited, and starts a round.
func (w *Window) change(rate float64, now time.Duration) {
	if rate > 0 {
		rate = max(rate, minRate)
	}
	w.changed, w.since = now, 0
	if w.rate == 0 || rate < w.rate {
		w.changed += w.flight // what is under way still fills the sink
	}
	w.rate, w.growth = rate, gain(rate)-1
	w.credit = min(w.credit, 1)
}

// noise is how far a share of n lanes may be off by chance: three standard
// deviations.
func noise(share, n float64) float64 {
	return 3 * math.Sqrt(share*(1-share)/n)
}

// gain is how far a rate is kept above what is accepted. It is a little larger
// for low rates, so that of several windows in front of one limit, none starves.
func gain(rate float64) float64 {
	return max(1.02, 1.08-0.012*math.Log10(max(rate, minRate)))
}
