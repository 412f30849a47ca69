package mqtt

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/internal/mqttfake"
)

// forQoS1And2 runs a test against a scripted broker with messages of both levels, in both
// versions of MQTT.
func forQoS1And2(t *testing.T, opts mqttfake.Options, change func(*Config), test func(t *testing.T, qos byte, b *mqttfake.Broker, s *Source)) {
	t.Helper()
	for _, version := range []int{version5, version3} {
		speak := func(c *Config) {
			c.ProtocolVersion = version
			if change != nil {
				change(c)
			}
		}
		for qos := byte(1); qos <= 2; qos++ {
			t.Run(fmt.Sprintf("v%d/qos%d", version, qos), func(t *testing.T) {
				withFake(t, opts, speak, func(t *testing.T, b *mqttfake.Broker, s *Source) {
					require.Equal(t, s.cfg.ProtocolVersion, s.Stats().Connections[0].Version)
					test(t, qos, b, s)
				})
			})
		}
	}
}

// onlyV5 is for tests of what MQTT 3.1.1 does not have.
func onlyV5(c *Config) { c.ProtocolVersion = version5 }

// loseConnection loses the connection, and waits until there is a new one.
func loseConnection(b *mqttfake.Broker) {
	synctest.Wait()
	b.Cut()
	time.Sleep(time.Minute)
	synctest.Wait()
}

// nothingToRead checks that nothing waits for Read.
func nothingToRead(t *testing.T, s *Source) {
	t.Helper()
	synctest.Wait()
	require.Zero(t, s.Stats().Buffered)
}

// allAcknowledged checks that the broker and the source have nothing left.
func allAcknowledged(t *testing.T, b *mqttfake.Broker, s *Source) {
	t.Helper()
	synctest.Wait()
	require.Zero(t, b.Pending())
	require.Empty(t, b.Faults())
	unsettled, limit := s.Window()
	require.Zero(t, unsettled)
	require.Equal(t, defaultReceiveMaximum, limit)
	require.Zero(t, s.Stats().HeldBytes)
}

// TestTenReconnectsWhileTheSinkIsAway loses the connection again and again while nothing
// is settled: every message is handed out once, in order.
func TestTenReconnectsWhileTheSinkIsAway(t *testing.T) {
	forQoS1And2(t, mqttfake.Options{}, nil, func(t *testing.T, qos byte, b *mqttfake.Broker, s *Source) {
		const n = 600
		var all []bridge.Message
		for i := range 10 {
			send(b, qos, i*n/10, (i+1)*n/10)
			if i%3 > 0 { // or what was received waits for Read while the connection dies
				all = append(all, readN(t, s, (i+1)*n/10-len(all))...)
			}
			loseConnection(b)
		}
		all = append(all, readN(t, s, n-len(all))...)
		require.Equal(t, numbers(0, n), payloads(all))
		nothingToRead(t, s)
		require.Zero(t, b.Acked())
		settle(all, nil)
		require.EqualValues(t, 10, s.Stats().Reconnects)
		require.EqualValues(t, n, s.Stats().Received)
		require.EqualValues(t, n*(10+1)/2, s.Stats().Recognized)
		allAcknowledged(t, b, s)
		require.Equal(t, n, b.Acked())
	})
}

