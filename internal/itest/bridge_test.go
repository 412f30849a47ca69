package itest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// programs is where the examples are built, once each.
var programs struct {
	mu    sync.Mutex
	dir   string
	built map[string]string
}

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "sluice-examples")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	programs.dir, programs.built = dir, map[string]string{}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// example returns the path of an example program.
func example(t *testing.T, name string) string {
	t.Helper()
	programs.mu.Lock()
	defer programs.mu.Unlock()
	if path, ok := programs.built[name]; ok {
		return path
	}
	path := filepath.Join(programs.dir, name)
	build := exec.CommandContext(t.Context(), "go", "build", "-o", path, "./examples/"+name)
	build.Dir = projectRoot()
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	programs.built[name] = path
	return path
}

// startBridge starts mqtt2kinesis and waits until it says that it is ready. All
// bridges write to the stream "readings".
func startBridge(t *testing.T, mqtt, endpoint string, flags ...string) *process {
	t.Helper()
	argv := append([]string{example(t, "mqtt2kinesis"), "-mqtt", mqtt, "-endpoint", endpoint, "-stream", stream, "-region", region}, flags...)
	p := start(t, "", awsEnv(), argv...)
	p.out.await(t, "bridge is ready")
	return p
}

const stream = "readings"

// stopBridge asks the bridge to drain and checks that it did.
func stopBridge(t *testing.T, p *process) {
	t.Helper()
	require.Zero(t, p.terminate(t), "exit code; output:\n%s", p.out)
	p.out.await(t, "bridge has stopped")
}
