package mqtt

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/internal/mqttfake"
)

// bothPaths runs a test with and without the fast path.
func bothPaths(t *testing.T, test func(t *testing.T, disable bool)) {
	t.Helper()
	t.Run("fast", func(t *testing.T) { test(t, false) })
	t.Run("paho", func(t *testing.T) { test(t, true) })
}

// fakeConfig is a configuration for b.
func fakeConfig(b *mqttfake.Broker) Config {
	return Config{
		Brokers: []string{"mqtt://broker.test"}, ClientID: "c1",
		Filters: []Subscription{{Filter: "t/#", QoS: 2}},
		Dial:    b.Dial, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
}

func open(t *testing.T, cfg Config) *Source {
	t.Helper()
	s, err := New(cfg)
	require.NoError(t, err)
	require.NoError(t, s.Open(t.Context()))
	return s
}

// readN reads n messages.
func readN(t *testing.T, s *Source, n int) []bridge.Message {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
	defer cancel()
	var all []bridge.Message
	buf := make([]bridge.Message, 7)
	for len(all) < n {
		k, err := s.Read(ctx, buf[:min(len(buf), n-len(all))])
		require.NoError(t, err, "after %d of %d messages: %v", len(all), n, s.Check(ctx))
		all = append(all, buf[:k]...)
	}
	return all
}

func send(b *mqttfake.Broker, qos byte, from, to int) {
	for i := from; i < to; i++ {
		b.Publish(mqttfake.Message{Topic: fmt.Sprintf("t/%d", i%3), Payload: fmt.Append(nil, i), QoS: qos})
	}
}

func payloads(msgs []bridge.Message) []string {
	var ps []string
	for _, m := range msgs {
		ps = append(ps, string(m.Payload))
	}
	return ps
}

func numbers(from, to int) []string {
	var ns []string
	for i := from; i < to; i++ {
		ns = append(ns, fmt.Sprint(i))
	}
	return ns
}

func settle(msgs []bridge.Message, err error) {
	o := bridge.Stored
	if err != nil {
		o = bridge.Abandoned
	}
	for _, m := range msgs {
		m.Delivery.Done(o, err)
	}
}

func TestReadsAndAcknowledges(t *testing.T) {
	bothPaths(t, func(t *testing.T, disable bool) {
		for qos := range byte(3) {
			synctest.Test(t, func(t *testing.T) {
				b := mqttfake.New(mqttfake.Options{})
				defer b.Close()
				cfg := fakeConfig(b)
				cfg.DisableFastPath = disable
				s := open(t, cfg)
				send(b, qos, 0, 100)
				msgs := readN(t, s, 100)
				require.Equal(t, numbers(0, 100), payloads(msgs))
				require.Equal(t, "t/1", msgs[1].Topic)
				require.Equal(t, qos, msgs[1].QoS)
				require.Zero(t, b.Acked())
				settle(msgs[1:], nil)
				synctest.Wait()
				require.Zero(t, b.Acked(), "the first message is not settled")
				settle(msgs[:1], nil)
				synctest.Wait()
				if qos > 0 {
					require.Equal(t, 100, b.Acked())
				}
				require.Zero(t, b.Pending())
				require.NoError(t, s.Check(t.Context()))
				require.NoError(t, s.Close(t.Context()))
				require.Empty(t, b.Faults())
			})
		}
	})
}

func TestCloseSendsAcknowledgements(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := mqttfake.New(mqttfake.Options{})
		defer b.Close()
		s := open(t, fakeConfig(b))
		send(b, 1, 0, 50)
		settle(readN(t, s, 50), nil)
		require.NoError(t, s.Close(t.Context()))
		require.Equal(t, 50, b.Acked())
		require.Zero(t, b.Pending())
		_, err := s.Read(t.Context(), make([]bridge.Message, 1))
		require.ErrorIs(t, err, ErrClosed)
	})
}
