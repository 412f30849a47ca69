package mqtt

import (
	"hash/fnv"
	"slices"
	"strings"

	"github.com/sluiceio/sluice/internal/topic"
)

// When the filters of a connection overlap, a broker may send a message once for each that
// matches (MQTT 5.0, section 3.3.4). Filters that others cover are therefore not
// subscribed. Those that still overlap get subscription identifiers, by which copies are
// told from messages that are equal: see copies.

// share returns what a subscription shares its messages with, "" for nobody, and its topic
// filter.
func (s *Subscription) share() (group, filter string) {
	group, filter, _ = topic.Share(s.Filter)
	return group, filter
}

// covers reports whether s brings every message that o does, in the same way.
func (s *Subscription) covers(o *Subscription) bool {
	group, filter := s.share()
	other, narrow := o.share()
	return group == other && topic.Covers(filter, narrow) &&
		s.QoS >= o.QoS && (o.ID == 0 || o.ID == s.ID) && s.NoLocal == o.NoLocal &&
		s.RetainAsPublished == o.RetainAsPublished && s.retainHandling() == o.retainHandling() &&
		slices.Equal(s.UserProperties, o.UserProperties)
}

// neighbors returns for each subscription the numbers of those that overlap with it. It
// compares only filters of which one begins with all that stands in front of the other's
// first wildcard, so that thousands of filters for single devices cost little.
func neighbors(subs []Subscription) [][]int {
	list := make([][]int, len(subs))
	prefixes := map[string][]int{} // of the filters that were seen
	meet := func(i, j int) {
		_, a := subs[i].share()
		_, b := subs[j].share()
		if topic.Overlap(a, b) {
			list[i], list[j] = append(list[i], j), append(list[j], i)
		}
	}
	for i := range subs {
		prefix := subs[i].prefix()
		prefixes[prefix] = append(prefixes[prefix], i)
	}
	for i := range subs {
		for prefix, more := subs[i].prefix(), true; more; prefix, more = parent(prefix) {
			for _, j := range prefixes[prefix] {
				if same := prefix == subs[i].prefix(); !same || j < i {
					meet(i, j)
				}
			}
		}
	}
	for i := range list {
		slices.Sort(list[i])
	}
	return list
}

// prefix returns the levels of a filter in front of its first wildcard, each with a slash
// in front.
func (s *Subscription) prefix() string {
	_, filter := s.share()
	filter = "/" + filter
	if i := strings.IndexAny(filter, "+#"); i >= 0 {
		filter = filter[:i-1]
	}
	return filter
}

// parent removes the last level of a prefix; more is false when there is none.
func parent(prefix string) (up string, more bool) {
	if prefix == "" {
		return "", false
	}
	return prefix[:strings.LastIndexByte(prefix, '/')], true
}

// uncovered returns the subscriptions that no other covers, without repetitions, and the
// filters of those that are covered.
func uncovered(subs []Subscription) (needed []Subscription, covered []string) {
	seen := map[string]bool{}
	subs = slices.DeleteFunc(slices.Clone(subs), func(s Subscription) bool {
		again := seen[s.Filter]
		seen[s.Filter] = true
		return again
	})
	near := neighbors(subs)
	for i := range subs {
		if slices.ContainsFunc(near[i], func(j int) bool { return subs[j].covers(&subs[i]) }) {
			covered = append(covered, subs[i].Filter)
		} else {
			needed = append(needed, subs[i])
		}
	}
	return needed, covered
}

// overlap knows the subscriptions of a connection that overlap with others.
type overlap struct {
	filters *topic.Index[int]     // their identifiers
	own     map[int]*Subscription // by identifier
}

// subscription is one that a connection makes.
type subscription struct {
	Subscription
	wire int // identifier to tell copies by, where the filter overlaps with others; 0: none
}

func (s *subscription) equal(o *subscription) bool {
	return s.wire == o.wire && s.Subscription.equal(&o.Subscription)
}

// identify gives overlapping subscriptions identifiers to tell copies by, and returns what
// is known about those; nil when there are none. Identifiers are hashes of the filters, so
// that those which the broker has kept from an earlier run mean the same.
func identify(subs []Subscription) ([]subscription, *overlap) {
	made := make([]subscription, len(subs))
	o := &overlap{filters: topic.NewIndex[int](nil), own: map[int]*Subscription{}}
	taken := map[int]bool{}
	for _, s := range subs {
		taken[s.ID] = true
	}
	for i, near := range neighbors(subs) {
		s := &subs[i]
		made[i].Subscription = *s
		if len(near) == 0 {
			continue
		}
		h := fnv.New32a()
		_, _ = h.Write([]byte(s.Filter))
		id := int(h.Sum32()%maxPacketSize) + 1
		for taken[id] {
			id = id%maxPacketSize + 1
		}
		taken[id] = true
		made[i].wire = id
		_, filter := s.share()
		o.filters = o.filters.With(filter, id)
		o.own[id] = s
	}
	if len(o.own) == 0 {
		return made, nil
	}
	return made, o
}

