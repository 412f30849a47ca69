package mqtt

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/internal/mqttfake"
)

// reasons collects the reason codes of a client's DISCONNECT packets.
type reasons struct {
	mu    sync.Mutex
	codes []byte
}

func (r *reasons) note(e mqttfake.Event) {
	if d, ok := e.Packet.Content.(*packets.Disconnect); ok && e.FromPeer && d.ReasonCode >= 0x80 {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.codes = append(r.codes, d.ReasonCode)
	}
}

func (r *reasons) take() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	codes := r.codes
	r.codes = nil
	return codes
}

// TestMessagesThatMustNotBe lets the broker send one message that breaks the protocol. It
// is told so, and what it sends again in good order is handed out.
func TestMessagesThatMustNotBe(t *testing.T) {
	alias := uint16(1)
	for name, tt := range map[string]struct {
		spoil func(*packets.Publish)
		code  byte
		text  string
	}{
		"topic alias":          {func(p *packets.Publish) { p.Properties = &packets.Properties{TopicAlias: &alias} }, 0x94, "topic alias"},
		"topic alias, no name": {func(p *packets.Publish) { p.Topic, p.Properties = "", &packets.Properties{TopicAlias: &alias} }, 0x94, "topic alias"},
		"empty topic":          {func(p *packets.Publish) { p.Topic = "" }, 0x82, "must not be empty"},
		"wildcard":             {func(p *packets.Publish) { p.Topic = "t/#" }, 0x90, "wildcard"},
		"zero byte":            {func(p *packets.Publish) { p.Topic = "t/\x00" }, 0x81, "U+0000"},
		"not UTF-8":            {func(p *packets.Publish) { p.Topic = "t/\xff" }, 0x81, "UTF-8"},
		"no identifier":        {func(p *packets.Publish) { p.PacketID = 0 }, 0x82, "without packet identifier"},
		"QoS 3":                {func(p *packets.Publish) { p.QoS = 3 }, 0x81, "QoS 3"},
	} {
		for qos := range byte(3) {
			if qos == 0 && (name == "no identifier" || name == "QoS 3") {
				continue
			}
			t.Run(fmt.Sprint(name, "/qos", qos), func(t *testing.T) {
				var said reasons
				var spoilt atomic.Bool
				hook := func(e mqttfake.Event) mqttfake.Action {
					said.note(e)
					p, ok := e.Packet.Content.(*packets.Publish)
					if !ok || e.FromPeer || string(p.Payload) != "3" || !spoilt.CompareAndSwap(false, true) {
						return mqttfake.Action{}
					}
					bad := *p
					tt.spoil(&bad)
					return mqttfake.Action{Raw: encoded(t, &bad), Skip: true}
				}
				withFake(t, mqttfake.Options{Hook: hook}, onlyV5, func(t *testing.T, b *mqttfake.Broker, s *Source) {
					spoilt.Store(false)
					send(b, qos, 0, 6)
					synctest.Wait()
					require.Equal(t, []byte{tt.code}, said.take())
					time.Sleep(time.Minute)
					require.ErrorContains(t, s.Stats().Connections[0].LastError, tt.text)
					require.EqualValues(t, 1, s.Stats().Reconnects)
					if qos == 0 {
						require.NotContains(t, payloads(readN(t, s, s.Stats().Buffered)), "3")
						return
					}
					msgs := readN(t, s, 6)
					require.Equal(t, numbers(0, 6), payloads(msgs))
					settle(msgs, nil)
					allAcknowledged(t, b, s)
				})
			})
		}
	}
}

// TestAnswersThatDoNotFit has a broker answer requests with another number of reason codes
// than there were filters.
func TestAnswersThatDoNotFit(t *testing.T) {
	var said reasons
	var codes atomic.Int32 // how many the next answers have; -1: as many as is right
	hook := func(e mqttfake.Event) mqttfake.Action {
		said.note(e)
		n := int(codes.Load())
		if n < 0 || e.FromPeer {
			return mqttfake.Action{}
		}
		switch p := e.Packet.Content.(type) {
		case *packets.Suback:
			p.Reasons = make([]byte, n)
		case *packets.Unsuback:
			p.Reasons = make([]byte, n)
		}
		return mqttfake.Action{}
	}
	withFake(t, mqttfake.Options{Hook: hook}, func(c *Config) { onlyV5(c); codes.Store(-1) }, func(t *testing.T, b *mqttfake.Broker, s *Source) {
		said.take()
		for _, n := range []int32{0, 2} {
			for _, change := range [][]Subscription{filters("t/#", "u/#"), filters("t/#")} { // subscribe, unsubscribe
				codes.Store(n)
				done := make(chan error)
				go func() { done <- s.SetSubscriptions(t.Context(), change) }()
				synctest.Wait()
				require.Equal(t, []byte{0x82}, said.take())
				require.ErrorContains(t, s.Check(t.Context()), fmt.Sprintf("of 1 filters with %d reason codes", n))
				codes.Store(-1)
				require.NoError(t, <-done)
				time.Sleep(time.Minute)
				require.NoError(t, s.Check(t.Context()))
			}
		}
	})
	opts := mqttfake.Options{OnlyV3: true, Hook: hook}
	withFake(t, opts, func(c *Config) { codes.Store(0) }, func(t *testing.T, b *mqttfake.Broker, s *Source) {
		require.ErrorContains(t, s.Check(t.Context()), "of 1 filters with 0 reason codes")
		codes.Store(-1)
		time.Sleep(time.Minute)
		require.NoError(t, s.Check(t.Context()))
	})
}

