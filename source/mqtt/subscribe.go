package mqtt

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/eclipse/paho.golang/autopaho"
	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"
)

// maxFilters is how many filters go into one packet: AWS IoT Core, the strictest
// known broker, accepts 8.
const maxFilters = 8

// subscriptions are those of a link. link.mu guards them.
type subscriptions struct {
	want    []subscription
	version int                     // of want
	made    int                     // version that the broker has confirmed
	refused error                   // why it has not, if it said so
	have    map[string]subscription // what the broker's session is known to hold, by filter
	kick    chan struct{}           // capacity 1: want has changed
}

func newSubscriptions() subscriptions {
	return subscriptions{have: map[string]subscription{}, kick: make(chan struct{}, 1)}
}

// inherit notes filters that the broker's session may have from an earlier run, and that
// are to be given up: other filters cover them now.
func (s *subscriptions) inherit(filters []string) {
	for _, f := range filters {
		s.have[f] = subscription{Subscription: Subscription{Filter: f}}
	}
}

// confirmed reports whether the broker holds what is wanted.
func (s *subscriptions) confirmed() bool { return s.made == s.version }

// missing returns what the broker does not hold yet, and extra the filters that it
// holds and should not.
func (s *subscriptions) missing() (add []subscription, extra []string) {
	rest := make(map[string]bool, len(s.have))
	for f := range s.have {
		rest[f] = true
	}
	for _, w := range s.want {
		delete(rest, w.Filter)
		if h, ok := s.have[w.Filter]; !ok || !h.equal(&w) {
			add = append(add, w)
		}
	}
	for f := range rest {
		extra = append(extra, f)
	}
	slices.Sort(extra)
	return add, extra
}

// setSubscriptions changes what the link wants.
func (l *link) setSubscriptions(want []Subscription) {
	l.mu.Lock()
	defer l.mu.Unlock()
	made, overlap := identify(want)
	l.session.overlapping(overlap)
	l.subs.want, l.subs.refused = made, nil
	l.subs.version++
	select {
	case l.subs.kick <- struct{}{}:
	default:
	}
}

// keepSubscribed makes the subscriptions on connection c, those that are changed
// later as well, and tries refused ones again, until the connection is lost.
func (l *link) keepSubscribed(ctx context.Context, manager *autopaho.ConnectionManager, c *conn) {
	for attempt := 1; ; attempt++ {
		err := l.subscribe(ctx, manager, c)
		if ctx.Err() != nil {
			return
		}
		var again <-chan time.Time
		var (
			refused *Error
			odd     *answerError
		)
		switch {
		case err == nil:
		case errors.As(err, &refused):
			l.mu.Lock()
			l.status.resumed, l.status.subscribed = false, false
			l.subs.refused = refused
			l.mu.Unlock()
			l.trouble(refused)
			again = time.After(l.pause(attempt))
		case errors.As(err, &odd):
			c.refuse(packets.DisconnectProtocolError, err)
			_ = c.Close()
			return
		default: // no answer: this connection is of no use
			c.fail(err)
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-l.subs.kick:
			attempt = 0
		case <-again:
		}
	}
}

// subscribe brings the broker to hold what is wanted. What is new comes first, so
// that a message that an old filter and a new one match is not missed.
func (l *link) subscribe(ctx context.Context, manager *autopaho.ConnectionManager, c *conn) error {
	l.mu.Lock()
	version := l.subs.version
	add, extra := l.subs.missing()
	l.mu.Unlock()
	for len(add) > 0 {
		// Properties are those of a whole packet.
		n := 1
		for n < len(add) && n < maxFilters && c.identifier(&add[n]) == c.identifier(&add[0]) && slices.Equal(add[n].UserProperties, add[0].UserProperties) {
			n++
		}
		if err := l.subscribeSome(ctx, manager, c, add[:n]); err != nil {
			return err
		}
		add = add[n:]
	}
	for some := range slices.Chunk(extra, maxFilters) {
		if err := l.unsubscribe(ctx, manager, c, some); err != nil {
			return err
		}
	}
	l.mu.Lock()
	defer l.changed()
	defer l.mu.Unlock()
	if l.status.conn != c {
		return net.ErrClosed
	}
	l.subs.made, l.subs.refused = version, nil
	l.status.subscribed = true
	l.status.failures, l.status.permanent = 0, 0
	return nil
}

// identifier returns the subscription identifier to send with a subscription, 0 for none.
// A broker need not know identifiers: copies are then handed out like other messages.
func (c *conn) identifier(s *subscription) int {
	switch {
	case c.v3:
		return 0
	case s.wire > 0 && (c.connack.Properties.SubIDAvailable == nil || *c.connack.Properties.SubIDAvailable == 1):
		return s.wire
	}
	return s.ID
}

