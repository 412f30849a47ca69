package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/internal/repeat"
)

// Source is an embedded broker. Create it with New.
type Source struct {
	cfg   Config
	log   *slog.Logger
	wants kindSet // events that somebody asked for
	inbox *inbox
	conns conns
	tasks sync.WaitGroup // goroutines that write acknowledgements

	repeats repeat.Lines // about what anybody can cause again and again

	senders sync.WaitGroup // goroutines that write to subscribers

	serving sync.WaitGroup // a goroutine for each connection
	ctx     context.Context
	cancel  context.CancelFunc

	flushed chan struct{} // closed when Close has written the last acknowledgements

	opening   sync.Mutex
	opened    bool
	listeners []*listener
	accepting atomic.Bool // open and not closed

	mu       sync.Mutex
	sessions map[identity]*session
	wills    wills

	lastSession uint64 // number
	loaded      bool   // what the store holds

	created   time.Time
	journal   *journal // nil without a store
	subs      *subscriptions
	pool      pool
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
		created:  time.Now(),
		flushed:  make(chan struct{}),
		inbox:    newInbox(cfg.QueueMessages, cfg.QueueBytes, &cfg.Limits),
		sessions: make(map[identity]*session),
		wills:    make(wills),
		subs:     newSubscriptions(&cfg.Limits),
		conns:    conns{all: make(map[*conn]struct{}), byHost: make(map[string]int)},
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

// Open starts to listen and to accept connections. Opening an open source does
// nothing.
func (s *Source) Open(ctx context.Context) error {
	s.opening.Lock()
	defer s.opening.Unlock()
	if s.opened {
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
	if err := s.load(); err != nil {
		return fail(err)
	}
	s.opened = true
	if s.journal != nil {
		go s.journal.run() // ends with Close
	}
	s.listeners = opened
	s.publishSys(time.Now())
	s.serving.Go(s.housekeep)
	s.accepting.Store(true)
	for _, l := range opened {
		go l.accept() // ends with Close
	}
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
	return s.inbox.read(ctx, dst)
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
	if left := s.inbox.close(); left > 0 {
		s.counters.lost.addN("closed", int64(left))
		s.log.Warn("broker closed before its queue was read", "messages", left)
	}
	s.stopWills()
	if !s.opened {
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
			_ = s.expel(c, packets.ErrServerShuttingDown)
		}
		_ = c.Close()
	})
	s.serving.Wait()
	s.senders.Wait()
	return s.journal.close()
}

// closeGrace is how long Close waits for goroutines to end whose connections it
// has closed because its context was done.
const closeGrace = 5 * time.Second

// Type returns "broker", so that rules can select the source's messages by
// "$sources/broker:<name>".
func (*Source) Type() string { return "broker" }
