package awsconn

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"

	"github.com/sluiceio/sluice/internal/certs"
)

// Transport follows its files, and reads replies of at most MaxReply bytes.
type Transport struct{ *certs.Transport }

// newTransport returns a transport that differs from base by the files, and says
// why a proxy refuses. Base must not be used otherwise.
func newTransport(base *http.Transport, files certs.Files, log *slog.Logger) (*Transport, error) {
	base.OnProxyConnectResponse = func(_ context.Context, proxy *url.URL, _ *http.Request, res *http.Response) error {
		if res.StatusCode == http.StatusOK {
			return nil
		}
		return &ProxyError{proxy.Host, res.StatusCode}
	}
	t, err := certs.NewTransport(base, files, log)
	if err != nil {
		return nil, err
	}
	return &Transport{t}, nil
}

// RoundTrip implements http.RoundTripper.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := t.Transport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	resp.Body = boundedBody{Bounded(resp.Body, MaxReply), resp.Body}
	return resp, nil
}

// ProxyError is the refusal of a proxy to connect.
type ProxyError struct {
	Proxy  string // host and port
	Status int    // of HTTP
}

// Error describes the refusal.
func (e *ProxyError) Error() string {
	return fmt.Sprintf("the proxy %s refuses to connect: HTTP status %d", e.Proxy, e.Status)
}
