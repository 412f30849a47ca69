package main

import (
	"go/parser"
	"go/token"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestMutantsFit puts each fault into its file.
func TestMutantsFit(t *testing.T) {
	t.Chdir("../../..")
	mutants, err := parse(list)
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(mutants), 60)
	names := map[string]bool{}
	for _, m := range mutants {
		require.False(t, names[m.name], m.name)
		names[m.name] = true
		changed, err := m.apply()
		require.NoError(t, err, m.name)
		_, err = parser.ParseFile(token.NewFileSet(), m.file, changed, 0)
		require.NoError(t, err, m.name)
	}
}
