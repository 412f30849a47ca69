package broker

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"time"
)

// listener accepts connections, within the limits, as conns.
type listener struct {
	net.Listener
	src *Source
	endpoint
	served chan struct{} // closed when nothing is accepted any more
}

func (s *Source) listen(ctx context.Context, l Listener) (*listener, error) {
	e, err := l.parse()
	if err != nil {
		return nil, err
	}
	network := "tcp"
	if e.scheme == "unix" {
		network = "unix"
		removeStaleSocket(ctx, e.address)
	}
	ln, err := new(net.ListenConfig).Listen(ctx, network, e.address)
	if err != nil {
		return nil, err
	}
	if l.TLS != nil {
		ln = tls.NewListener(ln, l.TLS)
	}
	return &listener{Listener: ln, src: s, endpoint: e, served: make(chan struct{})}, nil
}

// removeStaleSocket removes the file of a Unix socket that nobody listens on any
// more, as a crash leaves it.
func removeStaleSocket(ctx context.Context, path string) {
	if info, err := os.Stat(path); err != nil || info.Mode().Type() != os.ModeSocket {
		return
	}
	c, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "unix", path)
	if err == nil {
		_ = c.Close() // somebody is there; Listen will say so
		return
	}
	_ = os.Remove(path)
}

func (l *listener) url() string {
	if l.scheme == "unix" {
		return "unix://" + l.address
	}
	return l.scheme + "://" + l.Addr().String() + l.path
}

// accept hands connections to serve until the listener is closed.
func (l *listener) accept() {
	defer close(l.served)
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		l.src.serving.Go(func() { l.src.serve(c) })
	}
}

// Accept waits for the next connection that is within the limits. An error of
// the moment, such as too many open files, is waited out.
func (l *listener) Accept() (*conn, error) {
	const wait = 50 * time.Millisecond
	for {
		nc, err := l.Listener.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) || l.src.ctx.Err() != nil {
				return nil, err
			}
			if n, ok := l.src.repeats.Admit(l.url(), "accept", 1); ok {
				l.src.log.Warn("broker cannot accept connections", "count", n, "address", l.url(), "error", err)
			}
			select {
			case <-time.After(wait):
				continue
			case <-l.src.ctx.Done():
				return nil, err
			}
		}
		c := l.src.newConn(nc)
		if l.scheme == "ws" || l.scheme == "wss" {
			c.upgrade = func() error { return c.toWebSocket(l.path) }
		}
		victim, exceeded := l.src.conns.add(c, &l.src.cfg.Limits)
		if exceeded != "" {
			l.src.reject(c, exceeded)
			_ = nc.Close()
			continue
		}
		if victim != nil {
			l.src.reject(victim, "half_open")
			_ = victim.Close()
		}
		if l.src.ctx.Err() != nil { // closing: nobody would close it any more
			_ = c.Close()
			l.src.conns.remove(c)
			continue
		}
		// Of reads and writes, for the handshakes.
		_ = nc.SetDeadline(c.since.Add(l.src.cfg.Limits.ConnectTimeout))
		return c, nil
	}
}

// reject counts a connection that is closed because of a limit.
func (s *Source) reject(c *conn, limit string) {
	s.counters.rejected.add(limit)
	if n, ok := s.repeats.Admit(limit, "limit", 1); ok {
		s.log.Warn("broker closed connections because of a limit", "count", n, "reason", limit, "peer", c.client.PeerName)
	}
}

func (s *Source) newConn(nc net.Conn) *conn {
	c := &conn{Conn: nc, src: s, since: time.Now(), writeFor: s.cfg.Limits.WriteTimeout, gone: make(chan struct{})}
	c.r = bufio.NewReaderSize(c.Conn, readBuffer)
	c.client.PeerName = nc.RemoteAddr().String()
	c.client.Listener = nc.LocalAddr().String()
	if host, _, err := net.SplitHostPort(c.client.PeerName); err == nil {
		c.host, c.client.PeerHost = host, host
	} else { // a Unix socket has no peer name worth telling
		c.client.PeerName = ""
	}
	c.acks.open(c)
	return c
}

// readBuffer is what a connection that nothing comes on takes for it.
const readBuffer = 2048
