package mqtt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"time"

	"github.com/gorilla/websocket"

	"github.com/sluiceio/sluice/internal/redact"
)

// webSocket opens a WebSocket (MQTT 5.0, section 6).
func (d dialer) webSocket(ctx context.Context, u *url.URL) (net.Conn, error) {
	var raw *firstRead
	wd := websocket.Dialer{
		NetDialContext: remember(d.network, &raw),
		Subprotocols:   []string{"mqtt"},
	}
	if u.Scheme == "wss" {
		var err error
		if wd.TLSClientConfig, err = d.tls(u); err != nil {
			return nil, err
		}
	}
	if d.cfg.WebSocketURL != nil {
		var err error
		if u, err = d.cfg.WebSocketURL(ctx, u); err != nil {
			return nil, fmt.Errorf("WebSocketURL: %w", err)
		}
	}
	c, resp, err := wd.DialContext(ctx, u.String(), d.cfg.WebSocketHeader)
	if resp != nil && resp.Body != nil {
		defer resp.Body.Close()
	}
	if errors.Is(err, websocket.ErrBadHandshake) && resp != nil {
		if said, _ := io.ReadAll(resp.Body); u.Scheme == "ws" && bytes.Contains(said, []byte("HTTPS")) {
			return nil, errSpeaksTLS // as servers of the web say to those who try without
		}
		return nil, &handshakeError{resp.StatusCode, short(redact.Of(u.String()).Text(resp.Status))}
	}
	if err != nil {
		return nil, redact.Of(u.String()).Error(d.explain(ctx, u, raw, err))
	}
	raw.open = true
	return &webSocketConn{Conn: c}, nil
}

// explain reports why no WebSocket was opened where an error does not.
func (d dialer) explain(ctx context.Context, u *url.URL, raw *firstRead, err error) error {
	if raw == nil { // not even a connection
		return err
	}
	odd := misplaced(raw.first[:raw.n])
	if u.Scheme == "ws" && raw.n == 0 && closedEarly(err) {
		odd = d.probe(ctx, &url.URL{Scheme: "mqtt", Host: u.Host})
	}
	switch {
	case u.Scheme == "ws" && errors.Is(odd, errSpeaksTLS):
		return odd
	case u.Scheme == "ws" && odd == nil && (raw.n > 0 || closedEarly(err)):
		return fmt.Errorf("%w: %w", errNoWebSocket, err)
	case u.Scheme == "wss" && raw.n == 0 && closedEarly(err):
		return fmt.Errorf("%w: %w", errNoTLS, err)
	case u.Scheme == "wss" && closedEarly(err): // TLS there is
		return fmt.Errorf("%w: %w", errNoWebSocket, err)
	}
	return err
}

// handshakeError is the answer of an HTTP server that opened no WebSocket.
type handshakeError struct {
	status int
	text   string
}

func (e *handshakeError) Error() string { return "HTTP status " + e.text }

// webSocketConn makes a stream of the messages of a WebSocket. One goroutine may
// read while another writes.
type webSocketConn struct {
	*websocket.Conn
	r io.Reader // rest of the current message
}

func (c *webSocketConn) Read(p []byte) (int, error) {
	for {
		if c.r == nil {
			kind, r, err := c.NextReader()
			switch {
			case websocket.IsCloseError(err, websocket.CloseNormalClosure, websocket.CloseGoingAway):
				return 0, io.EOF
			case err != nil:
				return 0, err
			case kind != websocket.BinaryMessage:
				return 0, errMalformed
			}
			c.r = r
		}
		n, err := c.r.Read(p)
		if err == io.EOF {
			c.r, err = nil, nil
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

func (c *webSocketConn) Write(p []byte) (int, error) {
	if err := c.WriteMessage(websocket.BinaryMessage, p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// SetDeadline sets both deadlines; a WebSocket is of no use after one has passed.
func (c *webSocketConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}
