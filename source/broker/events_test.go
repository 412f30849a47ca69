package broker_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"
	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/source/broker"
)

// readEvent reads messages until the event comes, and settles those before it.
func readEvent(t *testing.T, src *broker.Source, event string) bridge.Message {
	t.Helper()
	for {
		m := read(t, src, 1)[0]
		m.Delivery.Done(bridge.Stored, nil)
		if m.Event == event {
			return m
		}
	}
}

// without checks that a column of time is one and removes it, with others that
// the test does not care about.
func without(t *testing.T, cols map[string]any, times ...string) map[string]any {
	t.Helper()
	for _, name := range times {
		at, ok := cols[name].(int64)
		require.True(t, ok, "%s is %T", name, cols[name])
		require.WithinDuration(t, time.Now(), time.UnixMilli(at), time.Hour, name)
		delete(cols, name)
	}
	return cols
}

func TestClientEvents(t *testing.T) {
	t.Parallel()
	src := open(t, broker.Config{
		Events: []string{"$events/client/#", "$events/auth/+"},
		Authenticate: func(_ context.Context, l broker.Login) error {
			if string(l.Password) == "wrong" {
				return broker.ErrNotAuthenticated
			}
			return nil
		},
		Authorize: func(_ broker.Client, _ broker.Access, topic string) bool { return topic != "no" },
	})
	nc := dial(t, src)
	expiry, receiveMaximum := uint32(60), uint16(5)
	c := connectOn(t, nc, &paho.Connect{
		ClientID: "c", CleanStart: true, KeepAlive: 33, Username: "ann", UsernameFlag: true,
		Properties: &paho.ConnectProperties{
			SessionExpiryInterval: &expiry, ReceiveMaximum: &receiveMaximum,
			User: paho.UserProperties{{Key: "k", Value: "1"}, {Key: "k", Value: "2"}},
		},
	})
	userProps := map[string]any{
		"User-Property":       map[string]any{"k": "2"},
		"User-Property-Pairs": []any{map[string]any{"key": "k", "value": "1"}, map[string]any{"key": "k", "value": "2"}},
	}
	connProps := map[string]any{"Session-Expiry-Interval": int64(60), "Receive-Maximum": 5, "Request-Problem-Information": 0}
	for k, v := range userProps {
		connProps[k] = v
	}

	m := readEvent(t, src, "$events/auth/check_authn_complete")
	require.Equal(t, map[string]any{
		"event": "client.check_authn_complete", "reason_code": "success",
		"is_superuser": false, "is_anonymous": false, "client_attrs": map[string]any{},
	}, m.Columns)

	m = readEvent(t, src, "$events/client/connack")
	require.Equal(t, map[string]any{
		"event": "client.connack", "reason_code": "success",
		"clean_start": true, "keepalive": 33, "expiry_interval": int64(60), "conn_props": connProps,
		"sockname": src.Addr().String(), "proto_name": "MQTT", "proto_ver": 5,
	}, without(t, m.Columns, "connected_at"))

	m = readEvent(t, src, "$events/client/connected")
	require.Equal(t, "c", m.ClientID)
	require.Equal(t, "ann", m.Username)
	require.Equal(t, nc.LocalAddr().String(), m.PeerName)
	require.Empty(t, m.Topic)
	require.Equal(t, map[string]any{
		"event": "client.connected", "clean_start": true, "keepalive": 33,
		"receive_maximum": 5, "expiry_interval": int64(60), "is_bridge": false, "mountpoint": nil,
		"conn_props": connProps, "client_attrs": map[string]any{},
		"sockname": src.Addr().String(), "proto_name": "MQTT", "proto_ver": 5,
	}, without(t, m.Columns, "connected_at"))

	c.publish("no", 0, "x")
	m = readEvent(t, src, "$events/auth/check_authz_complete")
	require.Equal(t, map[string]any{
		"event": "client.check_authz_complete", "topic": "no", "action": "publish",
		"authz_source": "function", "result": "deny", "client_attrs": map[string]any{},
	}, m.Columns)

	ping := connectRaw(t, src, "pinger", true)
	ping.send(&packets.Pingreq{})
	for readEvent(t, src, "$events/client/ping").ClientID != "pinger" { // the other client pings, too
	}

	reason := uint32(0)
	require.NoError(t, c.Disconnect(&paho.Disconnect{Properties: &paho.DisconnectProperties{
		SessionExpiryInterval: &reason, ReasonString: "bye",
	}}))
	m = readEvent(t, src, "$events/client/disconnected")
	require.Equal(t, map[string]any{
		"event": "client.disconnected", "reason": "normal",
		"disconn_props": map[string]any{"User-Property": map[string]any{}, "Reason-String": "bye", "Session-Expiry-Interval": int64(0)},
		"client_attrs":  map[string]any{}, "sockname": src.Addr().String(), "proto_name": "MQTT", "proto_ver": 5,
	},
		without(t, m.Columns, "connected_at", "disconnected_at"))

	_, _, err := tryConnect(t, dial(t, src), &paho.Connect{ClientID: "d", CleanStart: true, Username: "u", UsernameFlag: true, Password: []byte("wrong"), PasswordFlag: true})
	require.Error(t, err)
	require.Equal(t, "bad_username_or_password", readEvent(t, src, "$events/auth/check_authn_complete").Columns["reason_code"])
	require.Equal(t, "bad_username_or_password", readEvent(t, src, "$events/client/connack").Columns["reason_code"])
}

