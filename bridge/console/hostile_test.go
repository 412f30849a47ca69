package console_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge/console"
	"github.com/sluiceio/sluice/rule"
)

// askAs asks as somebody at an address, for a host.
func askAs(h http.Handler, remote, host, method, path, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(context.Background(), method, path, strings.NewReader(body))
	r.Host, r.RemoteAddr = host, remote
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

const here, there = "127.0.0.1:5000", "192.0.2.7:5000"

// A page elsewhere that makes its own name lead to the console gets nothing, also
// where everybody may do everything.
func TestNamesOfOthersAreNotAnswered(t *testing.T) {
	t.Parallel()
	c := newConsole(t, console.Config{Hosts: []string{"console.example"}, Authorize: func(*http.Request) error { return nil }})
	for _, host := range []string{"evil.example", "evil.example:8080", "localhost.evil.example", "127.0.0.1.evil.example", "", "console.example.evil"} {
		for _, path := range []string{"GET /", "GET /app.js", "GET /api/snapshot", "GET /api/stream", "PUT /api/rules/all/enabled", "POST /api/test"} {
			method, path, _ := strings.Cut(path, " ")
			require.Equal(t, http.StatusMisdirectedRequest, askAs(c, here, host, method, path, `{}`).Code, "%s %s", host, path)
		}
	}
	for _, host := range []string{"localhost", "localhost:8080", "LOCALHOST.", "a.localhost:80", "127.0.0.1:8080", "10.0.0.1", "[::1]:8080", "::1", "console.example", "Console.Example:443"} {
		require.Equal(t, http.StatusOK, askAs(c, there, host, "GET", "/", "").Code, host)
	}
	anyone := newConsole(t, console.Config{Hosts: []string{"*"}})
	require.Equal(t, http.StatusOK, askAs(anyone, there, "evil.example", "GET", "/", "").Code)
}

func TestStatementsAreForThoseWhoAreKnown(t *testing.T) {
	t.Parallel()
	const body = `{"sql":"SELECT 1 AS x FROM \"#\"","payload":""}`
	c := newConsole(t, console.Config{Hosts: []string{"console.example"}})
	for _, r := range []struct {
		remote, host string
		header       []string
		code         int
	}{
		{here, "localhost", nil, http.StatusOK},
		{"[::1]:5", "[::1]:8080", nil, http.StatusOK},
		{"[::ffff:127.0.0.1]:5", "127.0.0.1:8080", nil, http.StatusOK},
		{here, "console.example", nil, http.StatusForbidden},
		{here, "10.0.0.1", nil, http.StatusForbidden},
		{there, "localhost", nil, http.StatusForbidden},
		{there, "10.0.0.1", nil, http.StatusForbidden},
		{here, "localhost", []string{"X-Forwarded-For", "192.0.2.1"}, http.StatusForbidden},
		{here, "localhost", []string{"Forwarded", "for=192.0.2.1"}, http.StatusForbidden},
		{here, "localhost", []string{"Sec-Fetch-Site", "cross-site"}, http.StatusForbidden},
	} {
		require.Equal(t, r.code, askAs(c, r.remote, r.host, "POST", "/api/test", body, r.header...).Code, "%v", r)
	}
	c = newConsole(t, console.Config{Authorize: func(r *http.Request) error {
		if r.Header.Get("Authorization") != "Bearer x" {
			return http.ErrNoCookie
		}
		return nil
	}})
	require.Equal(t, http.StatusForbidden, askAs(c, there, "10.0.0.1", "POST", "/api/test", body).Code)
	require.Equal(t, http.StatusOK, askAs(c, there, "10.0.0.1", "POST", "/api/test", body, "Authorization", "Bearer x").Code)
}

func TestStatementsLearnNothingOfTheProcess(t *testing.T) {
	t.Setenv("EMQXVAR_SECRET", "s3cret")
	engine, err := rule.NewEngine(rule.EngineConfig{Getenv: func(string) string { return "s3cret" }})
	require.NoError(t, err)
	_, err = rule.Test(rule.TestInput{SQL: `SELECT kv_store_put('k', 's3cret') FROM "#"`, Engine: engine})
	require.NoError(t, err)
	for _, cfg := range []console.Config{{}, {Engine: engine}} {
		w := ask(newConsole(t, cfg), "POST", "/api/test", `{"sql":"SELECT getenv('SECRET') AS e, kv_store_get('k', 'no') AS k FROM \"#\"","payload":""}`)
		require.Contains(t, w.Body.String(), `{\"e\":\"\",\"k\":\"no\"}`)
	}
}

// A statement without end keeps one place of two, and is not waited for.
func TestStatementsThatDoNotEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		end := make(chan struct{})
		engine, err := rule.NewEngine(rule.EngineConfig{Functions: []rule.Function{{
			Name: "endless", Call: func(*rule.Call, []any) (any, error) { <-end; return 1, nil },
		}}})
		require.NoError(t, err)
		c := newConsole(t, console.Config{Engine: engine})
		const endless = `{"sql":"SELECT endless() AS x FROM \"#\"","payload":""}`
		begin := time.Now()
		for range 2 {
			w := ask(c, "POST", "/api/test", endless)
			require.Equal(t, http.StatusServiceUnavailable, w.Code)
			require.Contains(t, w.Body.String(), "takes longer than 5s")
		}
		w := ask(c, "POST", "/api/test", `{"sql":"SELECT 1 AS x FROM \"#\"","payload":""}`)
		require.Equal(t, http.StatusServiceUnavailable, w.Code)
		require.Contains(t, w.Body.String(), "do not end")
		require.Equal(t, 15*time.Second, time.Since(begin))
		close(end)
		synctest.Wait()
		require.Equal(t, http.StatusOK, ask(c, "POST", "/api/test", endless).Code)
	})
}

func TestStatementsAreBoundedInSize(t *testing.T) {
	t.Parallel()
	c := newConsole(t, console.Config{})
	w := ask(c, "POST", "/api/test", `{"sql":"SELECT 1 AS x FROM \"#\"","payload":"`+strings.Repeat("x", 1<<20)+`"}`)
	require.Equal(t, http.StatusBadRequest, w.Code)
	w = ask(c, "POST", "/api/test", `{"sql":"FOREACH payload FROM \"#\"","payload":"[`+strings.Repeat("1,", 50_000)+`1]"}`)
	require.Equal(t, http.StatusOK, w.Code)
	require.Contains(t, w.Body.String(), "there are more rows than are shown")
	require.Less(t, w.Body.Len(), 4<<20)
}

// Viewers beyond the limit are told so.
func TestViewersAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newConsole(t, console.Config{})
		ctx, cancel := context.WithCancel(t.Context())
		view := func() *httptest.ResponseRecorder {
			r := httptest.NewRequestWithContext(ctx, "GET", "http://localhost/api/stream", http.NoBody)
			w := httptest.NewRecorder()
			c.ServeHTTP(w, r)
			return w
		}
		for range 64 {
			go view()
		}
		synctest.Wait()
		w := view()
		require.Equal(t, http.StatusServiceUnavailable, w.Code)
		require.Equal(t, "10", w.Header().Get("Retry-After"))
		cancel()
		synctest.Wait()
		c.Close()
		synctest.Wait()
	})
}
