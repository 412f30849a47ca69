package http

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/sluiceio/sluice/bridge"
)

// transportError classifies the error of a request that got no answer.
func (s *Sink) transportError(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err // without the URL, whose query may hold a secret
	}
	err = s.secrets.Error(err)
	wrapped := fmt.Errorf("http sink: %w", err)
	var op *net.OpError
	var dns *net.DNSError
	if errors.As(err, &dns) || errors.As(err, &op) && op.Op == "dial" {
		return wrapped // nothing was sent
	}
	return bridge.Ambiguous(wrapped)
}

// statusError classifies an answer; text is the beginning of its body, which may
// repeat the request.
func (s *Sink) statusError(resp *http.Response, text []byte, q *request) error {
	code := resp.StatusCode
	if code >= 200 && code < 300 {
		return nil
	}
	status := strings.TrimSpace(fmt.Sprintf("%d %s", code, http.StatusText(code)))
	err := fmt.Errorf("http sink: the service answered %s: %q", status, s.secrets.Text(strings.ToValidUTF8(string(text), "?")))
	after := retryAfter(resp.Header.Get("Retry-After"))
	switch code {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return bridge.Throttled(err, after)
	case http.StatusServiceUnavailable:
		if after > 0 {
			return bridge.Throttled(err, after)
		}
		return err
	}
	switch {
	case code >= 500:
		return bridge.Ambiguous(err)
	case !doubtful(code):
		return bridge.Permanent(err)
	}
	switch s.judge.refused(code, q) {
	case ofRecord:
		return bridge.Permanent(err)
	case ofAll:
		return bridge.Unavailable(err)
	default:
		return &doubtError{err}
	}
}

// doubtError is a refusal of which it is not known whom it concerns.
type doubtError struct{ error }

func (e *doubtError) Unwrap() error { return e.error }

// maxRetryAfter keeps a service from stopping a lane for ever.
const maxRetryAfter = 5 * time.Minute

// retryAfter reads the header, which is a number of seconds or a date.
func retryAfter(text string) time.Duration {
	d := time.Duration(0)
	if s, err := strconv.ParseUint(text, 10, 31); err == nil {
		d = time.Duration(s) * time.Second
	} else if at, err := http.ParseTime(text); err == nil {
		d = max(0, time.Until(at))
	}
	return min(d, maxRetryAfter)
}
