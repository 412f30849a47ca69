package bridge

import (
	"errors"
	"sync"
	"sync/atomic"
)

// Acker is implemented by sources: Done settles the message with number seq.
// With a nil error the message may be forgotten upstream; otherwise it was
// neither delivered nor dropped by a policy and the source must not acknowledge
// it (an MQTT source leaves it to the broker to redeliver).
//
// Done is called exactly once per message, from any goroutine and in any order;
// it must not block on I/O.
type Acker interface {
	Done(seq uint64, err error)
}

// Delivery settles one message with its source exactly once. It is a small
// value, copied freely; the zero Delivery does nothing.
type Delivery struct {
	acker Acker
	seq   uint64
}

// NewDelivery returns a Delivery that calls a.Done(seq, err) when it is settled.
func NewDelivery(a Acker, seq uint64) Delivery {
	return Delivery{acker: a, seq: seq}
}

// Done settles the delivery. It may be called from any goroutine and never
// blocks on I/O.
func (d Delivery) Done(err error) {
	if d.acker != nil {
		d.acker.Done(d.seq, err)
	}
}

// Split returns a Delivery that settles d once it has itself been settled n
// times; the errors of those calls are joined. Split(0) settles d at once,
// Split(1) is d.
func (d Delivery) Split(n int) Delivery {
	switch {
	case n <= 0:
		d.Done(nil)
		return Delivery{}
	case n == 1 || d.acker == nil:
		return d
	}
	s := splitPool.Get().(*split)
	s.whole, s.err = d, nil
	s.left.Store(int64(n))
	return Delivery{acker: s}
}

// split counts the parts of a delivery. It goes back to the pool when the last
// part is settled, which is safe because every part is settled exactly once.
type split struct {
	whole Delivery
	left  atomic.Int64

	mu  sync.Mutex
	err error
}

var splitPool = sync.Pool{New: func() any { return new(split) }}

// Done implements Acker: it settles one part.
func (s *split) Done(_ uint64, err error) {
	if err != nil {
		s.mu.Lock()
		s.err = errors.Join(s.err, err)
		s.mu.Unlock()
	}
	if s.left.Add(-1) > 0 {
		return
	}
	whole, err := s.whole, s.err
	s.whole, s.err = Delivery{}, nil
	splitPool.Put(s)
	whole.Done(err)
}
