package awsconn

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/internal/certs"
)

// newServer returns an HTTPS server with a certificate of its own.
func newServer(t *testing.T) *httptest.Server {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	srv.StartTLS()
	t.Cleanup(srv.Close)
	return srv
}

// TestBundleIsReadAgain replaces the authorities that the environment names.
func TestBundleIsReadAgain(t *testing.T) {
	before, after := newServer(t), newServer(t)
	bundle := filepath.Join(t.TempDir(), "bundle.pem")
	trust := func(srv *httptest.Server) {
		text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
		require.NoError(t, os.WriteFile(bundle, text, 0o600))
	}
	trust(before)
	t.Setenv("AWS_CA_BUNDLE", bundle)
	c, err := New(Options{Region: "us-east-1", AccessKeyID: "a", SecretAccessKey: "b", Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	t.Cleanup(c.Transport.CloseIdleConnections)
	get := func(srv *httptest.Server) error {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL, http.NoBody)
		require.NoError(t, err)
		res, err := c.Transport.RoundTrip(req)
		if err != nil {
			return err
		}
		return res.Body.Close()
	}
	require.NoError(t, get(before))
	var untrusted *tls.CertificateVerificationError
	require.ErrorAs(t, get(after), &untrusted)
	trust(after)
	require.Eventually(t, func() bool { return get(after) == nil }, time.Minute, 10*time.Millisecond)
}

// TestProxyRefuses asks a proxy for a tunnel, which it does not give.
func TestProxyRefuses(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]string{
		407: "user and a password", 403: "forbids", 502: "did not get an answer",
	} {
		proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
		to, err := url.Parse(proxy.URL)
		require.NoError(t, err)
		transport, err := newTransport(&http.Transport{Proxy: http.ProxyURL(to)}, certs.Files{}, slog.New(slog.DiscardHandler))
		require.NoError(t, err)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://kinesis.eu-west-1.amazonaws.com/", http.NoBody)
		require.NoError(t, err)
		_, err = (&http.Client{Transport: transport}).Do(req)
		require.ErrorContains(t, err, to.Host)
		f := Place{Service: "Kinesis", Region: "eu-west-1"}.Explain(err, "", false)
		require.Contains(t, f.Hint, want)
		require.Equal(t, status != 502, f.Class == Unavailable)
		transport.CloseIdleConnections()
		proxy.Close()
	}
}
