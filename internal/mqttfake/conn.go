package mqttfake

import (
	"math"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/eclipse/paho.golang/packets"
)

// conn is one client's connection: a goroutine that reads and one that sends.
type conn struct {
	broker  *Broker
	nc      net.Conn
	cut     chan struct{} // closed with the connection
	closing sync.Once

	v3       bool // the client speaks MQTT 3.1.1
	clean    bool // the session ends with the connection
	session  *session
	window   int
	ended    bool            // guarded by Broker.mu
	outbound map[uint16]bool // sent on this connection and not acknowledged; Broker.mu
	received int             // packets read

	writing chan struct{} // a lock that synctest sees through, held while sending
	sent    int
	frozen  bool
}

func (c *conn) serve() {
	b := c.broker
	defer func() {
		c.close()
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.conns, c)
		c.ended = true
		if c.session != nil {
			if c.session.conn == c {
				c.session.conn = nil
				if c.clean {
					delete(b.sessions, c.session.id)
				}
			}
			c.session.wake()
		}
	}()
	if !c.connect() {
		return
	}
	b.work.Go(c.send)
	for {
		p, err := c.read()
		if err != nil {
			return
		}
		c.received++
		a := c.ask(true, c.received, p)
		if a.Cut {
			return
		}
		if a.Freeze {
			c.freeze()
			return
		}
		if a.Raw != nil && !c.writeRaw(a.Raw) {
			return
		}
		if !a.Skip && !c.handle(p) || a.Twice && !c.handle(p) {
			return
		}
	}
}

// connect answers CONNECT and takes the session over.
func (c *conn) connect() bool {
	b := c.broker
	p, err := c.read()
	if err != nil {
		return false
	}
	cp, ok := p.Content.(*packets.Connect)
	if !ok {
		return false
	}
	c.clean = c.v3 && cp.CleanStart
	if b.opts.OnlyV3 && !c.v3 {
		_, _ = c.nc.Write([]byte{packets.CONNACK << 4, 2, 0, 1}) // unacceptable protocol version
		return false
	}
	ca := &packets.Connack{}
	if b.opts.Connect != nil {
		if ca = b.opts.Connect(cp); ca == nil {
			return false
		}
	}
	if ca.Properties == nil {
		ca.Properties = &packets.Properties{}
	}
	if ca.ReasonCode >= 0x80 {
		_ = c.put(&packets.ControlPacket{FixedHeader: packets.FixedHeader{Type: packets.CONNACK}, Content: ca})
		return false
	}
	if b.opts.Authenticate != nil && cp.Properties.AuthMethod != "" && !c.authenticate(cp, ca) {
		return false
	}
	if cp.ClientID == "" {
		cp.ClientID = "assigned"
		ca.Properties.AssignedClientID = cp.ClientID
	}
	c.window = math.MaxUint16
	if m := cp.Properties.ReceiveMaximum; m != nil {
		c.window = int(*m)
	}
	if b.opts.MaxInflight > 0 {
		c.window = min(c.window, b.opts.MaxInflight)
	}
	ca.SessionPresent = c.takeOver(cp)
	return c.put(&packets.ControlPacket{FixedHeader: packets.FixedHeader{Type: packets.CONNACK}, Content: ca}) == nil
}

func (c *conn) takeOver(cp *packets.Connect) (present bool) {
	b := c.broker
	b.mu.Lock()
	defer b.mu.Unlock()
	b.connects++
	s := b.sessions[cp.ClientID]
	if s != nil && s.conn != nil {
		old := s.conn
		s.conn, old.ended = nil, true
		s.wake()
		b.work.Go(func() {
			_ = old.write(packets.DISCONNECT, &packets.Disconnect{ReasonCode: packets.DisconnectSessionTakenOver, Properties: &packets.Properties{}})
			old.close()
		})
	}
	present = s != nil && !cp.CleanStart
	if !present {
		s = newSession(cp.ClientID, &b.mu)
		b.sessions[cp.ClientID] = s
	}
	s.conn, c.session = c, s
	return present
}

