package http_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/bridge/bridgetest"
	sinkhttp "github.com/sluiceio/sluice/sink/http"
)

// run sends records through a pipeline and returns the statistics of its sink
// when all messages are settled.
func run(t *testing.T, cfg sinkhttp.Config, records ...bridge.Record) bridge.SinkStats {
	t.Helper()
	src := new(bridgetest.Source)
	for i := range records {
		src.Publish(bridge.Message{Topic: fmt.Sprint(i)})
	}
	src.End()
	var log strings.Builder
	p, err := bridge.New(bridge.Config{
		Sources: map[string]bridge.Source{"s": src},
		Rules: map[string]bridge.Rule{"r": bridge.RuleFunc(func(out *bridge.Out, m *bridge.Message) error {
			var i int
			_, err := fmt.Sscan(m.Topic, &i)
			out.Add(records[i])
			return err
		}, "#")},
		Sinks:  map[string]bridge.Sink{"http": sinkOf(t, cfg)},
		Logger: slog.New(slog.NewTextHandler(&log, nil)),
	})
	require.NoError(t, err)
	require.NoError(t, p.Run(t.Context()))
	require.NotContains(t, log.String(), "disconnected", "the sink was stopped")
	require.NotContains(t, log.String(), "inconsistent", "the sink was stopped in part")
	return p.Stats().Sinks["http"]
}

// sinkOf is a sink that the pipeline closes.
func sinkOf(t *testing.T, cfg sinkhttp.Config) *sinkhttp.Sink {
	t.Helper()
	s, err := sinkhttp.New(cfg)
	require.NoError(t, err)
	return s
}

func TestHeaderThatCannotBeSentFailsItsRecordOnly(t *testing.T) {
	t.Parallel()
	srv := newService(t)
	header := func(name, value string) []bridge.Attr {
		return []bridge.Attr{{Name: sinkhttp.HeaderPrefix + name, Value: []byte(value)}}
	}
	stats := run(t, sinkhttp.Config{URL: srv.URL},
		bridge.Record{Data: []byte("a"), Attrs: header("X-Device", "x\r\nX-Admin: 1")},
		bridge.Record{Data: []byte("b"), Attrs: header("X-Device", "x\ny")},
		bridge.Record{Data: []byte("c"), Attrs: header("X-Device", "x\x00")},
		bridge.Record{Data: []byte("d"), Attrs: header("X Device", "x")},
		bridge.Record{Data: []byte("e"), Attrs: header("", "x")},
		bridge.Record{Data: []byte("f"), Attrs: header("X-Device\r\nX-Admin: 1", "x")},
		bridge.Record{Data: []byte("g"), Attrs: header("X-Device", strings.Repeat("x", sinkhttp.MaxHeaders))},
		bridge.Record{Data: []byte("h"), Attrs: header("X-Device", "naïve")},
		bridge.Record{Data: []byte("i")},
	)
	require.EqualValues(t, 7, stats.Ended[bridge.Refused])
	require.ElementsMatch(t, []string{"h", "i"}, srv.bodies)
}

// refuses answers what a device has asked for in vain with a status.
func refuses(t *testing.T, status int, bad func(r *http.Request, body string) bool) (string, *[]string) {
	var mu sync.Mutex
	var taken []string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		if bad(r, string(body)) {
			w.WriteHeader(status)
			return
		}
		taken = append(taken, string(body))
	}))
	t.Cleanup(srv.Close)
	return srv.URL, &taken
}

