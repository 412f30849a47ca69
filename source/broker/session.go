package broker

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/sluiceio/sluice/bridge"
)

// session is what the broker knows of a client beyond its connection: the QoS 2
// messages that it has sent and not released, so that one that is sent again
// after a reconnect is not handed out twice; its subscriptions; and what it is to
// get.
type session struct {
	who     identity
	number  uint64                   // names it in the store
	journal *journal                 // nil without a store
	subs    map[string]*subscription // by filter; guarded by subscriptions.mu
	filters int                      // their weight; the same
	out     outbox
	ended   atomic.Bool
	owner   atomic.Pointer[conn]   // the connection that has it; nil for none
	last    atomic.Pointer[Client] // of the last connection of this process; nil for none
	served  int                    // connections that have had it; guarded by Source.mu
	record  atomic.Pointer[sessionRecord]

	// turn is held while a message is entered and queued. When the client
	// comes back while its old connection still waits for room in the queue,
	// the new connection must not overtake.
	turn sync.Mutex

	mu   sync.Mutex
	qos2 map[uint16]*received
}

// sessionRecord is what is kept of a session's last connection.
type sessionRecord struct {
	Expiry  time.Duration // after the end of the connection
	Offline time.Time     // since when it has no connection; zero while it has one
}

func (s *session) connected() bool { return s.record.Load().Offline.IsZero() }

// client is who the session's messages are for: its last connection's client, or
// what is stored of it.
func (s *session) client() Client {
	if c := s.last.Load(); c != nil {
		return *c
	}
	return Client{ID: s.who.id, Username: s.who.user}
}

func (s *Source) newSession(who identity) *session {
	have := &session{who: who, journal: s.journal}
	have.out.limits, have.out.of, have.out.pool = &s.cfg.Limits, have, &s.pool
	have.out.retained = &s.retained
	return have
}

// openSession gives c the client's session, a new one if it has none or wants a
// clean start, and takes it away from another connection. It reports whether the
// session was there, and false for ok when there is no room for one.
//
// A session belongs to user and client id together. The same client id of another
// user has a session of its own.
func (s *Source) openSession(c *conn, clean bool) (present, ok bool) {
	who := c.client.identity()
	s.mu.Lock()
	old := s.sessions[who]
	if old == nil && len(s.sessions) >= s.cfg.Limits.Sessions {
		s.mu.Unlock()
		return false, false
	}
	due := s.wills.take(who, clean)
	have := old
	if old == nil || clean || !old.outlives(time.Now()) {
		have = s.newSession(who)
		s.lastSession++
		have.number = s.lastSession
		s.sessions[who] = have
	}
	var before *conn
	if old != nil {
		before = old.owner.Load()
	}
	have.record.Store(&sessionRecord{Expiry: c.expiry})
	client := c.client
	have.owner.Store(c)
	have.last.Store(&client)
	have.served++
	c.turn = have.served
	have.out.attach(c)
	c.session = have
	c.publisher = s.inbox.join(who)
	c.at = time.Now()
	c.connected.Store(true)
	s.mu.Unlock()
	if before != nil && !before.isGone() {
		before.takenOver.Store(true)
		before.hurry()
		_ = s.expel(before, packets.ErrSessionTakenOver)
	}
	if old != nil && old != have {
		s.dropSession(old, "clean_start")
	}
	if due != nil {
		s.sendWill(due)
	}
	s.saveSession(have)
	return old == have, true
}

// over reports whether a session has expired.
func (s *session) over(now time.Time) bool {
	r := s.record.Load()
	return !r.Offline.IsZero() && !now.Before(r.Offline.Add(r.Expiry))
}

// outlives reports whether a session goes on when another connection takes it
// over now: one that ends with its connection does not.
func (s *session) outlives(now time.Time) bool { return s.record.Load().Expiry > 0 && !s.over(now) }

