package sched

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Timers come in the order of their times, whatever was removed between.
func TestTimers(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		var h timers[int]
		all := make([]timed[int], 40)
		for range rapid.IntRange(0, 200).Draw(r, "steps") {
			switch x := &all[rapid.IntRange(0, len(all)-1).Draw(r, "timer")]; {
			case x.pending():
				h.remove(x)
			default:
				h.add(x, time.Duration(rapid.IntRange(0, 30).Draw(r, "due")))
			}
		}
		pending := 0
		for i := range all {
			if all[i].pending() {
				pending++
			}
		}
		last := time.Duration(0)
		for x := h.next(100); x != nil; x = h.next(100) {
			if x.due < last || x.pending() {
				r.Fatalf("%v after %v", x.due, last)
			}
			last = x.due
			pending--
		}
		if pending != 0 {
			r.Fatalf("%d timers are lost", pending)
		}
	})
}
