package torture

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A process cannot be given a wall clock of its own: Go reads it without asking
// anybody. So the bridge is compiled with a package time whose Now is off by up
// to six hours, by another amount every half second. The monotonic clock stays
// as it is, as with a clock that somebody sets.
const (
	before = "	sec, nsec, mono := runtimeNow()\n"
	after  = before + "	sec += jump(mono)\n"
	jump   = `
// jump is how far the wall clock is off, in seconds.
func jump(mono int64) int64 {
	x := uint64(mono/5e8) + jumpSeed
	x = (x ^ x>>31) * 0x9E3779B97F4A7C15
	x = (x ^ x>>29) * 0xBF58476D1CE4E5B9
	return int64((x^x>>32)%43200) - 21600
}

var jumpSeed = func() (n uint64) {
	text, _ := syscall.Getenv("SLUICE_TORTURE_CLOCK")
	for _, c := range []byte(text) {
		n = n*10 + uint64(c-'0')
	}
	return n
}()
`
)

// jumping is the environment of a bridge whose clock jumps.
func jumping(rng *rand.Rand) []string {
	return []string{"SLUICE_TORTURE_CLOCK=" + strconv.FormatUint(uint64(rng.Uint32()), 10)}
}

// buildJumping compiles this test with the other package time.
func buildJumping(t *testing.T) string {
	dir := t.TempDir()
	root, err := exec.CommandContext(t.Context(), "go", "env", "GOROOT").Output()
	require.NoError(t, err)
	original := filepath.Join(strings.TrimSpace(string(root)), "src", "time", "time.go")
	text, err := os.ReadFile(original)
	require.NoError(t, err)
	require.Equal(t, 1, strings.Count(string(text), before), "package time has changed")
	patched, list, binary := filepath.Join(dir, "time.go"), filepath.Join(dir, "overlay.json"), filepath.Join(dir, "bridge")
	changed := strings.Replace(string(text), before, after, 1)
	changed = strings.Replace(changed, "import (\n", "import (\n\t\"syscall\"\n", 1)
	require.NoError(t, os.WriteFile(patched, []byte(changed+jump), 0o600))
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{original: patched}})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(list, overlay, 0o600))
	out, err := exec.CommandContext(t.Context(), "go", "test", "-c", "-overlay", list, "-o", binary, ".").CombinedOutput()
	require.NoError(t, err, string(out))
	return binary
}