// arrival is how a message came by overlapping subscriptions, by their identifiers.
type arrival struct {
	by      []int // it came by these
	missing []int // these may bring a copy
}

// sort takes the identifiers of ours out of a message's properties, puts those that the
// configuration wants in their place, and fills in which subscriptions the message came by
// and by which further ones a copy of it may come.
func (o *overlap) sort(it *item) {
	if o == nil || it.props == nil {
		return
	}
	var shown []int
	var via arrival
	for _, id := range it.props.SubscriptionIDs {
		s := o.own[id]
		if s == nil {
			shown = append(shown, id)
			continue
		}
		via.by = append(via.by, id)
		if s.ID > 0 {
			shown = append(shown, s.ID)
		}
	}
	if via.by == nil {
		return
	}
	it.via = &via
	it.props.SubscriptionIDs = shown
	if p := it.props; shown == nil && p.User == nil && p.PayloadFormat == nil && p.MessageExpiry == nil &&
		p.ContentType == "" && p.ResponseTopic == "" && p.CorrelationData == nil {
		it.props = nil // it had none but ours
	}
	for _, id := range o.filters.Append(nil, it.topic) {
		if !slices.Contains(via.by, id) {
			via.missing = append(via.missing, id)
		}
	}
}

// copies remembers messages of which the broker may send further copies. mu of the window
// guards it.
//
// A copy has the content of a message that was handed out, and came by a subscription that
// this message did not come by. An equal message that is not a copy comes by a
// subscription that has brought the first one already. A broker that sends one copy only
// leaves memories that are of no use, and do no harm as long as it names the same
// subscription for equal messages.
type copies struct {
	by    map[uint64][]*handedOut // by fingerprint, oldest first
	order []*handedOut            // those of by and some that are complete, oldest first
	limit int
}

// handedOut is a message and the subscriptions that have not brought it.
type handedOut struct {
	hash    uint64
	seq     uint64 // 0 with QoS 0
	missing []int
}

func newCopies(limit int) copies { return copies{by: map[uint64][]*handedOut{}, limit: limit} }

// note remembers a message that is handed out.
func (c *copies) note(it *item) {
	if it.via == nil || len(it.via.missing) == 0 {
		return
	}
	if len(c.order) >= c.limit {
		c.forget(c.order[0])
		c.order[0] = nil
		c.order = c.order[1:]
	}
	h := &handedOut{hash: it.hash, seq: it.seq, missing: it.via.missing}
	c.by[h.hash] = append(c.by[h.hash], h)
	c.order = append(c.order, h)
}

// of returns the message that it is a copy of; nil if it is none. A message of QoS 1 or 2
// is no copy of one of QoS 0, which nobody acknowledges: it would be lost with it.
func (c *copies) of(it *item) *handedOut {
	if it.via == nil {
		return nil
	}
	for _, h := range c.by[it.hash] {
		if h.seq == 0 && it.qos > 0 || !slices.Contains(h.missing, it.via.by[0]) {
			continue
		}
		h.missing = slices.DeleteFunc(h.missing, func(id int) bool { return slices.Contains(it.via.by, id) })
		if len(h.missing) == 0 {
			c.forget(h)
		}
		return h
	}
	return nil
}

func (c *copies) forget(h *handedOut) {
	rest := slices.DeleteFunc(c.by[h.hash], func(o *handedOut) bool { return o == h })
	if len(rest) == 0 {
		delete(c.by, h.hash)
	} else {
		c.by[h.hash] = rest
	}
}

// reset forgets everything.
func (c *copies) reset() {
	clear(c.by)
	c.order = nil
}

// admitCopy takes in a copy of a message: it is acknowledged in its turn, once the message
// is settled.
func (w *window) admitCopy(it *item, h *handedOut) {
	w.supersede(it)
	s := slot{id: it.id, hash: it.hash, qos2: it.qos == 2, state: w.stateOf(h.seq)}
	switch s.state {
	case slotPending:
		w.pending++
		w.followers[h.seq] = append(w.followers[h.seq], w.tail)
	case slotFailed:
		w.failed++
	}
	if seq := w.push(s); s.state == slotDone && seq == w.head {
		w.release()
	}
}

// stateOf returns the state of a message that was handed out.
func (w *window) stateOf(seq uint64) slotState {
	switch {
	case seq >= w.head && seq < w.tail:
		return w.at(seq).state
	case w.past.unsettled[seq] != nil:
		return slotPending
	}
	return slotDone
}

// settleFollowers settles the copies of a message with it.
func (w *window) settleFollowers(seq uint64, err error) (stuck bool) {
	if len(w.followers) == 0 {
		return false
	}
	copies := w.followers[seq]
	delete(w.followers, seq)
	for _, c := range copies {
		stuck = w.settle(c, err) || stuck
	}
	return stuck
}