func TestDisconnectReasons(t *testing.T) {
	t.Parallel()
	src := open(t, broker.Config{Events: []string{"$events/client/disconnected"}, Limits: broker.Limits{ReceiveMaximum: 1}})
	reason := func() any { t.Helper(); return readEvent(t, src, "$events/client/disconnected").Columns["reason"] }

	connectRaw(t, src, "c", true).drop()
	require.Equal(t, "tcp_closed", reason())

	r := connectRaw(t, src, "c", true)
	connectRaw(t, src, "c", true)
	r.expectDisconnect(0x8e)
	require.Equal(t, "takenover", reason())

	r = connectRaw(t, src, "d", true)
	r.publish(1, 1, "a")
	r.publish(2, 1, "a")
	r.expectDisconnect(0x93)
	require.Equal(t, "receive_maximum_exceeded", reason())

	r = dialRaw(t, src)
	cp := connectPacket("e", true)
	cp.KeepAlive = 1 // the broker waits one and a half times as long
	r.send(cp)
	r.expect(packets.CONNACK)
	require.Equal(t, "keepalive_timeout", reason())
}

func TestSessionAndMessageEvents(t *testing.T) {
	t.Parallel()
	src := open(t, broker.Config{Events: []string{"$events/session/#", "$events/message/#"}, EarlyAck: true})
	pub, sub := connect(t, src, "pub"), connect(t, src, "sub")
	none := map[string]any{"User-Property": map[string]any{}}

	pub.publish("a/b", 1, "unheard")
	m := readEvent(t, src, "$events/message/dropped")
	require.Equal(t, "a/b", m.Topic)
	require.Equal(t, "unheard", string(m.Payload))
	require.Equal(t, "pub", m.ClientID)
	require.Equal(t, map[string]any{"event": "message.dropped", "reason": "no_subscribers"}, m.Columns)

	id := 7
	_, err := sub.Subscribe(t.Context(), &paho.Subscribe{
		Subscriptions: []paho.SubscribeOptions{{Topic: "a/+", QoS: 1}},
		Properties:    &paho.SubscribeProperties{SubscriptionIdentifier: &id},
	})
	require.NoError(t, err)
	m = readEvent(t, src, "$events/session/subscribed")
	require.Equal(t, "sub", m.ClientID)
	require.Equal(t, map[string]any{
		"event": "session.subscribed", "topic": "a/+", "qos": 1,
		"sub_props": map[string]any{"User-Property": map[string]any{}, "Subscription-Identifier": 7}, "client_attrs": map[string]any{},
	}, m.Columns)

	pub.publish("a/b", 2, "heard")
	m = readEvent(t, src, "$events/message/delivered")
	require.Equal(t, "a/b", m.Topic)
	require.Equal(t, "heard", string(m.Payload))
	require.Equal(t, "sub", m.ClientID)
	require.Equal(t, "127.0.0.1", m.PeerHost)
	require.Equal(t, byte(1), m.QoS)
	require.Equal(t, map[string]any{"event": "message.delivered", "from_clientid": "pub"}, m.Columns)
	m = readEvent(t, src, "$events/message/acked")
	require.Equal(t, "heard", string(m.Payload))
	require.Equal(t, "sub", m.ClientID)
	require.Equal(t, map[string]any{"event": "message.acked", "from_clientid": "pub", "puback_props": none}, m.Columns)

	_, err = sub.Unsubscribe(t.Context(), &paho.Unsubscribe{Topics: []string{"a/+"}})
	require.NoError(t, err)
	m = readEvent(t, src, "$events/session/unsubscribed")
	require.Equal(t, map[string]any{
		"event": "session.unsubscribed", "topic": "a/+", "qos": 1,
		"unsub_props": none, "client_attrs": map[string]any{},
	}, m.Columns)
	require.EqualValues(t, 5, src.Stats().Events)
}

