package mqtt

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"
	pahosession "github.com/eclipse/paho.golang/paho/session"
	"github.com/eclipse/paho.golang/paho/session/state"
)

// session is paho's session manager for one client id. What we send
// (subscriptions) is left to paho's own state; what we receive is ours, so that
// nothing is acknowledged before it is settled, and that what is settled late
// never reaches the wrong connection.
type session struct {
	pahosession.SessionManager // for packets that we originate

	inbox  *inbox
	counts *counters
	limit  int  // receive maximum
	fast   bool // take PUBLISH packets before paho
	stuck  func(*conn, *window)
	log    *slog.Logger

	topics *interner // used by the goroutine that reads the connection
	batch  []item    // likewise: received, not yet in the inbox
	quiet  *interner // of paho's goroutine for QoS 0

	mu   sync.Mutex
	conn *conn
	win  *window
	two  map[uint16]*exchange
}

// batchSize is how many messages are passed on at once.
const batchSize = 256

var errID = errors.New("the broker sent a message without packet identifier")

func newSession(cfg *Config, in *inbox, counts *counters, log *slog.Logger, stuck func(*conn, *window)) *session {
	return &session{
		SessionManager: state.NewInMemory(),
		inbox:          in, counts: counts, limit: cfg.ReceiveMaximum, fast: !cfg.DisableFastPath, stuck: stuck, log: log,
		topics: newInterner(), quiet: newInterner(), two: map[uint16]*exchange{},
	}
}

// ConAckReceived begins a new window. If the broker has kept the session it will
// send again what is not acknowledged, so what still waits for Read is dropped;
// if it has not, that is all there is, and it stays.
func (s *session) ConAckReceived(w io.Writer, cp *packets.Connect, ca *packets.Connack) error {
	c, ok := w.(*conn)
	if !ok {
		return fmt.Errorf("unexpected connection %T", w)
	}
	if err := s.SessionManager.ConAckReceived(w, cp, ca); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.batch = s.batch[:0]
	if !ca.SessionPresent {
		clear(s.two)
	} else if s.win != nil {
		s.inbox.purge(s.win)
	}
	s.conn = c
	s.win = newWindow(s.limit, s.counts, c.outbox, nil)
	win := s.win
	win.stuck = func() { s.stuck(c, win) }
	c.win = win
	return nil
}

// ConnectionLost ends the window: nothing that it held can be acknowledged any
// more.
func (s *session) ConnectionLost(dp *packets.Disconnect) error {
	s.mu.Lock()
	if s.win != nil {
		s.win.close()
	}
	s.conn = nil
	s.mu.Unlock()
	return s.SessionManager.ConnectionLost(dp)
}

// Ack does nothing: paho calls it when its handlers return, which for us is
// before anything is settled.
func (s *session) Ack(*packets.Publish) error { return nil }

// receive takes messages off the stream. It implements receiver.
func (s *session) receive(c *conn, flags byte, body []byte) bool {
	if !s.fast || c.win == nil {
		return false
	}
	p, ok := decodePublish(flags, body, s.topics)
	if !ok {
		return false
	}
	it := item{publish: p, received: c.readAt, server: c.server}
	if p.qos == 2 {
		s.flush(c)
		if !c.isDone() { // or it would overtake what flush has dropped
			_ = s.receive2(c, c.win, it) // fails with the connection
		}
		return true
	}
	s.batch = append(s.batch, it)
	if len(s.batch) == batchSize {
		s.flush(c)
	}
	return true
}

// flush passes on what receive has collected. It implements receiver.
func (s *session) flush(c *conn) {
	if c.win == nil {
		return // the batch may be another connection's: this one may have been given up
	}
	defer func() {
		clear(s.batch)
		s.batch = s.batch[:0]
	}()
	for rest := s.batch; len(rest) > 0; {
		n, full, err := s.admit(c.win, rest)
		s.deliver(c, rest[:n])
		rest = rest[n:]
		if err != nil {
			return
		}
		if full != nil {
			s.overrun(c)
			if !c.await(full) {
				return
			}
		}
	}
}

// admit gives QoS 1 messages their places in the window and returns how many of
// the batch may be delivered, and what the others have to wait for.
func (s *session) admit(w *window, items []item) (n int, full <-chan struct{}, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range items {
		it := &items[i]
		if it.qos == 0 {
			continue
		}
		if it.seq, full, err = w.addLocked(it.id, false); full != nil || err != nil {
			return i, full, err
		}
		it.acker = w
	}
	return len(items), nil, nil
}

// overrun notes that the broker has exceeded the receive maximum.
func (s *session) overrun(c *conn) {
	s.counts.overruns.Add(1)
	if !c.overrun {
		c.overrun = true
		s.log.Warn("the MQTT broker sends more than the receive maximum allows; reading waits", "receive_maximum", s.limit)
	}
}

// deliver puts items into the inbox and waits while it is full.
func (s *session) deliver(c *conn, items []item) {
	var bytes, dup uint64
	for i := range items {
		bytes += uint64(len(items[i].payload))
		if items[i].dup {
			dup++
		}
	}
	s.counts.received.Add(uint64(len(items)))
	s.counts.bytes.Add(bytes)
	s.counts.redelivered.Add(dup)
	dropped, wait := s.inbox.push(items)
	s.counts.dropped.Add(uint64(dropped))
	if wait == nil || c == nil {
		return
	}
	c.await(wait)
}

// PacketReceived is paho's way in: PUBLISH packets that receive did not take,
// PUBREL, and the answers to our subscriptions.
func (s *session) PacketReceived(cp *packets.ControlPacket, pubs chan<- *packets.Publish) error {
	s.mu.Lock()
	c, w := s.conn, s.win
	s.mu.Unlock()
	switch p := cp.Content.(type) {
	case *packets.Publish:
		if c == nil {
			return nil
		}
		if p.PacketID == 0 || p.QoS > 2 {
			c.refuse(packets.DisconnectProtocolError, errID)
			return errID
		}
		it := item{publish: fromPaho(p, s.topics), received: c.readAt, server: c.server}
		if p.QoS == 2 {
			return s.receive2(c, w, it)
		}
		s.batch = append(s.batch, it)
		s.flush(c)
		return nil
	case *packets.Pubrel:
		s.released(p.PacketID, w)
		return nil
	}
	return s.SessionManager.PacketReceived(cp, pubs)
}

// receive0 takes a QoS 0 message that paho has decoded.
func (s *session) receive0(p *paho.Publish) {
	it := item{received: time.Now()}
	s.mu.Lock()
	if s.conn != nil {
		it.server = s.conn.server
	}
	s.mu.Unlock()
	it.publish = fromPaho(p.Packet(), s.quiet)
	s.deliver(nil, []item{it})
}

// inFlight returns how many messages of the current connection count against the
// receive maximum.
func (s *session) inFlight() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.win == nil {
		return 0
	}
	return int(s.win.held.Load())
}
