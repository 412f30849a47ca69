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
func transportError(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err // without the URL, whose query may hold a secret
	}
	wrapped := fmt.Errorf("http sink: %w", err)
	var op *net.OpError
	var dns *net.DNSError
	if errors.As(err, &dns) || errors.As(err, &op) && op.Op == "dial" {
		return wrapped // nothing was sent
	}
	return bridge.Ambiguous(wrapped)
}

// statusError classifies an answer; text is the beginning of its body.
func statusError(resp *http.Response, text []byte) error {
	code := resp.StatusCode
	if code >= 200 && code < 300 {
		return nil
	}
	err := fmt.Errorf("http sink: the service answered %s: %s", resp.Status, strings.ToValidUTF8(string(text), "?"))
	after := retryAfter(resp.Header.Get("Retry-After"))
	switch code {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return bridge.Throttled(err, after)
	case http.StatusServiceUnavailable:
		if after > 0 {
			return bridge.Throttled(err, after)
		}
		return err
	case http.StatusUnauthorized, http.StatusPaymentRequired, http.StatusForbidden, http.StatusNotFound,
		http.StatusMethodNotAllowed, http.StatusProxyAuthRequired:
		return bridge.Unavailable(err)
	}
	switch {
	case code >= 500:
		return bridge.Ambiguous(err)
	case code < 400:
		return bridge.Unavailable(err)
	default:
		return bridge.Permanent(err)
	}
}

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
