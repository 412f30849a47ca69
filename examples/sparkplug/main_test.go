package main

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRun(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	require.NoError(t, run("", &out))
	require.Equal(t, `{"name":"temp","seq":7,"topic":"spBv1.0/plant/DDATA/node/device","value":21.5}
{"name":"level","seq":7,"topic":"spBv1.0/plant/DDATA/node/device","value":-5}
`, out.String())
	require.ErrorContains(t, run("12ff", &out), "it ends within a field")
	require.ErrorContains(t, run("0f", &out), "there is no wire type 7")
	require.Error(t, run("xyz", &out))
}

func FuzzDecode(f *testing.F) {
	b, err := hex.DecodeString(sample)
	require.NoError(f, err)
	f.Add(b)
	f.Fuzz(func(t *testing.T, payload []byte) {
		out, err := decode(nil, payload)
		require.True(t, err != nil || out != nil)
	})
}
