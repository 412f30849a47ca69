package certs

import (
	"crypto/tls"
	"log/slog"
)

// Client is the configuration of a TLS client that follows its files.
type Client struct{ *followed[tls.Config] }

// NewClient returns a configuration that differs from base by the files.
func NewClient(base *tls.Config, files Files, log *slog.Logger) (Client, error) {
	f, err := follow(files, log, func(c contents) (*tls.Config, error) { return files.client(base, c) })
	return Client{f}, err
}

// Config returns the configuration with what the files hold, or held a second ago.
// It is the same pointer as long as they do not change.
func (c Client) Config() *tls.Config { return c.get() }
