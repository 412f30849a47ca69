package mqtt

import (
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"
	pahosession "github.com/eclipse/paho.golang/paho/session"
	"github.com/eclipse/paho.golang/paho/session/state"

	"github.com/sluiceio/sluice/internal/repeat"
)

// session is paho's session manager for one client id. What we send
// (subscriptions) is left to paho's own state; what we receive is ours, so that
// nothing is acknowledged before it is settled, and that what is settled late
// never reaches the wrong connection.
type session struct {
	pahosession.SessionManager // for packets that we originate

	inbox   *inbox
	counts  *counters
	fast    bool // take PUBLISH packets before paho
	stuck   func(*conn)
	log     *slog.Logger
	win     *window
	repeats repeat.Lines

	overlap atomic.Pointer[overlap] // of the connection's subscriptions; nil if they do not

	topics *interner // used by the goroutine that reads the connection
	batch  []item    // likewise: received, not yet in the inbox
	quiet  *interner // of paho's goroutine for QoS 0

	mu   sync.Mutex
	conn *conn
}

// batchSize is how many messages are passed on at once.
const batchSize = 256

func newSession(cfg *Config, in *inbox, counts *counters, log *slog.Logger, stuck func(*conn)) *session {
	return &session{
		SessionManager: state.NewInMemory(),
		inbox:          in, counts: counts, fast: !cfg.DisableFastPath, stuck: stuck, log: log,
		win: newWindow(cfg.ReceiveMaximum, counts, in.memory), topics: newInterner(), quiet: newInterner(),
	}
}

// ConAckReceived begins the window of a connection. What waits for Read stays there: if
// the broker has kept the session, what it sends again is recognized.
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
	s.conn = c
	c.epoch = s.win.resume(c.outbox, ca.SessionPresent, func() { s.stuck(c) })
	return nil
}

// ConnectionLost ends the window: what it held can be acknowledged on the next
// connection only.
func (s *session) ConnectionLost(dp *packets.Disconnect) error {
	s.mu.Lock()
	s.win.suspend()
	s.conn = nil
	s.mu.Unlock()
	return s.SessionManager.ConnectionLost(dp)
}

// Ack does nothing: paho calls it when its handlers return, which for us is
// before anything is settled.
func (s *session) Ack(*packets.Publish) error { return nil }

// receive takes messages off the stream. It implements receiver.
func (s *session) receive(c *conn, flags byte, body []byte) bool {
	if !s.fast || c.epoch == 0 {
		return false
	}
	p, ok := decodePublish(flags, body, s.topics, c.v3)
	if !ok {
		return false
	}
	s.batch = append(s.batch, s.newItem(p, c.readAt, c.server))
	if len(s.batch) == batchSize {
		s.flush(c)
	}
	return true
}

// newItem returns a message that was received at a time, from a server.
func (s *session) newItem(p publish, at time.Time, server string) item {
	it := item{publish: p, received: at, server: server, weight: p.weight()}
	s.overlap.Load().sort(&it)
	if p.qos > 0 || it.via != nil {
		it.hash = p.fingerprint()
	}
	return it
}

// flush passes on what receive has collected. It implements receiver.
func (s *session) flush(c *conn) {
	if c.epoch == 0 {
		return // the batch may be another connection's: this one may have been given up
	}
	defer func() {
		clear(s.batch)
		s.batch = s.batch[:0]
	}()
	for rest := s.batch; len(rest) > 0; {
		fresh, n, full, err := s.admit(c.epoch, rest)
		s.deliver(c, fresh)
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

// admit gives QoS 1 and 2 messages their places in the window. It returns those of the
// batch that are to be delivered, in its memory, how many it has seen to, and what the
// others have to wait for.
func (s *session) admit(epoch uint64, items []item) (fresh []item, n int, full <-chan struct{}, err error) {
	fresh = items[:0]
	var again, copied uint64
	defer func() {
		s.counts.recognized.Add(again)
		s.counts.copied.Add(copied)
	}()
	s.win.mu.Lock()
	defer s.win.mu.Unlock()
	for i := range items {
		it := &items[i]
		if it.qos > 0 {
			a := s.win.admit(epoch, it)
			if a.full != nil || a.err != nil {
				return fresh, i, a.full, a.err
			}
			if a.copied {
				copied++
			} else if a.known {
				again++
			}
			if a.known {
				continue
			}
			it.acker, it.seq = s.win, a.seq
		} else if s.win.copies.of(it) != nil {
			copied++
			continue
		}
		s.win.copies.note(it)
		fresh = append(fresh, *it)
	}
	return fresh, len(items), nil, nil
}

// overrun notes that the broker has exceeded the receive maximum. In MQTT 3.1.1 there is
// none, and waiting is the ordinary way to hold the broker back.
func (s *session) overrun(c *conn) {
	if c.v3 {
		return
	}
	s.counts.overruns.Add(1)
	if !c.overrun {
		c.overrun = true
		s.log.Warn("the MQTT broker sends more than the receive maximum allows; reading waits", "receive_maximum", s.win.limit)
	}
}

// deliver puts items into the inbox and waits while the source holds too much.
func (s *session) deliver(c *conn, items []item) {
	if len(items) == 0 {
		return
	}
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
	if dropped := s.inbox.push(items); dropped > 0 {
		s.dropped(dropped)
	}
	if c == nil {
		return
	}
	if room := s.inbox.memory.wait(); room != nil {
		c.await(room)
	}
}

// overlapping sets what is known about the connection's subscriptions.
func (s *session) overlapping(o *overlap) {
	s.overlap.Store(o)
	s.win.mu.Lock()
	defer s.win.mu.Unlock()
	s.win.copies.reset()
}

// dropped counts QoS 0 messages that found no room, and says so now and then.
func (s *session) dropped(n int) {
	s.counts.dropped.Add(uint64(n))
	const text = "QoS 0 messages are dropped: they come in faster than they are taken"
	if count, ok := s.repeats.Admit("", text, n); ok {
		s.log.Warn(text, "count", count)
	}
}

// PacketReceived is paho's way in: PUBLISH packets that receive did not take,
// PUBREL, and the answers to our subscriptions.
func (s *session) PacketReceived(cp *packets.ControlPacket, pubs chan<- *packets.Publish) error {
	s.mu.Lock()
	c := s.conn
	s.mu.Unlock()
	switch p := cp.Content.(type) {
	case *packets.Publish:
		if c == nil {
			return nil
		}
		if code, err := faultOf(p); err != nil {
			c.refuse(code, err)
			return err
		}
		s.batch = append(s.batch, s.newItem(fromPaho(p, s.topics), c.readAt, c.server))
		s.flush(c)
		return nil
	case *packets.Pubrel:
		s.win.complete(p.PacketID)
		return nil
	}
	return s.SessionManager.PacketReceived(cp, pubs)
}

// receive0 takes a QoS 0 message that paho has decoded.
func (s *session) receive0(p *paho.Publish) {
	s.mu.Lock()
	c := s.conn
	s.mu.Unlock()
	packet := p.Packet()
	if code, err := faultOf(packet); err != nil {
		if c != nil {
			c.refuse(code, err)
			_ = c.Close() // this is not the goroutine that reads
		}
		return
	}
	server := ""
	if c != nil {
		server = c.server
	}
	it := s.newItem(fromPaho(packet, s.quiet), time.Now(), server)
	fresh, _, _, _ := s.admit(0, []item{it}) // QoS 0 needs no place in a window
	s.deliver(nil, fresh)
}