// leaveSession tells that the session's connection has ended, and ends the
// session if it does not outlive it.
func (s *Source) leaveSession(c *conn) {
	have := c.session
	have.out.detach(c)
	s.mu.Lock()
	if s.sessions[have.who] != have || have.owner.Load() != c {
		s.mu.Unlock()
		return
	}
	have.record.Store(&sessionRecord{Expiry: c.expiry, Offline: time.Now()})
	have.owner.Store(nil) // which takes more memory than the session
	ends := c.expiry <= 0
	if ends {
		delete(s.sessions, have.who)
	}
	s.mu.Unlock()
	if ends {
		s.dropSession(have, "disconnected")
		return
	}
	s.saveSession(have)
}

// expireSessions ends the sessions whose time is over.
func (s *Source) expireSessions(now time.Time) {
	var over []*session
	s.mu.Lock()
	for id, have := range s.sessions {
		if have.over(now) {
			delete(s.sessions, id)
			over = append(over, have)
		}
	}
	s.mu.Unlock()
	for _, have := range over {
		s.dropSession(have, "expired")
	}
}

// dropSession ends what is left of a session that is not in the list any more. An
// expired one is not the client's wish: its messages and subscriptions are lost.
func (s *Source) dropSession(have *session, reason string) {
	s.counters.ended.add(reason)
	have.ended.Store(true)
	for _, sub := range s.subs.of(have) {
		s.subs.remove(have, sub.filter)
		sub.forget()
		s.emitEnded(have, sub)
	}
	all := have.out.discard()
	s.forgetSession(have, all)
	for _, m := range all {
		if !m.released {
			s.undelivered(nil, have, m, sessionEnded)
		}
	}
}

// housekeep ends what has expired, until the source is closed.
func (s *Source) housekeep() {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	lastSys := time.Now()
	for {
		select {
		case now := <-ticker.C:
			if now.Sub(lastSys) >= sysInterval {
				lastSys = now
				s.publishSys(now)
			}
			s.expireSessions(now)
			s.expireRetained(now)
			s.expireOutgoing(now)
		case <-s.ctx.Done():
			return
		}
	}
}

// expireOutgoing drops messages that have expired before they could be sent.
func (s *Source) expireOutgoing(now time.Time) {
	s.mu.Lock()
	all := slices.Collect(maps.Values(s.sessions))
	s.mu.Unlock()
	for _, have := range all {
		for _, m := range have.out.prune(now) {
			s.undelivered(nil, have, m, expired)
		}
	}
}

// received is a QoS 2 message between PUBLISH and PUBREL.
type received struct {
	session   *session
	id        uint16
	settled   bool
	acker     bridge.Acker // of the connection that it arrived on last
	seq       uint64
	publisher *publisher // that gets cost back when it is settled
	cost      int
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
		acker.Done(seq, bridge.Stored, nil)
	}
	return r, false
}

// Done implements bridge.Acker.
func (r *received) Done(_ uint64, o bridge.Outcome, err error) {
	if r.cost > 0 {
		r.publisher.settle(r.cost)
	}
	r.session.mu.Lock()
	r.settled = o.Settled()
	if !r.settled && r.session.qos2[r.id] == r {
		delete(r.session.qos2, r.id) // when it comes again it is new
	}
	acker, seq := r.acker, r.seq
	if r.settled {
		r.session.saveReceived(r.id)
	}
	r.session.mu.Unlock()
	acker.Done(seq, o, err)
}

// restoreReceived enters a QoS 2 message that an earlier process has settled.
func (s *session) restoreReceived(id uint16) {
	if s.qos2 == nil {
		s.qos2 = make(map[uint16]*received)
	}
	s.qos2[id] = &received{session: s, id: id, settled: true}
}

// release ends a QoS 2 exchange and reports whether there was one.
func (s *session) release(id uint16) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.qos2[id]
	delete(s.qos2, id)
	return ok
}

// unreleased is the number of QoS 2 messages that are not released, id's excepted.
func (s *session) unreleased(id uint16) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.qos2)
	if _, ok := s.qos2[id]; ok {
		n--
	}
	return n
}
