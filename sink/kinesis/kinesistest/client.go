package kinesistest

import (
	"bytes"
	"context"
	"crypto/x509"
	"io"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
)

const idleConns = 256

// AWSConfig is a configuration of the SDK that reaches the server: endpoint,
// region, credentials that mean nothing, and HTTPClient. Everything else, such
// as the SDK's retries, is as usual.
func (s *Server) AWSConfig() aws.Config {
	return aws.Config{
		BaseEndpoint: new(s.URL()),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test", Source: "kinesistest"}, nil
		}),
		HTTPClient: s.HTTPClient(),
		Region:     s.config.Region,
	}
}

// Client is an SDK client of the server. Note that the SDK retries throttled
// and failed calls up to twice; kinesis.Options.RetryMaxAttempts changes that.
func (s *Server) Client(optFns ...func(*kinesis.Options)) *kinesis.Client {
	return kinesis.NewFromConfig(s.AWSConfig(), optFns...)
}

// HTTPClient reaches the server: over its socket, trusting its certificate, or
// directly when it has none. Close closes its idle connections.
func (s *Server) HTTPClient() *http.Client {
	return &http.Client{Transport: s.client}
}

// Transport is an http.RoundTripper that hands requests to the server without
// a socket, also when it has one.
func (s *Server) Transport() http.RoundTripper { return direct{s} }

// CertPool holds the certificate of a server with Config.TLS, else nothing.
func (s *Server) CertPool() *x509.CertPool {
	if s.tls == nil {
		return x509.NewCertPool()
	}
	return s.tls.RootCAs
}

// newTransport is what HTTPClient uses.
func (s *Server) newTransport() http.RoundTripper {
	if s.listener == nil {
		return s.Transport()
	}
	return &http.Transport{
		TLSClientConfig: s.tls, ForceAttemptHTTP2: s.tls != nil,
		MaxIdleConns: idleConns, MaxIdleConnsPerHost: idleConns,
	}
}

// direct hands requests to a server.
type direct struct{ s *Server }

// RoundTrip implements http.RoundTripper. Connections that a fault would reset
// give an error that wraps syscall.ECONNRESET.
func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		defer func() { _ = r.Body.Close() }()
	}
	if err := context.Cause(r.Context()); err != nil {
		return nil, err
	}
	res, err := d.s.respond(r)
	if err != nil {
		return nil, err
	}
	body := io.Reader(bytes.NewReader(res.body))
	if res.truncate {
		body = io.MultiReader(bytes.NewReader(res.body[:len(res.body)/2]), cutOff{})
	}
	return &http.Response{
		Status: http.StatusText(res.status), StatusCode: res.status, Header: res.header, Request: r,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Body: io.NopCloser(body), ContentLength: int64(len(res.body)),
	}, nil
}

// cutOff is the end of a body that was broken off.
type cutOff struct{}

// Read implements io.Reader.
func (cutOff) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
