package certs

import (
	"log/slog"
	"net/http"
	"sync/atomic"
)

// Transport is an HTTP transport that follows its files: when their contents change
// it goes on with new connections, while requests under way end on the old ones.
type Transport struct {
	*followed[http.Transport]
	used atomic.Pointer[http.Transport]
}

// NewTransport returns a transport that differs from base by the files. Base is
// only cloned.
func NewTransport(base *http.Transport, files Files, log *slog.Logger) (*Transport, error) {
	f, err := follow(files, log, func(c contents) (*http.Transport, error) {
		cfg, err := files.client(base.TLSClientConfig, c)
		if err != nil {
			return nil, err
		}
		next := base.Clone()
		next.TLSClientConfig = cfg
		return next, nil
	})
	if err != nil {
		return nil, err
	}
	t := &Transport{followed: f}
	t.used.Store(f.current.Load())
	return t, nil
}

// RoundTrip implements http.RoundTripper.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	now := t.get()
	if before := t.used.Load(); before != now && t.used.CompareAndSwap(before, now) {
		before.CloseIdleConnections()
	}
	return now.RoundTrip(r)
}

// CloseIdleConnections closes connections that are not in use.
func (t *Transport) CloseIdleConnections() { t.current.Load().CloseIdleConnections() }
