package mqtt

import (
	"bytes"
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/internal/mqttfake"
)

// withBacklog runs a test, in fake time and on both paths, with a source that comes
// back to a session that holds n messages, at a broker that cares for no window.
// opts are the broker's for the second connection.
func withBacklog(t *testing.T, qos byte, n int, opts mqttfake.Options, change func(*Config), test func(t *testing.T, b *mqttfake.Broker, s *Source)) {
	t.Helper()
	bothPaths(t, func(t *testing.T, disable bool) {
		synctest.Test(t, func(t *testing.T) {
			var back atomic.Bool
			b := mqttfake.New(mqttfake.Options{
				IgnoreWindow: true,
				Hook: func(e mqttfake.Event) mqttfake.Action {
					if opts.Hook == nil || !back.Load() {
						return mqttfake.Action{}
					}
					return opts.Hook(e)
				},
				Suback: func(filter string, qos byte) byte {
					if opts.Suback == nil || !back.Load() {
						return qos
					}
					return opts.Suback(filter, qos)
				},
			})
			defer b.Close()
			cfg := fakeConfig(b)
			cfg.DisableFastPath = disable
			require.NoError(t, open(t, cfg).Close(t.Context()))
			synctest.Wait()
			send(b, qos, 0, n)
			back.Store(true)

			cfg.StartTimeout = 5 * time.Second
			cfg.ReceiveMaximum = 10
			if change != nil {
				change(&cfg)
			}
			began := time.Now()
			s := open(t, cfg)
			defer s.Close(context.Background())
			require.Less(t, time.Since(began), cfg.StartTimeout)
			test(t, b, s)
		})
	})
}

// backlogFirst has the broker send what it kept before it looks at SUBSCRIBE.
func backlogFirst(delay time.Duration) func(mqttfake.Event) mqttfake.Action {
	return func(e mqttfake.Event) mqttfake.Action {
		if e.FromPeer && e.Packet.Type == packets.SUBSCRIBE {
			return mqttfake.Action{Delay: delay}
		}
		return mqttfake.Action{}
	}
}

// TestBacklogBeforeSuback checks that a confirmation that stands behind more than the
// source holds is waited for neither by Open nor by a timeout while nobody reads.
func TestBacklogBeforeSuback(t *testing.T) {
	tests := map[string]struct {
		qos    byte
		n      int
		change func(*Config)
	}{
		"window, QoS 1": {1, 20_000, nil},
		"window, QoS 2": {2, 2_000, nil},
		"bytes":         {1, 2_000, func(c *Config) { c.ReceiveMaximum, c.BufferBytes = 10_000, 10*int(messageBytes) }},
		"keep-alive":    {1, 2_000, func(c *Config) { c.KeepAlive, c.ConnectTimeout = time.Second, time.Minute }},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			opts := mqttfake.Options{Hook: backlogFirst(100 * time.Millisecond)}
			withBacklog(t, tt.qos, tt.n, opts, tt.change, func(t *testing.T, b *mqttfake.Broker, s *Source) {
				require.NoError(t, s.Check(t.Context()), "the session's subscriptions are in force")
				time.Sleep(10 * time.Minute)
				c := s.Stats().Connections[0]
				require.True(t, c.Paused)
				require.False(t, c.Subscribed)
				for next := 0; next < tt.n; {
					msgs := readN(t, s, min(10, tt.n-next))
					require.Equal(t, numbers(next, next+len(msgs)), payloads(msgs))
					next += len(msgs)
					settle(msgs, nil)
				}
				synctest.Wait()
				require.Zero(t, b.Pending())
				require.True(t, s.Stats().Connections[0].Subscribed)
				require.Zero(t, s.Stats().Reconnects)
				require.Equal(t, 2, b.Connects())
				require.Empty(t, b.Faults())
			})
		})
	}
}

// TestSlowReaderBeforeSuback reads what stands before a confirmation with pauses
// longer than ConnectTimeout. When nothing is left to read, the wait is bounded.
func TestSlowReaderBeforeSuback(t *testing.T) {
	opts := mqttfake.Options{Hook: backlogFirst(time.Hour)}
	withBacklog(t, 1, 50, opts, nil, func(t *testing.T, b *mqttfake.Broker, s *Source) {
		for range 40 { // with a window of ten, messages wait behind each of these
			time.Sleep(3 * defaultConnectTimeout / 2)
			settle(readN(t, s, 1), nil)
		}
		require.Zero(t, s.Stats().Reconnects)
		settle(readN(t, s, 10), nil)
		time.Sleep(defaultConnectTimeout / 2)
		require.Zero(t, s.Stats().Reconnects)
		time.Sleep(defaultConnectTimeout)
		require.EqualValues(t, 1, s.Stats().Reconnects)
		require.ErrorIs(t, s.Stats().Connections[0].LastError, errNoSuback)
	})
}

func TestRefusalBehindBacklog(t *testing.T) {
	opts := mqttfake.Options{
		Hook:   backlogFirst(100 * time.Millisecond),
		Suback: func(string, byte) byte { return packets.SubackNotauthorized },
	}
	withBacklog(t, 1, 50, opts, nil, func(t *testing.T, b *mqttfake.Broker, s *Source) {
		time.Sleep(time.Second)
		require.NoError(t, s.Check(t.Context()))
		for range 5 {
			settle(readN(t, s, 10), nil)
		}
		synctest.Wait()
		require.ErrorContains(t, s.Check(t.Context()), `refused the subscription to "t/#": not authorized`)
	})
}

// TestRetainedBeforeSuback has the broker send retained messages before it confirms
// the first subscription of a new session.
func TestRetainedBeforeSuback(t *testing.T) {
	const n = 20
	var retained bytes.Buffer
	for i := range n {
		p := &packets.Publish{
			Topic: "t/r", Payload: fmt.Append(nil, i), QoS: 1, Retain: true,
			PacketID: uint16(i + 1), Properties: &packets.Properties{},
		}
		_, err := p.ToControlPacket().WriteTo(&retained)
		require.NoError(t, err)
	}
	hook := func(e mqttfake.Event) mqttfake.Action {
		if e.Packet.Type == packets.SUBACK {
			return mqttfake.Action{Raw: retained.Bytes()}
		}
		return mqttfake.Action{}
	}
	small := func(c *Config) { c.ReceiveMaximum, c.StartTimeout = 1, 5*time.Second }
	withFake(t, mqttfake.Options{Hook: hook}, small, func(t *testing.T, b *mqttfake.Broker, s *Source) {
		time.Sleep(10 * time.Minute)
		require.ErrorContains(t, s.Check(t.Context()), "has not yet confirmed the subscriptions")
		for i := range n {
			m := readN(t, s, 1)
			require.Equal(t, fmt.Sprint(i), string(m[0].Payload))
			settle(m, nil)
		}
		synctest.Wait()
		require.NoError(t, s.Check(t.Context()))
		require.Zero(t, s.Stats().Reconnects)
	})
}
