package itest

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestProducerLinksNothingOfPipelines looks at what a program links that uses
// kinesis.NewProducer alone.
func TestProducerLinksNothingOfPipelines(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", self+"/sink/kinesis").Output()
	require.NoError(t, err)
	own := 0
	for pkg := range strings.FieldsSeq(string(out)) {
		if rest, ok := strings.CutPrefix(pkg, self+"/"); ok {
			own++
			part, _, _ := strings.Cut(rest, "/")
			require.NotContains(t, []string{"source", "rule", "template"}, part, pkg)
		}
	}
	require.Greater(t, own, 3)
}
