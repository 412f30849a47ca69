package mqtt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/internal/mqttfake"
)

// refuseV5 answers CONNECT of MQTT 5 as the function does.
func refuseV5(answer func() *packets.Connack) mqttfake.Options {
	return mqttfake.Options{Connect: func(cp *packets.Connect) *packets.Connack {
		if cp.ProtocolVersion == version5 {
			return answer()
		}
		return &packets.Connack{}
	}}
}

// TestFallsBackToMQTT3 opens at brokers that refuse MQTT 5 in different ways.
func TestFallsBackToMQTT3(t *testing.T) {
	for name, opts := range map[string]mqttfake.Options{
		"return code": {OnlyV3: true},
		"reason code": refuseV5(func() *packets.Connack {
			return &packets.Connack{ReasonCode: packets.ConnackUnsupportedProtocolVersion}
		}),
		"silence": refuseV5(func() *packets.Connack { return nil }),
	} {
		t.Run(name, func(t *testing.T) {
			insist := func(c *Config) { c.StartTimeout = time.Minute }
			withFake(t, opts, insist, func(t *testing.T, b *mqttfake.Broker, s *Source) {
				require.Equal(t, version3, s.Stats().Connections[0].Version)
				for qos := range byte(3) {
					send(b, qos, 0, 10)
					msgs := readN(t, s, 10)
					require.Equal(t, qos, msgs[0].QoS)
					require.Equal(t, numbers(0, 10), payloads(msgs))
					settle(msgs, nil)
				}
				allAcknowledged(t, b, s)
				require.NoError(t, s.SetSubscriptions(t.Context(), filters("u/#")))
				require.Equal(t, []string{"u/#"}, b.Subscriptions("c1"))
				b.Cut()
				time.Sleep(time.Second)
				require.NoError(t, s.Check(t.Context()), "the version is known now")
				require.Equal(t, 2, b.Connects())
			})
		})
	}
}

// TestOpensAtOnceWithMQTT3 does not count the refusal of MQTT 5 as a failure, for which
// Open would leave the rest to the background.
func TestOpensAtOnceWithMQTT3(t *testing.T) {
	withFake(t, mqttfake.Options{OnlyV3: true}, nil, func(t *testing.T, b *mqttfake.Broker, s *Source) {
		require.NoError(t, s.Check(t.Context()))
		require.Equal(t, []string{"t/#"}, b.Subscriptions("c1"))
	})
}

// TestKeepsMQTT5 is with brokers whose trouble has nothing to do with the version.
func TestKeepsMQTT5(t *testing.T) {
	for name, tt := range map[string]struct {
		trouble *packets.Connack
		times   int
	}{
		"busy":         {&packets.Connack{ReasonCode: packets.ConnackServerBusy}, 3},
		"silent once":  {nil, 1},
		"silent twice": {nil, 2}, // MQTT 3.1.1 is accepted then, but so is MQTT 5
	} {
		t.Run(name, func(t *testing.T) {
			left := tt.times
			opts := refuseV5(func() *packets.Connack {
				if left > 0 {
					left--
					return tt.trouble
				}
				return &packets.Connack{}
			})
			insist := func(c *Config) { c.StartTimeout = time.Minute }
			withFake(t, opts, insist, func(t *testing.T, b *mqttfake.Broker, s *Source) {
				time.Sleep(time.Minute)
				require.Equal(t, version5, s.Stats().Connections[0].Version)
				require.NoError(t, s.Check(t.Context()))
				left = 10 // it has spoken MQTT 5 before
				b.Cut()
				time.Sleep(10 * time.Minute)
				require.Equal(t, version5, s.Stats().Connections[0].Version)
				require.NoError(t, s.Check(t.Context()))
				left = tt.times
			})
		})
	}
}

// TestMQTT3IsHeldBackByNotReading has a broker that sends all that it has, as there is no
// receive maximum.
func TestMQTT3IsHeldBackByNotReading(t *testing.T) {
	small := func(c *Config) { c.ReceiveMaximum, c.ProtocolVersion = 10, version3 }
	withFake(t, mqttfake.Options{IgnoreWindow: true}, small, func(t *testing.T, b *mqttfake.Broker, s *Source) {
		send(b, 1, 0, 200)
		time.Sleep(time.Hour)
		c := s.Stats().Connections[0]
		require.True(t, c.Paused)
		require.Equal(t, 10, c.InFlight)
		for i := range 200 {
			m := readN(t, s, 1)
			require.Equal(t, fmt.Sprint(i), string(m[0].Payload))
			settle(m, nil)
		}
		synctest.Wait()
		require.Zero(t, b.Pending())
		require.Zero(t, s.Stats().Overruns)
		require.Zero(t, s.Stats().Reconnects)
		require.Empty(t, b.Faults())
	})
}

// TestSessionsOfMQTT3 checks which sessions are kept, discarded, and end with their
// connection.
func TestSessionsOfMQTT3(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*Config)
		old    int // messages of an earlier run that come
		kept   int // messages that come again after a reconnect
	}{
		"kept":                     {func(*Config) {}, 5, 5},
		"clean start":              {func(c *Config) { c.CleanStart = true }, 0, 5},
		"ends with the connection": {func(c *Config) { c.SessionExpiry = -1 }, 0, 0},
		"no client id":             {func(c *Config) { c.CleanStart, c.ClientID = true, "" }, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			bothPaths(t, func(t *testing.T, disable bool) {
				synctest.Test(t, func(t *testing.T) {
					b := mqttfake.New(mqttfake.Options{OnlyV3: true})
					defer b.Close()
					cfg := fakeConfig(b)
					cfg.DisableFastPath = disable
					require.NoError(t, open(t, cfg).Close(t.Context()))
					synctest.Wait()
					send(b, 1, 0, 5)
					tt.change(&cfg)
					s := open(t, cfg)
					defer s.Close(context.Background())
					synctest.Wait()
					require.Equal(t, tt.old, s.Stats().Buffered)
					settle(readN(t, s, tt.old), nil)
					send(b, 1, 5, 10)
					readN(t, s, 5)
					loseConnection(b)
					require.EqualValues(t, tt.kept, s.Stats().Recognized)
				})
			})
		})
	}
}

