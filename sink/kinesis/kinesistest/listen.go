package kinesistest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"time"
)

const readHeaderTimeout = 10 * time.Second

// listen opens the socket: HTTP/1.1 and HTTP/2, the latter also without TLS.
func (s *Server) listen() error {
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", s.config.Addr)
	if err != nil {
		return fmt.Errorf("kinesistest: %w", err)
	}
	s.listener, s.served = l, make(chan struct{})
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	s.http = &http.Server{
		Handler: s, Protocols: protocols, ReadHeaderTimeout: readHeaderTimeout,
		ErrorLog: slog.NewLogLogger(s.config.Logger.Handler(), slog.LevelDebug),
	}
	serve := func() error { return s.http.Serve(l) }
	if s.config.TLS {
		own, trust, err := certificate(l.Addr())
		if err != nil {
			_ = l.Close()
			return fmt.Errorf("kinesistest: making a certificate: %w", err)
		}
		s.http.TLSConfig, s.tls = own, trust
		serve = func() error { return s.http.ServeTLS(l, "", "") }
	}
	go func() {
		defer close(s.served)
		_ = serve() // Always ErrServerClosed after Close.
	}()
	return nil
}

// certificate makes one for localhost and the address, and what trusts it.
func certificate(addr net.Addr) (own, trust *tls.Config, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	const validity = 10 * 365 * 24 * time.Hour
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "kinesistest"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(validity),
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		IsCA: true, BasicConstraintsValid: true,
	}
	if tcp, ok := addr.(*net.TCPAddr); ok && !tcp.IP.IsUnspecified() {
		template.IPAddresses = append(template.IPAddresses, tcp.IP)
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, nil, err
	}
	leaf, err := x509.ParseCertificate(raw)
	if err != nil {
		return nil, nil, err
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	own = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{raw}, PrivateKey: key, Leaf: leaf}}, MinVersion: tls.VersionTLS12}
	return own, &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, nil
}

// Addr is the address the server listens on, nil with Config.NoSocket.
func (s *Server) Addr() net.Addr {
	if s.listener == nil {
		return nil
	}
	return s.listener.Addr()
}

// URL is the endpoint to give to clients, as in --endpoint-url of the AWS CLI.
// With Config.NoSocket only HTTPClient finds it.
func (s *Server) URL() string {
	switch {
	case s.listener == nil:
		return "http://kinesistest.invalid"
	case s.config.TLS:
		return "https://" + s.listener.Addr().String()
	}
	return "http://" + s.listener.Addr().String()
}
