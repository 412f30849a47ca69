package itest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
)

// lacking ends the test because a real part is not there: by a skip that says
// so, or by a failure where every part has to be there.
func lacking(t *testing.T, format string, args ...any) {
	t.Helper()
	reason := fmt.Sprintf(format, args...)
	if os.Getenv("CI") == "true" && os.Getenv("SLUICE_REAL_PARTS") == "1" {
		t.Fatalf("%s, and in CI a part that is missing is a failure", reason)
	}
	t.Skipf("%s; make test installs it where a package manager is at hand", reason)
}

// program returns the path of an installed program.
func program(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		path = filepath.Join("/usr/sbin", name) // where Debian puts servers, often not on a user's PATH
		if _, err := os.Stat(path); err != nil {
			lacking(t, "%s is not installed", name)
		}
	}
	return path
}

// module returns the folder of an npm package.
func module(t *testing.T, name string) string {
	t.Helper()
	dir := os.Getenv("SLUICE_NPM_DIR")
	if dir == "" {
		dir = filepath.Join(projectRoot(), ".cache", "npm")
	}
	path := filepath.Join(dir, "node_modules", name)
	if _, err := os.Stat(path); err != nil {
		lacking(t, "npm's %s is not installed in %s", name, dir)
	}
	return path
}

// projectRoot is the folder of the module's go.mod.
func projectRoot() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..")
}
