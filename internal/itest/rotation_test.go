package itest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/bridge/bridgetest"
	"github.com/sluiceio/sluice/bridge/config"
	"github.com/sluiceio/sluice/internal/mqttfake"
	"github.com/sluiceio/sluice/sink/kinesis/kinesistest"
)

// pem files of the bridge, which are rewritten in place.
type tlsFiles struct{ ca, cert, key string }

func newTLSFiles(t *testing.T, a *authority) tlsFiles {
	t.Helper()
	dir := t.TempDir()
	f := tlsFiles{filepath.Join(dir, "ca.pem"), filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")}
	f.rotate(t, a)
	return f
}

func (f tlsFiles) rotate(t *testing.T, a *authority) {
	t.Helper()
	cert, key := a.issue(t, "bridge")
	for to, from := range map[string]string{f.ca: a.file, f.cert: cert, f.key: key} {
		text, err := os.ReadFile(from)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(to, text, 0o600))
	}
}

// mutual is the configuration of a server that has a certificate of a and wants
// one of its clients.
func (a *authority) mutual(t *testing.T) *tls.Config {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(a.issue(t, "server"))
	require.NoError(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: pool, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert}
}

// estate is what a bridge talks to, all of it with certificates of one authority,
// which can be exchanged.
type estate struct {
	tls     atomic.Pointer[tls.Config]
	mqtt    *mqttfake.Broker // that the bridge subscribes to
	kinesis *kinesistest.Server

	mu    sync.Mutex
	conns map[net.Conn]struct{}
}

func newEstate(t *testing.T, a *authority) *estate {
	t.Helper()
	e := &estate{conns: map[net.Conn]struct{}{}}
	e.tls.Store(a.mutual(t))
	e.mqtt = mqttfake.New(mqttfake.Options{})
	t.Cleanup(e.mqtt.Close)
	e.kinesis = kinesistest.Start(t, kinesistest.Config{NoSocket: true, Streams: fourShards, Logger: slog.New(slog.DiscardHandler)})
	return e
}

// listen opens a listener whose certificate follows that of the estate.
func (e *estate) listen(t *testing.T) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	return tls.NewListener(tracked{ln, e}, &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return e.tls.Load(), nil }})
}

// tracked remembers its connections, so that they can be cut.
type tracked struct {
	net.Listener
	estate *estate
}

func (l tracked) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.estate.mu.Lock()
		l.estate.conns[c] = struct{}{}
		l.estate.mu.Unlock()
	}
	return c, err
}

// rotate goes on with certificates of another authority, and without the
// connections so far.
func (e *estate) rotate(t *testing.T, a *authority) {
	t.Helper()
	e.tls.Store(a.mutual(t))
	e.mu.Lock()
	defer e.mu.Unlock()
	for c := range e.conns {
		_ = c.Close()
	}
	clear(e.conns)
}

func (e *estate) serve(t *testing.T, h http.Handler) string {
	t.Helper()
	srv := &httptest.Server{Listener: e.listen(t), Config: &http.Server{
		Handler: h, ReadHeaderTimeout: time.Minute, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0),
	}}
	srv.Start()
	t.Cleanup(srv.Close)
	return "https://" + srv.Listener.Addr().String()
}

