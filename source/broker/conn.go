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

	// Set while the client connects, before anything else uses them.
	client   Client
	server   *mqtt.Client // the server's idea of the client
	inject   *mqtt.Client // publishes for the client; see publish.go
	session  *session
	limiter  limiter
	connect  packets.Packet // without the password
	at       time.Time      // when the session was established
	will     *packets.Packet
	willWait time.Duration

	requestID  uint16             // of the SUBSCRIBE or UNSUBSCRIBE packet at hand
	disconnect packets.Properties // of the client's DISCONNECT packet

	wmu sync.Mutex // one write at a time
	out outbound   // guarded by wmu

	acks ackWindow
}

// SetDeadline bounds reads only; the server sets it for each packet it reads.
// Writes have a limit of their own.
func (c *conn) SetDeadline(t time.Time) error { return c.Conn.SetReadDeadline(t) }

// Write writes packets of the server, as far as the client's window lets them.
func (c *conn) Write(p []byte) (int, error) {
	c.wmu.Lock()
	defer c.wmu.Unlock()
	if err := c.writeLocked(c.out.admit(p)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// write writes packets of our own.
func (c *conn) write(p []byte) error {
	c.wmu.Lock()
	defer c.wmu.Unlock()
	return c.writeLocked(p)
}

// released tells that the client has acknowledged a message, and writes those
// that waited for it.
func (c *conn) released() {
	c.wmu.Lock()
	defer c.wmu.Unlock()
	// A failed write closes the connection; the reader sees it.
	_ = c.writeLocked(c.out.release())
}

func (c *conn) writeLocked(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	if err := c.SetWriteDeadline(time.Now().Add(c.writeFor)); err != nil {
		return err
	}
	_, err := c.Conn.Write(p)
	if err != nil {
		_ = c.Close() // part of a packet may be out
	}
	return err
}

// Close closes the connection once.
func (c *conn) Close() (err error) {
	c.close.Do(func() {
		err = c.Conn.Close()
		c.acks.close()
		c.src.conns.remove(c)
	})
	return err
}

// outbound keeps to a subscriber's receive maximum (MQTT 5.0, section 4.9): it
// holds QoS 1 and 2 messages back while as many are unacknowledged.
//
// The server has a window of its own, but messages that it holds back leave it
// out of order and are then forgotten, until it stalls. So the server is told
// that there is no window, and the frames are held here, in order.
type outbound struct {
	window int // 0 until CONNECT
	used   int
	held   []byte
}

// admit returns those of the packets in p that may be written now.
func (o *outbound) admit(p []byte) []byte {
	if o.window == 0 {
		return p
	}
	var now []byte // nil while everything may be written
	for rest := p; len(rest) > 0; {
		n := frameLen(rest)
		frame := rest[:n]
		switch {
		case !needsAck(frame):
			if now != nil {
				now = append(now, frame...)
			}
		case o.used < o.window && len(o.held) == 0:
			o.used++
			if now != nil {
				now = append(now, frame...)
			}
		default:
			if now == nil {
				now = append(make([]byte, 0, len(p)), p[:len(p)-len(rest)]...)
			}
			o.held = append(o.held, frame...)
		}
		rest = rest[n:]
	}
	if now == nil {
		return p
	}
	return now
}

// release makes room for one message and returns what may be written now.
func (o *outbound) release() []byte {
	o.used = max(0, o.used-1)
	n := 0
	for o.used < o.window && n < len(o.held) {
		n += frameLen(o.held[n:])
		o.used++
	}
	now := o.held[:n]
	if o.held = o.held[n:]; len(o.held) == 0 {
		o.held = nil
	}
	return now
}

// needsAck reports whether a packet is a PUBLISH with QoS 1 or 2.
func needsAck(frame []byte) bool {
	return frame[0]>>4 == packets.Publish && frame[0]&0b110 != 0
}

// frameLen is the length of the packet that p starts with; all of p when it is
// incomplete, which the server never writes.
func frameLen(p []byte) int {
	length, shift := 0, 0
	for i := 1; i < len(p) && i <= 4; i++ {
		length |= int(p[i]&0x7f) << shift
		shift += 7
		if p[i] < 0x80 {
			return min(i+1+length, len(p))
		}
	}
	return len(p)
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
