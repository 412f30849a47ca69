package broker_test

import (
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/source/broker"
)

// as makes a CONNECT packet of a user that wants to go on with a session.
func as(user, id string) *packets.Connect {
	cp := connectPacket(id, false)
	cp.UsernameFlag, cp.Username = true, user
	return cp
}

// enter connects and reports whether there was a session.
func enter(t *testing.T, src *broker.Source, cp *packets.Connect) (*raw, bool) {
	t.Helper()
	r := dialRaw(t, src)
	r.send(cp)
	ack := r.expect(packets.CONNACK).Content.(*packets.Connack)
	require.Zero(t, ack.ReasonCode)
	return r, ack.SessionPresent
}

func (r *raw) subscribe(filter string, qos byte) {
	r.t.Helper()
	r.send(&packets.Subscribe{PacketID: 1, Subscriptions: []packets.SubOptions{{Topic: filter, QoS: qos}}, Properties: &packets.Properties{}})
	require.Equal(r.t, []byte{qos}, r.expect(packets.SUBACK).Content.(*packets.Suback).Reasons)
}

// say publishes with QoS 1 and waits for the acknowledgement.
func (r *raw) say(topic, payload string, retain bool) {
	r.t.Helper()
	r.send(&packets.Publish{Topic: topic, PacketID: 9, QoS: 1, Retain: retain, Payload: []byte(payload), Properties: &packets.Properties{}})
	r.expectPuback(9, 0)
}

func (r *raw) hear(payload string) {
	r.t.Helper()
	p := r.expect(packets.PUBLISH).Content.(*packets.Publish)
	require.Equal(r.t, payload, string(p.Payload))
	if p.QoS > 0 {
		r.send(&packets.Puback{PacketID: p.PacketID, Properties: &packets.Properties{}})
	}
}

// TestClientIDOfAnotherUser: who knows a client id of another user gets neither that
// session nor its messages, and does not disturb the connection, whether he asks
// for a clean start or not.
func TestClientIDOfAnotherUser(t *testing.T) {
	t.Parallel()
	store := new(memoryStore)
	src := open(t, broker.Config{Store: store})
	drain(t, src)
	pub := connectRaw(t, src, "pub", true)
	ann, _ := enter(t, src, as("ann", "x"))
	ann.subscribe("t", 1)
	for _, clean := range []bool{false, true} {
		thief := as("eve", "x")
		thief.CleanStart = clean
		eve, present := enter(t, src, thief)
		require.False(t, present)
		pub.say("t", "live", false)
		ann.hear("live") // still connected, still subscribed
		eve.pong()       // nothing for her
		eve.drop()
	}
	nobody := connectRaw(t, src, "x", false) // without a name
	pub.say("t", "live", false)
	ann.hear("live")
	nobody.pong()

	ann.drop()
	require.Eventually(t, func() bool { return src.Stats().Connections <= 2 }, patience, time.Millisecond)
	pub.say("t", "queued", false)
	eve, _ := enter(t, src, as("eve", "x"))
	eve.pong()
	ann, present := enter(t, src, as("ann", "x"))
	require.True(t, present)
	ann.hear("queued")
	pub.say("t", "unread", false)

	after := open(t, broker.Config{Store: store.crash()})
	eve, _ = enter(t, after, as("eve", "x"))
	eve.pong()
	ann, present = enter(t, after, as("ann", "x"))
	require.True(t, present, "in the store, too, the session belongs to both names")
	for { // that the first message is acknowledged need not be stored
		p := ann.expect(packets.PUBLISH).Content.(*packets.Publish)
		if string(p.Payload) == "unread" {
			break
		}
		require.Equal(t, "queued", string(p.Payload))
	}
}

