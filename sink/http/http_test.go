package http_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/bridge/bridgetest"
	sinkhttp "github.com/sluiceio/sluice/sink/http"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func ExampleNew() {
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Printf("%s %s %s\n", r.Method, r.URL.Path, body)
	}))
	defer server.Close()
	sink, err := sinkhttp.New(sinkhttp.Config{URL: server.URL + "/v1", Mode: sinkhttp.Array})
	if err != nil {
		panic(err)
	}
	defer sink.Close(context.Background())
	_ = sink.Write(context.Background(), &bridge.Batch{Records: []bridge.Record{
		{Dest: "temps", Data: []byte(`{"t":20}`)},
		{Dest: "temps", Data: []byte(`{"t":21}`)},
	}})
	// Output: POST /v1/temps [{"t":20},{"t":21}]
}

func TestConfigReportsEverything(t *testing.T) {
	t.Parallel()
	err := sinkhttp.Config{URL: "ftp://x", Mode: 9, Timeout: -1}.Validate()
	for _, field := range []string{"URL", "Mode", "Timeout"} {
		require.ErrorContains(t, err, field+":")
	}
	require.ErrorContains(t, sinkhttp.Config{URL: "http://u:secret@host"}.Validate(), "user or password")
	err = sinkhttp.Config{URL: "http://host:secret-port/"}.Validate()
	require.Error(t, err)
	require.NotContains(t, err.Error(), "secret")
}

// service stores what is posted to it.
type service struct {
	*httptest.Server
	mu     sync.Mutex
	bodies []string
	header http.Header
	answer func(w http.ResponseWriter, body string) bool // true: it has answered
}

func newService(t *testing.T) *service {
	s := new(service)
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.header = r.Header
		if s.answer != nil && s.answer(w, string(body)) {
			return
		}
		s.bodies = append(s.bodies, string(body))
	}))
	t.Cleanup(s.Close)
	return s
}

// hook sets what answers from now on.
func (s *service) hook(answer func(w http.ResponseWriter, body string) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = answer
}

func sink(t *testing.T, cfg sinkhttp.Config) *sinkhttp.Sink {
	t.Helper()
	s, err := sinkhttp.New(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close(context.Background())) })
	return s
}

func TestSuite(t *testing.T) {
	services := make(map[bridge.Sink]*service)
	bridgetest.TestSink(t, bridgetest.SinkSuite{
		New: func(t *testing.T) bridge.Sink {
			srv := newService(t)
			s, err := sinkhttp.New(sinkhttp.Config{URL: srv.URL, ContentType: "application/octet-stream"})
			require.NoError(t, err)
			services[s] = srv
			return s
		},
		Stored: func(_ *testing.T, s bridge.Sink) []bridgetest.Stored {
			srv := services[s]
			srv.mu.Lock()
			defer srv.mu.Unlock()
			var list []bridgetest.Stored
			for _, b := range srv.bodies {
				list = append(list, bridgetest.Stored{Data: b})
			}
			return list
		},
		Fail: func(_ *testing.T, s bridge.Sink, data string) {
			services[s].hook(func(w http.ResponseWriter, body string) bool {
				if body != data {
					return false
				}
				services[s].answer = nil // once
				w.WriteHeader(http.StatusServiceUnavailable)
				return true
			})
		},
		Block: func(_ *testing.T, s bridge.Sink) func() {
			ch := make(chan struct{})
			services[s].hook(func(http.ResponseWriter, string) bool { <-ch; return true })
			return func() { close(ch) }
		},
		NoKeys: true,
		Leaky:  true, // the server's connections
	})
}

func TestStatusClasses(t *testing.T) {
	t.Parallel()
	for code, mark := range map[int]error{
		200: nil, 204: nil,
		301: bridge.ErrUnavailable, 401: bridge.ErrUnavailable, 404: bridge.ErrUnavailable,
		400: bridge.ErrPermanent, 413: bridge.ErrPermanent, 422: bridge.ErrPermanent,
		408: bridge.ErrThrottled, 429: bridge.ErrThrottled,
		500: bridge.ErrAmbiguous, 502: bridge.ErrAmbiguous, 504: bridge.ErrAmbiguous,
	} {
		srv := newService(t)
		srv.answer = func(w http.ResponseWriter, _ string) bool {
			w.WriteHeader(code)
			return true
		}
		s := sink(t, sinkhttp.Config{URL: srv.URL})
		err := bridgetest.Write(t.Context(), s, &bridge.Batch{Records: []bridge.Record{{Data: []byte("1")}}})
		if mark == nil {
			require.NoError(t, err, code)
		} else {
			require.ErrorIs(t, err, mark, code)
		}
	}
}