// TestCertificatesRotate exchanges the authority of everything while a bridge runs:
// that of the broker it reads from, of its own listener, and of the services it
// writes to. The files keep their names, nothing is told, restarted or lost.
func TestCertificatesRotate(t *testing.T) {
	t.Parallel()
	before, after := newAuthority(t, "before"), newAuthority(t, "after")
	e, files := newEstate(t, before), newTLSFiles(t, before)

	source := e.listen(t)
	e.mqtt.Serve(source)
	target, republished := mqttfake.New(mqttfake.Options{}), e.listen(t)
	target.Serve(republished)
	t.Cleanup(target.Close)
	toHTTP := new(bridgetest.Checker)
	web := e.serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		n, _ := strconv.ParseUint(string(body), 10, 64)
		toHTTP.Got("all", n)
	}))
	listener := "127.0.0.1:" + freePort(t)
	ssl := fmt.Sprintf("ssl: {cacertfile: %q, certfile: %q, keyfile: %q}", files.ca, files.cert, files.key)
	def, err := config.Parse("bridge.yaml", fmt.Appendf(nil, `
sources:
  fleet: {type: mqtt, servers: "mqtts://%[1]s", client_id: bridge, session_expiry: 1h, backoff_min: 10ms, backoff_max: 100ms, %[5]s}
  own: {type: broker, listeners: [{url: "mqtts://%[6]s", %[5]s}]}
sinks:
  kinesis: {type: kinesis, stream_name: readings, region: us-east-1, endpoint: "%[2]s", aws_access_key_id: a, aws_secret_access_key: b, %[5]s}
  web: {type: http, url: "%[3]s", %[5]s}
  mqtt: {type: mqtt, servers: "mqtts://%[4]s", %[5]s}
rules:
  all:
    sql: SELECT * FROM "t/#"
    actions:
      - {sink: kinesis, partition_key: all, payload: "${payload}"}
      - {sink: web, partition_key: all, payload: "${payload}"}
      - {sink: mqtt, partition_key: all, topic: "out/${topic}", payload: "${payload}"}
pipeline: {drain_timeout: 30s}
`, source.Addr(), e.serve(t, e.kinesis), web, republished.Addr(), ssl, listener), config.Options{})
	require.NoError(t, err)
	cfg, err := def.Build(slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	p, err := bridge.New(cfg)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- p.Run(ctx) }()
	<-p.Ready()

	toKinesis := new(bridgetest.Checker)
	publish := func(from, to int) {
		for i := from; i < to; i++ {
			toKinesis.Sent("all", uint64(i))
			toHTTP.Sent("all", uint64(i))
			e.mqtt.Publish(mqttfake.Message{Topic: "t/1", QoS: 1, Payload: strconv.AppendInt(nil, int64(i), 10)})
		}
	}
	stored := func(n int) func() bool {
		return func() bool {
			s := p.Stats()
			for _, sink := range []string{"kinesis", "web", "mqtt"} {
				if s.Sinks[sink].Ended[bridge.Stored] < uint64(n) {
					return false
				}
			}
			return true
		}
	}
	publish(0, 100)
	eventually(t, "everything stored with the first certificates", stored(100))
	require.Equal(t, "before", issuerOf(t, listener, before))

	e.rotate(t, after)
	publish(100, 200) // nobody can be reached
	files.rotate(t, after)
	publish(200, 300)
	eventually(t, "everything stored with the second certificates", stored(300))
	eventually(t, "the listener's own", func() bool { return issuerOf(t, listener, after) == "after" })
	require.Empty(t, issuerOf(t, listener, before), "clients of the first authority are refused")
	eventually(t, "all is acknowledged", func() bool { return e.mqtt.Pending() == 0 })
	stop()
	require.NoError(t, <-ran)
	for _, r := range e.kinesis.UserRecords(stream) {
		n, err := strconv.ParseUint(string(r.Data), 10, 64)
		require.NoError(t, err)
		toKinesis.Got("all", n)
	}
	for name, c := range map[string]*bridgetest.Checker{"kinesis": toKinesis, "web": toHTTP} {
		require.True(t, c.Report().OK(), "%s: %s", name, c.Report())
	}
}

// issuerOf shakes hands with a listener as a client that trusts and has a
// certificate of an authority, and returns who has signed the listener's; it
// returns nothing if one does not take the other.
func issuerOf(t *testing.T, addr string, a *authority) string {
	t.Helper()
	cfg := a.mutual(t)
	cfg.MaxVersion = tls.VersionTLS12 // with which the handshake ends after the server's verdict
	d := tls.Dialer{Config: cfg}
	c, err := d.DialContext(t.Context(), "tcp", addr)
	if err != nil {
		return ""
	}
	defer c.Close()
	return c.(*tls.Conn).ConnectionState().PeerCertificates[0].Issuer.CommonName
}
