package broker

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"
	"unsafe"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/sluiceio/sluice/internal/topic"
)

// fanOut passes a message on to its subscribers and keeps it if it is retained.
// build is called if somebody is to get it. It returns how many subscribers there
// are.
func (s *Source) fanOut(pk *packets.Packet, build func() *publication) int {
	var p *publication
	if pk.FixedHeader.Retain {
		// Before looking for subscribers: one that comes meanwhile shall get
		// it in one way or the other.
		p = build()
		s.retain(p)
	}
	var few [16]*subscription
	subs := s.subs.matching(few[:0], pk.TopicName)
	if len(subs) > 0 && p == nil {
		p = build()
	}
	n := 0
	for i := 0; i < len(subs); n++ {
		end := i + 1
		for end < len(subs) && subs[i].group == "" && subs[end].group == "" && subs[end].session == subs[i].session {
			end++
		}
		s.deliver(p, subs[i:end])
		i = end
	}
	return n
}

// deliver puts a message into the outbox of a session, once for all of its
// subscriptions that match.
func (s *Source) deliver(p *publication, subs []*subscription) {
	to := subs[0].session
	m := &outgoing{publication: p}
	wanted := false
	for _, sub := range subs {
		o := &sub.options
		if o.NoLocal && p.Origin == to.id {
			continue
		}
		wanted = true
		m.qos = max(m.qos, min(o.Qos, p.FixedHeader.Qos))
		m.retain = m.retain || p.FixedHeader.Retain && o.RetainAsPublished
		if o.Identifier > 0 {
			m.ids = append(m.ids, o.Identifier)
		}
	}
	if !wanted {
		s.emitDelivery(deliveryDropped, to, m, columns{"reason": noLocal})
		return
	}
	s.putOut(to, m, true)
}

// putOut gives a session a message.
func (s *Source) putOut(to *session, m *outgoing, bounded bool) {
	if reason := to.out.put(m, bounded); reason != "" {
		s.counters.undelivered.Add(1)
		s.emitDelivery(deliveryDropped, to, m, columns{"reason": reason})
	}
}

// transmit writes a message to a subscriber.
func (s *Source) transmit(c *conn, m *outgoing) {
	if m.released {
		_ = c.write(appendAck(nil, packets.Pubrel, m.id, packets.CodeSuccess.Code, c.client.ProtocolVersion))
		return
	}
	if !m.dup && m.expired(time.Now()) {
		s.giveUp(c, m, expired)
		return
	}
	pk := m.Packet
	pk.FixedHeader.Qos, pk.FixedHeader.Retain, pk.FixedHeader.Dup = m.qos, m.retain, m.dup
	pk.PacketID = m.id
	pk.Properties.SubscriptionIdentifier = m.ids
	// Errors of the connection show at uncork.
	if err := c.server.WritePacket(pk); errors.Is(err, packets.ErrPacketTooLarge) {
		s.giveUp(c, m, tooLarge)
	} else if err == nil {
		s.emitDelivery(messageDelivered, c.session, m, columns{})
	}
}

// giveUp drops a message that was to be sent.
func (s *Source) giveUp(c *conn, m *outgoing, reason string) {
	if m.qos > 0 {
		c.session.out.remove(m.id)
	}
	s.counters.undelivered.Add(1)
	s.emitDelivery(deliveryDropped, c.session, m, columns{"reason": reason})
}

// acknowledged handles a subscriber's PUBACK, PUBREC or PUBCOMP packet.
func (s *Source) acknowledged(c *conn, pk *packets.Packet) error {
	kind := pk.FixedHeader.Type
	m, done := c.session.out.acknowledge(kind, pk.PacketID, pk.ReasonCode >= packets.ErrUnspecifiedError.Code)
	if m != nil && kind != packets.Pubcomp {
		s.emitDelivery(messageAcked, c.session, m, columns{"puback_props": userProps(pk.Properties.User)})
	}
	if kind != packets.Pubrec || done {
		return nil
	}
	reason := packets.CodeSuccess.Code
	if m == nil {
		reason = packets.ErrPacketIdentifierNotFound.Code
	}
	return closing(c.write(appendAck(nil, packets.Pubrel, pk.PacketID, reason, c.client.ProtocolVersion)))
}

// retained are the retained messages by topic.
type retained struct {
	mu    sync.RWMutex
	byTop map[string]*publication
	bytes int // that they take
}

// retainedCost is what a retained message takes beside its topic and payload.
const retainedCost = int(unsafe.Sizeof(publication{}))

// retain keeps a message as the last one of its topic; one without a payload
// ends that, and so does one that there is no room for.
func (s *Source) retain(p *publication) {
	r := &s.retained
	r.mu.Lock()
	defer r.mu.Unlock()
	known := r.remove(p.TopicName)
	fits := r.bytes+retainedCost+p.size() <= s.cfg.Limits.RetainedBytes
	if !fits && len(p.Payload) > 0 {
		s.counters.notRetained.Add(1)
	}
	if !fits || len(p.Payload) == 0 {
		if known {
			s.journal.change(retainedKey(p.TopicName), nil)
		}
		return
	}
	r.put(p.TopicName, p)
	if s.journal != nil {
		s.journal.change(retainedKey(p.TopicName), appendPublication(nil, p))
	}
}

func (r *retained) put(name string, p *publication) {
	if r.byTop == nil {
		r.byTop = make(map[string]*publication)
	}
	r.byTop[name] = p
	r.bytes += retainedCost + p.size()
}

// remove drops a topic's message and tells whether there was one.
func (r *retained) remove(name string) bool {
	p := r.byTop[name]
	if p == nil {
		return false
	}
	delete(r.byTop, name)
	r.bytes -= retainedCost + p.size()
	return true
}

// matching returns the retained messages that a filter matches, oldest first.
func (r *retained) matching(filter string) (found []*publication) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if !topic.HasWildcard(filter) {
		if p := r.byTop[filter]; p != nil {
			found = append(found, p)
		}
		return found
	}
	for name, p := range r.byTop {
		if topic.Match(filter, name) {
			found = append(found, p)
		}
	}
	slices.SortFunc(found, func(a, b *publication) int { return cmp.Compare(a.Created, b.Created) })
	return found
}

// expire drops the retained messages that have expired.
func (s *Source) expireRetained(now time.Time) {
	r := &s.retained
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, p := range r.byTop {
		if p.expired(now) {
			r.remove(name)
			s.journal.change(retainedKey(name), nil)
		}
	}
}

// sendRetained sends a new subscription the retained messages.
func (s *Source) sendRetained(sub *subscription) {
	found := s.retained.matching(sub.filter)
	if strings.HasPrefix(sub.filter, "$SYS/") { // kept by the server
		for _, pk := range s.server.Topics.Messages(sub.filter) {
			found = append(found, &publication{Packet: pk})
		}
	}
	now := time.Now()
	for _, p := range found {
		if p.expired(now) || sub.options.NoLocal && p.Origin == sub.session.id {
			continue
		}
		m := &outgoing{publication: p, qos: min(sub.options.Qos, p.FixedHeader.Qos), retain: true}
		if sub.options.Identifier > 0 {
			m.ids = []int{sub.options.Identifier}
		}
		s.putOut(sub.session, m, false)
	}
}