func TestRefusalThatADeviceHasCausedFailsItsRecordOnly(t *testing.T) {
	t.Parallel()
	for _, status := range []int{307, 400, 401, 403, 404, 405, 410, 413, 414, 422, 431, 451} {
		for _, mode := range []sinkhttp.Mode{sinkhttp.One, sinkhttp.Array} {
			for _, first := range []bool{true, false} {
				t.Run(fmt.Sprintf("%d mode %d first %v", status, mode, first), func(t *testing.T) {
					t.Parallel()
					url, taken := refuses(t, status, func(r *http.Request, _ string) bool { return strings.HasSuffix(r.URL.Path, "/nobody") })
					good := bridge.Record{Dest: "d1", Key: []byte("1"), Data: []byte("1")}
					bad := bridge.Record{Dest: "nobody", Key: []byte("2"), Data: []byte("2")}
					list := []bridge.Record{good, bad}
					if first {
						list = []bridge.Record{bad, good}
					}
					begin := time.Now()
					stats := run(t, sinkhttp.Config{URL: url, Mode: mode}, list...)
					require.Less(t, time.Since(begin), 4*time.Second, "shorter than a pause")
					require.EqualValues(t, 1, stats.Ended[bridge.Refused])
					require.Len(t, *taken, 1)
				})
			}
		}
	}
}

// A body that the service does not like, at one path and in one array with
// others.
func TestBodyThatIsForbiddenFailsItsRecordOnly(t *testing.T) {
	t.Parallel()
	for _, mode := range []sinkhttp.Mode{sinkhttp.One, sinkhttp.Array} {
		url, taken := refuses(t, http.StatusForbidden, func(_ *http.Request, body string) bool { return strings.Contains(body, "script") })
		list := []bridge.Record{{Data: []byte(`"first"`)}}
		for i := range 20 {
			list = append(list, bridge.Record{Key: fmt.Appendf(nil, "%d", i), Data: fmt.Appendf(nil, `"%d"`, i)})
		}
		list[7].Data = []byte(`"<script>"`)
		stats := run(t, sinkhttp.Config{URL: url, Mode: mode}, list...)
		require.EqualValues(t, 1, stats.Ended[bridge.Refused], mode)
		var all []string
		for _, body := range *taken {
			all = append(all, strings.Split(strings.Trim(body, "[]"), ",")...)
		}
		require.Len(t, all, 20)
	}
}

// Many devices that ask for what they may not have, and nobody else, stop nobody.
func TestFloodOfRefusalsStopsNobody(t *testing.T) {
	t.Parallel()
	for _, status := range []int{307, 401, 403, 404} {
		for _, first := range []bool{true, false} {
			t.Run(fmt.Sprintf("%d first %v", status, first), func(t *testing.T) {
				t.Parallel()
				url, taken := refuses(t, status, func(r *http.Request, _ string) bool { return strings.Contains(r.URL.Path, "nobody") })
				var list []bridge.Record
				if !first {
					list = append(list, bridge.Record{Dest: "d0", Data: []byte("1")})
				}
				for i := range 300 {
					list = append(list, bridge.Record{Dest: fmt.Sprintf("nobody%d", i), Data: []byte("1")})
				}
				list = append(list, bridge.Record{Dest: "d1", Data: []byte("1")})
				begin := time.Now()
				stats := run(t, sinkhttp.Config{URL: url}, list...)
				require.Less(t, time.Since(begin), 30*time.Second)
				require.EqualValues(t, 300, stats.Ended[bridge.Refused])
				require.Len(t, *taken, len(list)-300)
			})
		}
	}
}

// What refuses everybody is the endpoint's fault, and no record is lost by it.
func TestRefusalOfAllIsOfTheEndpoint(t *testing.T) {
	t.Parallel()
	for _, status := range []int{302, 401, 403, 404, 405} {
		for _, mode := range []sinkhttp.Mode{sinkhttp.One, sinkhttp.Array} {
			url, _ := refuses(t, status, func(*http.Request, string) bool { return true })
			s := sink(t, sinkhttp.Config{URL: url, Mode: mode})
			var err error
			for i := range 10 {
				err = bridgetest.Write(t.Context(), s, &bridge.Batch{Records: []bridge.Record{{Dest: "readings", Data: fmt.Appendf(nil, "%d", i)}}})
				require.NotErrorIs(t, err, bridge.ErrPermanent)
			}
			require.ErrorIs(t, err, bridge.ErrUnavailable, "%d", status)
		}
	}
}

