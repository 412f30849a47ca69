package mqtt

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/internal/mqttfake"
)

// authority signs certificates for a test.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	a.cert, a.key = a.sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, nil)
	a.file = a.write(name+".pem", "CERTIFICATE", a.cert.Raw)
	return a
}

func (a *authority) sign(template *x509.Certificate, parent *authority) (*x509.Certificate, *ecdsa.PrivateKey) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(a.t, err)
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	signer, signerKey := template, key
	if parent != nil {
		signer, signerKey = parent.cert, parent.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, signer, &key.PublicKey, signerKey)
	require.NoError(a.t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(a.t, err)
	return cert, key
}

// issue writes a certificate for name and its key, and returns the files.
func (a *authority) issue(name string) (certFile, keyFile string) {
	cert, key := a.sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, a)
	der, err := x509.MarshalECPrivateKey(key)
	require.NoError(a.t, err)
	return a.write(name+".pem", "CERTIFICATE", cert.Raw), a.write(name+".key", "EC PRIVATE KEY", der)
}

func (a *authority) write(name, kind string, der []byte) string {
	path := filepath.Join(a.dir, name)
	require.NoError(a.t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
	return path
}

// serverTLS is a server's configuration with a certificate of a for localhost.
func (a *authority) serverTLS() *tls.Config {
	pair, err := tls.LoadX509KeyPair(a.issue("localhost"))
	require.NoError(a.t, err)
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: pool}
}

// netConfig is a configuration for a real network connection.
func netConfig(broker string) Config {
	cfg := fakeConfig(nil)
	cfg.Dial = nil
	cfg.Brokers = []string{broker}
	cfg.StartTimeout = time.Minute
	cfg.BackoffMin, cfg.BackoffMax = 10*time.Millisecond, 100*time.Millisecond
	return cfg
}

func serve(t *testing.T, ln net.Listener) *mqttfake.Broker {
	t.Helper()
	b := mqttfake.New(mqttfake.Options{})
	b.Serve(ln)
	t.Cleanup(b.Close)
	return b
}

func serveTLS(t *testing.T, ln net.Listener, cfg *tls.Config) *mqttfake.Broker {
	t.Helper()
	return serve(t, tls.NewListener(ln, cfg))
}

func listen(t *testing.T) (ln net.Listener, port string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	_, port, _ = net.SplitHostPort(ln.Addr().String())
	return ln, port
}

// roundTrip sends messages through a source that is opened with cfg.
func roundTrip(t *testing.T, b *mqttfake.Broker, cfg Config) *Source {
	t.Helper()
	s := open(t, cfg)
	t.Cleanup(func() { _ = s.Close(context.Background()) })
	before := b.Acked()
	send(b, 1, 0, 100)
	settle(readN(t, s, 100), nil)
	require.Eventually(t, func() bool { return b.Acked() == before+100 }, time.Minute, time.Millisecond)
	return s
}

func openFails(t *testing.T, cfg Config) error {
	t.Helper()
	cfg.StartTimeout = 0 // or Open would wait for what may pass
	s, err := New(cfg)
	require.NoError(t, err)
	err = s.Open(t.Context())
	var e *Error
	require.ErrorAs(t, err, &e)
	require.NotContains(t, err.Error(), "\n")
	require.True(t, e.Permanent)
	return err
}

func TestTLS(t *testing.T) {
	ca, other := newAuthority(t, "ca"), newAuthority(t, "other")
	ln, port := listen(t)
	b := serveTLS(t, ln, ca.serverTLS())
	cfg := netConfig("mqtts://localhost:" + port)
	cfg.CAFile = ca.file
	require.NoError(t, roundTrip(t, b, cfg).Close(t.Context()))

	cfg.CAFile = other.file
	require.ErrorContains(t, openFails(t, cfg), "unknown authority")
	cfg.CAFile = "/does/not/exist.pem"
	require.ErrorContains(t, openFails(t, cfg), "CAFile")
	cfg.CAFile = ca.file
	cfg.Brokers = []string{"mqtts://127.0.0.1:" + port}
	require.ErrorContains(t, openFails(t, cfg), "certificate for another name")
	cfg.TLS = &tls.Config{ServerName: "localhost"}
	roundTrip(t, b, cfg)

	web := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(web.Close)
	cfg.Brokers = []string{"mqtts" + strings.TrimPrefix(web.URL, "http")}
	require.ErrorContains(t, openFails(t, cfg), "does not speak TLS")
}

