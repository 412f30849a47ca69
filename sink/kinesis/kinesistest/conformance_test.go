package kinesistest_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluiceio/sluice/sink/kinesis/kinesistest"
	"github.com/sluiceio/sluice/sink/kinesis/kinesistest/conformance"
	"github.com/stretchr/testify/require"
)

// TestConformance also checks AWS itself when SLUICE_TEST_AWS is set.
func TestConformance(t *testing.T) {
	t.Parallel()
	for name, cfg := range ways {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := kinesistest.Start(t, cfg)
			conformance.Test(t, conformance.Target{Client: srv.Client(once), Prefix: "conformance-", Deviations: conformance.KinesisTest})
		})
	}
	if os.Getenv("SLUICE_TEST_AWS") != "" {
		t.Run("AWS", conformanceOfAWS)
	}
}

var update = flag.Bool("update", false, "write the table of deviations into docs/kinesistest.md")

// TestDeviationsAreDocumented keeps the table of the documentation true.
func TestDeviationsAreDocumented(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("| Check | kinesistest | kinesis-local 0.6.2 | kinesalite 3.3.3 |\n|---|---|---|---|\n")
	for _, check := range conformance.Checks() {
		cell := func(deviations map[string]string) string {
			if why, deviates := deviations[check.Name]; deviates {
				return why
			}
			return "✓"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", check.Name, cell(conformance.KinesisTest), cell(conformance.KinesisLocal), cell(conformance.Kinesalite))
	}
	path := filepath.Join("..", "..", "..", "docs", "kinesistest.md")
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	const begin, end = "<!-- table of checks, written by `go test ./sink/kinesis/kinesistest -update` -->\n", "<!-- end of the table -->"
	head, rest, ok := strings.Cut(string(raw), begin)
	require.True(t, ok)
	table, tail, ok := strings.Cut(rest, end)
	require.True(t, ok)
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(head+begin+b.String()+end+tail), 0o644))
		return
	}
	require.Equal(t, b.String(), table, "run the test with -update")
}
