package broker

import (
	"bufio"
	"io"
	"log/slog"
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// pipes is a listener whose connections are in memory, so that tests can run in
// virtual time.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (l *pipes) Addr() net.Addr { return pipeAddr{} }

func (l *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipes) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "pipe" }

// openPipes opens a broker that only dial reaches. Its caller closes it.
func openPipes(t testing.TB, cfg Config) (src *Source, dial func() net.Conn) {
	t.Helper()
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	src, err := New(cfg)
	require.NoError(t, err)
	require.NoError(t, src.load())
	l := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
	ln := &listener{Listener: l, src: src, served: make(chan struct{})}
	src.opened, src.listeners = true, []*listener{ln}
	if src.journal != nil {
		go src.journal.run()
	}
	src.serving.Go(src.housekeep)
	src.accepting.Store(true)
	go ln.accept()
	return src, func() net.Conn {
		here, there := net.Pipe()
		select {
		case l.conns <- there:
		case <-l.closed:
			_ = there.Close()
		}
		return here
	}
}

// greet connects with MQTT 3.1.1 and a clean session.
func greet(nc net.Conn, id string) error {
	packet := append([]byte{0x10, byte(12 + len(id)), 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 0, 0, byte(len(id))}, id...)
	if _, err := nc.Write(packet); err != nil {
		return err
	}
	_, err := io.ReadFull(nc, make([]byte, 4))
	return err
}

// discard reads what comes until the connection ends, and counts PUBACKs.
func discard(nc net.Conn, acked func()) {
	r := bufio.NewReader(nc)
	for {
		head, err := r.ReadByte()
		if err != nil {
			return
		}
		n, err := r.ReadByte()
		if err != nil {
			return
		}
		if _, err := r.Discard(int(n)); err != nil {
			return
		}
		if head == 0x40 && acked != nil {
			acked()
		}
	}
}
