package broker

import (
	"bytes"
	"cmp"
	"hash/maphash"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/sluiceio/sluice/internal/topic"
)

// subscription is a session's subscription to a filter.
type subscription struct {
	session *session
	filter  string // as the client wrote it
	group   string // of a shared subscription
	options options
	until   int64       // number of the newest retained message that it gets as such
	due     atomic.Bool // it has not got all of them
	ended   atomic.Bool
}

// options are what a client asks for with a filter.
type options struct {
	id                int32 // subscription identifier; 0 for none
	qos               byte
	noLocal           bool
	retainAsPublished bool
}

func newSubscription(of *session, filter string, o options) *subscription {
	filter = strings.Clone(filter) // it does not point into the packet
	group, _, _ := topic.Share(filter)
	return &subscription{session: of, filter: filter, group: group, options: o}
}

// subscriptions are those of all sessions. They are looked up without a lock.
type subscriptions struct {
	index atomic.Pointer[topic.Index[*subscription]]
	seed  maphash.Seed // chooses the members of groups

	limits *Limits

	mu sync.Mutex // for changes
}

func newSubscriptions(limits *Limits) *subscriptions {
	s := &subscriptions{seed: maphash.MakeSeed(), limits: limits}
	s.index.Store(topic.NewIndex[*subscription](nil))
	return s
}

func (s *subscriptions) len() int { return s.index.Load().Len() }

// add enters a subscription in place of the session's earlier one to the same
// filter, and reports whether there was one, and whether there is room.
func (s *subscriptions) add(sub *subscription) (existed, ok bool) {
	_, filter, _ := topic.Share(sub.filter)
	s.mu.Lock()
	defer s.mu.Unlock()
	index := s.index.Load()
	old, existed := sub.session.subs[sub.filter]
	switch {
	case existed:
		old.ended.Store(true)
		index = index.Without(filter, old)
	case s.full(sub.session, sub.filter, index):
		return false, false
	}
	if sub.session.subs == nil {
		sub.session.subs = make(map[string]*subscription)
	}
	sub.session.subs[sub.filter] = sub
	if !existed {
		sub.session.filters += filterWeight(sub.filter)
	}
	s.index.Store(index.With(filter, sub))
	return existed, true
}

// full reports whether there is no room for a session's subscription to a filter.
// s.mu must be held.
func (s *subscriptions) full(of *session, filter string, index *topic.Index[*subscription]) bool {
	return of.filters > 0 && of.filters+filterWeight(filter) > s.limits.Subscriptions || index.Len() >= s.limits.SubscriptionsTotal
}

// filterWeight is how many subscriptions a filter counts for: one for each four levels.
// A message is compared with each level of the filters that begin like its topic,
// so many long ones would let a client make its own messages expensive.
func filterWeight(filter string) int { return (strings.Count(filter, "/") + 4) / 4 }

// accepts reports whether there is room for a session's subscription to a filter.
func (s *subscriptions) accepts(of *session, filter string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return of.subs[filter] != nil || !s.full(of, filter, s.index.Load())
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
		from.filters -= filterWeight(filter)
		old.ended.Store(true)
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
		if a.session == b.session && a.group == "" {
			return 0
		}
		x, y := a.session.who, b.session.who
		return cmp.Or(strings.Compare(x.id, y.id), strings.Compare(x.user, y.user))
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
		_, _ = h.WriteString(sub.session.who.id)
		_ = h.WriteByte(0)
		_, _ = h.WriteString(sub.session.who.user)
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
	// A filter that is there several times costs as much as one; the last counts.
	last := make(map[string]int, len(pk.Filters))
	for i := range pk.Filters {
		last[pk.Filters[i].Filter] = i
	}
	c.session.out.hold()
	const open = 0xff // not decided yet
	reasons := bytes.Repeat([]byte{open}, len(pk.Filters))
	var retained []*subscription
	for i := range pk.Filters {
		at := last[pk.Filters[i].Filter]
		if reasons[at] == open {
			asked := &pk.Filters[at]
			if asked.NoLocal && strings.HasPrefix(asked.Filter, "$share/") { // MQTT 5.0, section 3.8.3.1
				return s.expel(c, packets.ErrProtocolViolation)
			}
			sub, reason := s.subscribeTo(c, pk, asked)
			if sub != nil && sub.due.Load() {
				retained = append(retained, sub)
			}
			if reason >= packets.ErrUnspecifiedError.Code && c.client.ProtocolVersion < 5 {
				reason = packets.ErrUnspecifiedError.Code
			}
			reasons[at] = reason
		}
		reasons[i] = reasons[at]
	}
	if s.journal.wait(s.ctx) != nil {
		return s.goodbye(c, errClosing)
	}
	if err := c.send(packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Suback}, PacketID: pk.PacketID, ReasonCodes: reasons,
	}); err != nil {
		return err
	}
	c.session.out.subscribed(retained)
	return nil
}

// subscribeTo subscribes to one filter. It returns the reason code, with the
// subscription if that is a success.
func (s *Source) subscribeTo(c *conn, pk *packets.Packet, asked *packets.Subscription) (*subscription, byte) {
	_, plain, shared := topic.Share(asked.Filter)
	switch {
	case topic.ValidateFilter(asked.Filter) != nil, s.tooDeep(asked.Filter),
		!shared && isShare(asked.Filter), topic.IsEvent(plain):
		return nil, packets.ErrTopicFilterInvalid.Code
	case !s.subs.accepts(c.session, asked.Filter):
		return nil, packets.ErrQuotaExceeded.Code
	case !s.allowed(c, Subscribe, plain):
		return nil, packets.ErrNotAuthorized.Code
	}
	sub := newSubscription(c.session, asked.Filter, options{
		id: int32(asked.Identifier), qos: asked.Qos, noLocal: asked.NoLocal, retainAsPublished: asked.RetainAsPublished,
	})
	existed, ok := s.subs.add(sub)
	if !ok { // others have been faster
		return nil, packets.ErrQuotaExceeded.Code
	}
	if !shared && (asked.RetainHandling == 0 || asked.RetainHandling == 1 && !existed) {
		sub.until = s.retained.newest()
		sub.due.Store(true)
	}
	sub.save()
	s.emitSubscribed(c, sub, &pk.Properties)
	return sub, asked.Qos
}

// isShare reports whether a filter looks like a shared subscription, in whatever
// case it is written.
func isShare(filter string) bool {
	const prefix = "$share/"
	return len(filter) >= len(prefix) && strings.EqualFold(filter[:len(prefix)], prefix)
}

// scanned tells that new subscriptions have got all retained messages.
func scanned(subs []*subscription) {
	for _, sub := range subs {
		sub.due.Store(false)
		sub.save()
	}
}

// unsubscribe handles an UNSUBSCRIBE packet. An error closes the connection.
func (s *Source) unsubscribe(c *conn, pk *packets.Packet) error {
	if pk.PacketID == 0 || len(pk.Filters) == 0 {
		return s.expel(c, packets.ErrProtocolViolation)
	}
	reasons := make([]byte, len(pk.Filters))
	for i, f := range pk.Filters {
		if old := s.subs.remove(c.session, f.Filter); old != nil {
			c.session.out.unsubscribed(f.Filter)
			old.forget()
			s.emitUnsubscribed(c, old, &pk.Properties)
		} else {
			reasons[i] = packets.CodeNoSubscriptionExisted.Code
		}
	}
	if s.journal.wait(s.ctx) != nil {
		return s.goodbye(c, errClosing)
	}
	return c.send(packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Unsuback}, PacketID: pk.PacketID, ReasonCodes: reasons,
	})
}
