package broker

import (
	"sync"
	"sync/atomic"

	"github.com/sluiceio/sluice/bridge"
)

// session is what the broker knows of a client beyond its connection: the QoS 2
// messages that it has sent and not released. A message that is sent again after
// a reconnect is thus not handed out twice.
type session struct {
	owner atomic.Pointer[conn] // the connection that has it, or had it last

	// turn is held while a message is entered and queued. When the client
	// comes back while its old connection still waits for room in the queue,
	// the new connection must not overtake.
	turn sync.Mutex

	mu   sync.Mutex
	qos2 map[uint16]*received
}

// received is a QoS 2 message between PUBLISH and PUBREL.
type received struct {
	session *session
	id      uint16
	settled bool
	acker   bridge.Acker // of the connection that it arrived on last
	seq     uint64
}

// receive enters a QoS 2 message that arrived as seq on acker's connection.
// When the message is new, first is true and the returned acker must be told of
// its settlement; else acker is, at once or as soon as it is settled.
func (s *session) receive(id uint16, acker bridge.Acker, seq uint64) (r *received, first bool) {
	s.mu.Lock()
	r, known := s.qos2[id]
	if !known {
		r = &received{session: s, id: id, acker: acker, seq: seq}
		if s.qos2 == nil {
			s.qos2 = make(map[uint16]*received)
		}
		s.qos2[id] = r
		s.mu.Unlock()
		return r, true
	}
	r.acker, r.seq = acker, seq
	settled := r.settled
	s.mu.Unlock()
	if settled {
		acker.Done(seq, nil)
	}
	return r, false
}

// Done implements bridge.Acker.
func (r *received) Done(_ uint64, err error) {
	r.session.mu.Lock()
	r.settled = err == nil
	if err != nil && r.session.qos2[r.id] == r {
		delete(r.session.qos2, r.id) // when it comes again it is new
	}
	acker, seq := r.acker, r.seq
	r.session.mu.Unlock()
	acker.Done(seq, err)
}

// release ends a QoS 2 exchange and reports whether there was one.
func (s *session) release(id uint16) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.qos2[id]
	delete(s.qos2, id)
	return ok
}

// unreleased is the number of QoS 2 messages that are acknowledged and not
// released.
func (s *session) unreleased() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.qos2)
}
