//go:build linux

package hostile_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// atDaemon attacks the address at which the program tells its status, and answers
// with what that has cost it, if it is too much.
func atDaemon(attack func(addr string)) func() func() string {
	return func() func() string {
		dir, err := os.MkdirTemp("", "hostile")
		must(err)
		program := filepath.Join(dir, "mqtt2kinesis")
		build := exec.Command("go", "build", "-o", program, "github.com/sluiceio/sluice/examples/mqtt2kinesis")
		if out, err := build.CombinedOutput(); err != nil {
			panic(string(out))
		}
		file := filepath.Join(dir, "definition.yaml")
		must(os.WriteFile(file, []byte(`
sources: {b: {type: broker, listeners: ["mqtt://127.0.0.1:0"]}}
sinks: {f: {type: file, path: `+filepath.Join(dir, "out")+`}}
rules: {r: {sql: 'SELECT * FROM "t/#"', actions: [{sink: f}]}}
`), 0o600))
		l, err := net.Listen("tcp", "127.0.0.1:0")
		must(err)
		addr := l.Addr().String()
		must(l.Close())
		daemon := exec.Command(program, "run", "-config", file, "-listen", addr)
		daemon.Stderr = os.Stderr
		daemon.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		must(daemon.Start())
		for range 500 {
			if lives(addr) == nil {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
		pid := daemon.Process.Pid
		return func() string {
			defer os.RemoveAll(dir)
			idle, start := statusOf(pid, "VmRSS"), time.Now()
			attack(addr)
			if err := lives(addr); err != nil {
				return "the next request fails: " + err.Error()
			}
			if grown := (statusOf(pid, "VmHWM") - idle) >> 20; grown > 100 {
				return fmt.Sprintf("the daemon takes %d MiB more", grown)
			}
			must(daemon.Process.Signal(syscall.SIGTERM))
			state, err := daemon.Process.Wait()
			must(err)
			if used := state.UserTime() + state.SystemTime(); used > 3*time.Second {
				return fmt.Sprintf("the daemon takes %v of %v", used, time.Since(start))
			}
			return ok
		}
	}
}

// lives asks whether the program lives.
func lives(addr string) error {
	client := &http.Client{Timeout: patience / 2, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + addr + "/livez")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %s", resp.Status)
	}
	return nil
}

// daemonRows are attacks on the address of -listen.
func daemonRows() []row {
	d := func(name string, attack func(addr string)) row {
		return row{boundary: httpAPI, name: "daemon: " + name, answer: ok, prepare: atDaemon(attack)}
	}
	// each sends a text on n connections and then goes.
	each := func(n int, text string) func(addr string) {
		return func(addr string) {
			var open []net.Conn
			for range n {
				nc, err := net.DialTimeout("tcp", addr, time.Second)
				if err != nil {
					break
				}
				_ = nc.SetDeadline(time.Now().Add(time.Second))
				_, _ = io.WriteString(nc, text)
				open = append(open, nc)
			}
			for _, nc := range open {
				_ = nc.Close()
			}
		}
	}
	return []row{
		d("3,000 connections that stay", each(3000, "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")),
		d("1,000 headers without end", each(1000, "GET / HTTP/1.1\r\n"+strings.Repeat("X: "+strings.Repeat("x", 1000)+"\r\n", 64))),
		d("1,000 streams", each(1000, "GET /console/api/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")),
		d("500 bodies that do not come", each(500, "POST /console/api/test HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n{")),
		d("300 times all figures, unread", each(300, strings.Repeat("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", 10))),
		d("names of others", each(100, "GET /console/ HTTP/1.1\r\nHost: evil.example\r\n\r\n")),
	}
}
