package http

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/internal/certs"
	"github.com/sluiceio/sluice/internal/redact"
)

// HeaderPrefix begins the names of attributes that become headers of the
// request, in mode One: "header:X-Device".
const HeaderPrefix = "header:"

// Sink posts records. It implements bridge.Sink and bridge.Limiter.
type Sink struct {
	cfg    Config
	url    *url.URL
	client *http.Client
	own    bool // client is the sink's own

	secrets redact.Secrets
	judge   judge
}

var (
	_ bridge.Sink    = (*Sink)(nil)
	_ bridge.Limiter = (*Sink)(nil)
)

// New makes a sink.
func New(cfg Config) (*Sink, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("http sink: %w", err)
	}
	cfg = cfg.withDefaults()
	s := &Sink{cfg: cfg}
	s.url, _ = cfg.parseURL()
	s.secrets = redact.Of(cfg.URL)
	for _, values := range cfg.Header {
		s.secrets = s.secrets.And(values...)
	}
	client := http.Client{}
	if cfg.Client != nil {
		client = *cfg.Client
	} else {
		s.own = true
		transport := http.DefaultTransport.(*http.Transport).Clone()
		transport.MaxIdleConnsPerHost = 64
		transport.TLSClientConfig = cfg.TLS
		var err error
		if client.Transport, err = certs.NewTransport(transport, cfg.files(), cfg.Logger); err != nil {
			return nil, fmt.Errorf("http sink: %w", err)
		}
	}
	client.CheckRedirect = sameServer(client.CheckRedirect)
	s.client = &client
	return s, nil
}

// Limits gives mode One a record at a time: the pipeline then has as many
// requests under way as its queue has writes in flight.
func (s *Sink) Limits() bridge.Limits {
	if s.cfg.Mode == One {
		return bridge.Limits{Records: 1}
	}
	return bridge.Limits{Overhead: 1}
}

// Write sends the records and returns when the service has answered. What the
// answer means:
//
//   - 2xx: stored;
//   - 408, 425, 429, and 503 with Retry-After: throttled, for the time that
//     Retry-After tells;
//   - 500, 502, 504, a timeout, and a connection that breaks: ambiguous;
//   - 503, a connection that cannot be made: tried again;
//   - 404, 405, 410 for one of several targets (a Dest with the headers) that has
//     not taken records before: permanent;
//   - these, 3xx, 401, 402, 403 and 407 else: unavailable, an operator has to
//     act, if nothing in the request's head is from a record, if several targets
//     refuse that took records before, or, with one target, if different records
//     get the same answer and none is taken; permanent, if others are taken;
//     tried again, a few times, while neither is known;
//   - any other: permanent.
//
// A request with several records is divided to find the one that is refused for
// good.
func (s *Sink) Write(ctx context.Context, b *bridge.Batch) error {
	errs := make([]error, len(b.Records))
	if s.cfg.Mode == One {
		s.writeEach(ctx, b, errs)
	} else {
		(&arrays{s: s, b: b, errs: errs}).write(ctx)
	}
	for i, err := range errs {
		if err != nil {
			b.Fail(&b.Records[i], err)
		}
	}
	return nil
}

// Close closes idle connections.
func (s *Sink) Close(context.Context) error {
	if s.own {
		s.client.CloseIdleConnections()
	}
	return nil
}

// writeEach sends a request for each record. Behind one that fails and will be
// tried again, those of its lane wait for their turn.
func (s *Sink) writeEach(ctx context.Context, b *bridge.Batch, errs []error) {
	var lane laneError
	for i := range b.Records {
		r := &b.Records[i]
		err := lane.of(r)
		if err == nil {
			err = s.send(ctx, request{dest: r.Dest, body: r.Data, attrs: r.Attrs, attempt: r.Attempt, records: 1})
		}
		lane.note(r, err)
		errs[i] = err
	}
}

// laneError remembers why the lane of the last record stands still.
type laneError struct {
	lane uint64
	err  error
}

func (l *laneError) of(r *bridge.Record) error {
	if l.lane != r.Lane {
		return nil
	}
	return l.err
}

func (l *laneError) note(r *bridge.Record, err error) {
	if errors.Is(err, bridge.ErrPermanent) {
		err = nil
	}
	l.lane, l.err = r.Lane, err
}

// send makes a request and returns what its outcome means.
func (s *Sink) send(ctx context.Context, q request) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	req, err := s.request(ctx, q)
	if err != nil {
		return bridge.Permanent(fmt.Errorf("http sink: %w", err))
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return s.transportError(err)
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 512))
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10) // so that the connection can be used again
	s.judge.answered(&q, resp.StatusCode >= 200 && resp.StatusCode < 300)
	return s.statusError(resp, text, &q)
}
