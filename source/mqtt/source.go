package mqtt

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/sluiceio/sluice/bridge"
)

// Source is a bridge.Source that subscribes to topics of a broker. See
// the package comment for its guarantees.
type Source struct {
	cfg    Config
	inbox  *inbox
	counts counters
	links  []*link

	mu      sync.Mutex
	started bool
	closed  bool
	change  chan struct{} // closed and replaced when a link's status changes
	end     chan struct{} // closed by Close
}

var (
	_ bridge.Source  = (*Source)(nil)
	_ bridge.Opener  = (*Source)(nil)
	_ bridge.Checker = (*Source)(nil)
)

// ErrClosed is returned by Read and Open after Close.
var ErrClosed = errors.New("mqtt: source is closed")

// New returns a source that connects when Open or Read is called. The error
// reports everything that is wrong with cfg.
func New(cfg Config) (*Source, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return newSource(cfg), nil
}

// newSource returns a source for a configuration that is valid.
func newSource(cfg Config) *Source {
	s := &Source{cfg: cfg.withDefaults(), change: make(chan struct{}), end: make(chan struct{})}
	s.inbox = newInbox(newBudget(s.cfg.BufferBytes), s.cfg.BufferQoS0)
	s.inbox.clientID, s.inbox.username = s.cfg.ClientIDFrom, s.cfg.UsernameFrom
	for i, subs := range s.cfg.divide(nil) {
		s.links = append(s.links, newLink(&s.cfg, i, s.inbox, &s.counts, s.changed))
		s.links[i].setSubscriptions(subs)
	}
	return s
}

// Open connects and subscribes. It fails, with an *Error, on what does not pass
// by itself: refused credentials or permissions, a certificate that does not fit,
// a refused subscription. A broker that cannot be reached is waited for in the
// background, unless StartTimeout is set. Open does not wait for a confirmation of
// the subscriptions that stands behind more messages than the source holds, because
// those wait for Read: a refusal is then an error of Check. After an error the source
// is closed.
func (s *Source) Open(ctx context.Context) error {
	if s.cfg.StartTimeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, s.cfg.StartTimeout, errStart)
		defer cancel()
	}
	if err := s.start(); err != nil {
		return err
	}
	err := s.await(ctx, func(l *link) (bool, error) { return l.opened(s.cfg.StartTimeout > 0) })
	if err != nil {
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTimeout)
		defer cancel()
		_ = s.Close(stop)
	}
	return err
}

var (
	errStart  = errors.New("start timeout")
	errNoAuth = errors.New("mqtt: Reauthenticate needs Config.Auth")
)

func (s *Source) start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	if s.started {
		return nil
	}
	s.started = true
	for _, l := range s.links {
		if err := l.start(); err != nil {
			return fmt.Errorf("mqtt: %w", err)
		}
	}
	return nil
}

// await waits until every link is done, as the function says, or one has an error.
func (s *Source) await(ctx context.Context, done func(*link) (bool, error)) error {
	for {
		s.mu.Lock()
		change := s.change
		s.mu.Unlock()
		settled := true
		for _, l := range s.links {
			ok, err := done(l)
			if err != nil {
				return err
			}
			settled = settled && ok
		}
		if settled {
			return nil
		}
		select {
		case <-change:
		case <-s.end:
			return ErrClosed
		case <-ctx.Done():
			if !errors.Is(context.Cause(ctx), errStart) {
				return context.Cause(ctx)
			}
			return s.check()
		}
	}
}

// opened reports whether Open need not wait for the link any longer, or has to
// fail.
func (l *link) opened(insist bool) (bool, error) {
	st := l.snapshot()
	switch {
	case st.connected && st.subscribed:
		return true, nil
	case st.permanent >= len(l.brokers), st.permanent > 0 && st.connected:
		return false, st.lastErr
	case st.connected && st.conn.paused.Load(): // until Read makes room
		return true, nil
	}
	return !insist && st.failures >= len(l.brokers), nil
}