// TestDeliveryDropped: each reason for which a subscriber does not get a message.
func TestDeliveryDropped(t *testing.T) {
	t.Parallel()
	src := open(t, broker.Config{
		Events: []string{"$events/message/delivery_dropped", "$events/client/disconnected"}, EarlyAck: true,
		Limits: broker.Limits{SubscriberQueue: 1, SubscriberInflight: 2},
	})
	dropped := func(reason, payload string) {
		t.Helper()
		m := readEvent(t, src, "$events/message/delivery_dropped")
		require.Equal(t, "sub", m.ClientID)
		require.Equal(t, reason, m.Columns["reason"])
		require.Equal(t, "pub", m.Columns["from_clientid"])
		if payload != "" {
			require.Equal(t, payload, string(m.Payload))
		}
	}
	one, small := uint16(1), uint32(100)
	sub := dialRaw(t, src)
	cp := connectPacket("sub", false)
	cp.Properties.ReceiveMaximum, cp.Properties.MaximumPacketSize = &one, &small
	sub.send(cp)
	sub.expect(packets.CONNACK)
	sub.send(&packets.Subscribe{PacketID: 1, Subscriptions: []packets.SubOptions{{Topic: "t", QoS: 1}}, Properties: &packets.Properties{}})
	sub.expect(packets.SUBACK)
	pub := connectRaw(t, src, "pub", true)
	pub.publish(1, 1, "a")
	sub.expect(packets.PUBLISH) // and no acknowledgement, so that the others wait
	pub.publish(2, 1, "waits")
	pub.publish(0, 0, "waits")
	pub.publish(0, 0, "too many with QoS 0")
	dropped("queue_full", "too many with QoS 0")
	pub.publish(3, 1, "too many with QoS 1")
	dropped("queue_full", "too many with QoS 1")
	sub.send(&packets.Puback{PacketID: 1, Properties: &packets.Properties{}})
	for range 2 {
		require.Equal(t, "waits", string(sub.expect(packets.PUBLISH).Content.(*packets.Publish).Payload))
	}
	sub.send(&packets.Puback{PacketID: 2, Properties: &packets.Properties{}})
	pub.publish(4, 1, strings.Repeat("x", 100))
	dropped("too_large", "")
	sub.drop()
	readEvent(t, src, "$events/client/disconnected")

	second := uint32(1)
	pub.send(&packets.Publish{Topic: "t", QoS: 1, PacketID: 5, Payload: []byte("old"), Properties: &packets.Properties{MessageExpiry: &second}})
	dropped("expired", "old")
	pub.publish(6, 1, "nobody comes back for it")
	for pub.expect(packets.PUBACK).Content.(*packets.Puback).PacketID != 6 { // it has arrived
	}
	connectRaw(t, src, "sub", true)
	dropped("session_ended", "nobody comes back for it")
	require.EqualValues(t, 5, src.Stats().Undelivered)

	pub.send(&packets.Subscribe{PacketID: 1, Subscriptions: []packets.SubOptions{{Topic: "t", QoS: 1, NoLocal: true}}, Properties: &packets.Properties{}})
	pub.publish(7, 1, "own")
	m := readEvent(t, src, "$events/message/delivery_dropped")
	require.Equal(t, "no_local", m.Columns["reason"])
	require.Equal(t, "pub", m.ClientID)
}

