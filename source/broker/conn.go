package broker

import (
	"bufio"
	"container/list"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
	"github.com/mochi-mqtt/server/v2/packets"
)

// conn is a client's connection and what belongs to it.
type conn struct {
	net.Conn
	src      *Source
	host     string // IP address without port, "" for a Unix socket
	r        *bufio.Reader
	packet   packets.Packet // that was read last
	upgrade  func() error   // makes it a WebSocket connection; nil if it is to be none
	since    time.Time
	writeFor time.Duration
	close    sync.Once
	gone     chan struct{} // closed with the connection

	connected atomic.Bool                  // it has a session
	hurried   atomic.Bool                  // see hurry
	takenOver atomic.Bool                  // by another connection
	cause     atomic.Pointer[packets.Code] // why the broker closed it

	state connState // guarded by conns.mu, like place
	place *list.Element

	established bool // guarded by the session's outbox: it may be sent messages

	// Set while the client connects, before anything else uses them.
	client    Client
	assigned  bool // the client id is the broker's choice
	session   *session
	turn      int // its number among the session's connections
	publisher *publisher
	limiter   limiter
	greeting  *greeting     // nil when no event tells of it
	at        time.Time     // when the session was established
	keepalive time.Duration // longest silence; 0 for any
	maxPacket uint32        // that the client takes; 0 for any
	terse     bool          // the client wants no information about problems
	will      *packets.Packet
	willWait  time.Duration
	window    int           // the client's receive maximum
	expiry    time.Duration // how long the session outlives the connection

	disconnect *packets.Properties // of the client's DISCONNECT packet; nil if there was none
	aliases    map[uint16]string   // topics by the alias that the client set
	pings      int                 // that are not answered

	wmu    sync.Mutex // one write at a time
	ws     *wsStream  // what is written to instead of Conn; nil for none
	corked bool       // writes gather in gather
	gather []byte

	acks ackWindow
}

// write writes n packets.
func (c *conn) write(p []byte, n int) error {
	c.src.counters.packetsOut.Add(int64(n))
	c.src.counters.bytesOut.Add(int64(len(p)))
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
	err := c.writeStream(p, c.writeBy())
	if err != nil {
		_ = c.Close() // part of a packet may be out
	}
	return err
}

// writeStream writes to the connection or to the WebSocket that it carries.
func (c *conn) writeStream(p []byte, by time.Time) error {
	if c.ws != nil {
		if err := c.ws.SetWriteDeadline(by); err != nil {
			return err
		}
		return c.ws.WriteMessage(websocket.BinaryMessage, p)
	}
	if err := c.SetWriteDeadline(by); err != nil {
		return err
	}
	_, err := c.Conn.Write(p)
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
	_ = c.SetWriteDeadline(c.writeBy()) // a WebSocket's own deadline is not for concurrent use
}

// isGone reports whether the connection is closed.
func (c *conn) isGone() bool {
	select {
	case <-c.gone:
		return true
	default:
		return false
	}
}

// Close closes the connection once.
func (c *conn) Close() (err error) {
	c.close.Do(func() {
		close(c.gone)
		err = c.Conn.Close()
		c.acks.close()
	})
	return err
}

// connState is how far a connection has come.
type connState int

const (
	silent  connState = iota // it owes its CONNECT packet
	login                    // it has sent it
	open                     // it has a session
	removed                  // it is not counted any more
)

// conns are the connections that somebody sees to, counted by host. Those that are
// not logged in are few by a limit of their own: for them the oldest silent one
// makes room, so that nobody can keep others out by waiting.
type conns struct {
	mu     sync.Mutex
	all    map[*conn]struct{}
	byHost map[string]int
	silent list.List // of *conn, the oldest first
	logins int
}

// add takes c in, unless that would exceed a limit, which it names then. victim is
// a connection that has to go for it.
func (cs *conns) add(c *conn, limits *Limits) (victim *conn, exceeded string) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	switch {
	case len(cs.all) >= limits.Clients:
		return nil, "clients"
	case c.host != "" && cs.byHost[c.host] >= limits.ClientsPerHost:
		return nil, "clients_per_host"
	}
	if cs.silent.Len()+cs.logins >= limits.HalfOpen {
		oldest := cs.silent.Front()
		if oldest == nil {
			return nil, "half_open"
		}
		victim = oldest.Value.(*conn)
		cs.leaveState(victim)
		victim.state = removed
		cs.forget(victim)
	}
	cs.all[c] = struct{}{}
	cs.byHost[c.host]++
	c.place = cs.silent.PushBack(c)
	return victim, ""
}

// loggingIn notes that a CONNECT packet has come. It returns false when the
// connection has had to go meanwhile.
func (cs *conns) loggingIn(c *conn) bool { return cs.moveOn(c, login) }

// loggedIn notes that a client has been let in.
func (cs *conns) loggedIn(c *conn) { cs.moveOn(c, open) }

func (cs *conns) moveOn(c *conn, to connState) bool {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if c.state == removed {
		return false
	}
	cs.leaveState(c)
	c.state = to
	if to == login {
		cs.logins++
	}
	return true
}

func (cs *conns) leaveState(c *conn) {
	switch c.state {
	case silent:
		cs.silent.Remove(c.place)
	case login:
		cs.logins--
	}
}

// remove tells that nobody sees to c any more.
func (cs *conns) remove(c *conn) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if c.state != removed {
		cs.leaveState(c)
		c.state = removed
		cs.forget(c)
	}
}

func (cs *conns) forget(c *conn) {
	delete(cs.all, c)
	if cs.byHost[c.host]--; cs.byHost[c.host] == 0 {
		delete(cs.byHost, c.host)
	}
}

// counts returns how many connections there are, and how many of them are not
// logged in.
func (cs *conns) counts() (all, halfOpen int) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	return len(cs.all), cs.silent.Len() + cs.logins
}

// each calls f for every connection that is open.
func (cs *conns) each(f func(*conn)) {
	cs.mu.Lock()
	all := slices.Collect(maps.Keys(cs.all))
	cs.mu.Unlock()
	for _, c := range all {
		f(c)
	}
}

// closeAll closes what is still open.
func (cs *conns) closeAll() { cs.each(func(c *conn) { _ = c.Close() }) }
