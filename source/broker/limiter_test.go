package broker

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// TestLimiter: a burst of one second's worth, then the rate on average.
func TestLimiter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		l := newLimiter(100)
		for range 120 {
			require.True(t, l.wait(t.Context()))
		}
		require.Equal(t, 200*time.Millisecond, time.Since(start), "100 at once, 20 at 10 ms each")
		time.Sleep(time.Hour)
		start = time.Now()
		for range 101 {
			require.True(t, l.wait(t.Context()))
		}
		require.Equal(t, 10*time.Millisecond, time.Since(start), "what was not used is not saved up")

		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.False(t, l.wait(ctx))
		none := newLimiter(0)
		require.True(t, none.wait(ctx))
	})
}
