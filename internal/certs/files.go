// Package certs makes TLS configurations of files, and makes them anew when the
// contents of the files change: certificates are replaced while a bridge runs.
package certs

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"slices"

	"github.com/sluiceio/sluice/internal/smallfile"
)

// Files are the PEM files of one end of a connection.
type Files struct {
	CA        string // authorities that the other end's certificate is from; empty for the default
	Cert, Key string // of this end; empty for none
}

// Error reports which of the Files cannot be used.
type Error struct {
	Field string // CAFile, CertFile or KeyFile, as configurations name it
	Err   error
}

// Error describes the trouble.
func (e *Error) Error() string { return e.Field + ": " + e.Err.Error() }

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// contents are those of Files: CA, Cert, Key.
type contents [3][]byte

func (c *contents) equal(d contents) bool {
	return slices.EqualFunc(c[:], d[:], bytes.Equal)
}

func (f Files) read() (c contents, err error) {
	for i, name := range []string{f.CA, f.Cert, f.Key} {
		if name == "" {
			continue
		}
		if c[i], err = smallfile.Read(name); err != nil {
			return c, &Error{[...]string{"CAFile", "CertFile", "KeyFile"}[i], err}
		}
	}
	return c, nil
}

// Client returns base, which may be nil, with what the files hold now. The error is
// an *Error.
func (f Files) Client(base *tls.Config) (*tls.Config, error) {
	c, err := f.read()
	if err != nil {
		return nil, err
	}
	return f.client(base, c)
}

// pool returns the authorities, or nil for the default.
func (f Files) pool(c contents) (*x509.CertPool, error) {
	if f.CA == "" {
		return nil, nil
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(c[0]) {
		return nil, &Error{"CAFile", fmt.Errorf("%s holds no certificate", f.CA)}
	}
	return pool, nil
}

// pair returns the certificate of this end, or nothing.
func (f Files) pair(c contents) ([]tls.Certificate, error) {
	if f.Cert == "" && f.Key == "" {
		return nil, nil
	}
	pair, err := tls.X509KeyPair(c[1], c[2])
	if err != nil {
		return nil, &Error{"CertFile", err}
	}
	return []tls.Certificate{pair}, nil
}

// client returns base with what the files hold.
func (f Files) client(base *tls.Config, c contents) (*tls.Config, error) {
	cfg := new(tls.Config)
	if base != nil {
		cfg = base.Clone()
	}
	cfg.MinVersion = max(cfg.MinVersion, tls.VersionTLS12)
	pool, err := f.pool(c)
	if err != nil {
		return nil, err
	}
	pair, err := f.pair(c)
	if err != nil {
		return nil, err
	}
	if pool != nil {
		cfg.RootCAs = pool
	}
	if pair != nil {
		cfg.Certificates = pair
	}
	return cfg, nil
}
