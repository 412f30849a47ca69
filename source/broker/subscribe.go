package broker

import (
	"cmp"
	"hash/maphash"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/sluiceio/sluice/internal/topic"
)

// subscription is a session's subscription to a filter.
type subscription struct {
	session *session
	filter  string // as the client wrote it
	group   string // of a shared subscription
	options packets.Subscription
}

func newSubscription(of *session, options packets.Subscription) *subscription {
	group, _, _ := topic.Share(options.Filter)
	return &subscription{session: of, filter: options.Filter, group: group, options: options}
}

// subscriptions are those of all sessions. They are looked up without a lock.
type subscriptions struct {
	index atomic.Pointer[topic.Index[*subscription]]
	seed  maphash.Seed // chooses the members of groups

	mu sync.Mutex // for changes
}

func newSubscriptions() *subscriptions {
	s := &subscriptions{seed: maphash.MakeSeed()}
	s.index.Store(topic.NewIndex[*subscription](nil))
	return s
}

// add enters a subscription in place of the session's earlier one to the same
// filter, and reports whether there was one.
func (s *subscriptions) add(sub *subscription) (existed bool) {
	_, filter, _ := topic.Share(sub.filter)
	s.mu.Lock()
	defer s.mu.Unlock()
	index := s.index.Load()
	old, existed := sub.session.subs[sub.filter]
	if existed {
		index = index.Without(filter, old)
	}
	if sub.session.subs == nil {
		sub.session.subs = make(map[string]*subscription)
	}
	sub.session.subs[sub.filter] = sub
	s.index.Store(index.With(filter, sub))
	return existed
}

// remove ends a session's subscription; nil if it has none.
func (s *subscriptions) remove(from *session, filter string) *subscription {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := from.subs[filter]
	if old != nil {
		_, plain, _ := topic.Share(filter)
		s.index.Store(s.index.Load().Without(plain, old))
		delete(from.subs, filter)
	}
	return old
}

// of returns the subscriptions of a session.
func (s *subscriptions) of(from *session) (all []*subscription) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sub := range from.subs {
		all = append(all, sub)
	}
	return all
}

// matching returns the subscriptions that get a message, those of a client side by
// side and of each group of shared ones a single one.
func (s *subscriptions) matching(dst []*subscription, topic string) []*subscription {
	all := s.index.Load().Append(dst, topic)
	all = slices.DeleteFunc(all, func(sub *subscription) bool { return sub.session.ended.Load() })
	if len(all) < 2 && (len(all) == 0 || all[0].group == "") {
		return all
	}
	slices.SortFunc(all, func(a, b *subscription) int {
		if c := strings.Compare(a.group, b.group); c != 0 {
			return c
		}
		if a.group != "" && a.filter != b.filter {
			return strings.Compare(a.filter, b.filter)
		}
		return cmp.Or(strings.Compare(a.session.id, b.session.id), strings.Compare(a.filter, b.filter))
	})
	chosen := all[:0]
	for i := 0; i < len(all); {
		end := i + 1
		if all[i].group == "" {
			chosen = append(chosen, all[i])
			i = end
			continue
		}
		for end < len(all) && all[end].group == all[i].group && all[end].filter == all[i].filter {
			end++
		}
		chosen = append(chosen, s.choose(all[i:end], topic))
		i = end
	}
	return chosen
}

// choose returns the member of a group that gets a topic's messages. It is the
// same one as long as the connected members are the same, so that the messages of
// a topic keep their order. When nobody is connected, a session keeps them.
func (s *subscriptions) choose(group []*subscription, topic string) *subscription {
	var best *subscription
	var most uint64
	online := false
	for _, sub := range group {
		connected := sub.session.connected()
		if online && !connected {
			continue
		}
		var h maphash.Hash
		h.SetSeed(s.seed)
		_, _ = h.WriteString(sub.session.id)
		_ = h.WriteByte(0)
		_, _ = h.WriteString(topic)
		if weight := h.Sum64(); best == nil || connected && !online || weight > most {
			best, most, online = sub, weight, connected
		}
	}
	return best
}

// subscribe handles a SUBSCRIBE packet. An error closes the connection.
func (s *Source) subscribe(c *conn, pk *packets.Packet) error {
	if pk.PacketID == 0 || len(pk.Filters) == 0 {
		return s.expel(c, packets.ErrProtocolViolation)
	}
	reasons := make([]byte, len(pk.Filters))
	var retained []*subscription
	for i, options := range pk.Filters {
		_, plain, shared := topic.Share(options.Filter)
		switch {
		case topic.ValidateFilter(options.Filter) != nil, !shared && mqtt.IsSharedFilter(options.Filter), topic.IsEvent(plain):
			reasons[i] = packets.ErrTopicFilterInvalid.Code
		case shared && options.NoLocal: // MQTT 5.0, section 3.8.3.1
			return s.expel(c, packets.ErrProtocolViolation)
		case !s.allowed(c, Subscribe, plain):
			reasons[i] = packets.ErrNotAuthorized.Code
		default:
			reasons[i] = options.Qos
			sub := newSubscription(c.session, options)
			existed := s.subs.add(sub)
			if !shared && (options.RetainHandling == 0 || options.RetainHandling == 1 && !existed) {
				retained = append(retained, sub)
			}
			s.emitSubscribed(c, sub, &pk.Properties)
		}
		if reasons[i] >= packets.ErrUnspecifiedError.Code && c.client.ProtocolVersion < 5 {
			reasons[i] = packets.ErrUnspecifiedError.Code
		}
	}
	s.saveSession(c.session)
	if s.journal.wait(s.ctx) != nil {
		return packets.ErrRejectPacket
	}
	if err := c.server.WritePacket(packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Suback}, PacketID: pk.PacketID, ReasonCodes: reasons,
	}); err != nil {
		return packets.ErrRejectPacket
	}
	for _, sub := range retained {
		s.sendRetained(sub)
	}
	return nil
}

// unsubscribe handles an UNSUBSCRIBE packet. An error closes the connection.
func (s *Source) unsubscribe(c *conn, pk *packets.Packet) error {
	if pk.PacketID == 0 || len(pk.Filters) == 0 {
		return s.expel(c, packets.ErrProtocolViolation)
	}
	reasons := make([]byte, len(pk.Filters))
	for i, f := range pk.Filters {
		if old := s.subs.remove(c.session, f.Filter); old != nil {
			s.emitUnsubscribed(c, old, &pk.Properties)
		} else {
			reasons[i] = packets.CodeNoSubscriptionExisted.Code
		}
	}
	s.saveSession(c.session)
	if s.journal.wait(s.ctx) != nil {
		return packets.ErrRejectPacket
	}
	return closing(c.server.WritePacket(packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Unsuback}, PacketID: pk.PacketID, ReasonCodes: reasons,
	}))
}
