package mqtt

import (
	"math/rand/v2"
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// cutter is a TCP proxy that cuts its connections, or lets them go dead.
type cutter struct {
	ln     net.Listener
	target string
	end    chan struct{}
	mu     sync.Mutex
	conns  []net.Conn
	frozen chan struct{} // closed when the connections made before go dead
	work   sync.WaitGroup
}

func newCutter(t *testing.T, target string) *cutter {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &cutter{ln: ln, target: target, end: make(chan struct{}), frozen: make(chan struct{})}
	p.work.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			p.work.Go(func() { p.serve(c) })
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		close(p.end)
		p.cut()
		p.work.Wait()
	})
	return p
}

func (p *cutter) serve(c net.Conn) {
	defer c.Close()
	up, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer up.Close()
	p.mu.Lock()
	p.conns = append(p.conns, c, up)
	frozen := p.frozen
	p.mu.Unlock()
	p.work.Go(func() { p.copy(up, c, frozen); _ = up.Close() })
	p.copy(c, up, frozen)
}

// copy copies until a side is closed. Once frozen it reads and closes nothing.
func (p *cutter) copy(dst, src net.Conn, frozen <-chan struct{}) {
	buf := make([]byte, 32<<10)
	for {
		n, err := src.Read(buf)
		select {
		case <-frozen:
			<-p.end
			return
		default:
		}
		if n > 0 {
			if _, err := dst.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// freeze lets the connections go dead: they stay open, and what is sent is lost.
func (p *cutter) freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.frozen)
	p.frozen = make(chan struct{})
}

// cut closes the connections, half of them with a reset.
func (p *cutter) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		if tc, ok := c.(*net.TCPConn); ok && rand.IntN(2) == 0 {
			_ = tc.SetLinger(0)
		}
		_ = c.Close()
	}
	p.conns = nil
}
