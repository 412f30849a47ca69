package kinesis

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRoomOfSlowLines(t *testing.T) {
	t.Parallel()
	var r room
	r.init()
	all := r.get()
	require.Greater(t, all, 2*maxRequestBytes-1)
	r.brokeOff(10 << 20)
	require.Equal(t, 5<<20, r.get())
	r.brokeOff(10 << 20) // of a request that was sent before
	require.Equal(t, 5<<20, r.get())
	r.answered(100)
	require.Equal(t, 5<<20, r.get(), "a small request proves nothing")
	for range 100 {
		r.brokeOff(r.get())
	}
	require.Equal(t, minRoom, r.get())
	for range 100 {
		r.answered(r.get())
	}
	require.Equal(t, all, r.get())
}

// TestRoomOfProxies finds what a proxy takes and stays there.
func TestRoomOfProxies(t *testing.T) {
	t.Parallel()
	for _, limit := range []int{10 << 10, 1 << 20, 1_000_000, 7 << 20} {
		var r room
		r.init()
		refused, last := 0, 0
		for n := range 1000 {
			size := min(r.get(), 13<<20) // there is always more to send
			if size > limit {
				r.refused(size)
				refused++
				last = n
				continue
			}
			r.answered(size)
		}
		require.LessOrEqual(t, refused, 40, limit)
		require.Less(t, last, 900, "it no longer tries what was refused")
		require.LessOrEqual(t, r.get(), limit)
		require.Greater(t, r.get(), limit*3/4, "the limit is made use of")
	}
}