// A key that is revoked, or paths that have moved, stop the sink as soon as three
// targets refuse that took records before, and from then on nothing is lost.
func TestKeyThatIsRevokedLosesNothing(t *testing.T) {
	t.Parallel()
	for _, status := range []int{302, 401, 403, 404} {
		revoked := false
		url, _ := refuses(t, status, func(*http.Request, string) bool { return revoked })
		s := sink(t, sinkhttp.Config{URL: url})
		send := func(i, attempt int) error {
			return bridgetest.Write(t.Context(), s, &bridge.Batch{Records: []bridge.Record{{Dest: fmt.Sprintf("d%d", i), Data: []byte("1"), Attempt: attempt}}})
		}
		for i := range 5 {
			require.NoError(t, send(i, 0))
		}
		revoked = true
		for attempt := range 100 {
			for i := range 5 {
				err := send(i, attempt)
				require.Error(t, err)
				require.NotErrorIs(t, err, bridge.ErrPermanent)
				if attempt > 0 {
					require.ErrorIs(t, err, bridge.ErrUnavailable)
				}
			}
			if attempt > 0 {
				require.ErrorIs(t, send(100+attempt, attempt), bridge.ErrUnavailable, "a new one")
			}
		}
		revoked = false
		require.NoError(t, send(0, 100))
	}
}

// A device cannot make its own target that was good speak for all.
func TestOneGoodTargetDoesNotSpeakForAll(t *testing.T) {
	t.Parallel()
	url, _ := refuses(t, http.StatusForbidden, func(_ *http.Request, body string) bool { return body != "1" })
	s := sink(t, sinkhttp.Config{URL: url})
	send := func(dest, body string, attempt int) error {
		return bridgetest.Write(t.Context(), s, &bridge.Batch{Records: []bridge.Record{{Dest: dest, Data: []byte(body), Attempt: attempt}}})
	}
	for i := range 5 {
		require.NoError(t, send(fmt.Sprintf("d%d", i), "1", 0))
	}
	for i := range 50 {
		require.NotErrorIs(t, send("d0", fmt.Sprintf("bad%d", i), 0), bridge.ErrUnavailable)
	}
	require.ErrorIs(t, send("d0", "bad0", 10), bridge.ErrPermanent)
}

func TestPathStaysBelowTheURL(t *testing.T) {
	t.Parallel()
	var got []string
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = append(got, r.Host+" "+r.RequestURI) }))
	t.Cleanup(srv.Close)
	host := strings.TrimPrefix(srv.URL, "http://")
	s := sink(t, sinkhttp.Config{URL: srv.URL + "/v1/in?key=k"})
	for dest, want := range map[string]string{
		"":                        "/v1/in?key=k",
		"d1/temp":                 "/v1/in/d1/temp?key=k",
		"/d1":                     "/v1/in/d1?key=k",
		"//evil.example/x":        "/v1/in/evil.example/x?key=k",
		"http://evil.example/x":   "/v1/in/http:/evil.example/x?key=k",
		"d1?admin=1":              "/v1/in/d1%3Fadmin=1?key=k",
		"d1#x":                    "/v1/in/d1%23x?key=k",
		"d1;a=b":                  "/v1/in/d1%3Ba=b?key=k",
		"a b":                     "/v1/in/a%20b?key=k",
		"ä":                       "/v1/in/%C3%A4?key=k",
		"a%2Fb":                   "/v1/in/a%252Fb?key=k",
		"@evil.example":           "/v1/in/@evil.example?key=k",
		"...":                     "/v1/in/...?key=k",
		"..":                      "",
		".":                       "",
		"../../../admin/delete":   "",
		"a/../../x":               "",
		"a/..":                    "",
		"%2e%2e/admin":            "",
		"%252e%252E/admin":        "",
		"%25252e%25252e/admin":    "",
		`..\..\admin`:             "",
		`a/..\admin`:              "",
		"..%2fadmin":              "",
		"..%5cadmin":              "",
		"..;/admin":               "",
		"a\r\nHost: evil":         "",
		"a\x00b":                  "",
		"a\xff":                   "",
		strings.Repeat("a/", 5e3): "",
	} {
		got = nil
		err := bridgetest.Write(t.Context(), s, &bridge.Batch{Records: []bridge.Record{{Dest: dest, Data: []byte("1")}}})
		if want == "" {
			require.ErrorIs(t, err, bridge.ErrPermanent, dest)
			require.Empty(t, got, dest)
			continue
		}
		require.NoError(t, err, dest)
		require.Equal(t, []string{host + " " + want}, got, dest)
	}
}

