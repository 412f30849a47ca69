package mqtt

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/eclipse/paho.golang/packets"
)

// conn is the connection that paho works on. It reads large pieces from the
// network and cuts them into packets; those that its receiver takes never reach
// paho, all others are handed to paho's Read whole. What paho and the window
// write is collected in an outbox.
//
// conn is a sync.Locker through its outbox, as packets.ControlPacket.WriteTo
// asks of connections that are written to by several goroutines.
type conn struct {
	net.Conn
	*outbox
	frames   frames
	receiver receiver
	server   string           // host and port
	v3       bool             // the broker speaks MQTT 3.1.1
	epoch    uint64           // the window's number of this connection, set with CONNACK
	connack  *packets.Connack // nil until it arrives
	heardOf  bool             // something was read from the network
	overrun  bool             // the broker has exceeded the receive maximum
	readAt   time.Time        // of the last piece from the network

	reading chan struct{} // capacity 1: a lock held by the goroutine that reads from the network
	rest    []byte        // of the packet that paho is reading

	lastRead    atomic.Int64 // unix nanoseconds; the end of a pause counts
	lastMessage atomic.Int64 // likewise, of PUBLISH packets alone; 0 before the first
	lastWrite   atomic.Int64
	paused      atomic.Bool                            // reading waits for room in the window or the inbox
	onPause     func()                                 // told when a pause begins
	consent     func(*conn, *packets.Properties) error // told when the broker is content with us
	graceful    atomic.Bool                            // Close writes what is left first

	cause   atomic.Pointer[error] // why we closed it
	dead    func()                // closes done, once
	done    chan struct{}         // closed when the connection is given up
	closing sync.Once
	written chan struct{} // closed when the writer has ended
}

// receiver takes packets off the stream before paho sees them.
type receiver interface {
	// receive takes a PUBLISH packet, or leaves it to paho by returning false.
	// body is what follows the fixed header and is never written to again.
	receive(c *conn, flags byte, body []byte) (taken bool)
	// flush is called when reading is about to wait, and before a packet that
	// was left to paho.
	flush(c *conn)
}

const (
	typeConnack = 2
	typePublish = 3
	typeAuth    = 15
)

// flushTimeout bounds the writing of the last acknowledgements and of
// DISCONNECT to a broker that does not read.
const flushTimeout = 2 * time.Second

func newConn(raw net.Conn, maxPacket int, r receiver, onPause func()) *conn {
	c := &conn{
		Conn: raw, outbox: newOutbox(), receiver: r, onPause: onPause, readAt: time.Now(),
		reading: make(chan struct{}, 1), done: make(chan struct{}), written: make(chan struct{}),
	}
	c.dead = sync.OnceFunc(func() { close(c.done) })
	c.frames = frames{max: maxPacket, src: readerFunc(c.readRaw)}
	c.lastRead.Store(c.readAt.UnixNano())
	c.lastWrite.Store(c.readAt.UnixNano())
	go func() {
		defer close(c.written)
		if err := c.outbox.run(writerFunc(c.writeRaw)); err != nil {
			c.fail(err)
		}
	}()
	return c
}

// speakV3 makes it a connection of MQTT 3.1.1; nothing must have been written.
func (c *conn) speakV3() {
	c.v3 = true
	c.translate = toV3
}

