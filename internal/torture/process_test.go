package torture

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
)

// patience is how long anything may take that has nothing in its way, on a
// machine that is slow and busy.
const patience = 3 * time.Minute

// process is a running child.
type process struct {
	t     *testing.T
	cmd   *exec.Cmd
	in    io.WriteCloser
	up    chan struct{} // closed at the first report
	done  chan struct{}
	reply chan report

	mu      sync.Mutex
	latest  report
	reports int
	jumped  bool // its clock was hours away from ours
	peak    int  // of its memory
}

// memoryLimit is what a child may use: the queues' bound of twice 16 MiB, the
// window, the mapped files of the buffer, the runtime, and the test binary
// itself. It is twice of what they come to.
const memoryLimit = 250 << 20

func startProcess(t *testing.T, binary string, env []string, s settings) *process {
	text, err := json.Marshal(s)
	require.NoError(t, err)
	p := &process{
		t: t, cmd: exec.Command(binary), up: make(chan struct{}), done: make(chan struct{}), reply: make(chan report, 1),
	}
	p.cmd.Env = append(append(os.Environ(), env...), childEnv+"="+string(text))
	p.cmd.Stderr = os.Stderr
	out, err := p.cmd.StdoutPipe()
	require.NoError(t, err)
	p.in, err = p.cmd.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	t.Cleanup(p.end)
	go func() {
		defer close(p.done)
		lines := bufio.NewScanner(out)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			var r report
			if err := json.Unmarshal(lines.Bytes(), &r); err == nil {
				p.note(r)
			} else if json.Valid(lines.Bytes()) { // else it is the cut last line of one that was killed
				p.t.Errorf("report: %v", err)
			}
		}
	}()
	return p
}

// note keeps a report, and looks at what must hold at any time.
func (p *process) note(r report) {
	p.mu.Lock()
	if p.reports++; p.reports == 1 {
		close(p.up)
	}
	p.latest = r
	p.peak = max(p.peak, r.RSS)
	if away := time.Since(r.Wall.Round(0)).Abs(); away > 30*time.Minute {
		p.jumped = true
	}
	p.mu.Unlock()
	if r.Reply > 0 {
		p.reply <- r
	}
	for name, s := range r.Stats.Sinks {
		sum := uint64(s.Queue.Inflight) + uint64(s.Queue.Waiting)
		for _, n := range s.Ended {
			sum += n
		}
		if sum != s.Matched {
			p.t.Errorf("sink %s: matched %d, but the sum is %d: %+v", name, s.Matched, sum, s)
		}
		if s.Ended[bridge.Refused] > 0 {
			p.t.Errorf("sink %s: %d records were refused and did not become dead letters", name, s.Ended[bridge.Refused])
		}
		if s.Ended[bridge.Expired] > 0 {
			p.t.Errorf("sink %s: %d records expired", name, s.Ended[bridge.Expired])
		}
	}
	if r.Twice > 0 {
		p.t.Errorf("%d messages were settled twice", r.Twice)
	}
	if r.RSS > memoryLimit {
		p.t.Errorf("the bridge uses %d MiB", r.RSS>>20)
	}
	if r.Final && r.Error == "" {
		p.checkEnd(r)
	}
}

// checkEnd looks at what must hold after a drain that came to its end.
func (p *process) checkEnd(r report) {
	if r.Open > 0 {
		p.t.Errorf("%d messages were not settled", r.Open)
	}
	for name, s := range r.Stats.Rules {
		if s.Matched != s.Passed+s.Exception+s.NoResult {
			p.t.Errorf("rule %s: matched %d, passed %d, exceptions %d, no result %d", name, s.Matched, s.Passed, s.Exception, s.NoResult)
		}
		if s.Actions != s.ActionsSuccess+s.ActionsFailed+s.ActionsDiscarded {
			p.t.Errorf("rule %s: %d records, but %d stored, %d failed, %d discarded", name, s.Actions, s.ActionsSuccess, s.ActionsFailed, s.ActionsDiscarded)
		}
	}
}

func (p *process) last() report {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.latest
}

// idle reports whether everything that the bridge took has been stored.
func (p *process) idle() bool {
	r := p.last()
	for _, s := range r.Stats.Sinks {
		if s.Queue.Inflight+s.Queue.Waiting > 0 {
			return false
		}
	}
	return r.Stats.Sinks != nil && r.Buffer.Pending == 0
}

// awaitUp returns when the bridge has reported, and fails if it ended instead.
func (p *process) awaitUp() {
	select {
	case <-p.up:
	case <-p.done:
	}
	p.alive()
}

// alive fails if the bridge has ended by itself.
func (p *process) alive() {
	select {
	case <-p.done:
		require.Fail(p.t, "the bridge died", "%v", p.cmd.Wait())
	default:
	}
}

// do sends a command and returns when it was carried out.
func (p *process) do(c command) {
	p.awaitUp()
	require.NoError(p.t, json.NewEncoder(p.in).Encode(c))
	select {
	case r := <-p.reply:
		require.Equal(p.t, c.ID, r.Reply)
		require.Empty(p.t, r.Error, "%+v", c)
	case <-p.done:
		p.alive()
	case <-time.After(patience):
		require.Fail(p.t, "the bridge does not obey", "%+v", c)
	}
}

// kill is kill -9.
func (p *process) kill() {
	p.alive()
	p.end()
}

func (p *process) end() {
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Errorf("kill: %v", err)
	}
	p.wait()
}

func (p *process) stop() report {
	p.awaitUp() // before, the signal would just kill it
	require.NoError(p.t, p.cmd.Process.Signal(syscall.SIGTERM))
	p.wait()
	return p.last()
}

func (p *process) wait() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	select {
	case <-p.done:
	case <-ctx.Done():
		p.t.Error("the bridge does not end")
		_ = p.cmd.Process.Kill()
		<-p.done
	}
	_ = p.cmd.Wait() // killed or ended; the reports tell
}