// No text that a device sends leads elsewhere.
func TestNoPathLeavesTheURL(t *testing.T) {
	t.Parallel()
	var path string
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { path = r.URL.EscapedPath() + "?" + r.URL.RawQuery }))
	t.Cleanup(srv.Close)
	s := sink(t, sinkhttp.Config{URL: srv.URL + "/v1/in"})
	rapid.Check(t, func(t *rapid.T) {
		path = ""
		dest := strings.Join(rapid.SliceOf(rapid.SampledFrom([]string{"a", ".", "..", "/", "%2e", "%2f", "%5c", "\\", ";", "?", "#", ":", "@", "//", " ", "%", "%25", "é"})).Draw(t, "dest"), "")
		err := bridgetest.Write(t.Context(), s, &bridge.Batch{Records: []bridge.Record{{Dest: dest, Data: []byte("1")}}})
		if err != nil {
			require.ErrorIs(t, err, bridge.ErrPermanent)
			require.Empty(t, path)
			return
		}
		require.Regexp(t, `^/v1/in(/.*)?\?$`, path)
		require.NotRegexp(t, `(^|/|\\|%2[fF]|%5[cC])\.{1,2}($|/|\\|\?|;)`, path)
	})
}

func TestRedirectsCarryNoCredentialsElsewhere(t *testing.T) {
	t.Parallel()
	asked := make(chan http.Header, 8)
	thief := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked <- r.Header }))
	t.Cleanup(thief.Close)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, thief.URL, http.StatusTemporaryRedirect)
	}))
	t.Cleanup(srv.Close)
	follow := func(*http.Request, []*http.Request) error { return nil }
	for _, client := range []*http.Client{nil, {Transport: srv.Client().Transport}, {Transport: srv.Client().Transport, CheckRedirect: follow}} {
		s := sink(t, sinkhttp.Config{URL: srv.URL, Client: client, Header: http.Header{"X-Api-Key": {"secret"}}})
		require.ErrorIs(t, bridgetest.Write(t.Context(), s, &bridge.Batch{Records: []bridge.Record{{Data: []byte("1")}}}), bridge.ErrUnavailable)
		thief.Client().CloseIdleConnections()
	}
	require.Empty(t, asked)
}

// A service that repeats the request in its answer gives nothing away.
func TestAnswersShowNoSecret(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, "\x1b[2Jno %s with %s", r.RequestURI, r.Header.Get("Authorization"))
	}))
	t.Cleanup(srv.Close)
	s := sink(t, sinkhttp.Config{URL: srv.URL + "/?token=tok3n%20n", Header: http.Header{"Authorization": {"Bearer k3y"}}})
	err := bridgetest.Write(context.Background(), s, &bridge.Batch{Records: []bridge.Record{{Data: []byte("1")}}})
	require.ErrorContains(t, err, "400 Bad Request")
	for _, secret := range []string{"tok3n", "k3y", "\x1b"} {
		require.NotContains(t, err.Error(), secret)
	}
}

// A service cannot stop a lane for longer than five minutes.
func TestRetryAfterIsBounded(t *testing.T) {
	t.Parallel()
	for _, after := range []string{"9999999", "99999999999999999999", "Fri, 31 Dec 9999 23:59:59 GMT", "-5", "soon"} {
		require.LessOrEqual(t, sinkhttp.RetryAfter(after), 5*time.Minute, after)
		require.GreaterOrEqual(t, sinkhttp.RetryAfter(after), time.Duration(0), after)
	}
	require.Equal(t, 5*time.Minute, sinkhttp.RetryAfter("9999999"))
}
