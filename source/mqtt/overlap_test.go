package mqtt

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/internal/mqttfake"
	"github.com/sluiceio/sluice/internal/topic"
)

func TestUncovered(t *testing.T) {
	sub := func(filter string, change func(*Subscription)) Subscription {
		s := Subscription{Filter: filter, QoS: 1}
		if change != nil {
			change(&s)
		}
		return s
	}
	names := func(subs []Subscription) (list []string) {
		for _, s := range subs {
			list = append(list, s.Filter)
		}
		return list
	}
	for name, tt := range map[string]struct {
		subs            []Subscription
		needed, covered []string
	}{
		"covered":      {[]Subscription{sub("t/+/temp", nil), sub("t/#", nil), sub("t", nil), sub("u", nil)}, []string{"t/#", "u"}, []string{"t/+/temp", "t"}},
		"chain":        {[]Subscription{sub("a/b/c", nil), sub("a/+/c", nil), sub("a/#", nil), sub("#", nil)}, []string{"#"}, []string{"a/b/c", "a/+/c", "a/#"}},
		"twice":        {[]Subscription{sub("t", nil), sub("t", nil)}, []string{"t"}, nil},
		"partly":       {[]Subscription{sub("t/+/x", nil), sub("t/a/+", nil)}, []string{"t/+/x", "t/a/+"}, nil},
		"higher QoS":   {[]Subscription{sub("t/#", nil), sub("t/a", func(s *Subscription) { s.QoS = 2 })}, []string{"t/#", "t/a"}, nil},
		"lower QoS":    {[]Subscription{sub("t/#", nil), sub("t/a", func(s *Subscription) { s.QoS = 0 })}, []string{"t/#"}, []string{"t/a"}},
		"its own id":   {[]Subscription{sub("t/#", nil), sub("t/a", func(s *Subscription) { s.ID = 3 })}, []string{"t/#", "t/a"}, nil},
		"options":      {[]Subscription{sub("t/#", nil), sub("t/a", func(s *Subscription) { s.RetainAsPublished = true })}, []string{"t/#", "t/a"}, nil},
		"shared":       {[]Subscription{sub("t/#", nil), sub("$share/g/t/a", nil)}, []string{"t/#", "$share/g/t/a"}, nil},
		"one group":    {[]Subscription{sub("$share/g/t/#", nil), sub("$share/g/t/a", nil)}, []string{"$share/g/t/#"}, []string{"$share/g/t/a"}},
		"other groups": {[]Subscription{sub("$share/g/t/#", nil), sub("$share/h/t/a", nil)}, []string{"$share/g/t/#", "$share/h/t/a"}, nil},
		"system":       {[]Subscription{sub("#", nil), sub("$SYS/#", nil)}, []string{"#", "$SYS/#"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			needed, covered := uncovered(tt.subs)
			require.Equal(t, tt.needed, names(needed))
			require.Equal(t, tt.covered, covered)
		})
	}
}

func TestOverlappingFiltersShareAConnection(t *testing.T) {
	cfg := Config{Connections: 3, Filters: filters("a/+", "b", "+/x", "c", "+/y", "d", "a/x")}
	parts := cfg.divide(nil)
	require.Equal(t, [][]Subscription{filters("a/+", "+/x", "+/y"), filters("b", "d"), filters("c")}, parts)
	cfg.Filters = append(cfg.Filters, filters("c/+", "+/b")...)
	parts = cfg.divide(parts)
	require.Equal(t, filters("a/+", "+/x", "+/y", "c/+", "+/b"), parts[0], "each of them overlaps with one there")
}

// crossing are filters that overlap partly, and one that they cover.
func crossing(c *Config) {
	c.Filters = filters("t/+/temp", "t/d1/+", "t/d1/temp", "+/d1/temp")
}

