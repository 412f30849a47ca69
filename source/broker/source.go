package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"sync"
	"sync/atomic"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/internal/repeat"
)

// Source is an embedded broker. Create it with New.
type Source struct {
	cfg    Config
	log    *slog.Logger
	wants  kindSet // events that somebody asked for
	queue  *queue
	server *mqtt.Server
	conns  conns
	tasks  sync.WaitGroup // goroutines that write acknowledgements

	repeats repeat.Lines // about what anybody can cause again and again

	senders sync.WaitGroup // goroutines that write to subscribers

	serving sync.WaitGroup // a goroutine for each connection
	ctx     context.Context
	cancel  context.CancelFunc

	flushed chan struct{} // closed when Close has written the last acknowledgements

	opening   sync.Mutex
	listeners []*listener
	accepting atomic.Bool // open and not closed

	mu       sync.Mutex
	sessions map[string]*session // by client id
	wills    wills

	lastSession uint64 // number
	loaded      bool   // what the store holds

	journal   *journal // nil without a store
	subs      *subscriptions
	retained  retained
	publishes atomic.Int64 // numbers messages, so that they can be told apart by age
	counters  counters
}

var (
	_ bridge.Source  = (*Source)(nil)
	_ bridge.Opener  = (*Source)(nil)
	_ bridge.Checker = (*Source)(nil)
)

