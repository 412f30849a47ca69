package config

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestSizes: memory is what an int can count, and a disk is larger than that on a
// 32-bit machine.
func TestSizes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{
		"0": 0, "25KB": 25 << 10, "256 mb": 256 << 20, "1GB": 1 << 30, "7B": 7,
		"3GB": 3 << 30, "10GB": 10 << 30, "8589934591GB": 8589934591 << 30, "9223372036854775807": math.MaxInt64,
	} {
		var disk DiskSize
		require.NoError(t, disk.UnmarshalText([]byte(text)), text)
		require.EqualValues(t, want, disk, text)
		var memory Size
		if err := memory.UnmarshalText([]byte(text)); want > math.MaxInt {
			require.ErrorContains(t, err, "not a size that this machine can count", text)
		} else {
			require.NoError(t, err, text)
			require.EqualValues(t, want, memory, text)
		}
	}
	for _, text := range []string{"", "-1", "-1GB", "1.5GB", "GB", "25 apples", "8589934592GB", "9223372036854775808", "99999999999999999999GB", "-99999999999999999999"} {
		require.ErrorContains(t, new(DiskSize).UnmarshalText([]byte(text)), "is not a size", text)
		require.ErrorContains(t, new(Size).UnmarshalText([]byte(text)), "is not a size", text)
	}
}