// publishCrossing publishes n messages, of which one in four matches no two filters, and
// some are equal.
func publishCrossing(publish func(topic, payload string), n int) (want []string) {
	for i := range n {
		topic := []string{"t/d1/temp", "t/d2/temp", "t/d1/temp", "t/d1/hum"}[i%4]
		payload := fmt.Sprint(i / 4)
		publish(topic, payload)
		want = append(want, topic+" "+payload)
	}
	return want
}

func named(msgs []bridge.Message) (list []string) {
	for _, m := range msgs {
		list = append(list, m.Topic+" "+string(m.Payload))
	}
	return list
}

// TestCopiesAreHandedOutOnce has a broker that sends a copy for each subscription, and one
// that sends a message once.
func TestCopiesAreHandedOutOnce(t *testing.T) {
	for _, copies := range []bool{true, false} {
		for qos := range byte(3) {
			t.Run(fmt.Sprintf("copies %v/qos%d", copies, qos), func(t *testing.T) {
				withFake(t, mqttfake.Options{Copies: copies}, crossing, func(t *testing.T, b *mqttfake.Broker, s *Source) {
					require.Equal(t, []string{"+/d1/temp", "t/+/temp", "t/d1/+"}, b.Subscriptions("c1"))
					want := publishCrossing(func(topic, payload string) {
						b.Publish(mqttfake.Message{Topic: topic, Payload: []byte(payload), QoS: qos})
					}, 80)
					msgs := readN(t, s, 80)
					require.Equal(t, want, named(msgs))
					nothingToRead(t, s)
					for _, m := range msgs {
						require.Nil(t, m.Props, "the identifiers are ours alone")
					}
					settle(msgs, nil)
					allAcknowledged(t, b, s)
					if copies {
						require.EqualValues(t, 80, s.Stats().Copies)
					}
					require.EqualValues(t, 80, s.Stats().Received)
				})
			})
		}
	}
}

// TestCopiesWaitForTheirMessage acknowledges a copy when the message is settled, not before,
// also after a reconnect between the two.
func TestCopiesWaitForTheirMessage(t *testing.T) {
	for qos := byte(1); qos <= 2; qos++ {
		for _, reconnect := range []bool{false, true} {
			t.Run(fmt.Sprintf("qos%d/%v", qos, reconnect), func(t *testing.T) {
				withFake(t, mqttfake.Options{Copies: true}, crossing, func(t *testing.T, b *mqttfake.Broker, s *Source) {
					for range 2 {
						b.Publish(mqttfake.Message{Topic: "t/d1/temp", Payload: []byte("same"), QoS: qos})
					}
					msgs := readN(t, s, 2)
					nothingToRead(t, s)
					if reconnect {
						loseConnection(b)
						nothingToRead(t, s)
					}
					require.Equal(t, 6, b.Pending())
					settle(msgs[1:], nil)
					synctest.Wait()
					require.Equal(t, 6, b.Pending())
					settle(msgs[:1], nil)
					allAcknowledged(t, b, s)
				})
			})
		}
	}
}

// TestCopiesFailWithTheirMessage hands a message out again, once, when it has failed.
func TestCopiesFailWithTheirMessage(t *testing.T) {
	for qos := byte(1); qos <= 2; qos++ {
		withFake(t, mqttfake.Options{Copies: true}, crossing, func(t *testing.T, b *mqttfake.Broker, s *Source) {
			b.Publish(mqttfake.Message{Topic: "t/d1/temp", Payload: []byte("x"), QoS: qos})
			settle(readN(t, s, 1), errors.New("no luck"))
			settle(readN(t, s, 1), nil)
			time.Sleep(time.Minute)
			nothingToRead(t, s)
			allAcknowledged(t, b, s)
			require.EqualValues(t, 2, s.Stats().Received)
		})
	}
}

