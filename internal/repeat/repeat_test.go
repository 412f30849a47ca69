package repeat_test

import (
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/internal/repeat"
)

func TestLines(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var l repeat.Lines
		admitted := func(name, text string, n int) int {
			count, _ := l.Admit(name, text, n)
			return count
		}
		require.Equal(t, 2, admitted("a", "failed", 2))
		require.Equal(t, 0, admitted("a", "failed", 3))
		require.Equal(t, 1, admitted("b", "failed", 1), "another thing")
		require.Equal(t, 1, admitted("a", "panicked", 1), "another text")
		time.Sleep(repeat.Interval)
		require.Equal(t, 4, admitted("a", "failed", 1), "with those left out")
		require.Equal(t, 0, admitted("a", "failed", 1))
		for i := range 1000 { // many things do not take memory for ever
			require.Equal(t, 1, admitted(strconv.Itoa(i), "failed", 1))
		}
	})
}

func TestAdmitDoesNotAllocate(t *testing.T) {
	var l repeat.Lines
	l.Admit("a", "failed", 1)
	require.Zero(t, testing.AllocsPerRun(100, func() { l.Admit("a", "failed", 1) }))
}
