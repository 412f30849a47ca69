package mqtt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/internal/mqttfake"
)

// withFake runs a test against a scripted broker, in fake time, on both paths.
func withFake(t *testing.T, opts mqttfake.Options, change func(*Config), test func(t *testing.T, b *mqttfake.Broker, s *Source)) {
	t.Helper()
	bothPaths(t, func(t *testing.T, disable bool) {
		synctest.Test(t, func(t *testing.T) {
			b := mqttfake.New(opts)
			defer b.Close()
			cfg := fakeConfig(b)
			cfg.DisableFastPath = disable
			if change != nil {
				change(&cfg)
			}
			s := open(t, cfg)
			defer s.Close(context.Background())
			test(t, b, s)
		})
	})
}

func TestSessionLost(t *testing.T) {
	withFake(t, mqttfake.Options{}, nil, func(t *testing.T, b *mqttfake.Broker, s *Source) {
		send(b, 1, 0, 10)
		first := readN(t, s, 4)
		synctest.Wait()
		b.Forget()
		time.Sleep(time.Second)
		require.Equal(t, numbers(4, 10), payloads(readN(t, s, 6)), "what only we still have is handed out")
		settle(first, nil)
		send(b, 1, 10, 12)
		settle(readN(t, s, 2), nil)
		synctest.Wait()
		require.Equal(t, 2, b.Acked())
		require.Empty(t, b.Faults())
		require.EqualValues(t, 1, s.Stats().SessionsLost)
		require.Equal(t, []string{"t/#"}, b.Subscriptions("c1"))
	})
}

func TestSubscribesOnlyWhenNeeded(t *testing.T) {
	var subscribes atomic.Int32
	hook := func(e mqttfake.Event) mqttfake.Action {
		if e.Packet.Type == packets.SUBSCRIBE {
			subscribes.Add(1)
		}
		return mqttfake.Action{}
	}
	withFake(t, mqttfake.Options{Hook: hook}, nil, func(t *testing.T, b *mqttfake.Broker, s *Source) {
		subscribes.Store(1)
		b.Cut()
		time.Sleep(time.Second)
		require.NoError(t, s.Check(t.Context()))
		require.EqualValues(t, 1, subscribes.Load())
		b.Forget()
		time.Sleep(time.Second)
		require.NoError(t, s.Check(t.Context()))
		require.EqualValues(t, 2, subscribes.Load())
	})
}

// TestQoS2SurvivesReconnect settles after a reconnect: the message is not handed
// out again, and PUBREC goes to the new connection.
func TestQoS2SurvivesReconnect(t *testing.T) {
	for _, when := range []string{"between", "after"} {
		withFake(t, mqttfake.Options{}, nil, func(t *testing.T, b *mqttfake.Broker, s *Source) {
			send(b, 2, 0, 6)
			msgs := readN(t, s, 3)
			synctest.Wait()
			b.Cut()
			synctest.Wait()
			if when == "between" {
				settle(msgs, nil)
			}
			time.Sleep(time.Second)
			if when == "after" {
				require.Zero(t, b.Acked())
				settle(msgs, nil)
			}
			rest := readN(t, s, 3)
			require.Equal(t, numbers(3, 6), payloads(rest))
			settle(rest, nil)
			synctest.Wait()
			require.Equal(t, 6, b.Acked())
			require.Zero(t, b.Pending())
			require.Empty(t, b.Faults())
		})
	}
}

func TestFailedMessagesComeAgain(t *testing.T) {
	for qos := byte(1); qos <= 2; qos++ {
		withFake(t, mqttfake.Options{}, nil, func(t *testing.T, b *mqttfake.Broker, s *Source) {
			send(b, qos, 0, 5)
			msgs := readN(t, s, 5)
			msgs[2].Delivery.Done(bridge.Abandoned, errors.New("no luck"))
			settle(msgs[:2], nil)
			settle(msgs[3:], nil)
			synctest.Wait()
			require.Equal(t, 2, b.Acked(), "the failed message and those behind it are held")
			require.EqualValues(t, 1, s.Stats().Failed)
			want := numbers(2, 5)
			if qos == 2 {
				want = numbers(2, 3) // the others are known to be settled
			}
			again := readN(t, s, len(want))
			require.Equal(t, want, payloads(again))
			settle(again, nil)
			synctest.Wait()
			require.Zero(t, b.Pending())
			require.Empty(t, b.Faults())
		})
	}
}