// TestWillOfAnotherUser: connecting with a client id does not make void or send the
// will of another user's.
func TestWillOfAnotherUser(t *testing.T) {
	t.Parallel()
	src := open(t, broker.Config{})
	drain(t, src)
	sub := connectRaw(t, src, "sub", true)
	sub.subscribe("will", 1)
	cp := as("ann", "x")
	delay := uint32(3600)
	cp.WillFlag, cp.WillTopic, cp.WillMessage = true, "will", []byte("of ann")
	cp.WillProperties = &packets.Properties{WillDelayInterval: &delay}
	ann, _ := enter(t, src, cp)
	ann.drop()
	require.Eventually(t, func() bool { return src.Stats().Connections == 1 }, patience, time.Millisecond)
	thief := as("eve", "x")
	thief.CleanStart = true // would end the session, and send the will
	enter(t, src, thief)
	sub.pong()
	again := as("ann", "x")
	again.CleanStart = true
	enter(t, src, again)
	sub.hear("of ann")
}

// TestTightenedAccess: what a client may not read any more does not reach it by
// what it was subscribed to before: neither live, nor retained, nor stored.
func TestTightenedAccess(t *testing.T) {
	t.Parallel()
	var closed atomic.Bool
	store := new(memoryStore)
	cfg := broker.Config{
		Store: store,
		Authorize: func(c broker.Client, a broker.Access, topic string) bool {
			return a == broker.Publish || !closed.Load() || topic == "open"
		},
	}
	src := open(t, cfg)
	drain(t, src)
	pub := connectRaw(t, src, "pub", true)
	live, _ := enter(t, src, as("ann", "live"))
	live.subscribe("#", 1)
	away, _ := enter(t, src, as("ann", "away"))
	away.subscribe("#", 1)
	away.drop()
	require.Eventually(t, func() bool { return src.Stats().Connections == 2 }, patience, time.Millisecond)
	pub.say("secret", "before", true)
	live.hear("before")
	pub.say("open", "before", false)
	live.hear("before")

	closed.Store(true)
	pub.say("secret", "after", false)
	pub.say("open", "after", false)
	live.hear("after")
	live.pong()
	require.Eventually(t, func() bool { return src.Stats().Undelivered == 2 }, patience, time.Millisecond, "of one that is not connected, at once")
	away, present := enter(t, src, as("ann", "away"))
	require.True(t, present)
	away.hear("before") // that of "open"
	away.hear("after")
	away.pong()
	require.Equal(t, map[string]int64{"not_authorized": 3}, src.Stats().UndeliveredBy)

	after := open(t, broker.Config{Store: store.crash(), Authorize: cfg.Authorize})
	away, present = enter(t, after, as("ann", "away"))
	require.True(t, present)
	away.pong()
	closed.Store(false)
	away.subscribe("#", 1)
	away.hear("before") // retained
}

// TestReloadedACL: the same with the file.
func TestReloadedACL(t *testing.T) {
	t.Parallel()
	path := t.TempDir() + "/acl"
	write := func(text string) { writeFile(t, path, text) }
	write("topic readwrite #\n")
	acl, err := broker.LoadACL(path)
	require.NoError(t, err)
	src := open(t, broker.Config{Authorize: acl.Authorize})
	drain(t, src)
	sub, pub := connectRaw(t, src, "sub", true), connectRaw(t, src, "pub", true)
	sub.subscribe("#", 1)
	pub.say("a/b", "1", false)
	sub.hear("1")
	write("topic write #\ntopic read c\n")
	require.NoError(t, acl.Reload())
	pub.say("a/b", "2", false)
	pub.say("c", "3", false)
	sub.hear("3")
	sub.pong()
	require.False(t, acl.Authorize(broker.Client{}, broker.Receive, "a/b"))
	require.True(t, acl.Authorize(broker.Client{}, broker.Receive, "c"))
	write("topic readwrite #\ntopic deny a/+\n")
	require.NoError(t, acl.Reload())
	require.False(t, acl.Authorize(broker.Client{}, broker.Receive, "a/b"))
	require.True(t, acl.Authorize(broker.Client{}, broker.Receive, "a/b/c"))
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
}
