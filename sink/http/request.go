package http

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/sluiceio/sluice/bridge"
)

// What a record may add to a request. Servers differ in how much they take, and
// some break the connection rather than say so, which would look like trouble of
// the network and be tried for ever.
const (
	// MaxDest is the highest number of bytes of a record's Dest, escaped.
	MaxDest = 4 << 10
	// MaxHeaders is the highest number of bytes of all headers that a record's
	// attributes become.
	MaxHeaders = 8 << 10
)

// target returns the URL of a Dest: always one below base. Every segment is
// escaped, so that a Dest has no query, fragment, host or scheme, and one that
// climbs is refused.
func target(base *url.URL, dest string) (*url.URL, error) {
	if dest == "" {
		return base, nil
	}
	var path strings.Builder
	for segment := range strings.SplitSeq(strings.TrimLeft(dest, "/"), "/") {
		if err := checkSegment(segment); err != nil {
			return nil, fmt.Errorf("the path %.100q %w", dest, err)
		}
		if path.Len() > 0 {
			path.WriteByte('/')
		}
		path.WriteString(url.PathEscape(segment))
	}
	if path.Len() > MaxDest {
		return nil, fmt.Errorf("the path has %d bytes, more than %d", path.Len(), MaxDest)
	}
	return base.JoinPath(path.String()), nil
}

// checkSegment refuses what some server takes for a step up: "..", also when it
// is escaped, once or many times, and also between backslashes.
func checkSegment(segment string) error {
	if !utf8.ValidString(segment) || strings.ContainsFunc(segment, isControl) {
		return errors.New("holds control characters or is not UTF-8")
	}
	for plain := segment; ; {
		for part := range strings.FieldsFuncSeq(plain, func(r rune) bool { return r == '/' || r == '\\' }) {
			// A server may cut off parameters: "..;x" is ".." to some.
			if name, _, _ := strings.Cut(part, ";"); name == "." || name == ".." {
				return errors.New("steps out of the URL of the sink")
			}
		}
		next, err := url.PathUnescape(plain)
		if err != nil || next == plain {
			return nil
		}
		plain = next
	}
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// isToken reports whether a text is a name of a header (RFC 9110, section 5.6.2).
func isToken(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	})
}

// request is what one request carries: the body made of some records with the
// same Dest.
type request struct {
	dest    string
	body    []byte
	attrs   []bridge.Attr
	attempt int // the highest of the records'
	records int
}

// request makes the request. Its errors are those of the record.
func (s *Sink) request(ctx context.Context, q request) (*http.Request, error) {
	u, err := target(s.url, q.dest)
	if err != nil {
		return nil, err
	}
	// The transport may read the body for a while after it has returned; the
	// batch's memory is not ours then.
	req, err := http.NewRequestWithContext(ctx, s.cfg.Method, u.String(), bytes.NewReader(bytes.Clone(q.body)))
	if err != nil {
		return nil, s.secrets.Error(err)
	}
	for name, values := range s.cfg.Header {
		req.Header[name] = values
	}
	req.Header.Set("Content-Type", s.cfg.ContentType)
	size := 0
	for _, a := range q.attrs {
		name, ok := strings.CutPrefix(a.Name, HeaderPrefix)
		if !ok {
			continue
		}
		value := string(a.Value)
		if size += len(name) + len(value); size > MaxHeaders {
			return nil, fmt.Errorf("the headers have more than %d bytes", MaxHeaders)
		}
		switch {
		case !isToken(name):
			return nil, fmt.Errorf("%.100q is not the name of a header", name)
		case strings.ContainsFunc(value, func(r rune) bool { return isControl(r) && r != '\t' }):
			return nil, fmt.Errorf("the header %s cannot have the value %.100q", name, value)
		}
		req.Header.Set(name, value)
	}
	return req, nil
}

// sameServer makes redirects of a client stay at the server that the request was
// for: headers with credentials would go along. Where the client has no policy of
// its own it follows none.
func sameServer(policy func(*http.Request, []*http.Request) error) func(*http.Request, []*http.Request) error {
	return func(next *http.Request, via []*http.Request) error {
		if policy == nil || next.URL.Scheme != via[0].URL.Scheme || next.URL.Host != via[0].URL.Host {
			return http.ErrUseLastResponse
		}
		return policy(next, via)
	}
}
