//go:build !race

package builtin_test

import (
	"testing"

	"github.com/sluiceio/sluice/internal/value"
)

// Not under the race detector, which makes pools forget at random.
func TestCommonFunctionsDoNotAllocate(t *testing.T) {
	for _, expr := range hot {
		c := hotCtx()
		f, args := prepare(t, c, expr)
		c.Arena = new(value.Arena)
		run := func() {
			c.Arena.Reset()
			if _, err := f.Invoke(c, args); err != nil {
				t.Fatal(expr, err)
			}
		}
		run()
		run()
		if n := testing.AllocsPerRun(50, run); n != 0 {
			t.Errorf("%s allocates %v times", expr, n)
		}
	}
}
