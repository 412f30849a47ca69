package main

import (
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A bridge does not tell other machines what it does unless it is told to.
func TestListenBeyondThisMachineIsRefused(t *testing.T) {
	t.Parallel()
	for _, addr := range []string{":0", "0.0.0.0:0", "[::]:0", "192.0.2.1:8080", "bridge.example:8080"} {
		require.ErrorContains(t, (&listening{addr: addr}).check(), "other machines", addr)
		for _, args := range [][]string{{"run", "-config", "none", "-listen", addr}, {"-sql", "SELECT 1 FROM \"#\"", "-stream", "s", "-listen", addr}} {
			code, _, stderr := execute(t, args...)
			require.Equal(t, 2, code)
			require.Contains(t, stderr, "-expose probes")
		}
		require.NoError(t, (&listening{addr: addr, expose: exposeProbes}).check())
		require.NoError(t, (&listening{addr: addr, expose: exposeAll}).check())
	}
	for _, addr := range []string{"", "127.0.0.1:0", "127.1.2.3:0", "[::1]:0", "localhost:0"} {
		require.NoError(t, (&listening{addr: addr}).check(), addr)
	}
	require.ErrorContains(t, (&listening{expose: "yes"}).check(), `"yes" is not probes or all`)
}

// The container files say in so many words what they show.
func TestContainerFilesSayWhatTheyExpose(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("deploy/*")
	require.NoError(t, err)
	found := 0
	listens := regexp.MustCompile(`-listen"?,? "?([^" \],]*)(.*)`)
	for _, f := range files {
		text, err := os.ReadFile(f)
		require.NoError(t, err)
		for _, m := range listens.FindAllStringSubmatch(string(text), -1) {
			if strings.Contains(m[2], "-expose") {
				found++
				continue
			}
			require.NoError(t, (&listening{addr: m[1]}).check(), "%s: %s", f, m[0])
		}
	}
	require.Equal(t, 3, found)
}

func TestOtherMachinesGetWhatIsExposed(t *testing.T) {
	t.Parallel()
	const here, there = "127.0.0.1:5", "192.0.2.9:5"
	all := []string{"/stats", "/trace", "/console/", "/console/api/snapshot", "/console/api/test", "//stats", "/livez/../stats", "/other"}
	probes := []string{"/livez", "/readyz", "/metrics"}
	for _, c := range []struct {
		to           listening
		remote, host string
		refused      bool
	}{
		{listening{expose: exposeProbes}, there, "192.0.2.1:8080", true},
		{listening{expose: exposeProbes}, here, "localhost:8080", false},
		{listening{expose: exposeProbes}, here, "127.0.0.1:8080", false},
		{listening{expose: exposeProbes}, here, "evil.example:8080", true},
		{listening{}, here, "evil.example", true},
		{listening{}, here, "localhost.evil.example", true},
		{listening{}, here, "localhost", false},
		{listening{expose: exposeAll}, there, "192.0.2.1:8080", false},
		{listening{expose: exposeAll}, there, "evil.example", true},
		{listening{expose: exposeAll, hosts: "bridge.example, b"}, there, "Bridge.Example:8080", false},
	} {
		ask := func(path string) int {
			r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
			r.URL.Path, r.Host, r.RemoteAddr = path, c.host, c.remote
			w := httptest.NewRecorder()
			c.to.guard(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })).ServeHTTP(w, r)
			return w.Code
		}
		for _, path := range probes {
			require.Equal(t, http.StatusOK, ask(path), path)
		}
		for _, path := range all {
			require.Equal(t, c.refused, ask(path) == http.StatusForbidden, "%v: %s", c, path)
		}
	}
}

// Connections beyond the limit wait, and those that ask for nothing are ended.
func TestConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	s, err := serve(listening{addr: "127.0.0.1:0"}, false, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(s.close)
	require.Positive(t, s.server.IdleTimeout)
	require.Positive(t, s.server.ReadHeaderTimeout)
	conns := make([]net.Conn, maxConns)
	for i := range conns {
		conns[i], err = net.Dial("tcp", s.addr)
		require.NoError(t, err)
		t.Cleanup(func() { _ = conns[i].Close() })
	}
	answered := make(chan error, 1)
	go func() {
		resp, err := http.Get("http://" + s.addr + "/livez")
		if err == nil {
			err = resp.Body.Close()
		}
		answered <- err
	}()
	select {
	case err := <-answered:
		require.Fail(t, "a connection beyond the limit was answered", err)
	default:
	}
	require.NoError(t, conns[0].Close())
	require.NoError(t, <-answered)
	http.DefaultClient.CloseIdleConnections()
}
