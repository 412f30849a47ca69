package bridgetest

import (
	"context"
	"io"
	"sync"
	"time"

	"github.com/sluiceio/sluice/bridge"
)

// Source is a bridge.Source in memory. The zero value is ready: Publish gives it
// messages, End makes it report io.EOF once they are read. It remembers how each
// message was settled.
type Source struct {
	// Window bounds the messages that may be read and not settled, as MQTT's
	// receive maximum does. 0: no bound.
	Window int

	mu      sync.Mutex
	changed chan struct{} // closed at the next change
	waiting []bridge.Message
	settled []settled // by sequence number
	open    int       // read and not settled
	done    int       // settled
	ended   bool
	closed  bool
}

type settled struct {
	count   int
	outcome bridge.Outcome
}

// Publish adds messages to be read.
func (s *Source) Publish(msgs ...bridge.Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range msgs {
		m.Delivery = bridge.NewDelivery((*acker)(s), uint64(len(s.settled)))
		s.settled = append(s.settled, settled{})
		if m.Received.IsZero() {
			m.Received = time.Now()
		}
		s.waiting = append(s.waiting, m)
	}
	s.change()
}

// End makes Read return io.EOF when everything published so far is read.
func (s *Source) End() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	s.change()
}

// Read implements bridge.Source.
func (s *Source) Read(ctx context.Context, dst []bridge.Message) (int, error) {
	for {
		n, changed, err := s.take(dst)
		if n > 0 || err != nil {
			return n, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

func (s *Source) take(dst []bridge.Message) (int, <-chan struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	room := len(dst)
	if s.Window > 0 {
		room = min(room, s.Window-s.open)
	}
	n := copy(dst[:max(room, 0)], s.waiting)
	s.waiting = s.waiting[n:]
	s.open += n
	if n == 0 && s.ended && len(s.waiting) == 0 {
		return 0, nil, io.EOF
	}
	return n, s.nextChange(), nil
}

// Close implements bridge.Source.
func (s *Source) Close(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return nil
}

// Closed reports whether Close was called.
func (s *Source) Closed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// Outcomes returns how often each outcome was told.
func (s *Source) Outcomes() map[bridge.Outcome]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	counts := make(map[bridge.Outcome]int)
	for _, m := range s.settled {
		if m.count > 0 {
			counts[m.outcome]++
		}
	}
	return counts
}

// Counts returns how many messages may be acknowledged, must not be, are not
// settled at all, and were settled more than once; the last must always be 0.
func (s *Source) Counts() (acked, failed, open, twice int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.settled {
		switch {
		case m.count == 0:
			open++
		case m.count > 1:
			twice++
		case !m.outcome.Settled():
			failed++
		default:
			acked++
		}
	}
	return acked, failed, open, twice
}

// WaitSettled returns when n messages have been settled or ctx is done.
func (s *Source) WaitSettled(ctx context.Context, n int) error {
	for {
		s.mu.Lock()
		done, changed := s.done, s.nextChange()
		s.mu.Unlock()
		if done >= n {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// nextChange returns a channel that is closed at the next change.
func (s *Source) nextChange() <-chan struct{} {
	if s.changed == nil {
		s.changed = make(chan struct{})
	}
	return s.changed
}

func (s *Source) change() {
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}

// acker keeps Done out of Source's own methods.
type acker Source

// Done implements bridge.Acker.
func (a *acker) Done(seq uint64, o bridge.Outcome, _ error) {
	s := (*Source)(a)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.settled[seq].count == 0 {
		s.done++
		s.open--
	}
	s.settled[seq].count++
	s.settled[seq].outcome = o
	s.change()
}