func TestHalfOpenConnection(t *testing.T) {
	var frozen atomic.Bool
	hook := func(e mqttfake.Event) mqttfake.Action {
		return mqttfake.Action{Freeze: e.FromPeer && e.Packet.Type == packets.PINGREQ && frozen.CompareAndSwap(false, true)}
	}
	withFake(t, mqttfake.Options{Hook: hook}, nil, func(t *testing.T, b *mqttfake.Broker, s *Source) {
		frozen.Store(false)
		time.Sleep(3 * time.Minute)
		require.EqualValues(t, 1, s.Stats().Reconnects)
		require.ErrorIs(t, s.Stats().Connections[0].LastError, errSilent)
		require.NoError(t, s.Check(t.Context()))
	})
}

func TestKeepsAlive(t *testing.T) {
	withFake(t, mqttfake.Options{}, nil, func(t *testing.T, b *mqttfake.Broker, s *Source) {
		time.Sleep(time.Hour)
		require.Zero(t, s.Stats().Reconnects)
	})
}

// TestFullInboxPausesReading checks that a reader that is away costs neither
// messages nor the connection.
func TestFullInboxPausesReading(t *testing.T) {
	small := func(c *Config) { c.BufferBytes = 50 }
	withFake(t, mqttfake.Options{}, small, func(t *testing.T, b *mqttfake.Broker, s *Source) {
		send(b, 1, 0, 500)
		time.Sleep(10 * time.Minute)
		st := s.Stats()
		require.True(t, st.Connections[0].Paused)
		require.Less(t, st.Buffered, 500)
		for i := range 500 {
			m := readN(t, s, 1)
			require.Equal(t, fmt.Sprint(i), string(m[0].Payload))
			settle(m, nil)
		}
		synctest.Wait()
		require.Zero(t, s.Stats().HeldBytes)
		require.Equal(t, 500, b.Acked())
		require.Zero(t, s.Stats().Reconnects)
	})
}

func TestQoS0IsDroppedBeyondItsBound(t *testing.T) {
	small := func(c *Config) { c.BufferQoS0 = 20 }
	withFake(t, mqttfake.Options{}, small, func(t *testing.T, b *mqttfake.Broker, s *Source) {
		send(b, 0, 0, 100)
		send(b, 1, 100, 110)
		synctest.Wait()
		msgs := readN(t, s, 30)
		require.Len(t, msgs, 30)
		require.EqualValues(t, 80, s.Stats().DroppedQoS0)
		settle(msgs, nil)
		synctest.Wait()
		require.Equal(t, 10, b.Acked())
	})
}

func TestBrokerThatIgnoresTheWindow(t *testing.T) {
	for qos := byte(1); qos <= 2; qos++ {
		small := func(c *Config) { c.ReceiveMaximum = 3 }
		withFake(t, mqttfake.Options{IgnoreWindow: true}, small, func(t *testing.T, b *mqttfake.Broker, s *Source) {
			send(b, qos, 0, 40)
			synctest.Wait()
			require.Equal(t, 3, s.Stats().Connections[0].InFlight)
			for i := range 40 {
				m := readN(t, s, 1)
				require.Equal(t, fmt.Sprint(i), string(m[0].Payload))
				settle(m, nil)
			}
			synctest.Wait()
			require.Equal(t, 40, b.Acked())
			require.NotZero(t, s.Stats().Overruns)
			require.Zero(t, s.Stats().Reconnects)
		})
	}
}

func TestMalformedPacketsReconnect(t *testing.T) {
	for name, raw := range map[string][]byte{
		"length":     {0x30, 0xff, 0xff, 0xff, 0xff, 0xff},
		"type":       {0x00, 0x00},
		"properties": {0x32, 9, 0, 1, 't', 0, 1, 3, 99, 1, 1},
		"no id":      {0x32, 6, 0, 1, 't', 0, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			var once atomic.Bool
			hook := func(e mqttfake.Event) mqttfake.Action {
				if !e.FromPeer && e.Packet.Type == packets.PUBLISH && e.N == 4 && once.CompareAndSwap(false, true) {
					return mqttfake.Action{Raw: raw, Skip: true}
				}
				return mqttfake.Action{}
			}
			withFake(t, mqttfake.Options{Hook: hook}, nil, func(t *testing.T, b *mqttfake.Broker, s *Source) {
				once.Store(false)
				send(b, 1, 0, 10)
				time.Sleep(2 * time.Minute)
				msgs := readN(t, s, 10)
				require.Equal(t, numbers(0, 10), payloads(msgs))
				settle(msgs, nil)
				synctest.Wait()
				require.Equal(t, 10, b.Acked())
				require.EqualValues(t, 1, s.Stats().Reconnects)
			})
		})
	}
}

