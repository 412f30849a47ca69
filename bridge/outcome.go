package bridge

import (
	"fmt"
	"sync"
	"sync/atomic"
)

// Outcome says how a record ended. Each record ends exactly once. The outcome of a
// message is the worst outcome of its records; later constants are worse.
type Outcome uint8

const (
	// Stored means that the sink has it. A message without records is Stored.
	Stored Outcome = iota
	// DeadLettered means that the sink does not have it and its fallback
	// does, or has it queued.
	DeadLettered
	// Discarded means that the sink is switched off.
	Discarded
	// Expired means that the record was not stored within its time to live.
	Expired
	// Dropped means that the queue was full, or that the record made room for
	// another one.
	Dropped
	// Refused means that the sink will never accept the record.
	Refused
	// Failed means that a rule failed on the message.
	Failed
	// Abandoned means that the pipeline stopped first. The message must not
	// be acknowledged.
	Abandoned
)

var outcomeNames = [...]string{"stored", "dead-lettered", "discarded", "expired", "dropped", "refused", "failed", "abandoned"}

// String returns the outcome in lower case.
func (o Outcome) String() string {
	if int(o) >= len(outcomeNames) {
		return fmt.Sprintf("outcome(%d)", uint8(o))
	}
	return outcomeNames[o]
}

// MarshalText returns the outcome's name.
func (o Outcome) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// UnmarshalText reads an outcome's name.
func (o *Outcome) UnmarshalText(text []byte) error {
	for i, name := range outcomeNames {
		if name == string(text) {
			*o = Outcome(i)
			return nil
		}
	}
	return fmt.Errorf("unknown outcome %q", text)
}

// Settled reports whether a source may acknowledge a message with the outcome: it
// was stored, or it was dropped by a policy that the user chose.
func (o Outcome) Settled() bool { return o != Abandoned }

// Acker is implemented by sources: Done settles the message with number seq.
// Unless the outcome is Settled, the source must not acknowledge the message: an
// MQTT broker then sends it again. The error says why the message was not stored;
// it is nil if it was.
//
// Done is called exactly once per message, from any goroutine and in any order;
// it must not block on I/O.
type Acker interface {
	Done(seq uint64, o Outcome, err error)
}

// Delivery settles one message with its source exactly once. It is a small
// value, copied freely; the zero Delivery does nothing.
type Delivery struct {
	acker Acker
	seq   uint64
}

// NewDelivery returns a Delivery that calls a.Done(seq, …) when it is settled.
func NewDelivery(a Acker, seq uint64) Delivery {
	return Delivery{acker: a, seq: seq}
}

// Done settles the delivery. It may be called from any goroutine and never
// blocks on I/O.
func (d Delivery) Done(o Outcome, err error) {
	if d.acker != nil {
		d.acker.Done(d.seq, o, err)
	}
}

// Split returns a Delivery that settles d once it has itself been settled n
// times, with the worst outcome of those calls and its error. Split(0) settles d
// at once as Stored, Split(1) is d.
func (d Delivery) Split(n int) Delivery {
	switch {
	case n <= 0:
		d.Done(Stored, nil)
		return Delivery{}
	case n == 1 || d.acker == nil:
		return d
	}
	s := splitPool.Get().(*split)
	s.whole, s.worst, s.err = d, Stored, nil
	s.left.Store(int64(n))
	return Delivery{acker: s}
}

// split counts the parts of a delivery. It goes back to the pool when the last
// part is settled, which is safe because every part is settled exactly once.
type split struct {
	whole Delivery
	left  atomic.Int64

	mu    sync.Mutex
	worst Outcome
	err   error // of the worst
}

var splitPool = sync.Pool{New: func() any { return new(split) }}

// Done implements Acker: it settles one part.
func (s *split) Done(_ uint64, o Outcome, err error) {
	if o != Stored {
		s.mu.Lock()
		if o > s.worst {
			s.worst, s.err = o, err
		}
		s.mu.Unlock()
	}
	if s.left.Add(-1) > 0 {
		return
	}
	whole, worst, err := s.whole, s.worst, s.err
	s.whole, s.err = Delivery{}, nil
	splitPool.Put(s)
	whole.Done(worst, err)
}