func TestTLSClientCertificates(t *testing.T) {
	ca, other := newAuthority(t, "ca"), newAuthority(t, "other")
	server := ca.serverTLS()
	server.ClientAuth = tls.RequireAndVerifyClientCert
	var seen atomic.Value
	server.VerifyPeerCertificate = func(_ [][]byte, chains [][]*x509.Certificate) error {
		seen.Store(chains[0][0].Subject.CommonName)
		return nil
	}
	ln, port := listen(t)
	b := serveTLS(t, ln, server)
	cfg := netConfig("mqtts://localhost:" + port)
	cfg.CAFile = ca.file
	require.ErrorContains(t, openFails(t, cfg), "refused the TLS handshake")

	cfg.CertFile, cfg.KeyFile = other.issue("stranger")
	require.ErrorContains(t, openFails(t, cfg), "refused the TLS handshake")

	cfg.CertFile, cfg.KeyFile = ca.issue("device")
	s := roundTrip(t, b, cfg)
	require.Equal(t, "device", seen.Load())
	// The files are replaced; the next connection uses the new ones.
	cert, key := ca.issue("renewed")
	require.NoError(t, os.Rename(cert, cfg.CertFile))
	require.NoError(t, os.Rename(key, cfg.KeyFile))
	b.Cut()
	require.Eventually(t, func() bool { return s.Stats().Reconnects == 1 && s.Check(t.Context()) == nil }, time.Minute, time.Millisecond)
	require.Equal(t, "renewed", seen.Load())
}

// TestALPN asks for a protocol by name, as AWS IoT Core wants it on port 443.
func TestALPN(t *testing.T) {
	ca := newAuthority(t, "ca")
	server := ca.serverTLS()
	server.NextProtos = []string{"http/1.1", "x-amzn-mqtt-ca"}
	var asked atomic.Value
	server.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		asked.Store(hello.SupportedProtos)
		return nil, nil
	}
	ln, port := listen(t)
	b := serveTLS(t, ln, server)
	cfg := netConfig("mqtts://localhost:" + port)
	cfg.CAFile = ca.file
	cfg.TLS = &tls.Config{NextProtos: []string{"x-amzn-mqtt-ca"}}
	require.NoError(t, roundTrip(t, b, cfg).Close(t.Context()))
	require.Equal(t, []string{"x-amzn-mqtt-ca"}, asked.Load())

	cfg.TLS = &tls.Config{NextProtos: []string{"something else"}}
	require.ErrorContains(t, openFails(t, cfg), "no application protocol")
}

// TestCredentials asks for a token before every attempt, and leaves it out of what is
// shown.
func TestCredentials(t *testing.T) {
	var tokens []string
	ln, port := listen(t)
	b := mqttfake.New(mqttfake.Options{Connect: func(c *packets.Connect) *packets.Connack {
		tokens = append(tokens, c.Username+" "+string(c.Password))
		if len(tokens) == 2 {
			return &packets.Connack{ReasonCode: packets.ConnackBadUsernameOrPassword}
		}
		return &packets.Connack{}
	}})
	b.Serve(ln)
	defer b.Close()
	var n int
	cfg := netConfig("mqtt://127.0.0.1:" + port)
	cfg.Username = "nobody"
	cfg.Credentials = func(context.Context) (string, []byte, error) {
		n++
		return "token", fmt.Append(nil, "secret", n), nil
	}
	s := roundTrip(t, b, cfg)
	b.Cut()
	require.Eventually(t, func() bool { return s.Stats().Reconnects == 1 && s.Check(t.Context()) == nil }, time.Minute, time.Millisecond)
	require.ErrorContains(t, s.Stats().Connections[0].LastError, "bad user name or password")
	require.NotContains(t, s.Stats().Connections[0].LastError.Error(), "secret")
	require.NoError(t, s.Close(t.Context()))
	b.Close()
	require.Equal(t, []string{"token secret1", "token secret2", "token secret3"}, tokens)
}

// TestListOfBrokers goes on to the next broker when one cannot be reached.
func TestListOfBrokers(t *testing.T) {
	ln, port := listen(t)
	b := serve(t, ln)
	path := filepath.Join(t.TempDir(), "s")
	cfg := netConfig("mqtt://" + freeAddr(t))
	cfg.Brokers = append(cfg.Brokers, "unix://"+path, "mqtt://127.0.0.1:"+port)
	s := roundTrip(t, b, cfg)
	require.Equal(t, "mqtt://127.0.0.1:"+port, s.Stats().Connections[0].Broker)
}