// TestSettingsWithoutEffect names what MQTT 3.1.1 does not have.
func TestSettingsWithoutEffect(t *testing.T) {
	var log lockedBuffer
	change := func(c *Config) {
		c.ProtocolVersion = version3
		c.UserProperties = []bridge.UserProperty{{Key: "a", Value: "b"}}
		c.Will = &Will{Topic: "w", Payload: []byte("gone"), Delay: time.Minute}
		c.Password = "secret"
		c.Filters = []Subscription{{Filter: "t/#", QoS: 1, ID: 7, NoLocal: true, UserProperties: c.UserProperties}}
		c.Logger = slog.New(slog.NewTextHandler(&log, nil))
	}
	var got packets.Connect
	opts := mqttfake.Options{Connect: func(c *packets.Connect) *packets.Connack { got = *c; return &packets.Connack{} }}
	withFake(t, opts, change, func(t *testing.T, _ *mqttfake.Broker, _ *Source) {
		require.Contains(t, log.String(), `settings="[UserProperties Will.Delay Filters: ID Filters: NoLocal Filters: UserProperties]"`)
		require.EqualValues(t, version3, got.ProtocolVersion)
		require.Equal(t, "w", got.WillTopic)
		require.Equal(t, "gone", string(got.WillMessage))
		require.True(t, got.UsernameFlag, "a password needs a user name, if an empty one")
		require.Equal(t, "secret", string(got.Password))
		log.Reset()
	})
}

func TestV3Refusals(t *testing.T) {
	for code, want := range map[byte]string{
		packets.ConnackBadUsernameOrPassword: "bad user name or password",
		packets.ConnackNotAuthorized:         "not authorized",
		packets.ConnackInvalidClientID:       "client id not allowed",
	} {
		synctest.Test(t, func(t *testing.T) {
			b := mqttfake.New(mqttfake.Options{OnlyV3: true, Connect: func(*packets.Connect) *packets.Connack {
				return &packets.Connack{ReasonCode: code}
			}})
			defer b.Close()
			s, err := New(fakeConfig(b))
			require.NoError(t, err)
			err = s.Open(t.Context())
			require.ErrorContains(t, err, want)
			var e *Error
			require.True(t, errors.As(err, &e) && e.Permanent)
		})
	}
	refused := mqttfake.Options{OnlyV3: true, Suback: func(string, byte) byte { return 0x80 }}
	synctest.Test(t, func(t *testing.T) {
		b := mqttfake.New(refused)
		defer b.Close()
		s, err := New(fakeConfig(b))
		require.NoError(t, err)
		require.ErrorContains(t, s.Open(t.Context()), `refused the subscription to "t/#"`)
	})
}

// TestFromV3 translates packets that are cut off or not the broker's to send.
func TestFromV3(t *testing.T) {
	for _, bad := range [][]byte{
		{0x20, 1, 0},
		{0x20, 2, 0, 6},
		{0x20, 3, 0, 0, 0},
		{0x90, 1, 0},
		{0x30, 1, 0},
		{0x30, 3, 0, 2, 't'},
		{0x32, 4, 0, 1, 't', 0},
		{0xe0, 0},
		{0xf0, 0},
		{0x82, 0},
	} {
		_, err := fromV3(bad, 2)
		require.ErrorIs(t, err, errMalformed, "% x", bad)
	}
	long := append(appendHeader(nil, 0x30, 3+200), append([]byte{0, 1, 't'}, make([]byte, 200)...)...)
	out, err := fromV3(long, 3)
	require.NoError(t, err)
	p, err := packets.ReadPacket(bytes.NewReader(out))
	require.NoError(t, err)
	require.Len(t, p.Content.(*packets.Publish).Payload, 200)
}

// FuzzFromV3 checks that what is translated is a packet again.
func FuzzFromV3(f *testing.F) {
	f.Add([]byte{0x32, 7, 0, 1, 't', 0, 1, 'x', 'y'})
	f.Add([]byte{0x90, 3, 0, 1, 2})
	f.Fuzz(func(t *testing.T, packet []byte) {
		size, header, err := packetSize(packet)
		if err != nil || size == 0 || size > len(packet) {
			return
		}
		out, err := fromV3(packet[:size], header)
		if err != nil {
			return
		}
		size, _, err = packetSize(out)
		require.NoError(t, err)
		require.Len(t, out, size)
	})
}

// TestMosquittoMQTT3 runs the hard cases of MQTT 5 with a real broker and MQTT 3.1.1.
func TestMosquittoMQTT3(t *testing.T) {
	bothPaths(t, func(t *testing.T, disable bool) {
		for qos := byte(1); qos <= 2; qos++ {
			t.Run(fmt.Sprint("qos", qos), func(t *testing.T) {
				m := startMosquitto(t)
				cfg := m.config()
				cfg.DisableFastPath, cfg.ProtocolVersion = disable, version3
				reconnectWhileTheSinkIsAway(t, m, cfg, qos)
			})
		}
	})
}
