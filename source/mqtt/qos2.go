package mqtt

// exchange is a QoS 2 message between its PUBLISH and its PUBREL. It belongs to
// the session, not to a connection: as long as the broker keeps the session, its
// packet identifier stands for this message, so a message that is sent again
// after a reconnect is recognized and not handed out a second time, and a late
// settlement still counts.
//
// PUBREC is sent when the message is settled, because with it the broker may
// forget the message. What MQTT calls exactly once therefore holds while this
// process and the broker's session live; a process that dies between the
// settlement and PUBREC leaves a message that will be handed out again.
type exchange struct {
	session *session
	id      uint16

	// Guarded by session.mu.
	settled bool
	win     *window // where its place in the order of acknowledgement is
	seq     uint64
}

// receive2 takes a QoS 2 message.
func (s *session) receive2(c *conn, w *window, it item) error {
	seq, full, err := w.add(it.id, true)
	for full != nil {
		s.overrun(c)
		if !c.await(full) {
			return nil
		}
		seq, full, err = w.add(it.id, true)
	}
	if err != nil {
		return err
	}
	s.mu.Lock()
	e := s.two[it.id]
	again := e != nil && it.dup
	if !again {
		e = &exchange{session: s, id: it.id}
		s.two[it.id] = e
	}
	e.win, e.seq = w, seq
	settled := e.settled
	s.mu.Unlock()
	if again {
		s.counts.redelivered.Add(1)
		if settled {
			w.Done(seq, nil)
		}
		return nil
	}
	it.acker = e
	s.deliver(c, []item{it})
	return nil
}

// Done settles the message; it implements bridge.Acker. After an error the
// message is forgotten, so that it is handed out again on the next connection.
func (e *exchange) Done(_ uint64, err error) {
	s := e.session
	s.mu.Lock()
	if err == nil {
		e.settled = true
	} else if s.two[e.id] == e {
		delete(s.two, e.id)
	}
	w, seq := e.win, e.seq
	s.mu.Unlock()
	w.Done(seq, err)
}

// released answers PUBREL, after which the packet identifier is free.
func (s *session) released(id uint16, w *window) {
	s.mu.Lock()
	delete(s.two, id)
	s.mu.Unlock()
	if w != nil {
		w.complete(id)
	}
}
