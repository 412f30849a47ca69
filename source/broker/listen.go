package broker

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"time"

	"github.com/mochi-mqtt/server/v2/listeners"
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
	if e.scheme == "ws" || e.scheme == "wss" {
		ln = listenWebSocket(ln, e.path)
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

// serverListener is the listener as the server wants it. Closing it does not
// disconnect the clients, which Source.Close does: the server takes a lock twice
// for that, and may never get it when a client leaves at the same time.
type serverListener struct{ *listener }

// ID implements listeners.Listener.
func (l serverListener) ID() string { return l.url() }

// Address implements listeners.Listener.
func (l serverListener) Address() string { return l.Addr().String() }

// Protocol implements listeners.Listener.
func (l serverListener) Protocol() string { return l.scheme }

// Init implements listeners.Listener.
func (l serverListener) Init(*slog.Logger) error { return nil }

// Close implements listeners.Listener.
func (l serverListener) Close(listeners.CloseFn) {}

// Serve implements listeners.Listener. It returns when the listener is closed.
func (l serverListener) Serve(establish listeners.EstablishFn) {
	defer close(l.served)
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		l.src.serving.Go(func() { l.src.serve(c.(*conn), func() error { return establish(l.ID(), c) }) })
	}
}

// serve sees to a connection until its end. A packet that the server cannot digest
// ends this connection, not the process.
func (s *Source) serve(c *conn, establish func() error) {
	defer func() {
		if p := recover(); p != nil {
			if n, ok := s.repeats.Admit("", "panic", 1); ok {
				s.log.Error("broker: a packet made the server panic", "count", n, "client_id", c.client.ID, "peer", c.client.PeerName,
					"error", p, "stack", string(debug.Stack()))
			}
		}
		s.finish(c)
	}()
	if err := establish(); err != nil {
		s.log.Debug("broker connection ended", "peer", c.client.PeerName, "error", err)
	}
}

// finish cleans up behind a connection, whatever way it ended.
func (s *Source) finish(c *conn) {
	_ = c.Close()
	if c.server == nil {
		return
	}
	if known, ok := s.server.Clients.Get(c.client.ID); ok && known == c.server {
		s.server.Clients.Delete(c.client.ID)
	}
	if c.session != nil && !c.left {
		s.leaveSession(c)
	}
}

// Accept waits for the next connection that is within the limits. An error of
// the moment, such as too many open files, is waited out: the server would stop
// listening for good.
func (l *listener) Accept() (net.Conn, error) {
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
		if !l.src.conns.add(c, l.src.cfg.Limits) {
			l.src.counters.rejected.Add(1)
			l.src.log.Debug("broker refused a connection: too many", "peer", c.client.PeerName)
			_ = nc.Close()
			continue
		}
		if l.src.ctx.Err() != nil { // closing: nobody would close it any more
			_ = c.Close()
			continue
		}
		// The server sets no deadline before it has seen a CONNECT packet.
		_ = c.SetDeadline(time.Now().Add(l.src.cfg.Limits.ConnectTimeout))
		return c, nil
	}
}

func (s *Source) newConn(nc net.Conn) *conn {
	c := &conn{Conn: nc, src: s, writeFor: s.cfg.Limits.WriteTimeout}
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
