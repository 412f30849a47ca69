package mqtt

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/url"
	"strings"
	"time"
)

// What answers on a port is often not what the URL's scheme says. Its first bytes, or its
// silence, tell.
var (
	errSpeaksTLS   = errors.New("it speaks TLS on this port, for which the scheme is mqtts or wss")
	errSpeaksHTTP  = errors.New("it speaks HTTP on this port; for MQTT over WebSocket the scheme is ws or wss")
	errNoTLS       = errors.New("it closed the connection in the middle of the TLS handshake, as a port without TLS does")
	errNoWebSocket = errors.New("it does not answer as a WebSocket server; for MQTT without WebSocket the scheme is mqtt or mqtts")
)

// misplaced returns what a server that should speak something else begins with, or nil.
func misplaced(first []byte) error {
	const alert, major = 0x15, 0x03 // RFC 8446, section 5.1
	switch {
	case len(first) >= 2 && first[0] == alert && first[1] == major:
		return errSpeaksTLS
	case bytes.HasPrefix(first, []byte("HTTP/")):
		return errSpeaksHTTP
	}
	return nil
}

// probeTimeout bounds each attempt to find out what a server speaks.
const probeTimeout = 2 * time.Second

// question is answered by whoever speaks HTTP. To an MQTT broker its first bytes announce a
// packet of 71 bytes, so that it need not wait for more before it hangs up.
var question = "GET / HTTP/1.0\r\nX-Reason: " + strings.Repeat("-", 64) + "\r\n\r\n"

// probe asks a server that did not answer MQTT whether it speaks TLS or HTTP, and returns
// errSpeaksTLS, errSpeaksHTTP, or nil if it does not show. No secret is sent.
func (d dialer) probe(ctx context.Context, u *url.URL) error {
	if d.cfg.Dial != nil || u.Scheme == "unix" {
		return nil
	}
	if u.Scheme == "mqtt" {
		if err := d.ask(ctx, u, func(raw net.Conn) error {
			err := tls.Client(raw, &tls.Config{ServerName: u.Hostname(), InsecureSkipVerify: true}).HandshakeContext(ctx) //nolint:gosec // nothing is said but hello
			var op *net.OpError
			if err == nil || errors.As(err, &op) && op.Op == "remote error" {
				return errSpeaksTLS
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return d.ask(ctx, u, func(raw net.Conn) error {
		if _, err := io.WriteString(raw, question); err != nil {
			return err
		}
		var first [5]byte
		n, _ := io.ReadFull(raw, first[:]) // as much as it says
		return misplaced(first[:n])
	})
}

// ask makes a connection to ask something.
func (d dialer) ask(ctx context.Context, u *url.URL, how func(net.Conn) error) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	raw, err := d.dial(ctx, u)
	if err != nil {
		return nil
	}
	defer raw.Close()
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() })
	defer stop()
	return how(raw)
}

// closedEarly reports whether a connection ended before it should.
func closedEarly(err error) bool {
	var op *net.OpError
	if errors.Is(err, net.ErrClosed) { // by us
		return false
	}
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &op) && op.Op == "read" && !op.Timeout()
}

// maxHandshake is how many bytes a server may send, its certificates included, before
// a WebSocket is open; the header of its answer is kept in memory.
const maxHandshake = 256 << 10

var errLongHandshake = errors.New("its answer does not end")

// firstRead remembers what the first read of a connection returned, and bounds what
// is read before the connection is open.
type firstRead struct {
	net.Conn
	seen  bool
	first [8]byte
	n     int
	open  bool
	total int // while it is not open
}

func (c *firstRead) Read(p []byte) (int, error) {
	if !c.open {
		if c.total >= maxHandshake {
			return 0, errLongHandshake
		}
		p = p[:min(len(p), maxHandshake-c.total)]
	}
	n, err := c.Conn.Read(p)
	c.total += n
	if !c.seen && n > 0 {
		c.seen = true
		c.n = copy(c.first[:], p[:n])
	}
	return n, err
}

// remember makes a dial function that notes the connection which it made last.
func remember(dial func(ctx context.Context, network, addr string) (net.Conn, error), last **firstRead) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		raw, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		*last = &firstRead{Conn: raw}
		return *last, nil
	}
}