// TestMixedQoS has a wide filter of QoS 0 and a narrow one of QoS 1. The copy that
// is acknowledged is the one that is handed out.
func TestMixedQoS(t *testing.T) {
	change := func(c *Config) { c.Filters = []Subscription{{Filter: "t/#"}, {Filter: "t/alarm", QoS: 1}} }
	withFake(t, mqttfake.Options{Copies: true}, change, func(t *testing.T, b *mqttfake.Broker, s *Source) {
		for i := range 10 {
			b.Publish(mqttfake.Message{Topic: "t/alarm", Payload: fmt.Append(nil, i), QoS: 1})
		}
		msgs := readN(t, s, 10)
		require.Equal(t, numbers(0, 10), payloads(msgs))
		require.EqualValues(t, 1, msgs[0].QoS)
		nothingToRead(t, s)
		settle(msgs, nil)
		allAcknowledged(t, b, s)
	})
}

// TestIdentifiersOfTheConfiguration shows those, and not the source's own.
func TestIdentifiersOfTheConfiguration(t *testing.T) {
	change := func(c *Config) {
		c.Filters = []Subscription{{Filter: "t/+/x", QoS: 1, ID: 5}, {Filter: "t/a/+", QoS: 1, ID: 5}, {Filter: "u", QoS: 1, ID: 9}}
	}
	withFake(t, mqttfake.Options{Copies: true}, change, func(t *testing.T, b *mqttfake.Broker, s *Source) {
		for _, topic := range []string{"t/a/x", "u"} {
			b.Publish(mqttfake.Message{Topic: topic, QoS: 1})
		}
		msgs := readN(t, s, 2)
		require.Equal(t, []int{5}, msgs[0].Props.SubscriptionIDs)
		require.Equal(t, []int{9}, msgs[1].Props.SubscriptionIDs)
		settle(msgs, nil)
		allAcknowledged(t, b, s)
	})
}

// TestAllIdentifiersInOneMessage is what MQTT asks of a broker that sends a message once.
func TestAllIdentifiersInOneMessage(t *testing.T) {
	subs := filters("t/+/x", "t/a/+")
	made, o := identify(subs)
	w, _ := testWindow(10)
	for id := range uint16(4) {
		it := item{publish: publish{id: id + 1, qos: 1, topic: "t/a/x", props: &bridge.Properties{SubscriptionIDs: []int{made[1].wire, made[0].wire}}}}
		o.sort(&it)
		w.mu.Lock()
		require.False(t, w.admit(1, &it).known)
		w.copies.note(&it)
		w.mu.Unlock()
	}
	require.Empty(t, w.copies.by)
}

// TestBrokerWithoutIdentifiers cannot be told what belongs together, and subscribes all the
// same.
func TestBrokerWithoutIdentifiers(t *testing.T) {
	none := byte(0)
	opts := mqttfake.Options{Copies: true, Connect: func(*packets.Connect) *packets.Connack {
		return &packets.Connack{Properties: &packets.Properties{SubIDAvailable: &none}}
	}}
	withFake(t, opts, crossing, func(t *testing.T, b *mqttfake.Broker, s *Source) {
		b.Publish(mqttfake.Message{Topic: "t/d2/temp", QoS: 1})
		settle(readN(t, s, 1), nil)
		allAcknowledged(t, b, s)
	})
}

// TestCoveredFilterIsGivenUp comes back to a session with a filter that is covered now.
func TestCoveredFilterIsGivenUp(t *testing.T) {
	bothPaths(t, func(t *testing.T, disable bool) {
		for _, version := range []int{version3, version5} {
			synctest.Test(t, func(t *testing.T) {
				b := mqttfake.New(mqttfake.Options{Copies: true})
				defer b.Close()
				cfg := fakeConfig(b)
				cfg.DisableFastPath, cfg.ProtocolVersion = disable, version
				cfg.Filters = filters("t/+/temp")
				s := open(t, cfg)
				require.NoError(t, s.SetSubscriptions(t.Context(), filters("t/+/temp", "t/#")))
				require.Equal(t, []string{"t/#"}, b.Subscriptions("c1"), "while it runs")
				require.NoError(t, s.SetSubscriptions(t.Context(), filters("t/+/temp")))
				require.NoError(t, s.Close(t.Context()))
				cfg.Filters = filters("t/+/temp", "t/#")
				s = open(t, cfg)
				require.Equal(t, []string{"t/#"}, b.Subscriptions("c1"), "and from one run to the next")
				require.Equal(t, []string{"t/#"}, s.Subscriptions())
				require.NoError(t, s.Close(t.Context()))
			})
		}
	})
}

