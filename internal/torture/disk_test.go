package torture

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

// mountSmall mounts a file system of a few megabytes, for which it needs root or
// a name space of its own.
func mountSmall(t *testing.T) string {
	dir := t.TempDir()
	out, err := exec.CommandContext(t.Context(), "mount", "-t", "tmpfs", "-o", "size=24m", "sluice-torture", dir).CombinedOutput()
	if err != nil {
		if runtime.GOOS == "linux" && os.Getuid() != 0 {
			t.Skipf("cannot mount a small file system (%s): run it as root, or as `unshare --user --map-root-user --mount make torture`", out)
		}
		t.Skipf("cannot mount a small file system: %s", errors.Join(err, errors.New(string(out))))
	}
	t.Cleanup(func() {
		out, err := exec.Command("umount", dir).CombinedOutput()
		require.NoError(t, err, string(out))
	})
	return dir
}