func (l *link) subscribeSome(ctx context.Context, manager *autopaho.ConnectionManager, c *conn, subs []subscription) error {
	req := &paho.Subscribe{Properties: &paho.SubscribeProperties{}}
	if id := c.identifier(&subs[0]); id > 0 {
		req.Properties.SubscriptionIdentifier = &id
	}
	for _, p := range subs[0].UserProperties {
		req.Properties.User.Add(p.Key, p.Value)
	}
	for _, s := range subs {
		req.Subscriptions = append(req.Subscriptions, paho.SubscribeOptions{
			Topic: s.Filter, QoS: s.QoS, NoLocal: s.NoLocal,
			RetainAsPublished: s.RetainAsPublished, RetainHandling: s.retainHandling(),
		})
	}
	ctx, cancel := c.untilSilent(ctx, l.cfg.ConnectTimeout, errNoSuback)
	defer cancel()
	ack, err := manager.Subscribe(ctx, req)
	if errors.Is(err, paho.ErrInvalidArguments) {
		// The broker announced that it cannot: paho has not even asked it.
		return &Error{Broker: l.snapshot().broker, Filter: subs[0].Filter, Permanent: true, text: "cannot serve a subscription: " + err.Error(), err: err}
	}
	if ack == nil {
		return noAnswer(ctx, "subscribing", err)
	}
	detail := ""
	if ack.Properties != nil {
		detail = ack.Properties.ReasonString
	}
	return l.granted(c, subs, ack.Reasons, detail)
}

// granted notes what the broker has granted and returns the first refusal.
func (l *link) granted(c *conn, subs []subscription, codes []byte, detail string) (refusal error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.status.conn != c { // the next connection may have lost the session
		return net.ErrClosed
	}
	if len(codes) != len(subs) {
		return &answerError{"a subscription", len(codes), len(subs)}
	}
	broker := l.status.broker
	for i, s := range subs {
		switch code := codes[i]; {
		case code < 0x80:
			l.subs.have[s.Filter] = s
			if code < s.QoS {
				l.log.Warn("the MQTT broker grants a lower QoS than wanted", "broker", broker, "filter", s.Filter, "wanted", s.QoS, "granted", code)
			}
		case refusal == nil:
			refusal = subscribeRefused(broker, s.Filter, code, detail)
		}
	}
	return refusal
}

func (l *link) unsubscribe(ctx context.Context, manager *autopaho.ConnectionManager, c *conn, filters []string) error {
	ctx, cancel := c.untilSilent(ctx, l.cfg.ConnectTimeout, errNoSuback)
	defer cancel()
	ack, err := manager.Unsubscribe(ctx, &paho.Unsubscribe{Topics: filters})
	if ack == nil {
		return noAnswer(ctx, "unsubscribing", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.status.conn != c {
		return net.ErrClosed
	}
	var refusal error
	codes := ack.Reasons
	if c.v3 {
		codes = make([]byte, len(filters)) // MQTT 3.1.1 has none, and no refusal
	}
	if len(codes) != len(filters) {
		return &answerError{"the end of a subscription", len(codes), len(filters)}
	}
	for i, f := range filters {
		if code := codes[i]; code < 0x80 { // 0x11: there was none
			delete(l.subs.have, f)
		} else if refusal == nil {
			refusal = unsubscribeRefused(l.status.broker, f, code)
		}
	}
	return refusal
}

// noAnswer is the error of a request that got none.
func noAnswer(ctx context.Context, doing string, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// SetSubscriptions replaces the subscriptions while the source runs. What is new is
// subscribed to before what is left out is given up, and messages that are under
// way are still handed out, so nothing is lost; messages that match an old and a new
// filter may come twice. Retained messages come again for filters that are new or
// have other options, as RetainHandling has it.
//
// It waits until every connection that is up has the broker's confirmation and
// returns the first refusal, an *Error. The source then keeps the subscriptions that
// are to be given up, tries the refused ones again, and reports them by Check; set the
// old ones again to go back. Connections that are down get the new subscriptions when
// they are made. When ctx ends before, the change goes on. An error of validation
// changes nothing.
func (s *Source) SetSubscriptions(ctx context.Context, subs []Subscription) error {
	cfg := s.cfg
	cfg.Filters = subs
	p := problems{}
	cfg.validateFilters(&p)
	if err := errors.Join(p...); err != nil {
		return err
	}
	if err := s.divideAgain(cfg); err != nil {
		return err
	}
	return s.await(ctx, func(l *link) (bool, error) {
		l.mu.Lock()
		defer l.mu.Unlock()
		return !l.status.connected || l.subs.confirmed(), l.subs.refused
	})
}

// divideAgain gives every link its part of changed filters.
func (s *Source) divideAgain(cfg Config) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	parts := make([][]Subscription, len(s.links))
	for i, l := range s.links {
		l.mu.Lock()
		for _, s := range l.subs.want {
			parts[i] = append(parts[i], s.Subscription)
		}
		l.mu.Unlock()
	}
	for i, part := range cfg.divide(parts) {
		s.links[i].setSubscriptions(part)
	}
	return nil
}