// New returns a broker that is not listening yet: a Pipeline opens it, or call
// Open.
func New(cfg Config) (*Source, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	s := &Source{
		cfg:      cfg,
		log:      cfg.Logger,
		flushed:  make(chan struct{}),
		queue:    newQueue(cfg.QueueMessages, cfg.QueueBytes),
		sessions: make(map[string]*session),
		wills:    make(wills),
		subs:     newSubscriptions(),
		conns:    conns{open: make(map[*conn]struct{}), byHost: make(map[string]int)},
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	if cfg.Store != nil {
		s.journal = newJournal(cfg.Store, s.log)
	}
	for _, filter := range cfg.Events {
		s.wants |= kindsMatching(filter)
	}
	return s, nil
}

// newServer returns the server behind the source, set up so that the way in is
// ours and its known weaknesses are out of play; see hook.
func (s *Source) newServer() (*mqtt.Server, error) {
	caps := mqtt.NewDefaultServerCapabilities()
	caps.MaximumClients = math.MaxInt64 // counted when connections are accepted
	caps.MaximumMessageExpiryInterval = 0
	caps.MaximumSessionExpiryInterval = uint32(min(s.cfg.Limits.SessionExpiry.Seconds(), math.MaxUint32))
	caps.MaximumPacketSize = uint32(s.cfg.Limits.PacketBytes)
	caps.MaximumClientWritesPending = 1 // outbox is the queue
	caps.ReceiveMaximum = uint16(s.cfg.Limits.ReceiveMaximum)
	caps.TopicAliasMaximum = 0
	server := mqtt.New(&mqtt.Options{
		Capabilities:           caps,
		Logger:                 slog.New(serverLog{s.log.Handler()}),
		SysTopicResendInterval: 60,
	})
	return server, server.AddHook(&hook{src: s}, nil)
}

// Open starts to listen and to accept connections. Opening an open source does
// nothing.
func (s *Source) Open(ctx context.Context) error {
	s.opening.Lock()
	defer s.opening.Unlock()
	if s.server != nil {
		return nil
	}
	var opened []*listener
	fail := func(err error) error {
		for _, l := range opened {
			_ = l.Listener.Close()
		}
		return fmt.Errorf("broker: %w", err)
	}
	for _, l := range s.cfg.Listeners {
		ln, err := s.listen(ctx, l)
		if err != nil {
			return fail(err)
		}
		opened = append(opened, ln)
	}
	server, err := s.newServer()
	if err != nil {
		return fail(err)
	}
	for _, l := range opened {
		if err := server.AddListener(serverListener{l}); err != nil {
			return fail(err)
		}
	}
	if err := s.load(); err != nil {
		return fail(err)
	}
	s.server = server
	if s.journal != nil {
		go s.journal.run() // ends with Close
	}
	if err := server.Serve(); err != nil {
		return fail(err)
	}
	s.listeners = opened
	s.serving.Go(s.housekeep)
	s.accepting.Store(true)
	for _, l := range opened {
		s.log.Info("broker is listening", "address", l.url())
	}
	return nil
}

// Addr returns the address that the first listener accepts connections on; nil
// before Open.
func (s *Source) Addr() net.Addr {
	s.opening.Lock()
	defer s.opening.Unlock()
	if len(s.listeners) == 0 {
		return nil
	}
	return s.listeners[0].Addr()
}

// URLs returns the listeners' URLs with their real ports; nil before Open.
func (s *Source) URLs() []string {
	s.opening.Lock()
	defer s.opening.Unlock()
	var urls []string
	for _, l := range s.listeners {
		urls = append(urls, l.url())
	}
	return urls
}

// Read implements bridge.Source.
func (s *Source) Read(ctx context.Context, dst []bridge.Message) (int, error) {
	return s.queue.read(ctx, dst)
}

// Check implements bridge.Checker: a broker works while it is open.
func (s *Source) Check(context.Context) error {
	if s.Addr() == nil || s.ctx.Err() != nil {
		return errors.New("broker: not listening")
	}
	return nil
}

// Close disconnects all clients, after the acknowledgements of settled messages
// are written. What is still in the queue is not acknowledged; QoS 0 messages,
// events, and with EarlyAck all messages in the queue are lost, and counted.
func (s *Source) Close(ctx context.Context) error {
	s.opening.Lock()
	defer s.opening.Unlock()
	if s.ctx.Err() != nil {
		return nil
	}
	s.accepting.Store(false)
	s.cancel()
	if left := s.queue.close(); left > 0 {
		s.counters.lost.Add(int64(left))
		s.log.Warn("broker closed before its queue was read", "messages", left)
	}
	s.stopWills()
	if s.server == nil {
		if s.cfg.Store != nil {
			return s.cfg.Store.Close()
		}
		return nil
	}
	done := make(chan error, 1)
	go func() { done <- s.shutDown() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		s.conns.closeAll()
	}
	select { // nothing waits for a client any more
	case err := <-done:
		return errors.Join(ctx.Err(), err)
	case <-time.After(closeGrace):
		return fmt.Errorf("broker: some connections did not end: %w", ctx.Err())
	}
}

// shutDown ends all connections, once the acknowledgements are written.
func (s *Source) shutDown() error {
	for _, l := range s.listeners {
		_ = l.Listener.Close()
		<-l.served
	}
	s.conns.each(func(c *conn) {
		c.acks.close()
		c.hurry()
	})
	s.tasks.Wait()
	close(s.flushed)
	s.conns.each(func(c *conn) {
		if c.connected.Load() {
			_ = s.server.DisconnectClient(c.server, packets.ErrServerShuttingDown)
		}
		_ = c.Close()
	})
	s.serving.Wait() // before the server waits for the same, unsafely
	s.senders.Wait()
	return errors.Join(s.server.Close(), s.journal.close())
}

// closeGrace is how long Close waits for goroutines to end whose connections it
// has closed because its context was done.
const closeGrace = 5 * time.Second

// Stats are counts since the source was created, and its state.
type Stats struct {
	Connections   int   // open now
	Received      int64 // published messages that were queued, wills included
	Events        int64 // events that were queued
	Acknowledged  int64 // QoS 1 and 2 messages acknowledged, refused ones not counted
	Refused       int64 // published messages that Authorize did not allow
	Rejected      int64 // connections closed because of a limit
	Lost          int64 // queued messages and events that were not read before Close
	NotRetained   int64 // retained messages that there was no room to keep
	Undelivered   int64 // messages that a subscriber did not get: no room, expired, too large, session ended
	QueueMessages int   // waiting for Read
	QueueBytes    int   // their payloads
}

type counters struct {
	received, events, acknowledged, refused, rejected, lost, notRetained, undelivered atomic.Int64
}

// Stats returns a snapshot.
func (s *Source) Stats() Stats {
	n, bytes := s.queue.size()
	return Stats{
		Connections:   s.conns.len(),
		Received:      s.counters.received.Load(),
		Events:        s.counters.events.Load(),
		Acknowledged:  s.counters.acknowledged.Load(),
		Refused:       s.counters.refused.Load(),
		Rejected:      s.counters.rejected.Load(),
		Lost:          s.counters.lost.Load(),
		NotRetained:   s.counters.notRetained.Load(),
		Undelivered:   s.counters.undelivered.Load(),
		QueueMessages: n,
		QueueBytes:    bytes,
	}
}

// Type returns "broker", so that rules can select the source's messages by
// "$sources/broker:<name>".
func (*Source) Type() string { return "broker" }