func TestRetryAfterDelaysTheLane(t *testing.T) {
	t.Parallel()
	srv := newService(t)
	first := time.Time{}
	var gap time.Duration
	srv.answer = func(w http.ResponseWriter, _ string) bool {
		if first.IsZero() {
			first = time.Now()
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusServiceUnavailable)
			return true
		}
		gap = time.Since(first)
		return false
	}
	src := new(bridgetest.Source)
	src.Publish(bridge.Message{Topic: "t", Payload: []byte("1")})
	src.End()
	s, err := sinkhttp.New(sinkhttp.Config{URL: srv.URL})
	require.NoError(t, err)
	p, err := bridge.New(bridge.Config{
		Sources: map[string]bridge.Source{"s": src},
		Rules: map[string]bridge.Rule{"r": bridge.RuleFunc(func(out *bridge.Out, m *bridge.Message) error {
			out.Add(bridge.Record{Data: m.Payload})
			return nil
		}, "#")},
		Sinks: map[string]bridge.Sink{"http": s},
	})
	require.NoError(t, err)
	require.NoError(t, p.Run(t.Context()))
	require.GreaterOrEqual(t, gap, time.Second)
}

func TestNoConnectionIsNotAmbiguous(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.NotFoundHandler())
	srv.Close()
	err := bridgetest.Write(t.Context(), sink(t, sinkhttp.Config{URL: srv.URL + "/?token=secret"}), &bridge.Batch{Records: []bridge.Record{{}}})
	require.Error(t, err)
	require.NotErrorIs(t, err, bridge.ErrAmbiguous)
	require.NotContains(t, err.Error(), "secret")
}

func TestTimeoutIsAmbiguous(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	}))
	defer srv.Close()
	s := sink(t, sinkhttp.Config{URL: srv.URL, Timeout: 50 * time.Millisecond})
	err := bridgetest.Write(t.Context(), s, &bridge.Batch{Records: []bridge.Record{{}}})
	require.ErrorIs(t, err, bridge.ErrAmbiguous)
}

func TestArrayFindsTheRecordThatIsRefused(t *testing.T) {
	t.Parallel()
	srv := newService(t)
	srv.answer = func(w http.ResponseWriter, body string) bool {
		if strings.Contains(body, "bad") {
			w.WriteHeader(http.StatusUnprocessableEntity)
			return true
		}
		return false
	}
	var b bridge.Batch
	for i := range 20 {
		data := fmt.Appendf(nil, "%d", i)
		switch i {
		case 7:
			data = []byte(`"bad"`)
		case 11:
			data = []byte("no json")
		}
		b.Add(bridge.Record{Data: data})
	}
	require.NoError(t, sink(t, sinkhttp.Config{URL: srv.URL, Mode: sinkhttp.Array}).Write(t.Context(), &b))
	failed := bridgetest.Failed(&b)
	require.Len(t, failed, 2)
	require.ErrorIs(t, failed[7], bridge.ErrPermanent)
	require.ErrorIs(t, failed[11], bridge.ErrPermanent)
	var got []int
	for _, body := range srv.bodies {
		var list []int
		require.NoError(t, json.Unmarshal([]byte(body), &list))
		got = append(got, list...)
	}
	require.Equal(t, []int{0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 12, 13, 14, 15, 16, 17, 18, 19}, got)
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	srv := newService(t)
	s := sink(t, sinkhttp.Config{URL: srv.URL, Header: http.Header{"Authorization": {"Bearer secret"}}})
	require.NoError(t, bridgetest.Write(t.Context(), s, &bridge.Batch{Records: []bridge.Record{{
		Data: []byte("1"), Attrs: []bridge.Attr{{Name: "header:X-Device", Value: []byte("d1")}, {Name: "other"}},
	}}}))
	require.Equal(t, "d1", srv.header.Get("X-Device"))
	require.Equal(t, "Bearer secret", srv.header.Get("Authorization"))
	require.Equal(t, "application/json", srv.header.Get("Content-Type"))
}