// send sends again what is under way, and then from the queue as the client's
// receive maximum allows.
func (c *conn) send() {
	b := c.broker
	b.mu.Lock()
	again := slices.Clone(c.session.inflight)
	for _, d := range again {
		c.outbound[d.id] = true
	}
	b.mu.Unlock()
	for _, d := range again {
		p := d.msg.packet(d.id, true)
		b.mu.Lock()
		released := d.released // perhaps since a moment ago
		b.mu.Unlock()
		if released {
			p = pubrel(d.id)
		}
		if !c.emit(p) {
			return
		}
	}
	for {
		p := c.next()
		if p == nil || !c.emit(p) {
			return
		}
	}
}

// next waits for the next message that may be sent; nil when the connection has
// ended.
func (c *conn) next() *packets.ControlPacket {
	b, s := c.broker, c.session
	b.mu.Lock()
	defer b.mu.Unlock()
	for !c.ended {
		if len(s.queue) > 0 {
			m := s.queue[0]
			if m.QoS == 0 {
				s.queue = s.queue[1:]
				return m.packet(0, false)
			}
			if len(s.inflight) < c.window || b.opts.IgnoreWindow {
				s.queue = s.queue[1:]
				d := &delivery{id: s.freeID(), msg: m}
				s.inflight = append(s.inflight, d)
				c.outbound[d.id] = true
				return m.packet(d.id, false)
			}
		}
		s.more.Wait()
	}
	return nil
}

// handle does what a packet asks for; false ends the connection.
func (c *conn) handle(p *packets.ControlPacket) bool {
	switch p := p.Content.(type) {
	case *packets.Subscribe:
		return c.subscribe(p)
	case *packets.Unsubscribe:
		return c.unsubscribe(p)
	case *packets.Auth:
		return c.reauthenticate(p)
	case *packets.Puback:
		c.acknowledge(p.PacketID, 1)
	case *packets.Pubrec:
		if c.acknowledge(p.PacketID, 2) {
			return c.emit(pubrel(p.PacketID))
		}
	case *packets.Pubcomp:
		c.complete(p.PacketID)
	case *packets.Publish:
		return c.publish(p)
	case *packets.Pubrel:
		return c.write(packets.PUBCOMP, &packets.Pubcomp{PacketID: p.PacketID, Properties: &packets.Properties{}}) == nil
	case *packets.Pingreq:
		return c.emit(packets.NewControlPacket(packets.PINGRESP))
	case *packets.Disconnect:
		return false
	}
	return true
}

func (c *conn) subscribe(p *packets.Subscribe) bool {
	b := c.broker
	ack := &packets.Suback{PacketID: p.PacketID, Properties: &packets.Properties{}}
	b.mu.Lock()
	for _, o := range p.Subscriptions {
		code := o.QoS
		if b.opts.Suback != nil {
			code = b.opts.Suback(o.Topic, o.QoS)
		}
		if code < 0x80 {
			o.QoS = code
			sub := subscription{SubOptions: o}
			if id := p.Properties.SubscriptionIdentifier; id != nil {
				sub.id = *id
			}
			c.session.subs[o.Topic] = sub
		}
		ack.Reasons = append(ack.Reasons, code)
	}
	b.mu.Unlock()
	return c.emit(&packets.ControlPacket{FixedHeader: packets.FixedHeader{Type: packets.SUBACK}, Content: ack})
}

func (c *conn) unsubscribe(p *packets.Unsubscribe) bool {
	b := c.broker
	ack := &packets.Unsuback{PacketID: p.PacketID, Properties: &packets.Properties{}}
	b.mu.Lock()
	for _, f := range p.Topics {
		code := byte(packets.UnsubackSuccess)
		if _, ok := c.session.subs[f]; !ok {
			code = packets.UnsubackNoSubscriptionFound
		}
		if b.opts.Unsuback != nil {
			code = b.opts.Unsuback(f)
		}
		if code < 0x80 {
			delete(c.session.subs, f)
		}
		ack.Reasons = append(ack.Reasons, code)
	}
	b.mu.Unlock()
	return c.emit(&packets.ControlPacket{FixedHeader: packets.FixedHeader{Type: packets.UNSUBACK}, Content: ack})
}

