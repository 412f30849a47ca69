package mqtt

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/eclipse/paho.golang/autopaho"
	"github.com/eclipse/paho.golang/paho"
)

// maxFilters is how many filters go into one SUBSCRIBE packet: AWS IoT Core, the
// strictest known broker, accepts 8.
const maxFilters = 8

// subscribe makes the link's subscriptions on connection c and tries refused ones
// again until the connection is lost.
func (l *link) subscribe(ctx context.Context, manager *autopaho.ConnectionManager, c *conn) {
	for attempt := 1; ; attempt++ {
		err := l.subscribeAll(ctx, manager, c)
		if ctx.Err() != nil {
			return
		}
		var refused *Error
		switch {
		case err == nil:
			l.mu.Lock()
			l.status.subscribed, l.status.confirmed = true, true
			l.status.failures, l.status.permanent = 0, 0
			l.mu.Unlock()
			l.changed()
			return
		case errors.As(err, &refused):
			l.mu.Lock()
			l.status.resumed = false
			l.mu.Unlock()
			l.trouble(refused)
		default: // no answer: this connection is of no use
			c.fail(err)
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(l.pause(attempt)):
		}
	}
}

func (l *link) subscribeAll(ctx context.Context, manager *autopaho.ConnectionManager, c *conn) error {
	for rest := l.subs; len(rest) > 0; {
		// A subscription identifier is for a whole packet.
		n := 1
		for n < len(rest) && n < maxFilters && rest[n].ID == rest[0].ID {
			n++
		}
		if err := l.subscribeSome(ctx, manager, c, rest[:n]); err != nil {
			return err
		}
		rest = rest[n:]
	}
	return nil
}

func (l *link) subscribeSome(ctx context.Context, manager *autopaho.ConnectionManager, c *conn, subs []Subscription) error {
	req := &paho.Subscribe{}
	if id := subs[0].ID; id > 0 {
		req.Properties = &paho.SubscribeProperties{SubscriptionIdentifier: &id}
	}
	for _, s := range subs {
		req.Subscriptions = append(req.Subscriptions, paho.SubscribeOptions{
			Topic: s.Filter, QoS: s.QoS, NoLocal: s.NoLocal,
			RetainAsPublished: s.RetainAsPublished, RetainHandling: s.RetainHandling,
		})
	}
	ctx, cancel := c.untilSilent(ctx, l.cfg.ConnectTimeout)
	defer cancel()
	ack, err := manager.Subscribe(ctx, req)
	st := l.snapshot()
	if errors.Is(err, paho.ErrInvalidArguments) {
		// The broker announced that it cannot: paho has not even asked it.
		return &Error{Broker: st.broker, Filter: subs[0].Filter, Permanent: true, text: "cannot serve a subscription: " + err.Error(), err: err}
	}
	if ack == nil {
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		return fmt.Errorf("subscribing: %w", err)
	}
	for i, code := range ack.Reasons {
		if i >= len(subs) {
			break
		}
		if code >= 0x80 {
			detail := ""
			if ack.Properties != nil {
				detail = ack.Properties.ReasonString
			}
			return subscribeRefused(st.broker, subs[i].Filter, code, detail)
		}
		if code < subs[i].QoS {
			l.log.Warn("the MQTT broker grants a lower QoS than wanted",
				"broker", st.broker, "filter", subs[i].Filter, "wanted", subs[i].QoS, "granted", code)
		}
	}
	return nil
}
