package broker

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/sluiceio/sluice/internal/topic"
)

// scan is the way of new subscriptions through the retained messages. Each message
// is sent once, whatever number of them it matches. A scan holds no messages, so
// that a subscriber that does not read costs no more than its subscriptions.
type scan struct {
	subs  *topic.Index[*subscription]
	all   []*subscription
	next  int64 // number of the retained message to look at next
	until int64 // and of the last one
	place int64 // number of the next message in the outbox
}

// newScan begins a scan, whose messages are numbered from place on.
func newScan(subs []*subscription, place int64) *scan {
	sc := &scan{all: subs, place: place, subs: topic.NewIndex[*subscription](func(yield func(string, *subscription) bool) {
		for _, sub := range subs {
			if !yield(sub.filter, sub) {
				return
			}
		}
	})}
	for _, sub := range subs {
		sc.until = max(sc.until, sub.until)
	}
	return sc
}

// What a step of a scan looks at and returns at most.
const (
	scanLook = 1000
	scanTake = 64
)

// step returns the next messages of a scan, and whether it is done.
func (r *retained) step(sc *scan, now time.Time) (found []*outgoing, done bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	at, _ := slices.BinarySearchFunc(r.order, sc.next, func(k *kept, number int64) int { return cmp.Compare(k.number, number) })
	var few [8]*subscription
	for range scanLook {
		if at == len(r.order) || r.order[at].number > sc.until {
			return found, true
		}
		k := r.order[at]
		at++
		sc.next = k.number + 1
		if k.p == nil || k.p.expired(now) {
			continue
		}
		if m := k.forNew(sc.subs.Append(few[:0], k.p.topic)); m != nil {
			found = append(found, m)
			if len(found) == scanTake {
				break
			}
		}
	}
	return found, false
}

// forNew makes a retained message one for new subscriptions that match it; nil if
// none of them is to get it.
func (k *kept) forNew(subs []*subscription) *outgoing {
	var m *outgoing
	for _, sub := range subs {
		own := sub.options.noLocal && k.p.client == sub.session.who.id && k.p.username == sub.session.who.user
		if k.number > sub.until || sub.ended.Load() || own {
			continue
		}
		if m == nil {
			m = &outgoing{publication: k.p, retain: true}
		}
		m.qos = max(m.qos, min(sub.options.qos, k.p.qos))
		if sub.options.id > 0 {
			m.ids = append(m.ids, int(sub.options.id))
		}
	}
	return m
}

// scanPlaces are the numbers that are set aside for the messages of a scan, more than
// there are retained messages.
const scanPlaces = 1 << 28

// hold keeps what comes from now on back until subscribed: it is to come behind the
// SUBACK and the retained messages.
func (o *outbox) hold() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.held = o.last + 1
	o.last += scanPlaces
}

// subscribed begins to send the retained messages for new subscriptions.
func (o *outbox) subscribed(subs []*subscription) {
	o.mu.Lock()
	defer o.mu.Unlock()
	place := o.held
	o.held = 0
	switch {
	case len(subs) == 0:
	case o.scan == nil && len(o.due) == 0 && place > 0:
		o.scan = newScan(subs, place)
	default: // another is under way
		if o.due == nil {
			o.due = make(map[string]*subscription)
		}
		for _, sub := range subs {
			o.due[sub.filter] = sub
		}
	}
	o.startLocked()
}

// unsubscribed ends that.
func (o *outbox) unsubscribed(filter string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.due, filter)
}

// scanLocked reports whether the next message to send has to come from a scan, and
// may. What the client has not acknowledged takes up to half of the room, so that
// other messages find some; with nothing of that kind there is always room, or what
// waits behind the scan could hold it up.
func (o *outbox) scanLocked() bool {
	if len(o.inflight) > 0 && (len(o.inflight) >= o.limits.SubscriberInflight/2 || o.bytes >= o.limits.SubscriberBytes/2 ||
		o.pool.bytes.Load() >= int64(o.limits.SubscribersBytes)) {
		return false
	}
	return o.scan == nil && len(o.due) > 0 ||
		o.scan != nil && (o.head == len(o.waiting) || o.waiting[o.head].number > o.scan.place)
}

// refillLocked takes a step of a scan and puts what it has found before what came
// later. It returns the subscriptions that are done.
func (o *outbox) refillLocked(now time.Time) (done []*subscription) {
	if o.scan == nil {
		o.scan = newScan(slices.Collect(maps.Values(o.due)), o.last+1)
		o.last += scanPlaces
		o.due = nil
		if !o.scanLocked() { // older messages come first
			return nil
		}
	}
	found, end := o.retained.step(o.scan, now)
	for _, m := range found {
		m.number = o.scan.place
		o.scan.place++
		o.enterLocked(m)
	}
	if len(found) > 0 {
		o.waiting = slices.Concat(found, o.waiting[o.head:])
		o.head = 0
	}
	if end {
		done = o.scan.all
		o.scan = nil
	}
	return done
}