func TestTroubleAtStart(t *testing.T) {
	refuse := func(code byte) mqttfake.Options {
		return mqttfake.Options{Connect: func(*packets.Connect) *packets.Connack {
			return &packets.Connack{ReasonCode: code, Properties: &packets.Properties{ReasonString: "because", ServerReference: "other:1883"}}
		}}
	}
	suback := func(code byte) mqttfake.Options {
		return mqttfake.Options{Suback: func(string, byte) byte { return code }}
	}
	tests := map[string]struct {
		opts   mqttfake.Options
		change func(*Config)
		want   string // "" means that Open succeeds
		check  string
	}{
		"bad password":     {refuse(0x86), nil, "bad user name or password (0x86): because", ""},
		"not authorized":   {refuse(0x87), nil, "refused the connection: not authorized", ""},
		"client id":        {refuse(0x85), nil, "client id not allowed", ""},
		"server moved":     {refuse(0x9D), nil, "server moved (0x9D): because: the broker names other:1883", ""},
		"busy":             {refuse(0x89), nil, "", "server busy"},
		"quota":            {refuse(0x97), nil, "", "quota exceeded"},
		"busy, insisting":  {refuse(0x89), func(c *Config) { c.StartTimeout = 5 * time.Second }, "server busy", ""},
		"subscription":     {suback(0x87), nil, `refused the subscription to "t/#": not authorized`, ""},
		"subscription 2":   {suback(0x80), nil, `refused the subscription to "t/#": unspecified error`, ""},
		"quota of filters": {suback(0x97), nil, "", "quota exceeded"},
		"no suback": {mqttfake.Options{Hook: func(e mqttfake.Event) mqttfake.Action {
			return mqttfake.Action{Skip: e.Packet.Type == packets.SUBACK}
		}}, func(c *Config) { c.StartTimeout = time.Minute }, "did not answer a subscription in time", ""},
		"hangs up": {mqttfake.Options{Connect: func(*packets.Connect) *packets.Connack { return nil }}, nil, "", "closed the connection without an answer"},
		"unreachable": {mqttfake.Options{}, func(c *Config) {
			c.StartTimeout = time.Second
			c.Dial = func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("connection refused") }
		}, "cannot be reached: connection refused", ""},
		"credentials": {mqttfake.Options{}, func(c *Config) {
			c.StartTimeout = time.Second
			c.Credentials = func(context.Context) (string, []byte, error) { return "", nil, errors.New("no token") }
		}, "Credentials: no token", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := mqttfake.New(tt.opts)
				defer b.Close()
				cfg := fakeConfig(b)
				if tt.change != nil {
					tt.change(&cfg)
				}
				s, err := New(cfg)
				require.NoError(t, err)
				err = s.Open(t.Context())
				if tt.want != "" {
					require.ErrorContains(t, err, tt.want)
					var e *Error
					require.ErrorAs(t, err, &e)
					require.NotContains(t, err.Error(), "\n")
					require.ErrorIs(t, s.Open(t.Context()), ErrClosed)
					return
				}
				require.NoError(t, err)
				require.ErrorContains(t, s.Check(t.Context()), tt.check)
				require.NoError(t, s.Close(t.Context()))
			})
		})
	}
}

// TestOtherBrokerAccepts checks that a broker's refusal does not count any more once
// another one has accepted.
func TestOtherBrokerAccepts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var refused atomic.Bool
		b := mqttfake.New(mqttfake.Options{Connect: func(*packets.Connect) *packets.Connack {
			if refused.CompareAndSwap(false, true) {
				return &packets.Connack{ReasonCode: packets.ConnackNotAuthorized}
			}
			return &packets.Connack{}
		}})
		defer b.Close()
		cfg := fakeConfig(b)
		cfg.Brokers = []string{"mqtt://one.test", "mqtt://two.test"}
		s := open(t, cfg)
		require.NoError(t, s.Check(t.Context()))
		require.NoError(t, s.Close(t.Context()))
	})
}

// TestConnectTimeout gives up a broker that does not answer. paho's goroutine that
// waits for the answer ends on its own time, perhaps during the next attempt.
func TestConnectTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := mqttfake.New(mqttfake.Options{})
		defer b.Close()
		cfg := fakeConfig(b)
		cfg.StartTimeout = time.Minute
		dials := 0
		cfg.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			if dials++; dials > 1 {
				return b.Dial(ctx, network, addr)
			}
			client, server := net.Pipe()
			go func() {
				_, _ = io.Copy(io.Discard, server)
				_ = server.Close()
			}()
			return client, nil
		}
		s := open(t, cfg)
		send(b, 1, 0, 10)
		settle(readN(t, s, 10), nil)
		require.Equal(t, 2, dials)
		require.NoError(t, s.Close(t.Context()))
	})
}