func TestWebSocket(t *testing.T) {
	b := mqttfake.New(mqttfake.Options{})
	t.Cleanup(b.Close)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path != "/mqtt":
			http.NotFound(w, r)
			return
		case r.Header.Get("X-Token") != "t" || r.URL.Query().Get("signed") != "yes":
			http.Error(w, "no", http.StatusForbidden)
			return
		}
		up := websocket.Upgrader{Subprotocols: []string{"mqtt"}}
		c, err := up.Upgrade(w, r, nil)
		if err == nil {
			b.Handle(&webSocketConn{Conn: c})
		}
	})
	plain, secure := httptest.NewServer(handler), httptest.NewTLSServer(handler)
	t.Cleanup(plain.Close)
	t.Cleanup(secure.Close)
	pool := x509.NewCertPool()
	pool.AddCert(secure.Certificate())
	for _, server := range []*httptest.Server{plain, secure} {
		cfg := netConfig("ws" + strings.TrimPrefix(server.URL, "http") + "/mqtt")
		cfg.TLS = &tls.Config{RootCAs: pool}
		require.ErrorContains(t, openFails(t, cfg), "refused the WebSocket: HTTP status 403")
		cfg.WebSocketHeader = http.Header{"X-Token": {"t"}}
		cfg.WebSocketURL = func(_ context.Context, u *url.URL) (*url.URL, error) {
			signed := *u
			signed.RawQuery = "signed=yes"
			return &signed, nil
		}
		s := roundTrip(t, b, cfg)
		require.NotContains(t, s.Stats().Connections[0].Broker, "signed", "a signature is a secret")
		require.NoError(t, s.Close(t.Context()))
		cfg.Brokers = []string{"ws" + strings.TrimPrefix(server.URL, "http") + "/wrong"}
		require.ErrorContains(t, openFails(t, cfg), "404")
	}
}

func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	ln, err := net.Listen("unix", path)
	require.NoError(t, err)
	roundTrip(t, serve(t, ln), netConfig("unix://"+path))
}

func TestProxy(t *testing.T) {
	ln, port := listen(t)
	b := serve(t, ln)
	var via atomic.Int32
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, _, _ := (&http.Request{Header: http.Header{"Authorization": r.Header["Proxy-Authorization"]}}).BasicAuth(); user != "u" {
			http.Error(w, "who are you?", http.StatusProxyAuthRequired)
			return
		}
		via.Add(1)
		up, err := net.Dial("tcp", r.Host)
		if err != nil {
			http.Error(w, "no", http.StatusBadGateway)
			return
		}
		down, _, _ := http.NewResponseController(w).Hijack()
		_, _ = io.WriteString(down, "HTTP/1.1 200 Connection established\r\n\r\n")
		go func() { _, _ = io.Copy(up, down); _ = up.Close() }()
		_, _ = io.Copy(down, up)
		_ = down.Close()
	}))
	t.Cleanup(proxy.Close)
	cfg := netConfig("mqtt://127.0.0.1:" + port)
	cfg.Proxy = strings.Replace(proxy.URL, "http://", "http://u:p@", 1)
	s := roundTrip(t, b, cfg)
	require.EqualValues(t, 1, via.Load())
	require.NoError(t, s.Close(t.Context()))

	cfg.Proxy = proxy.URL
	require.ErrorContains(t, attempt(t, cfg), "proxy: it answered")
}

// attempt makes one attempt to connect, which fails in a way that may pass.
func attempt(t *testing.T, cfg Config) error {
	t.Helper()
	cfg.StartTimeout = 0
	s := open(t, cfg)
	err := s.Check(t.Context())
	require.NoError(t, s.Close(t.Context()))
	return err
}

func TestConnectionRefused(t *testing.T) {
	require.ErrorContains(t, attempt(t, netConfig("mqtt://"+freeAddr(t))), "connection refused")
}

func TestBrokerThatSpeaksNeitherVersion(t *testing.T) {
	ln, port := listen(t)
	defer ln.Close()
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			_, _ = bufio.NewReader(c).ReadByte()
			_, _ = c.Write([]byte{0x20, 2, 0, 1}) // CONNACK of MQTT 3.1.1: unacceptable protocol version
			_ = c.Close()
		}
	}()
	require.ErrorContains(t, openFails(t, netConfig("mqtt://127.0.0.1:"+port)), "does not support this version of MQTT (0x84)")
	cfg := netConfig("mqtt://127.0.0.1:" + port)
	cfg.ProtocolVersion = 5
	require.ErrorContains(t, openFails(t, cfg), "speaks MQTT 3.1.1 only")
}
