//go:build linux

package hostile_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var all = flag.Bool("all", false, "run all rows, not only those of the short form")

// row is an input and what it may cost.
type row struct {
	boundary, name string
	// short rows run in the short form, too.
	short bool
	// prepare makes the input and returns what processes it. That returns what a
	// user would see of it: "ok", or an error's text.
	prepare func() (process func() string)
	// answer is a regular expression that the whole answer has to match.
	answer string
	// cpu and memory are the bounds, by default one second and 200 MiB.
	cpu    time.Duration
	memory int
}

// result is what a row has cost.
type result struct {
	CPU    time.Duration
	Memory int
	Answer string
}

const (
	childVar = "SLUICE_HOSTILE_ROW"
	// addressSpace is how much more of it a child may map than it has when its
	// input is ready.
	addressSpace int64 = 2 << 30
	marker             = "hostile result: "
	// patience is when a child that does not end is killed.
	patience = 30 * time.Second
)

func TestMain(m *testing.M) {
	if i, err := strconv.Atoi(os.Getenv(childVar)); err == nil {
		child(&table()[i])
		return
	}
	os.Exit(m.Run())
}

func TestHostileInput(t *testing.T) {
	for i, r := range table() {
		if !r.short && !*all {
			continue
		}
		t.Run(r.boundary+"/"+r.name, func(t *testing.T) { r.check(t, i) })
	}
}

// check runs a row in a child and compares what it cost with its bounds.
func (r *row) check(t *testing.T, i int) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), childVar+"="+strconv.Itoa(i), "GOMEMLIMIT=off")
	out, err := cmd.CombinedOutput()
	text := string(out)
	require.NoError(t, err, "the process died: %s", text[:min(len(text), 2000)])
	_, text, ok := strings.Cut(text, marker)
	require.True(t, ok, text)
	var got result
	require.NoError(t, json.Unmarshal([]byte(text), &got))
	t.Logf("%v, %d MiB: %s", got.CPU, got.Memory>>20, got.Answer)
	cpu, memory := r.cpu, r.memory // zero for the defaults
	if cpu == 0 {
		cpu = time.Second
	}
	if memory == 0 {
		memory = 200 << 20
	}
	if raceEnabled {
		cpu, memory = 20*cpu, 10*memory
	}
	require.LessOrEqual(t, got.CPU, cpu, "time on the processor")
	require.LessOrEqual(t, got.Memory>>20, memory>>20, "MiB")
	require.Regexp(t, `(?s)\A(?:`+r.answer+`)\z`, got.Answer)
	require.LessOrEqual(t, len(got.Answer), 1000, "the answer shows the input")
}

// child processes the input of a row and prints what that cost.
func child(r *row) {
	process := r.prepare()
	debug.FreeOSMemory()
	if !raceEnabled {
		limit := uint64(int64(status("VmSize")) + addressSpace)
		if err := syscall.Setrlimit(syscall.RLIMIT_AS, &syscall.Rlimit{Cur: limit, Max: limit}); err != nil {
			panic(err)
		}
	}
	// This makes the present size the peak; where it is not allowed the peak
	// includes that of making the input.
	_ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0)
	idle, start := status("VmRSS"), used()
	answer := process()
	got := result{CPU: used() - start, Memory: status("VmHWM") - idle, Answer: answer}
	line, err := json.Marshal(got)
	if err != nil {
		panic(err)
	}
	fmt.Println(marker + string(line))
}

// used is the time on the processor that the process has had.
func used() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// status is a size of this process from /proc, in bytes.
func status(name string) int { return statusOf(os.Getpid(), name) }

func statusOf(pid int, name string) int {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		panic(err)
	}
	_, rest, _ := strings.Cut(string(text), name+":")
	n, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		panic(err)
	}
	return n << 10
}
