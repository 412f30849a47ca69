package itest

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// patience is how long a test waits for something that another process does.
// It bounds a failure and is no measure of anything.
const patience = 40 * time.Second

// process is a program under test or a part that it works with. It is killed
// when the test ends, and its output is shown when the test failed.
type process struct {
	name string
	cmd  *exec.Cmd
	out  *output
	done chan struct{} // closed when it has ended
	err  error         // of Wait; read after done
}

// start starts a program; see environment.
func start(t *testing.T, dir string, env []string, argv ...string) *process {
	t.Helper()
	p := &process{name: argv[0], cmd: exec.Command(argv[0], argv[1:]...), out: newOutput(), done: make(chan struct{})}
	p.cmd.Dir = dir
	p.cmd.Env = environment(env)
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	require.NoError(t, p.cmd.Start())
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
		p.out.end()
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("output of %s:\n%s", p.name, p.out)
		}
	})
	return p
}

// kill ends the process at once, as kill -9 does.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// terminate asks the process to end and returns its exit code.
func (p *process) terminate(t *testing.T) int {
	t.Helper()
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
	return p.wait(t)
}

// wait waits for the process to end by itself and returns its exit code.
func (p *process) wait(t *testing.T) int {
	t.Helper()
	select {
	case <-p.done:
	case <-time.After(patience):
		require.FailNow(t, "did not end", "%s", p.name)
	}
	var exit *exec.ExitError
	if errors.As(p.err, &exit) {
		return exit.ExitCode()
	}
	require.NoError(t, p.err)
	return 0
}

// run runs a program to its end and returns its standard output.
func run(t *testing.T, env []string, argv ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), argv[0], argv[1:]...)
	cmd.Env = environment(env)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, "%s: %s", strings.Join(argv, " "), stderr.String())
	return out
}

// environment is the test's own without what would configure the AWS programs
// and the examples, and with env.
func environment(env []string) []string {
	own := slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "AWS_") || strings.HasPrefix(v, "SLUICE_")
	})
	return append(own, env...)
}

// output collects what a process prints and lets a test wait for a text in it.
type output struct {
	mu      sync.Mutex
	text    bytes.Buffer
	changed chan struct{} // closed and replaced at every write
	ended   bool
}

func newOutput() *output { return &output{changed: make(chan struct{})} }

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	close(o.changed)
	o.changed = make(chan struct{})
	return o.text.Write(b)
}

func (o *output) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ended = true
	close(o.changed)
	o.changed = make(chan struct{})
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// await waits until the process has printed text and returns the line.
func (o *output) await(t *testing.T, text string) string {
	t.Helper()
	deadline := time.After(patience)
	for {
		o.mu.Lock()
		for line := range strings.Lines(o.text.String()) {
			if strings.Contains(line, text) {
				o.mu.Unlock()
				return strings.TrimSuffix(line, "\n")
			}
		}
		changed, ended := o.changed, o.ended
		o.mu.Unlock()
		if ended {
			require.FailNow(t, "process ended", "without printing %q:\n%s", text, o)
		}
		select {
		case <-changed:
		case <-deadline:
			require.FailNow(t, "no such output", "%q in:\n%s", text, o)
		}
	}
}

var _ io.Writer = (*output)(nil)

// freePort returns a TCP port of the loopback interface that nobody listens on. It
// is not one of those that outgoing connections get, which could take it first.
func freePort(t *testing.T) string {
	t.Helper()
	for {
		port := strconv.Itoa(10_000 + rand.IntN(20_000))
		if l, err := net.Listen("tcp", "127.0.0.1:"+port); err == nil {
			require.NoError(t, l.Close())
			return port
		}
	}
}

// awaitPort waits until somebody accepts connections at addr.
func awaitPort(t *testing.T, addr string, p *process) {
	t.Helper()
	eventually(t, "a listener at "+addr, func() bool {
		select {
		case <-p.done:
			require.FailNow(t, "process ended", "%s:\n%s", p.name, p.out)
		default:
		}
		c, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

// eventually polls for something that another process does; it runs in the
// test's own goroutine.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(deadline) {
			require.FailNow(t, "did not happen", "%s", what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