// TestSettledAroundReconnects settles the messages at different times relative to the
// death of one or two connections.
func TestSettledAroundReconnects(t *testing.T) {
	const n = 10
	for name, steps := range map[string]func(b *mqttfake.Broker, msgs []bridge.Message){
		"before": func(b *mqttfake.Broker, msgs []bridge.Message) {
			settle(msgs[1:], nil) // nothing is acknowledged: the first one is missing
			loseConnection(b)
			settle(msgs[:1], nil)
		},
		"after": func(b *mqttfake.Broker, msgs []bridge.Message) {
			loseConnection(b)
			settle(msgs, nil)
		},
		"between": func(b *mqttfake.Broker, msgs []bridge.Message) {
			b.Cut()
			synctest.Wait()
			settle(msgs, nil)
			time.Sleep(time.Minute)
		},
		"two deaths": func(b *mqttfake.Broker, msgs []bridge.Message) {
			settle(msgs[5:6], nil)
			loseConnection(b)
			settle(msgs[6:7], nil)
			loseConnection(b)
			settle(msgs[8:], nil)
			settle(msgs[:5], nil)
			settle(msgs[7:8], nil)
		},
		"in parts": func(b *mqttfake.Broker, msgs []bridge.Message) {
			for i := range msgs {
				settle(msgs[i:i+1], nil)
				if i%3 == 0 {
					loseConnection(b)
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			forQoS1And2(t, mqttfake.Options{}, nil, func(t *testing.T, qos byte, b *mqttfake.Broker, s *Source) {
				send(b, qos, 0, n)
				msgs := readN(t, s, n)
				steps(b, msgs)
				nothingToRead(t, s)
				allAcknowledged(t, b, s)
				require.Equal(t, n, b.Acked())
			})
		})
	}
}

// deaf lets acknowledgements get lost: those that the broker is sent while closed is set
// do not arrive.
type deaf struct {
	mu     sync.Mutex
	closed bool
}

func (d *deaf) set(closed bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = closed
}

func (d *deaf) hook(e mqttfake.Event) mqttfake.Action {
	d.mu.Lock()
	defer d.mu.Unlock()
	kind := e.Packet.Type
	return mqttfake.Action{Skip: d.closed && e.FromPeer && (kind == packets.PUBACK || kind == packets.PUBREC)}
}

// TestLostAcknowledgement loses acknowledgements with their connection. What was
// received behind them tells that the broker sends the same messages again.
func TestLostAcknowledgement(t *testing.T) {
	var d deaf
	forQoS1And2(t, mqttfake.Options{Hook: d.hook}, nil, func(t *testing.T, qos byte, b *mqttfake.Broker, s *Source) {
		send(b, qos, 0, 10)
		msgs := readN(t, s, 10)
		d.set(true)
		settle(msgs[:5], nil)
		synctest.Wait()
		require.Equal(t, 10, b.Pending())
		d.set(false)
		loseConnection(b)
		nothingToRead(t, s)
		settle(msgs[5:], nil)
		allAcknowledged(t, b, s)
	})
}

// TestLastAcknowledgementLost has nothing behind the lost acknowledgements: a QoS 1
// message is handed out again, since it may be another one that is equal.
func TestLastAcknowledgementLost(t *testing.T) {
	var d deaf
	forQoS1And2(t, mqttfake.Options{Hook: d.hook}, nil, func(t *testing.T, qos byte, b *mqttfake.Broker, s *Source) {
		send(b, qos, 0, 10)
		d.set(true)
		settle(readN(t, s, 10), nil)
		synctest.Wait()
		d.set(false)
		loseConnection(b)
		if qos == 1 {
			again := readN(t, s, 10)
			require.Equal(t, numbers(0, 10), payloads(again))
			settle(again, nil)
		}
		nothingToRead(t, s)
		allAcknowledged(t, b, s)
	})
}

// TestIdentifierIsUsedAgain has the broker use a packet identifier again for an equal
// message, which is lost with the connection before it arrives.
func TestIdentifierIsUsedAgain(t *testing.T) {
	var d swallow
	forQoS1And2(t, mqttfake.Options{Hook: d.hook}, nil, func(t *testing.T, qos byte, b *mqttfake.Broker, s *Source) {
		equal := func(n int) {
			for range n {
				b.Publish(mqttfake.Message{Topic: "t/x", Payload: []byte("same"), QoS: qos})
			}
		}
		equal(3)
		msgs := readN(t, s, 3)
		settle(msgs[:2], nil) // their identifiers are free
		synctest.Wait()
		d.set(true)
		equal(2)
		loseConnection(b)
		d.set(false)
		loseConnection(b)
		fresh := readN(t, s, 2)
		nothingToRead(t, s)
		settle(msgs[2:], nil)
		settle(fresh, nil)
		allAcknowledged(t, b, s)
		require.EqualValues(t, 5, s.Stats().Received)
	})
}

// swallow loses what the broker publishes while it is set.
type swallow struct{ deaf }

func (d *swallow) hook(e mqttfake.Event) mqttfake.Action {
	d.mu.Lock()
	defer d.mu.Unlock()
	return mqttfake.Action{Skip: d.closed && !e.FromPeer && e.Packet.Type == packets.PUBLISH}
}

// TestAnotherMessageWithTheSameIdentifier changes what the broker sends again: another
// payload, another topic, no DUP flag. Those are other messages, and settling the one
// that was handed out acknowledges nothing.
func TestAnotherMessageWithTheSameIdentifier(t *testing.T) {
	for name, change := range map[string]func(*packets.Publish){
		"payload":  func(p *packets.Publish) { p.Payload = []byte("other") },
		"topic":    func(p *packets.Publish) { p.Topic = "t/other" },
		"property": func(p *packets.Publish) { p.Properties = &packets.Properties{ContentType: "text"} },
		"no DUP":   func(p *packets.Publish) { p.Duplicate = false },
	} {
		t.Run(name, func(t *testing.T) {
			hook := func(e mqttfake.Event) mqttfake.Action {
				if p, ok := e.Packet.Content.(*packets.Publish); ok && p.Duplicate && !e.FromPeer {
					change(p)
				}
				return mqttfake.Action{}
			}
			change := map[string]func(*Config){"property": onlyV5}[name]
			forQoS1And2(t, mqttfake.Options{Hook: hook}, change, func(t *testing.T, qos byte, b *mqttfake.Broker, s *Source) {
				send(b, qos, 0, 1)
				old := readN(t, s, 1)
				loseConnection(b)
				other := readN(t, s, 1)
				settle(old, nil)
				synctest.Wait()
				require.Zero(t, b.Acked())
				settle(other, nil)
				allAcknowledged(t, b, s)
			})
		})
	}
}

// TestExpiryChanges has the broker subtract its own time from the message's expiry.
func TestExpiryChanges(t *testing.T) {
	hook := func(e mqttfake.Event) mqttfake.Action {
		if p, ok := e.Packet.Content.(*packets.Publish); ok && p.Duplicate && !e.FromPeer {
			left, id := uint32(1), 7
			p.Properties = &packets.Properties{MessageExpiry: &left, SubscriptionIdentifier: &id, ContentType: "text"}
		}
		return mqttfake.Action{}
	}
	forQoS1And2(t, mqttfake.Options{Hook: hook}, nil, func(t *testing.T, qos byte, b *mqttfake.Broker, s *Source) {
		expiry := uint32(100)
		b.Publish(mqttfake.Message{Topic: "t/x", QoS: qos, Props: &packets.Properties{MessageExpiry: &expiry, ContentType: "text"}})
		msgs := readN(t, s, 1)
		loseConnection(b)
		nothingToRead(t, s)
		settle(msgs, nil)
		allAcknowledged(t, b, s)
	})
}

// TestFailedMessageIsNotJoined fails a message while its connection is dead: it, and with
// QoS 1 what was received behind it, is handed out again.
func TestFailedMessageIsNotJoined(t *testing.T) {
	forQoS1And2(t, mqttfake.Options{}, nil, func(t *testing.T, qos byte, b *mqttfake.Broker, s *Source) {
		send(b, qos, 0, 6)
		msgs := readN(t, s, 6)
		synctest.Wait()
		b.Cut()
		synctest.Wait()
		msgs[2].Delivery.Done(bridge.Abandoned, errors.New("no luck"))
		settle(msgs[3:5], nil)
		settle(msgs[:2], nil)
		time.Sleep(time.Minute)
		want := numbers(2, 6)
		if qos == 2 {
			want = numbers(2, 3)
		}
		again := readN(t, s, len(want))
		require.Equal(t, want, payloads(again))
		settle(again, nil)
		settle(msgs[5:], nil)
		nothingToRead(t, s)
		allAcknowledged(t, b, s)
	})
}

// TestNotSentAgain has a broker that gives what was under way to somebody else, as with
// shared subscriptions: it is forgotten after a window of other messages.
func TestNotSentAgain(t *testing.T) {
	var d swallow
	small := func(c *Config) { c.ReceiveMaximum = 20 }
	forQoS1And2(t, mqttfake.Options{Hook: d.hook}, small, func(t *testing.T, qos byte, b *mqttfake.Broker, s *Source) {
		w := s.links[0].session.win
		send(b, qos, 0, 5)
		old := readN(t, s, 5)
		synctest.Wait()
		b.Cut()
		b.Redispatch()
		time.Sleep(time.Minute)
		send(b, qos, 5, 10)
		settle(readN(t, s, 5), nil)
		require.Len(t, w.past.unsettled, 5)
		for i := 10; i < 40; i += 10 {
			send(b, qos, i, i+10)
			settle(readN(t, s, 10), nil)
		}
		synctest.Wait()
		require.Empty(t, w.past.lost)
		require.NotZero(t, s.Stats().HeldBytes, "they are still on their way")
		settle(old, nil)
		require.Empty(t, w.past.unsettled)
		require.Zero(t, s.Stats().HeldBytes)
		require.Zero(t, b.Pending())
		require.Equal(t, 35, b.Acked())
		require.Empty(t, b.Faults())
	})
}

// TestSentAgainOnTheSameConnection has a broker that does not wait for a new connection,
// as MQTT 3.1.1 allows.
func TestSentAgainOnTheSameConnection(t *testing.T) {
	hook := func(e mqttfake.Event) mqttfake.Action {
		p, ok := e.Packet.Content.(*packets.Publish)
		if !ok || e.FromPeer || p.PacketID != 3 {
			return mqttfake.Action{}
		}
		again := *p
		again.Duplicate = true
		return mqttfake.Action{Then: &again}
	}
	forQoS1And2(t, mqttfake.Options{Hook: hook}, nil, func(t *testing.T, qos byte, b *mqttfake.Broker, s *Source) {
		send(b, qos, 0, 5)
		msgs := readN(t, s, 5)
		require.Equal(t, numbers(0, 5), payloads(msgs))
		nothingToRead(t, s)
		settle(msgs, nil)
		allAcknowledged(t, b, s)
		require.EqualValues(t, 1, s.Stats().Recognized)
	})
}

// TestLateSettlement settles after the source was closed.
func TestLateSettlement(t *testing.T) {
	forQoS1And2(t, mqttfake.Options{}, nil, func(t *testing.T, qos byte, b *mqttfake.Broker, s *Source) {
		send(b, qos, 0, 3)
		msgs := readN(t, s, 3)
		require.NoError(t, s.Close(context.Background()))
		settle(msgs, nil)
		require.Equal(t, 3, b.Pending())
	})
}
