package broker_test

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/source/broker"
	"github.com/sluiceio/sluice/source/broker/boltstore"
)

func qosOf(device int) byte { return byte(1 + device%2) }

// TestNothingIsLostWhenConnectionsAreCut: devices send their messages with QoS 1
// and 2, are cut off at random, come back and send again what was not
// acknowledged, while messages are settled late and out of order. All arrive,
// first ones in order, and none of QoS 2 twice.
func TestNothingIsLostWhenConnectionsAreCut(t *testing.T) {
	t.Parallel()
	const devices, messages = 8, 200
	src := open(t, broker.Config{QueueMessages: 50})
	l := newLedger(t, devices)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() { defer close(stopped); l.keep(src, stop) }()
	var wg sync.WaitGroup
	for d := range devices {
		wg.Go(func() {
			dev := &device{addr: src.Addr().String(), number: d, qos: qosOf(d), messages: messages, window: 10, lifetime: atRandom(5, 105)}
			if err := dev.run(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	close(stop)
	<-stopped
	l.check(messages, qosOf)
}

// TestNothingIsLostByRestarts: the same while the broker is closed and opened again
// several times, at the same address and with the same store. A subscriber with a
// persistent session gets every message, too.
func TestNothingIsLostByRestarts(t *testing.T) {
	t.Parallel()
	const devices, messages, restarts = 6, 300, 4
	path := filepath.Join(t.TempDir(), "broker.db")
	url := "mqtt://127.0.0.1:0"
	start := func() *broker.Source {
		store, err := boltstore.Open(path)
		require.NoError(t, err)
		src, err := broker.New(broker.Config{
			Listeners: []broker.Listener{{URL: url}}, QueueMessages: 50, Logger: quiet(), Store: store,
			Limits: broker.Limits{SubscriberInflight: 65_535},
		})
		require.NoError(t, err)
		require.NoError(t, src.Open(t.Context()))
		url = src.URLs()[0]
		return src
	}
	src := start()
	sub := connectRaw(t, src, "sub", false)
	sub.send(&packets.Subscribe{PacketID: 1, Subscriptions: []packets.SubOptions{{Topic: "#", QoS: 2}}, Properties: &packets.Properties{}})
	sub.expect(packets.SUBACK)
	sub.drop()

	var wg sync.WaitGroup
	for d := range devices {
		wg.Go(func() {
			dev := &device{addr: src.Addr().String(), number: d, qos: qosOf(d), messages: messages, window: 10, lifetime: atRandom(50, 500)}
			if err := dev.run(); err != nil {
				t.Error(err)
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()

	l := newLedger(t, devices)
	for round := 0; ; round++ {
		stop, stopped := make(chan struct{}), make(chan struct{})
		go func() { defer close(stopped); l.keep(src, stop) }()
		var enough <-chan time.Time
		if round < restarts {
			target := src.Stats().Received + devices*messages/(restarts+2)
			enough = when(t, done, func() bool { return src.Stats().Received >= target })
		}
		over := false
		select {
		case <-done:
			over = true
		case <-enough:
		}
		close(stop)
		<-stopped
		if over {
			break
		}
		closeSource(t, src)
		src = start()
	}
	l.check(messages, qosOf)

	seen := make(map[string]bool)
	sub = connectRaw(t, src, "sub", false)
	for len(seen) < devices*messages {
		p := sub.next()
		if rel, ok := p.Content.(*packets.Pubrel); ok {
			sub.send(&packets.Pubcomp{PacketID: rel.PacketID, Properties: &packets.Properties{}})
			continue
		}
		m := p.Content.(*packets.Publish)
		seen[string(m.Payload)] = true
		if m.QoS == 1 {
			sub.send(&packets.Puback{PacketID: m.PacketID, Properties: &packets.Properties{}})
		} else {
			sub.send(&packets.Pubrec{PacketID: m.PacketID, Properties: &packets.Properties{}})
		}
	}
	sub.drop()
	closeSource(t, src)
}

// when returns a channel that gets something once f is true; it looks until done is
// closed.
func when(t *testing.T, done <-chan struct{}, f func() bool) <-chan time.Time {
	ch := make(chan time.Time, 1)
	go func() {
		for ticker := time.NewTicker(time.Millisecond); ; {
			select {
			case now := <-ticker.C:
				if f() {
					ticker.Stop()
					ch <- now
					return
				}
			case <-done:
				ticker.Stop()
				return
			}
		}
	}()
	return ch
}

func closeSource(t *testing.T, src *broker.Source) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	require.NoError(t, src.Close(ctx))
}

// TestBigMessagesOfManyTopics: 256 KiB payloads, and 5,000 topics, to the rules and
// to a subscriber whose receive maximum is 65,535, and one whose is 1.
func TestBigMessagesOfManyTopics(t *testing.T) {
	t.Parallel()
	topics := 5000
	if raceEnabled {
		topics = 1000
	}
	src := open(t, broker.Config{EarlyAck: true, Limits: broker.Limits{SubscriberInflight: 65_535, WriteTimeout: patientWrites}})
	var subs []*raw
	for _, window := range []uint16{65_535, 1} {
		sub := dialRaw(t, src)
		cp := connectPacket(fmt.Sprint("sub-", window), true)
		cp.Properties.ReceiveMaximum = &window
		sub.send(cp)
		sub.expect(packets.CONNACK)
		sub.send(&packets.Subscribe{PacketID: 1, Subscriptions: []packets.SubOptions{{Topic: "t/#", QoS: 1}}, Properties: &packets.Properties{}})
		sub.expect(packets.SUBACK)
		subs = append(subs, sub)
	}
	big := make([]byte, 256<<10)
	size := func(i int) int {
		if i%250 == 0 && i < 1000 {
			return len(big)
		}
		return 10
	}
	pub := connectRaw(t, src, "pub", true)
	go func() {
		for i := range topics {
			p := &packets.Publish{Topic: fmt.Sprint("t/", i), PacketID: uint16(i + 1), QoS: 1, Payload: big[:size(i)], Properties: &packets.Properties{}}
			if _, err := p.WriteTo(pub.nc); err != nil {
				return
			}
			if _, err := packets.ReadPacket(pub.r); err != nil {
				return
			}
		}
	}()
	for i := range topics {
		m := read(t, src, 1)[0]
		require.Equal(t, fmt.Sprint("t/", i), m.Topic)
		require.Len(t, m.Payload, size(i))
		m.Delivery.Done(bridge.Stored, nil)
	}
	ids := make(map[uint16]bool)
	for i := range topics {
		p := subs[0].expect(packets.PUBLISH).Content.(*packets.Publish)
		require.Equal(t, fmt.Sprint("t/", i), p.Topic)
		require.Len(t, p.Payload, size(i))
		require.False(t, ids[p.PacketID])
		ids[p.PacketID] = true // none is acknowledged
	}
	for i := range topics {
		p := subs[1].expect(packets.PUBLISH).Content.(*packets.Publish)
		require.Equal(t, fmt.Sprint("t/", i), p.Topic)
		subs[1].send(&packets.Puback{PacketID: p.PacketID, Properties: &packets.Properties{}})
	}
}
