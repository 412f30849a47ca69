package certs

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// end has the files of one end of a connection.
type end struct{ Files }

func newEnd(t *testing.T, trusted, own *authority) end {
	t.Helper()
	dir := t.TempDir()
	e := end{Files{filepath.Join(dir, "ca.pem"), filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")}}
	e.rotate(t, trusted, own)
	return e
}

func (e end) rotate(t *testing.T, trusted, own *authority) {
	t.Helper()
	cert, key := own.issue(t)
	write(t, e.CA, trusted.pem)
	write(t, e.Cert, cert)
	write(t, e.Key, key)
}

// passed makes a second pass.
func (f *followed[T]) passed() { f.looked.Store(0) }

// rotating is an HTTPS server whose authority can be exchanged, and whose clients
// must have a certificate of it.
type rotating struct {
	*httptest.Server
	tls atomic.Pointer[tls.Config]
}

func newRotating(t *testing.T, a *authority) *rotating {
	t.Helper()
	r := new(rotating)
	r.tls.Store(a.server(t))
	r.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		_, _ = io.WriteString(w, req.TLS.PeerCertificates[0].Issuer.CommonName)
	}))
	r.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	r.TLS = &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return r.tls.Load(), nil }}
	r.StartTLS()
	t.Cleanup(r.Close)
	return r
}

// get returns the issuer of the certificate that the server saw.
func (r *rotating) get(t *testing.T, transport http.RoundTripper) (string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.URL, http.NoBody)
	require.NoError(t, err)
	res, err := transport.RoundTrip(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return string(body), err
}

func TestTransport(t *testing.T) {
	t.Parallel()
	before, after := newAuthority(t, "before"), newAuthority(t, "after")
	files := newEnd(t, before, before)
	srv := newRotating(t, before)
	var log bytes.Buffer
	transport, err := NewTransport(&http.Transport{}, files.Files, slog.New(slog.NewTextHandler(&log, nil)))
	require.NoError(t, err)
	t.Cleanup(transport.CloseIdleConnections)
	issuer, err := srv.get(t, transport)
	require.NoError(t, err)
	require.Equal(t, "before", issuer)

	write(t, files.Cert, []byte("half of a certi"))
	transport.passed()
	issuer, err = srv.get(t, transport)
	require.NoError(t, err, "what cannot be used changes nothing")
	require.Equal(t, "before", issuer)
	require.Contains(t, log.String(), "CertFile: tls")

	srv.tls.Store(after.server(t))
	srv.CloseClientConnections()
	_, err = srv.get(t, transport)
	var untrusted *tls.CertificateVerificationError
	require.ErrorAs(t, err, &untrusted)

	files.rotate(t, after, after)
	transport.passed()
	issuer, err = srv.get(t, transport)
	require.NoError(t, err)
	require.Equal(t, "after", issuer)

	current := transport.current.Load()
	write(t, files.CA, after.pem)
	transport.passed()
	_, err = srv.get(t, transport)
	require.NoError(t, err)
	require.Same(t, current, transport.current.Load(), "contents count, not times")
}

// hands lets a client shake hands with a server, and returns the issuer that the
// client saw, and what the client or the server has against it.
func hands(t *testing.T, ln net.Listener, client *tls.Config) (issuer string, err error) {
	t.Helper()
	served := make(chan error, 1)
	go func() {
		c, err := ln.Accept()
		if err == nil {
			err = c.(*tls.Conn).HandshakeContext(context.Background())
			if err == nil {
				_, err = c.Write([]byte("x")) // with it go the tickets
			}
			_ = c.Close()
		}
		served <- err
	}()
	d := tls.Dialer{Config: client}
	c, err := d.DialContext(t.Context(), "tcp", ln.Addr().String())
	if err == nil {
		issuer = c.(*tls.Conn).ConnectionState().PeerCertificates[0].Issuer.CommonName
		_, err = io.ReadAll(c)
		_ = c.Close()
	}
	if serr := <-served; serr != nil {
		return issuer, serr
	}
	return issuer, err
}

// TestServer replaces a server's certificate and the authorities of its clients. A
// client whose authority is gone is refused, with a ticket of an earlier connection
// too.
func TestServer(t *testing.T) {
	t.Parallel()
	log := slog.New(slog.DiscardHandler)
	before, after := newAuthority(t, "before"), newAuthority(t, "after")
	files := newEnd(t, before, before)
	f, err := follow(files.Files, log, files.server)
	require.NoError(t, err)
	ln, err := tls.Listen("tcp", "127.0.0.1:0", serve(f))
	require.NoError(t, err)
	t.Cleanup(func() { _ = ln.Close() })

	device := newEnd(t, before, before)
	client, err := NewClient(nil, device.Files, log)
	require.NoError(t, err)
	old := client.Config().Clone()
	old.ClientSessionCache = tls.NewLRUClientSessionCache(0)
	old.RootCAs.AddCert(after.cert) // it would trust the server
	for range 2 {
		issuer, err := hands(t, ln, old)
		require.NoError(t, err)
		require.Equal(t, "before", issuer)
	}

	files.rotate(t, after, after)
	f.passed()
	_, err = hands(t, ln, old)
	require.ErrorContains(t, err, "client didn't provide a certificate", "it has none that the server takes now")
	device.rotate(t, after, after)
	client.passed()
	issuer, err := hands(t, ln, client.Config())
	require.NoError(t, err)
	require.Equal(t, "after", issuer)

	write(t, files.Key, []byte("half of a ke"))
	f.passed()
	_, err = hands(t, ln, client.Config())
	require.NoError(t, err, "what cannot be used changes nothing")
}

func TestServerWithoutClientCertificates(t *testing.T) {
	t.Parallel()
	a := newAuthority(t, "a")
	files := newEnd(t, a, a)
	cfg, err := NewServer(Files{Cert: files.Cert, Key: files.Key}, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	ln, err := tls.Listen("tcp", "127.0.0.1:0", cfg)
	require.NoError(t, err)
	t.Cleanup(func() { _ = ln.Close() })
	client, err := NewClient(nil, Files{CA: files.CA}, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	_, err = hands(t, ln, client.Config())
	require.NoError(t, err)
}

func TestFilesThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	empty := filepath.Join(t.TempDir(), "empty.pem")
	write(t, empty, nil)
	log := slog.New(slog.DiscardHandler)
	for want, files := range map[string]Files{
		"CAFile: open ":                {CA: "/none.pem"},
		"CAFile: " + empty + " holds":  {CA: empty},
		"CertFile: open ":              {Cert: "/none.pem", Key: empty},
		"KeyFile: open ":               {Cert: empty, Key: "/none.pem"},
		"KeyFile: /dev/zero: has more": {Cert: empty, Key: "/dev/zero"},
		"CertFile: tls: ":              {Cert: empty, Key: empty},
	} {
		_, err := NewTransport(&http.Transport{}, files, log)
		require.ErrorContains(t, err, want)
		_, err = NewClient(nil, files, log)
		require.ErrorContains(t, err, want)
		_, err = NewServer(files, log)
		require.ErrorContains(t, err, want)
	}
}