// changed wakes Open.
func (s *Source) changed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.change)
	s.change = make(chan struct{})
}

// Read waits for messages and stores them in dst. It connects if Open was not
// called. Topics, payloads and properties stay valid for as long as they are
// referred to.
func (s *Source) Read(ctx context.Context, dst []bridge.Message) (int, error) {
	if len(dst) == 0 {
		return 0, nil
	}
	if err := s.start(); err != nil {
		return 0, err
	}
	for {
		if n := s.inbox.take(dst); n > 0 {
			return n, nil
		}
		select {
		case <-s.inbox.ready:
		case <-s.end:
			return 0, ErrClosed
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// Reauthenticate authenticates again on every connection that is up, for credentials
// that expire while a connection lasts (MQTT 5.0, section 4.12.1), and waits for the
// broker's answers. A broker that refuses ends the connection; the source then makes a
// new one, with a new authentication.
func (s *Source) Reauthenticate(ctx context.Context) error {
	if s.cfg.Auth == nil {
		return errNoAuth
	}
	errs := make([]error, len(s.links))
	var wg sync.WaitGroup
	for i, l := range s.links {
		wg.Go(func() { errs[i] = l.reauthenticate(ctx) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// Close sends the acknowledgements that are due and disconnects. The sessions
// stay at the broker: what is not acknowledged will be sent again to the next
// source with the same client id.
func (s *Source) Close(ctx context.Context) error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	close(s.end)
	s.mu.Unlock()
	errs := make([]error, len(s.links))
	var wg sync.WaitGroup
	for i, l := range s.links {
		wg.Go(func() { errs[i] = l.close(ctx) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// Check returns nil when every connection is up and subscribed, and else says
// what is wrong. It asks nobody.
func (s *Source) Check(context.Context) error { return s.check() }

func (s *Source) check() error {
	s.mu.Lock()
	closed := s.closed
	s.mu.Unlock()
	if closed {
		return ErrClosed
	}
	var errs []error
	seen := map[string]bool{}
	for _, l := range s.links {
		if err := l.check(); err != nil && !seen[err.Error()] {
			seen[err.Error()] = true
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Stats returns a snapshot.
func (s *Source) Stats() Stats {
	c := &s.counts
	st := Stats{
		Received: c.received.Load(), Bytes: c.bytes.Load(), Redelivered: c.redelivered.Load(), Recognized: c.recognized.Load(), Copies: c.copied.Load(),
		Acked: c.acked.Load(), Failed: c.failed.Load(), DroppedQoS0: c.dropped.Load(), Overruns: c.overruns.Load(),
		Reconnects: c.reconnects.Load(), SessionsLost: c.lost.Load(),
	}
	st.Buffered, st.BufferedBytes = s.inbox.held()
	st.HeldBytes = int(s.inbox.memory.used.Load())
	for _, l := range s.links {
		st.Connections = append(st.Connections, l.stats())
	}
	return st
}

// Window reports how full the acknowledgement windows of all connections are: how many
// QoS 1 and 2 messages were received and are not acknowledged, and how many there may
// be. When BufferBytes is what is used up, that is as many as there are.
func (s *Source) Window() (unsettled, limit int) {
	for _, l := range s.links {
		unsettled += int(l.session.win.held.Load())
		limit += s.cfg.ReceiveMaximum
	}
	if unsettled > 0 && s.inbox.memory.full() {
		limit = min(limit, unsettled)
	}
	return unsettled, limit
}

// Type returns "mqtt", so that rules can select the source's messages by
// "$sources/mqtt:<name>".
func (*Source) Type() string { return "mqtt" }

// Absent returns the columns of a published message that the source's messages do
// not have: MQTT does not tell subscribers who has published a message.
func (s *Source) Absent() []string {
	columns := []string{"peerhost", "peername", "client_attrs"}
	if s.cfg.ClientIDFrom == (Origin{}) {
		columns = append(columns, "clientid")
	}
	if s.cfg.UsernameFrom == (Origin{}) {
		columns = append(columns, "username")
	}
	return columns
}
