package broker

import (
	"errors"
	"log/slog"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// brittle is a listener whose Accept fails a few times.
type brittle struct {
	net.Listener
	mu    sync.Mutex
	fails int
	tries []time.Time
}

func (l *brittle) Addr() net.Addr { return &net.TCPAddr{} }

func (l *brittle) Accept() (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tries = append(l.tries, time.Now())
	if l.fails > 0 {
		l.fails--
		return nil, errors.New("too many open files")
	}
	a, b := net.Pipe()
	_ = b.Close()
	return a, nil
}

// TestAcceptErrorsAreWaitedOut: an error of the moment does not end listening.
func TestAcceptErrorsAreWaitedOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src, err := New(Config{Logger: slog.New(slog.DiscardHandler)})
		require.NoError(t, err)
		inner := &brittle{fails: 3}
		l := &listener{Listener: inner, src: src}
		c, err := l.Accept()
		require.NoError(t, err)
		require.NoError(t, c.Close())
		require.Len(t, inner.tries, 4)
		require.Equal(t, 150*time.Millisecond, inner.tries[3].Sub(inner.tries[0]), "not a busy loop")

		inner.fails = 1 << 30
		time.AfterFunc(time.Second, src.cancel)
		_, err = l.Accept()
		require.Error(t, err, "closing ends it")
	})
}