// acknowledge takes PUBACK or PUBREC and reports whether it was in order.
func (c *conn) acknowledge(id uint16, qos byte) bool {
	b, s := c.broker, c.session
	b.mu.Lock()
	defer b.mu.Unlock()
	if c.ended {
		// Another connection has the session: it is sent this message again, and
		// its packet identifier must not become free meanwhile.
		return false
	}
	for i, d := range s.inflight {
		if d.msg.QoS != qos || d.released {
			continue
		}
		if d.id != id {
			b.fault("client %s acknowledged packet %d before %d (QoS %d)", s.id, id, d.id, qos)
			i = slices.IndexFunc(s.inflight, func(d *delivery) bool { return d.id == id && d.msg.QoS == qos && !d.released })
			if i < 0 {
				return false
			}
			d = s.inflight[i]
		}
		if !c.outbound[id] {
			b.fault("client %s acknowledged packet %d, which was not sent on this connection", s.id, id)
		}
		b.acked++
		if d.released = qos == 2; !d.released {
			s.inflight = slices.Delete(s.inflight, i, i+1)
			delete(c.outbound, id)
		}
		s.wake()
		return true
	}
	b.fault("client %s acknowledged packet %d, which is not under way (QoS %d)", s.id, id, qos)
	return false
}

func (c *conn) complete(id uint16) {
	b, s := c.broker, c.session
	b.mu.Lock()
	defer b.mu.Unlock()
	if c.ended {
		return
	}
	i := slices.IndexFunc(s.inflight, func(d *delivery) bool { return d.id == id && d.released })
	if i < 0 {
		b.fault("client %s completed packet %d, which was not released", s.id, id)
		return
	}
	s.inflight = slices.Delete(s.inflight, i, i+1)
	delete(c.outbound, id)
	s.wake()
}

// publish takes a message from a client.
func (c *conn) publish(p *packets.Publish) bool {
	c.broker.Publish(Message{Topic: p.Topic, Payload: p.Payload, QoS: p.QoS, Props: p.Properties})
	switch p.QoS {
	case 1:
		return c.write(packets.PUBACK, &packets.Puback{PacketID: p.PacketID, Properties: &packets.Properties{}}) == nil
	case 2:
		return c.write(packets.PUBREC, &packets.Pubrec{PacketID: p.PacketID, Properties: &packets.Properties{}}) == nil
	}
	return true
}

func pubrel(id uint16) *packets.ControlPacket {
	p := packets.NewControlPacket(packets.PUBREL)
	p.Content.(*packets.Pubrel).PacketID = id
	return p
}

// ask asks the hook and waits if it says so.
func (c *conn) ask(fromPeer bool, n int, p *packets.ControlPacket) Action {
	if c.broker.opts.Hook == nil {
		return Action{}
	}
	a := c.broker.opts.Hook(Event{ClientID: c.session.id, FromPeer: fromPeer, N: n, Packet: p})
	if a.Delay > 0 {
		select {
		case <-time.After(a.Delay):
		case <-c.cut:
		}
	}
	return a
}

// writeRaw sends bytes that no hook is asked about.
func (c *conn) writeRaw(raw []byte) bool {
	c.writing <- struct{}{}
	defer func() { <-c.writing }()
	_, err := c.nc.Write(raw)
	return err == nil && !c.frozen
}

// emit sends a packet as the hook says; false means that the connection is over.
func (c *conn) emit(p *packets.ControlPacket) bool {
	c.writing <- struct{}{}
	defer func() { <-c.writing }()
	if c.frozen {
		return false
	}
	c.sent++
	a := c.ask(false, c.sent, p)
	switch {
	case a.Cut:
		c.close()
		return false
	case a.Freeze:
		c.frozen = true
		return false
	case a.Skip && a.Raw == nil:
		return true
	}
	if a.Raw != nil {
		if _, err := c.nc.Write(a.Raw); err != nil || a.Skip {
			return err == nil
		}
	}
	err := c.put(p)
	if err == nil && a.Twice {
		err = c.put(p)
	}
	if err == nil && a.Then != nil {
		err = c.put(a.Then.ToControlPacket())
	}
	return err == nil
}

func (c *conn) write(kind byte, content packets.Packet) error {
	c.writing <- struct{}{}
	defer func() { <-c.writing }()
	if c.frozen {
		return net.ErrClosed
	}
	return c.put(&packets.ControlPacket{FixedHeader: packets.FixedHeader{Type: kind}, Content: content})
}

// freeze holds the connection open without reading until it is cut.
func (c *conn) freeze() {
	c.writing <- struct{}{}
	c.frozen = true
	<-c.writing
	<-c.cut
}

func (c *conn) close() {
	c.closing.Do(func() {
		close(c.cut)
		_ = c.nc.Close()
	})
}
