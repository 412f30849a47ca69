package spool_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/sink/spool"
	"github.com/stretchr/testify/require"
)

// childDir makes the test program a process to be killed: it names the
// directory to append to.
const childDir = "SPOOL_TEST_CHILD_DIR"

func textLog(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }

func killed(dir string) spool.Config {
	return spool.Config{Dir: dir, MaxBytes: 16 << 20, MemoryBytes: 50_000, Logger: quiet()}
}

// appendForever appends and tells, after each batch, how far it has come; it
// also reads and settles the even batches, and tells that before it settles. It
// ends by being killed.
func appendForever(dir string) {
	cfg := killed(dir)
	if os.Getenv(childDir+"_VOLATILE") != "" {
		cfg.Mode = spool.Volatile
	}
	buf, err := spool.Open(cfg)
	if err != nil {
		panic(err)
	}
	from, _ := strconv.Atoi(os.Getenv(childDir + "_FROM"))
	sink, source := buf.Sink(), buf.Source()
	go func() {
		msgs := make([]bridge.Message, 10)
		for {
			n, err := source.Read(context.Background(), msgs)
			if err != nil {
				panic(err)
			}
			for i := range msgs[:n] {
				text, _, _ := strings.Cut(string(msgs[i].Payload), " ")
				number, _ := strconv.Atoi(text)
				if number/50%2 == 0 {
					fmt.Fprintf(os.Stdout, "settling %d\n", number)
					msgs[i].Delivery.Done(bridge.Stored, nil)
				}
			}
		}
	}()
	for i := from; ; i += 50 {
		if err := sink.Write(context.Background(), records(i, i+50)); err != nil {
			panic(err)
		}
		fmt.Fprintf(os.Stdout, "appended %d\n", i+50)
	}
}

// TestKill kills a process that appends, again and again, and checks that all
// that it had appended and not settled is there, in order.
func TestKill(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	settling := make(map[int]bool)
	appended := 0
	for round := range 4 {
		appended = killChild(t, dir, appended, 400*(round+1), settling)
		buf := open(t, killed(dir))
		last := -1
		there := make(map[int]bool)
		for _, m := range takeAll(t, buf.Source()) {
			n := number(t, &m)
			if there[n] {
				continue // killed before it could tell, the child before appended it as well
			}
			require.GreaterOrEqual(t, n, last, "order")
			last = n
			there[n] = true
		}
		for n := range appended {
			require.True(t, there[n] || settling[n], "round %d: record %d of %d is lost", round, n, appended)
		}
		s := buf.Stats()
		require.Zero(t, s.DamagedFiles+s.DamagedRecords)
		require.NoError(t, buf.Close())
	}
}

// TestKillVolatile kills a process whose buffer is in memory first. No more than
// fits there is lost.
func TestKillVolatile(t *testing.T) {
	t.Setenv(childDir+"_VOLATILE", "1")
	dir := t.TempDir()
	settling := make(map[int]bool)
	appended, lost := 0, make(map[int]bool)
	for round := range 3 {
		appended = killChild(t, dir, appended, 2000, settling)
		cfg := killed(dir)
		cfg.Mode = spool.Volatile
		buf := open(t, cfg)
		last, there := -1, make(map[int]bool)
		for _, m := range takeAll(t, buf.Source()) {
			n := number(t, &m)
			require.True(t, n > last || there[n], "order")
			last = max(last, n)
			there[n] = true
		}
		bytes := 0
		for n := range appended {
			if !there[n] && !settling[n] && !lost[n] {
				lost[n] = true
				bytes += len(records(n, n+1).Records[0].Data)
			}
		}
		require.Less(t, bytes, int(cfg.MemoryBytes), "round %d", round)
		require.NotEmpty(t, there)
		s := buf.Stats()
		require.Zero(t, s.DamagedFiles+s.DamagedRecords)
		require.NoError(t, buf.Close())
	}
	require.NotEmpty(t, lost, "something was in memory")
}

// killChild lets a process append n records or more and returns how many it said
// there were.
func killChild(t *testing.T, dir string, from, n int, settling map[int]bool) int {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), childDir+"="+dir, childDir+"_FROM="+strconv.Itoa(from))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	killed := false
	appended := from
	for lines := bufio.NewScanner(out); lines.Scan(); {
		word, text, _ := strings.Cut(lines.Text(), " ")
		number, err := strconv.Atoi(text)
		if err != nil {
			continue // cut off
		}
		if word == "settling" {
			settling[number] = true
		} else {
			appended = max(appended, number)
		}
		if appended >= from+n && !killed {
			killed = true
			require.NoError(t, cmd.Process.Signal(syscall.SIGKILL))
		}
	}
	require.Error(t, cmd.Wait())
	return appended
}
