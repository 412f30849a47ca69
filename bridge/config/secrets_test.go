package config

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/sluiceio/sluice/bridge"
)

// logged is a log that tells when there is something in it.
type logged struct {
	mu    sync.Mutex
	text  bytes.Buffer
	first chan struct{}
	once  sync.Once
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.once.Do(func() { close(l.first) })
	return l.text.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// Wherever a token is put into an option that is a URL, no error, log line or
// statistic shows it, whether the URL is refused or used in vain.
func TestNoTokenOfAURLIsShown(t *testing.T) {
	// It repeats what it was asked, as some services do.
	echo := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprintf(w, "you asked %s", r.RequestURI)
	}))
	t.Cleanup(echo.Close)
	alive := strings.TrimPrefix(echo.URL, "http://")
	options := map[string]string{
		"servers":   "sources: {s: {type: mqtt, client_id: c, connect_timeout: 50ms, servers: %s}}\nsinks: {k: {type: file, path: /dev/null}}",
		"proxy":     "sources: {s: {type: mqtt, client_id: c, connect_timeout: 50ms, servers: 'mqtt://127.0.0.1:1', proxy: %s}}\nsinks: {k: {type: file, path: /dev/null}}",
		"listener":  "sources: {s: {type: broker, listeners: [%s]}}\nsinks: {k: {type: file, path: /dev/null}}",
		"republish": "sources: {s: {type: broker, listeners: ['mqtt://127.0.0.1:0']}}\nsinks: {k: {type: mqtt, servers: %s}}",
		"http":      "sources: {s: {type: broker, listeners: ['mqtt://127.0.0.1:0']}}\nsinks: {k: {type: http, request_timeout: 100ms, url: %s}}",
		"kinesis":   "sources: {s: {type: broker, listeners: ['mqtt://127.0.0.1:0']}}\nsinks: {k: {type: kinesis, stream_name: s, region: r, aws_access_key_id: a, aws_secret_access_key: b, endpoint: %s}}",
		"firehose":  "sources: {s: {type: broker, listeners: ['mqtt://127.0.0.1:0']}}\nsinks: {k: {type: firehose, request_timeout: 100ms, stream_name: s, region: r, endpoint: %s}}",
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "a")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "b")
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	t.Setenv("AWS_MAX_ATTEMPTS", "1")
	rapid.Check(t, func(t *rapid.T) {
		token := "T0k" + rapid.StringMatching(`[a-zA-Z0-9%&+=/ é:-]{2,12}`).Draw(t, "token") + "n9x"
		option := rapid.SampledFrom(sortedKeys(options)).Draw(t, "option")
		scheme := rapid.SampledFrom([]string{"mqtt", "ws", "wss", "http", "https", "socks5", "nosuch", ""}).Draw(t, "scheme")
		host := rapid.SampledFrom([]string{"127.0.0.1:1", alive, "no.such.invalid", "", "h:port"}).Draw(t, "host")
		u := scheme + "://" + host
		escaped := url.QueryEscape(token)
		switch rapid.SampledFrom([]string{"query", "bare", "raw", "user", "password", "fragment", "port"}).Draw(t, "at") {
		case "query":
			u += "/mqtt?a=1&token=" + escaped
		case "bare":
			u += "/?" + escaped
		case "raw":
			u += "/?token=" + strings.ReplaceAll(token, " ", "")
			token = strings.ReplaceAll(token, " ", "")
		case "user":
			u = scheme + "://" + escaped + "@" + host
		case "password":
			u = scheme + "://me:" + escaped + "@" + host + "/"
		case "fragment":
			u += "/#" + escaped
		case "port":
			u += ":" + escaped
		}
		quoted, err := json.Marshal(u)
		require.NoError(t, err)
		shown := show(fmt.Sprintf(options[option], quoted))
		for _, form := range []string{token, url.QueryEscape(token), url.PathEscape(token)} {
			require.NotContains(t, shown, form, u)
		}
	})
}

// show tries a definition and returns everything that is said of it.
func show(text string) string {
	log := &logged{first: make(chan struct{})}
	logger := slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	text += "\nrules: {r: {sql: 'SELECT * FROM \"t/#\"', actions: [{key: a, topic: t}]}}\n"
	def, err := Parse("f", []byte(text), Options{})
	if err != nil {
		return err.Error()
	}
	said := fmt.Sprint(def.Warnings())
	cfg, err := def.Build(logger)
	if err != nil {
		return said + err.Error()
	}
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	for _, s := range cfg.Sinks {
		said += fmt.Sprint(checkSink(ctx, s))
		for attempt := range 2 {
			b := bridge.Batch{Records: []bridge.Record{{Dest: "t", Key: []byte("k"), Data: []byte("1"), Attempt: attempt}}}
			said += fmt.Sprint(s.Write(ctx, &b))
		}
	}
	ctx, cancel = context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	for _, s := range cfg.Sources {
		if o, ok := s.(bridge.Opener); ok {
			said += fmt.Sprint(o.Open(ctx))
		}
		select { // that it is there, or cannot be reached
		case <-log.first:
		case <-ctx.Done():
		}
		if c, ok := s.(bridge.Checker); ok {
			said += fmt.Sprint(c.Check(ctx))
		}
		if st, ok := s.(interface{ Stats() any }); ok {
			said += fmt.Sprint(st.Stats())
		}
	}
	closeAll(cfg)
	return said + log.String()
}

// A URL without quotes may be taken for a key, which is part of a path.
func TestNoTokenOfAKeyIsShown(t *testing.T) {
	t.Parallel()
	for _, servers := range []string{"{wss://h/?token=T0ken: x}", "[wss://h/?token=T0ken: 1]", "{'wss://u:T0ken@h': x}"} {
		_, err := Parse("f", []byte("sources: {s: {type: mqtt, client_id: c, servers: "+servers+"}}\nsinks: {f: {type: file, path: p}}\n"), testOptions)
		require.Error(t, err)
		require.NotContains(t, err.Error(), "T0ken")
	}
}
