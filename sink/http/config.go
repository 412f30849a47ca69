package http

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/internal/certs"
)

// Mode says what a request carries.
type Mode uint8

const (
	// One sends a request for each record, whose body is the record's data.
	One Mode = iota
	// Array sends the data of many records as one JSON array. A record whose
	// data is no JSON fails permanently.
	Array
)

// Config describes a Sink.
type Config struct {
	// CAFile, CertFile and KeyFile are PEM files: the authorities that the
	// server's certificate is from, and the certificate of the client. Changed
	// contents take effect within a second. Default: the system's authorities,
	// and no certificate.
	CAFile, CertFile, KeyFile string
	// Client sends the requests, with TLS as it is set up for. Default: one of
	// the sink's own that does not follow redirects and keeps up to 64
	// connections.
	Client *http.Client
	// ContentType of the requests. Default "application/json".
	ContentType string
	// Header is sent with every request. It may hold secrets, which appear in
	// no error and no log.
	Header http.Header
	// Logger gets what an operator should know. Default slog.Default().
	Logger *slog.Logger
	// Method of the requests. Default POST.
	Method string
	// Mode says what a request carries. Default One.
	Mode Mode
	// Timeout bounds a request with its answer. Default 10 s.
	Timeout time.Duration
	// TLS is the base of the sink's own client. Default: TLS 1.2 and above.
	TLS *tls.Config
	// URL is where requests go, http or https. A record's Dest is a path
	// below it. Required.
	URL string
}

// Validate reports everything that is wrong with the configuration.
func (c Config) Validate() error {
	var errs []error
	bad := func(field, format string, args ...any) {
		errs = append(errs, &bridge.FieldError{Path: field, Err: fmt.Errorf(format, args...)})
	}
	if _, err := c.parseURL(); err != nil {
		errs = append(errs, err)
	}
	if c.Mode > Array {
		bad("Mode", "unknown mode %d", c.Mode)
	}
	if c.Timeout < 0 {
		bad("Timeout", "%v is negative", c.Timeout)
	}
	if (c.CertFile == "") != (c.KeyFile == "") {
		bad("CertFile", "it and KeyFile are needed together")
	}
	if c.Client != nil && (c.TLS != nil || c.files() != certs.Files{}) {
		bad("Client", "a client has its own TLS, CAFile, CertFile and KeyFile")
	}
	return errors.Join(errs...)
}

func (c Config) files() certs.Files {
	return certs.Files{CA: c.CAFile, Cert: c.CertFile, Key: c.KeyFile}
}

func (c Config) parseURL() (*url.URL, error) {
	u, err := url.Parse(c.URL)
	switch {
	case err != nil:
		return nil, &bridge.FieldError{Path: "URL", Err: errors.New("not a URL")} // the text may hold a secret
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return nil, &bridge.FieldError{Path: "URL", Err: errors.New("want http://… or https://…")}
	case u.User != nil:
		return nil, &bridge.FieldError{Path: "URL", Err: errors.New("must not hold a user or password; set Header")}
	}
	return u, nil
}

func (c Config) withDefaults() Config {
	if c.ContentType == "" {
		c.ContentType = "application/json"
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Method == "" {
		c.Method = http.MethodPost
	}
	if c.Timeout == 0 {
		c.Timeout = 10 * time.Second
	}
	return c
}
