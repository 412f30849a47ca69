package http

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/sluiceio/sluice/bridge"
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
	s := &Sink{cfg: cfg, client: cfg.Client}
	s.url, _ = cfg.parseURL()
	if s.client == nil {
		s.own = true
		transport := http.DefaultTransport.(*http.Transport).Clone()
		transport.MaxIdleConnsPerHost = 64
		s.client = &http.Client{
			Transport:     transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
	}
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
//   - 3xx, 401, 402, 403, 404, 405, 407: unavailable, an operator has to act;
//   - any other: permanent. A request with several records is then divided to
//     find the one that is refused.
func (s *Sink) Write(ctx context.Context, b *bridge.Batch) error {
	failed := new(bridge.BatchError)
	if s.cfg.Mode == One {
		s.writeEach(ctx, b, failed)
	} else {
		s.writeArrays(ctx, b, failed)
	}
	return failed.ErrorOrNil()
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
func (s *Sink) writeEach(ctx context.Context, b *bridge.Batch, failed *bridge.BatchError) {
	var lane laneError
	for i := range b.Records {
		r := &b.Records[i]
		err := lane.of(r)
		if err == nil {
			err = s.send(ctx, r.Dest, r.Data, r.Attrs)
		}
		lane.note(r, err)
		if err != nil {
			failed.Fail(i, err)
		}
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

// writeArrays sends a request for each Dest.
func (s *Sink) writeArrays(ctx context.Context, b *bridge.Batch, failed *bridge.BatchError) {
	var order []string
	groups := make(map[string][]int)
	for i := range b.Records {
		r := &b.Records[i]
		if !json.Valid(r.Data) {
			failed.Fail(i, bridge.Permanent(errors.New("http sink: the data is no JSON, and an array is to be sent")))
			continue
		}
		if groups[r.Dest] == nil {
			order = append(order, r.Dest)
		}
		groups[r.Dest] = append(groups[r.Dest], i)
	}
	for _, dest := range order {
		s.writeArray(ctx, b, dest, groups[dest], failed)
	}
}

// writeArray sends the records with the indexes as one request; if it is refused
// for good, as one for each half.
func (s *Sink) writeArray(ctx context.Context, b *bridge.Batch, dest string, indexes []int, failed *bridge.BatchError) {
	body := []byte{'['}
	for n, i := range indexes {
		if n > 0 {
			body = append(body, ',')
		}
		body = append(body, b.Records[i].Data...)
	}
	err := s.send(ctx, dest, append(body, ']'), nil)
	if half := len(indexes) / 2; half > 0 && errors.Is(err, bridge.ErrPermanent) {
		before := len(failed.Failed)
		s.writeArray(ctx, b, dest, indexes[:half], failed)
		rest := s.holdBack(b, indexes[half:], failed, before)
		if len(rest) > 0 {
			s.writeArray(ctx, b, dest, rest, failed)
		}
		return
	}
	if err != nil {
		for _, i := range indexes {
			failed.Fail(i, err)
		}
	}
}

// holdBack fails those of the records that stand in their lane behind one that
// will be tried again, and returns the others.
func (s *Sink) holdBack(b *bridge.Batch, indexes []int, failed *bridge.BatchError, from int) []int {
	stuck := make(map[uint64]error)
	for _, f := range failed.Failed[min(from, len(failed.Failed)):] {
		if !errors.Is(f.Err, bridge.ErrPermanent) {
			stuck[b.Records[f.Index].Lane] = f.Err
		}
	}
	var rest []int
	for _, i := range indexes {
		if err := stuck[b.Records[i].Lane]; err != nil {
			failed.Fail(i, err)
		} else {
			rest = append(rest, i)
		}
	}
	return rest
}

// send makes a request and returns what its outcome means.
func (s *Sink) send(ctx context.Context, dest string, body []byte, attrs []bridge.Attr) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	u := s.url
	if dest != "" {
		u = u.JoinPath(dest)
	}
	// The transport may read the body for a while after it has returned; the
	// batch's memory is not ours then.
	req, err := http.NewRequestWithContext(ctx, s.cfg.Method, u.String(), bytes.NewReader(bytes.Clone(body)))
	if err != nil {
		return bridge.Permanent(fmt.Errorf("http sink: %w", err))
	}
	for name, values := range s.cfg.Header {
		req.Header[name] = values
	}
	req.Header.Set("Content-Type", s.cfg.ContentType)
	for _, a := range attrs {
		if name, ok := strings.CutPrefix(a.Name, HeaderPrefix); ok {
			req.Header.Set(name, string(a.Value))
		}
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return transportError(err)
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 512))
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10) // so that the connection can be used again
	return statusError(resp, text)
}