func TestSessionTakenOver(t *testing.T) {
	withFake(t, mqttfake.Options{}, nil, func(t *testing.T, b *mqttfake.Broker, s *Source) {
		cfg := fakeConfig(b)
		other := open(t, cfg)
		synctest.Wait()
		require.ErrorIs(t, s.Check(t.Context()), ErrSessionTakenOver)
		require.ErrorContains(t, s.Check(t.Context()), "client id")
		time.Sleep(2 * time.Minute)
		require.Less(t, b.Connects(), 30, "they do not take the session from each other without pause")
		require.NoError(t, other.Close(context.Background()))
	})
}

func TestEnhancedAuthentication(t *testing.T) {
	var got packets.Connect
	opts := mqttfake.Options{Connect: func(c *packets.Connect) *packets.Connack {
		got = *c
		return &packets.Connack{Properties: &packets.Properties{AuthMethod: "M"}}
	}}
	change := func(c *Config) {
		c.Auth = &Auth{Method: "M", Begin: func(context.Context) (Exchange, error) { return Token("hello"), nil }}
		c.Will = &Will{Topic: "gone", Payload: []byte("x"), Delay: time.Minute}
		c.UserProperties = []bridge.UserProperty{{Key: "k", Value: "v"}}
		c.Username, c.Password = "u", "p"
		c.SessionExpiry = time.Hour
	}
	withFake(t, opts, change, func(t *testing.T, b *mqttfake.Broker, s *Source) {
		require.Equal(t, "M", got.Properties.AuthMethod)
		require.Equal(t, "hello", string(got.Properties.AuthData))
		require.Equal(t, []packets.User{{Key: "k", Value: "v"}}, got.Properties.User)
		require.Equal(t, "u", got.Username)
		require.Equal(t, "p", string(got.Password))
		require.EqualValues(t, 3600, *got.Properties.SessionExpiryInterval)
		require.EqualValues(t, defaultReceiveMaximum, *got.Properties.ReceiveMaximum)
		require.Equal(t, "gone", got.WillTopic)
		require.EqualValues(t, 60, *got.WillProperties.WillDelayInterval)
		require.False(t, got.CleanStart)
	})
}

func TestConnectionsDivideFilters(t *testing.T) {
	change := func(c *Config) {
		c.Connections = 2
		c.Filters = []Subscription{{Filter: "a/#", QoS: 1}, {Filter: "b/#", QoS: 1}, {Filter: "c/#", QoS: 1}, {Filter: "$share/g/t/#", QoS: 1}}
	}
	withFake(t, mqttfake.Options{}, change, func(t *testing.T, b *mqttfake.Broker, s *Source) {
		require.Equal(t, []string{"$share/g/t/#", "a/#", "c/#"}, b.Subscriptions("c1-1"))
		require.Equal(t, []string{"$share/g/t/#", "b/#"}, b.Subscriptions("c1-2"))
		send(b, 1, 0, 20)
		synctest.Wait()
		for _, c := range s.Stats().Connections {
			require.Equal(t, 10, c.InFlight)
		}
		settle(readN(t, s, 20), nil)
		synctest.Wait()
		require.Zero(t, b.Pending())
	})
}

func TestAssignedClientID(t *testing.T) {
	change := func(c *Config) { c.ClientID, c.CleanStart = "", true }
	withFake(t, mqttfake.Options{}, change, func(t *testing.T, b *mqttfake.Broker, s *Source) {
		send(b, 1, 0, 3)
		msgs := readN(t, s, 3)
		b.Cut()
		time.Sleep(time.Second)
		require.EqualValues(t, 3, s.Stats().Recognized, "the session is resumed under the id that the broker chose")
		settle(msgs, nil)
		require.Equal(t, "assigned", s.Stats().Connections[0].ClientID)
	})
}

func TestProperties(t *testing.T) {
	one, expiry := byte(1), uint32(60)
	withFake(t, mqttfake.Options{}, nil, func(t *testing.T, b *mqttfake.Broker, s *Source) {
		for qos := range byte(3) {
			b.Publish(mqttfake.Message{Topic: "t/p", QoS: qos, Retain: true, Props: &packets.Properties{
				PayloadFormat: &one, MessageExpiry: &expiry, ContentType: "text/plain", ResponseTopic: "r",
				CorrelationData: []byte("c"), User: []packets.User{{Key: "a", Value: "1"}, {Key: "a", Value: "2"}},
			}})
			m := readN(t, s, 1)[0]
			require.Equal(t, &bridge.Properties{
				PayloadFormat: &one, MessageExpiry: &expiry, ContentType: "text/plain", ResponseTopic: "r",
				CorrelationData: []byte("c"), User: []bridge.UserProperty{{Key: "a", Value: "1"}, {Key: "a", Value: "2"}},
			}, m.Props)
			require.True(t, m.Retain)
			require.Equal(t, "broker.test:1883", m.Server)
			require.False(t, m.Received.IsZero())
			m.Delivery.Done(bridge.Stored, nil)
		}
	})
}
