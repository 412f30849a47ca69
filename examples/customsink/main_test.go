package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRun(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lines.txt")
	file, err := os.Create(path)
	require.NoError(t, err)
	require.NoError(t, run(t.Context(), file))
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "rooms/kitchen\t21.5 degrees\nrooms/kitchen\t22.5 degrees\n", string(text))
}
