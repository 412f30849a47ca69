package sim

import (
	"flag"
	"strings"
	"testing"
	"time"
)

var (
	seeds     = flag.Int("seeds", 40, "how many scripts TestSim runs")
	seed      = flag.Uint64("seed", 1, "the seed of the first one")
	shrinking = flag.Duration("shrink", time.Minute, "for how long a failing script is made shorter")
	atMost    = flag.Duration("time", time.Hour, "after which time TestSim begins no other script")
)

// TestSim runs scripts of random seeds.
func TestSim(t *testing.T) {
	if testing.Short() {
		*seeds = min(*seeds, 10)
	}
	began := time.Now()
	virtual, n := time.Duration(0), 0
	for ; n < *seeds && time.Since(began) < *atMost; n++ {
		sc := newScript(*seed + uint64(n))
		problems, story, took := run(t, sc)
		virtual += took
		if len(problems) == 0 {
			continue
		}
		least := sc.shrink(func(sc script) bool {
			for range 3 {
				if p, s, _ := run(t, sc); len(p) > 0 {
					problems, story = p, s
					return true
				}
			}
			return false
		}, time.Now().Add(*shrinking))
		t.Fatalf("seed %d fails; %d of its %d steps are left\n\n%s\n\nwith %+v\n%s",
			*seed+uint64(n), len(least.steps), len(sc.steps), strings.Join(problems, "\n"), least.settings, strings.Join(story, "\n"))
	}
	wall := time.Since(began)
	t.Logf("%d scripts, %v of virtual time in %v: %.0f times faster", n, virtual.Round(time.Second), wall.Round(time.Millisecond), float64(virtual)/float64(wall))
}
