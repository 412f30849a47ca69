package repattern_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/internal/repattern"
)

func TestLargePatternsAreRefused(t *testing.T) {
	t.Parallel()
	for _, pattern := range []string{`(a?b?c?d?e?f?g?h?){999}`, `((ab?c?){30}){30}x{900}(a?b?c?d?e?f?){900}`, `\pL{900}`, strings.Repeat("a", 100_000), strings.Repeat(`\pL`, 300), strings.Repeat("(", 2000) + strings.Repeat(")", 2000)} {
		_, err := repattern.Compile(pattern)
		require.ErrorIs(t, err, repattern.ErrTooLarge, pattern[:min(len(pattern), 40)])
		require.Less(t, len(err.Error()), 100)
	}
	for _, pattern := range []string{`(a{100}){9}`, `^\d{4}-\d{2}-\d{2}T[\d:.]+(Z|[+-]\d\d:\d\d)$`, `\pL+`, strings.Repeat("a|b", 1000)} {
		re, err := repattern.Compile(pattern)
		require.NoError(t, err)
		require.NotNil(t, re)
	}
	_, err := repattern.Parse(`(?=a)`)
	require.Error(t, err)
	require.NotErrorIs(t, err, repattern.ErrTooLarge)
}