// TestWhatSubscribeSays checks the options that go with SUBSCRIBE.
func TestWhatSubscribeSays(t *testing.T) {
	var mu sync.Mutex
	var got []*packets.Subscribe
	hook := func(e mqttfake.Event) mqttfake.Action {
		if p, ok := e.Packet.Content.(*packets.Subscribe); ok {
			mu.Lock()
			defer mu.Unlock()
			got = append(got, p)
		}
		return mqttfake.Action{}
	}
	stream := []bridge.UserProperty{{Key: "offset", Value: "7"}, {Key: "offset", Value: "8"}}
	change := func(c *Config) {
		got = nil
		c.Filters = []Subscription{
			{Filter: "a", QoS: 1},
			{Filter: "b", QoS: 1, RetainHandling: RetainNever, RetainAsPublished: true},
			{Filter: "c", QoS: 1, RetainHandling: RetainAlways, NoLocal: true},
			{Filter: "d", QoS: 1, UserProperties: stream},
		}
	}
	withFake(t, mqttfake.Options{Hook: hook}, change, func(t *testing.T, b *mqttfake.Broker, s *Source) {
		require.Equal(t, []packets.SubOptions{
			{Topic: "a", QoS: 1, RetainHandling: 1},
			{Topic: "b", QoS: 1, RetainHandling: 2, RetainAsPublished: true},
			{Topic: "c", QoS: 1, RetainHandling: 0, NoLocal: true},
		}, got[0].Subscriptions)
		require.Empty(t, got[0].Properties.User)
		require.Equal(t, []packets.User{{Key: "offset", Value: "7"}, {Key: "offset", Value: "8"}}, got[1].Properties.User)
		require.Len(t, got, 2)
		again := slices.Clone(s.cfg.Filters)
		again[3].UserProperties = []bridge.UserProperty{{Key: "offset", Value: "9"}}
		require.NoError(t, s.SetSubscriptions(t.Context(), again))
	})
}

func TestOrigins(t *testing.T) {
	props := &packets.Properties{User: []packets.User{{Key: "k", Value: "no"}, {Key: "client", Value: "c7"}, {Key: "client", Value: "c8"}}}
	for _, tt := range []struct {
		id, name         Origin
		wantID, wantName string
	}{
		{Origin{}, Origin{}, "", ""},
		{Origin{UserProperty: "client"}, Origin{UserProperty: "nobody"}, "c7", ""},
		{Origin{TopicLevel: 2}, Origin{TopicLevel: 1}, "d7", "t"},
		{Origin{TopicLevel: 3}, Origin{TopicLevel: 4}, "temp", ""},
	} {
		change := func(c *Config) { c.ClientIDFrom, c.UsernameFrom = tt.id, tt.name }
		withFake(t, mqttfake.Options{}, change, func(t *testing.T, b *mqttfake.Broker, s *Source) {
			b.Publish(mqttfake.Message{Topic: "t/d7/temp", Props: props})
			m := readN(t, s, 1)[0]
			require.Equal(t, tt.wantID, m.ClientID)
			require.Equal(t, tt.wantName, m.Username)
		})
	}
	_, err := New(Config{ClientIDFrom: Origin{TopicLevel: -1}, UsernameFrom: Origin{TopicLevel: 1, UserProperty: "x"}})
	require.ErrorContains(t, err, "ClientIDFrom.TopicLevel: -1 is negative")
	require.ErrorContains(t, err, "UsernameFrom: UserProperty and TopicLevel exclude each other")
	p := &publish{topic: "a/b/c"}
	require.Zero(t, testing.AllocsPerRun(100, func() { _ = Origin{TopicLevel: 3}.of(p) }))
}

// TestMosquittoRetained is sent retained messages once, however often it starts again, and
// those of a filter that is added.
func TestMosquittoRetained(t *testing.T) {
	m := startMosquitto(t)
	p := newPublisher(t, m.addr)
	p.retain = true
	p.publish(5, 0, 5, 1, 50)
	for _, tt := range []struct {
		handling byte
		want     []int // retained messages of each start
	}{{0, []int{5, 0, 0}}, {RetainAlways, []int{5, 5, 5}}, {RetainNever, []int{0, 0, 0}}} {
		cfg := m.config()
		cfg.ClientID = fmt.Sprint("retained", tt.handling)
		cfg.Filters[0].RetainHandling = tt.handling
		for i, want := range tt.want {
			s := open(t, cfg)
			// What stands behind the retained messages, if there are any.
			newPublisher(t, m.addr).publish(1, i, 1, 1, 50)
			msgs := readN(t, s, want+1)
			require.True(t, strings.HasPrefix(string(msgs[want].Payload), fmt.Sprint("0 ", i)), "start %d", i)
			settle(msgs, nil)
			require.NoError(t, s.Close(t.Context()))
		}
	}
}
