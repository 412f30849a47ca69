package certs

import (
	"crypto/tls"
	"log/slog"
)

// NewServer returns the configuration of a server that follows its files: a
// handshake gets what they hold, or held a second ago. With authorities, clients
// must have a certificate of one.
func NewServer(files Files, log *slog.Logger) (*tls.Config, error) {
	f, err := follow(files, log, files.server)
	if err != nil {
		return nil, err
	}
	return serve(f), nil
}

func serve(f *followed[tls.Config]) *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return f.get(), nil },
	}
}

func (f Files) server(c contents) (*tls.Config, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	var err error
	if cfg.Certificates, err = f.pair(c); err != nil {
		return nil, err
	}
	if cfg.ClientCAs, err = f.pool(c); err != nil {
		return nil, err
	}
	if cfg.ClientCAs != nil {
		cfg.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return cfg, nil
}
