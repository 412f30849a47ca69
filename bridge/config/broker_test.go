package config

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The file of sessions is opened with the source, and let go with it.
func TestSessionFile(t *testing.T) {
	t.Parallel()
	text := strings.NewReplacer("{type: test}", "{type: broker, listeners: [\"mqtt://127.0.0.1:0\"], session_file: "+filepath.Join(t.TempDir(), "sessions")+"}").Replace(small)
	def, err := Parse("f", []byte(text), (&world{}).options())
	require.NoError(t, err)
	for range 2 {
		cfg, err := def.Build(nil)
		require.NoError(t, err)
		require.NoError(t, cfg.Sources["s"].Close(t.Context()))
	}
	text = strings.Replace(text, "session_file: ", "session_file: /no/such", 1)
	def, err = Parse("f", []byte(text), (&world{}).options())
	require.NoError(t, err)
	_, err = def.Build(nil)
	require.ErrorContains(t, err, "sources.s: session_file: ")
}

// YAML takes what is not quoted for a mapping, at times.
func TestURLWithoutQuotes(t *testing.T) {
	t.Parallel()
	text := strings.Replace(small, "{type: test}", "{type: broker, listeners: [mqtt://127.0.0.1:0]}", 1)
	_, err := Parse("f", []byte(text), (&world{}).options())
	require.ErrorContains(t, err, "f:2:41: sources.s.listeners[0].mqtt://127.0.0.1: unknown key; put the URL in quotes")
}
