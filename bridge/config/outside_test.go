package config

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A value from outside that is named again and again is not repeated without bound.
func TestValuesFromOutsideAreBoundedTogether(t *testing.T) {
	t.Parallel()
	large := strings.Repeat("x", 10_000)
	opts := Options{LookupEnv: func(string) (string, bool) { return large, true }}
	for _, text := range []string{
		"sinks: {f: {type: file, path: '" + strings.Repeat("${env:X}", 100_000) + "'}}",
		"sinks: {f: {type: file, path: p, x: [" + strings.Repeat("'${env:X}${env:Y}${env:Z}', ", 25_000) + "]}}",
	} {
		_, err := Parse("f", []byte(text), opts)
		require.ErrorContains(t, err, "have more than 8 MiB together")
		require.NotContains(t, err.Error(), "xxx")
		require.Equal(t, 1, strings.Count(err.Error(), "together"))
	}
	_, err := Parse("f", []byte(strings.Repeat("#\n", 400_000)), opts)
	require.ErrorContains(t, err, "more than 250000")
}