func TestMessageDroppedByReceiveMaximum(t *testing.T) {
	t.Parallel()
	src := open(t, broker.Config{Events: []string{"$events/message/dropped"}, Limits: broker.Limits{ReceiveMaximum: 1}})
	r := connectRaw(t, src, "c", true)
	r.publish(1, 1, "a")
	r.publish(2, 1, "b")
	for {
		m := read(t, src, 1)[0] // not settled, so that the second is one too many
		if m.Columns["reason"] == "receive_maximum_exceeded" {
			require.Equal(t, "b", string(m.Payload))
			return
		}
	}
}

func TestNoEventUnlessAskedFor(t *testing.T) {
	t.Parallel()
	src := open(t, broker.Config{})
	c := connect(t, src, "c")
	c.subscribe("#", 1)
	c.publish("t", 0, "x")
	require.Empty(t, read(t, src, 1)[0].Event)
	require.Zero(t, src.Stats().Events)
}

func TestWill(t *testing.T) {
	t.Parallel()
	src := open(t, broker.Config{})
	connectWithWill := func(id string, clean bool, delay, expiry uint32) *raw {
		r := dialRaw(t, src)
		cp := connectPacket(id, clean)
		cp.WillFlag, cp.WillTopic, cp.WillMessage, cp.WillQOS = true, "will/"+id, []byte("gone"), 1
		cp.WillProperties = &packets.Properties{User: []packets.User{{Key: "k", Value: "v"}}, WillDelayInterval: &delay}
		cp.Properties.SessionExpiryInterval = &expiry
		r.send(cp)
		r.expect(packets.CONNACK)
		return r
	}
	sub := connect(t, src, "sub")
	sub.subscribe("will/#", 1)

	connectWithWill("a", true, 0, 0).drop()
	m := read(t, src, 1)[0]
	require.Equal(t, "will/a", m.Topic)
	require.Equal(t, "gone", string(m.Payload))
	require.Equal(t, "a", m.ClientID)
	require.Equal(t, byte(1), m.QoS)
	require.Equal(t, []bridge.UserProperty{{Key: "k", Value: "v"}}, m.Props.User)
	m.Delivery.Done(bridge.Stored, nil)
	require.Equal(t, "gone", string(receive(t, sub.got).Payload))

	// Void after a proper goodbye.
	r := connectWithWill("b", true, 0, 0)
	r.send(&packets.Disconnect{Properties: &packets.Properties{}})
	// Void when the client is back in time, noticed before or after the loss.
	connectWithWill("c", false, 3600, 3600).drop()
	connectRaw(t, src, "c", false)
	connectWithWill("c2", false, 3600, 3600)
	connectRaw(t, src, "c2", false)
	// Due when a new session replaces the old one, likewise.
	connectWithWill("d", false, 3600, 3600).drop()
	connectRaw(t, src, "d", true)
	require.Equal(t, "will/d", read(t, src, 1)[0].Topic)
	connectWithWill("d2", false, 3600, 3600)
	connectRaw(t, src, "d2", true)
	require.Equal(t, "will/d2", read(t, src, 1)[0].Topic)
	// Due after its delay, and when the session expires at the latest.
	connectWithWill("e", false, 3600, 1).drop()
	require.Equal(t, "will/e", read(t, src, 1)[0].Topic)
}