// TestCopiesAreForgotten bounds what is remembered of a broker that sends no copies.
func TestCopiesAreForgotten(t *testing.T) {
	few := func(c *Config) { crossing(c); c.ReceiveMaximum = 10 }
	withFake(t, mqttfake.Options{}, few, func(t *testing.T, b *mqttfake.Broker, s *Source) {
		for i := range 100 {
			b.Publish(mqttfake.Message{Topic: "t/d1/temp", Payload: fmt.Append(nil, i), QoS: 1})
			settle(readN(t, s, 1), nil)
		}
		w := s.links[0].session.win
		require.Len(t, w.copies.order, 10)
		require.Len(t, w.copies.by, 10)
		require.Empty(t, w.followers)
	})
}

// TestMosquittoOverlap proves with a real broker, told to send copies and told not to, that
// each message is handed out once.
func TestMosquittoOverlap(t *testing.T) {
	for _, copies := range []bool{true, false} {
		t.Run(fmt.Sprint("copies ", copies), func(t *testing.T) {
			m := startMosquitto(t, fmt.Sprint("allow_duplicate_messages ", copies))
			bothPaths(t, func(t *testing.T, disable bool) {
				for qos := range byte(3) {
					t.Run(fmt.Sprint("qos", qos), func(t *testing.T) {
						cfg := m.config()
						crossing(&cfg)
						cfg.DisableFastPath, cfg.ClientID = disable, t.Name()
						s := open(t, cfg)
						defer s.Close(context.Background())
						p := newPublisher(t, m.addr)
						const n = 400
						id := uint16(0)
						want := publishCrossing(func(topic, payload string) {
							id++
							msg := &packets.Publish{Topic: topic, Payload: []byte(payload), QoS: qos, Properties: &packets.Properties{}}
							if qos > 0 {
								msg.PacketID = id
							}
							p.write(msg.ToControlPacket())
							if qos > 0 {
								p.acked()
							}
						}, n)
						// What comes last, so that nothing can be behind it.
						p.write((&packets.Publish{Topic: "t/d2/temp", Payload: []byte("end"), Properties: &packets.Properties{}}).ToControlPacket())
						msgs := readN(t, s, n+1)
						require.Equal(t, append(want, "t/d2/temp end"), named(msgs))
						settle(msgs, nil)
						require.Eventually(t, func() bool { held, _ := s.Window(); return held == 0 }, time.Minute, 10*time.Millisecond)
						require.NotZero(t, s.Stats().Copies, "with identifiers this broker sends copies in any case")
						require.Zero(t, s.Stats().Buffered)
					})
				}
			})
		})
	}
}

// TestNeighbors compares with every pair, for random filters.
func TestNeighbors(t *testing.T) {
	level := rapid.SampledFrom([]string{"a", "b", "+", "", "$c"})
	filter := rapid.Custom(func(t *rapid.T) string {
		f := strings.Join(rapid.SliceOfN(level, 1, 3).Draw(t, "levels"), "/")
		if f == "" || rapid.Bool().Draw(t, "rest") {
			f += "/#"
		}
		return f
	})
	rapid.Check(t, func(t *rapid.T) {
		subs := filters(rapid.SliceOfNDistinct(filter, 1, 12, rapid.ID).Draw(t, "filters")...)
		near := neighbors(subs)
		for i := range subs {
			var want []int
			for j := range subs {
				if i != j && topic.Overlap(subs[i].Filter, subs[j].Filter) {
					want = append(want, j)
				}
			}
			if !slices.Equal(want, near[i]) {
				t.Fatalf("%q: %v, want %v", subs[i].Filter, near[i], want)
			}
		}
	})
}
