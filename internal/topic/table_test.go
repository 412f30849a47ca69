package topic

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestTableCollisions gives all keys the same hash, which no test can provoke
// from outside.
func TestTableCollisions(t *testing.T) {
	t.Parallel()
	hash := func(string) uint64 { return 1 << 63 }
	var empty, x *table[int]
	for _, key := range []string{"a", "b", "c", "b"} {
		x = x.putHash(hash, hash(key), 0, &node[int]{key: key}, false)
	}
	for _, key := range []string{"a", "b", "c"} {
		require.Equal(t, key, x.findHash(1<<63, key).key)
	}
	require.Nil(t, x.findHash(1<<63, "d"))
	full := x
	x = x.removeHash(1<<63, 0, "b")
	require.Nil(t, x.findHash(1<<63, "b"))
	require.NotNil(t, full.findHash(1<<63, "b"))
	x = x.removeHash(1<<63, 0, "a")
	require.Equal(t, "c", x.slots[0].node.key, "a table of one node moves up")
	require.Equal(t, empty, x.removeHash(1<<63, 0, "c"))
}