// Read gives paho the packets that the receiver does not take.
func (c *conn) Read(p []byte) (int, error) {
	if len(c.rest) == 0 {
		if err := c.advance(); err != nil {
			return 0, c.reason(err)
		}
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

// advance reads until there is a packet for paho.
func (c *conn) advance() error {
	c.reading <- struct{}{}
	defer func() { <-c.reading }()
	for len(c.rest) == 0 {
		if c.isDone() {
			return net.ErrClosed
		}
		if err := c.next(); err != nil {
			return err
		}
	}
	return nil
}

// next reads one packet and either has it taken or makes it paho's.
func (c *conn) next() error {
	frame, header, need, err := c.frames.buffered()
	for err == nil && frame == nil {
		c.receiver.flush(c)
		if err = c.frames.fill(need); err == nil {
			frame, header, need, err = c.frames.buffered()
		}
	}
	if err != nil {
		c.receiver.flush(c)
		return err
	}
	kind := frame[0] >> 4
	if kind == typePublish {
		// Mostly unchanged: several messages come with one read.
		if at := c.lastRead.Load(); c.lastMessage.Load() != at {
			c.lastMessage.Store(at)
		}
	}
	if kind == typePublish && c.receiver.receive(c, frame[0]&0x0f, frame[header:]) {
		c.frames.lent = true
		return nil
	}
	if c.v3 {
		if frame, err = fromV3(frame, header); err != nil {
			return err
		}
	}
	if kind == typeConnack || kind == typeAuth {
		if err := c.sawAnswer(kind, frame); err != nil {
			return err
		}
	}
	c.receiver.flush(c)
	c.rest = frame
	return nil
}

// sawAnswer looks at CONNACK and AUTH, of which paho and autopaho pass on little.
func (c *conn) sawAnswer(kind byte, frame []byte) error {
	if kind == typeConnack && len(frame) == 4 { // without property length
		return errOnlyV3
	}
	p, err := packets.ReadPacket(bytes.NewReader(frame))
	if err != nil {
		return fmt.Errorf("%w: %w", errMalformed, err)
	}
	switch p := p.Content.(type) {
	case *packets.Connack:
		c.connack = p
		if p.ReasonCode == packets.ConnackSuccess {
			return c.consent(c, p.Properties)
		}
	case *packets.Auth:
		if p.ReasonCode == packets.AuthSuccess {
			return c.consent(c, p.Properties)
		}
	}
	return nil
}

func (c *conn) Write(p []byte) (int, error) {
	n, err := c.outbox.Write(p)
	if err != nil {
		err = c.reason(err)
	}
	return n, err
}

func (c *conn) readRaw(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 && !c.heardOf {
		c.heardOf = true
		if err := misplaced(p[:n]); err != nil {
			return 0, err
		}
	}
	if n > 0 {
		c.readAt = time.Now()
		c.lastRead.Store(c.readAt.UnixNano())
	}
	return n, err
}

func (c *conn) writeRaw(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.lastWrite.Store(time.Now().UnixNano())
	return n, err
}

// fail gives the connection up for the reason err; the first one counts.
func (c *conn) fail(err error) {
	c.cause.CompareAndSwap(nil, &err)
	c.dead()
	_ = c.Conn.Close()
}

// refuse tells the broker why (MQTT 5.0, section 3.14.2.1) and gives the connection up:
// nothing more is read, and Close lets the broker hear it.
func (c *conn) refuse(code byte, err error) {
	c.cause.CompareAndSwap(nil, &err)
	c.graceful.Store(true)
	c.Lock()
	c.append4(packets.DISCONNECT<<4, 2, code, 0)
	c.Unlock()
	c.outbox.close()
	c.dead()
}

// reason returns why we closed the connection, or err if we did not.
func (c *conn) reason(err error) error {
	if cause := c.cause.Load(); cause != nil {
		return *cause
	}
	return err
}

func (c *conn) isDone() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// await pauses reading until ready is closed; false means that the connection
// was given up meanwhile.
func (c *conn) await(ready <-chan struct{}) bool {
	c.paused.Store(true)
	c.onPause()
	defer func() {
		// Nobody can be blamed for a silence while we did not listen.
		now := time.Now().UnixNano()
		c.lastRead.Store(now)
		c.lastMessage.Store(now)
		c.paused.Store(false)
	}()
	select {
	case <-ready:
		return true
	case <-c.done:
		return false
	}
}

// heard returns when the broker has last been heard. While reading is paused that
// is now: what it says waits in the socket.
func (c *conn) heard() time.Time {
	if c.paused.Load() {
		return time.Now()
	}
	return time.Unix(0, c.lastRead.Load())
}

// untilSilent returns a context that ends with the cause silent when the broker has
// sent no message for limit, or with the connection. An answer may stand behind any number of messages, so time
// does not count while they come in, nor while they wait because reading is paused.
func (c *conn) untilSilent(ctx context.Context, limit time.Duration, silent error) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	begin := time.Now()
	silence := func() time.Duration {
		if c.paused.Load() { // before lastMessage, which the end of a pause sets
			return 0
		}
		return min(time.Since(begin), time.Since(time.Unix(0, c.lastMessage.Load())))
	}
	go func() {
		for left := limit; left > 0; left = limit - silence() {
			select {
			case <-time.After(left):
			case <-c.done:
				cancel(c.reason(net.ErrClosed))
				return
			case <-ctx.Done():
				return
			}
		}
		cancel(silent)
	}()
	return ctx, func() { cancel(nil) }
}

// Close closes the connection.
func (c *conn) Close() error {
	c.closing.Do(func() {
		c.dead()
		if c.graceful.Load() {
			c.finish()
		}
		_ = c.Conn.Close()
		c.outbox.close()
		<-c.written
	})
	return nil
}

// finish writes what is left and reads until the broker closes the connection:
// a socket that is closed with unread data is reset, which would take the last
// acknowledgements with it.
func (c *conn) finish() {
	// Not by a deadline: a WebSocket takes none while it is written to.
	limit := time.AfterFunc(flushTimeout, func() { _ = c.Conn.Close() })
	defer limit.Stop()
	c.outbox.close()
	<-c.written
	c.reading <- struct{}{}
	defer func() { <-c.reading }()
	_, _ = io.Copy(io.Discard, c.Conn)
}

type (
	readerFunc func([]byte) (int, error)
	writerFunc func([]byte) (int, error)
)

func (f readerFunc) Read(p []byte) (int, error)  { return f(p) }
func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
