package broker

import (
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
)

// conn is a client's connection and what belongs to it. The server reads and
// writes through it; the hook finds it again as Client.Net.Conn.
type conn struct {
	net.Conn
	src      *Source
	host     string // IP address without port, "" for a Unix socket
	writeFor time.Duration
	close    sync.Once

	connected atomic.Bool // it has a session
	hurried   atomic.Bool // see hurry
	takenOver atomic.Bool // by another connection
	closed    atomic.Bool

	established bool // guarded by the session's outbox: it may be sent messages

	// Set while the client connects, before anything else uses them.
	client   Client
	server   *mqtt.Client // the server's idea of the client
	session  *session
	limiter  limiter
	connect  *packets.Packet // without the password; nil when no event tells of it
	at       time.Time       // when the session was established
	will     *packets.Packet
	willWait time.Duration
	window   int           // the client's receive maximum
	expiry   time.Duration // how long the session outlives the connection

	disconnect *packets.Properties // of the client's DISCONNECT packet; nil if there was none
	present    bool                // the session was there before
	left       bool                // the session has been told
	emptyWill  bool                // the will has no payload
	aliases    map[uint16]string   // topics by the alias that the client set

	wmu    sync.Mutex // one write at a time
	corked bool       // writes gather in gather
	gather []byte

	acks ackWindow
}

// SetDeadline bounds reads only; the server sets it for each packet it reads.
// Writes have a limit of their own.
func (c *conn) SetDeadline(t time.Time) error { return c.Conn.SetReadDeadline(t) }

// Write implements net.Conn for packets of the server.
func (c *conn) Write(p []byte) (int, error) {
	if err := c.write(p); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (c *conn) write(p []byte) error {
	c.wmu.Lock()
	defer c.wmu.Unlock()
	if !c.corked {
		return c.writeLocked(p)
	}
	const enough = 16 << 10
	if c.gather = append(c.gather, p...); len(c.gather) < enough {
		return nil
	}
	return c.flushLocked()
}

// cork makes writes wait for uncork, so that small packets share one.
func (c *conn) cork() {
	c.wmu.Lock()
	defer c.wmu.Unlock()
	c.corked = true
}

func (c *conn) uncork() error {
	c.wmu.Lock()
	defer c.wmu.Unlock()
	c.corked = false
	return c.flushLocked()
}

func (c *conn) flushLocked() error {
	p := c.gather
	c.gather = nil
	return c.writeLocked(p)
}

func (c *conn) writeLocked(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	if err := c.SetWriteDeadline(c.writeBy()); err != nil {
		return err
	}
	_, err := c.Conn.Write(p)
	if err != nil {
		_ = c.Close() // part of a packet may be out
	}
	return err
}

// writeBy is when a write that begins now must be done.
func (c *conn) writeBy() time.Time {
	if c.hurried.Load() {
		return time.Now().Add(min(c.writeFor, time.Second))
	}
	return time.Now().Add(c.writeFor)
}

// hurry gives the write that is under way, and all later ones, no more than a
// second: somebody waits for the connection's end.
func (c *conn) hurry() {
	c.hurried.Store(true)
	inner := c.Conn
	if ws, ok := inner.(*wsConn); ok {
		inner = ws.NetConn() // its own deadline is not for concurrent use
	}
	_ = inner.SetWriteDeadline(c.writeBy())
}

// Close closes the connection once.
func (c *conn) Close() (err error) {
	c.close.Do(func() {
		c.closed.Store(true)
		err = c.Conn.Close()
		c.acks.close()
		c.src.conns.remove(c)
	})
	return err
}

// conns are the connections that are open, counted by host.
type conns struct {
	mu     sync.Mutex
	open   map[*conn]struct{}
	byHost map[string]int
}

// add takes c in, unless that would exceed a limit.
func (cs *conns) add(c *conn, limits Limits) bool {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if len(cs.open) >= limits.Clients || c.host != "" && cs.byHost[c.host] >= limits.ClientsPerHost {
		return false
	}
	cs.open[c] = struct{}{}
	cs.byHost[c.host]++
	return true
}

func (cs *conns) remove(c *conn) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if _, ok := cs.open[c]; !ok {
		return
	}
	delete(cs.open, c)
	if cs.byHost[c.host]--; cs.byHost[c.host] == 0 {
		delete(cs.byHost, c.host)
	}
}

func (cs *conns) len() int {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	return len(cs.open)
}

// each calls f for every connection that is open.
func (cs *conns) each(f func(*conn)) {
	cs.mu.Lock()
	all := slices.Collect(maps.Keys(cs.open))
	cs.mu.Unlock()
	for _, c := range all {
		f(c)
	}
}

// closeAll closes what is still open.
func (cs *conns) closeAll() { cs.each(func(c *conn) { _ = c.Close() }) }
