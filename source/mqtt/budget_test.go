package mqtt

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/internal/mqttfake"
	"github.com/sluiceio/sluice/internal/repeat"
)

// TestHeldBytesAreBounded receives large messages while nothing is settled: whether they
// are read or not, the source takes in no more than it may hold.
func TestHeldBytesAreBounded(t *testing.T) {
	const limit, size = 1 << 20, 1 << 17
	plain := func() mqttfake.Message {
		return mqttfake.Message{Topic: "t/x", Payload: make([]byte, size)}
	}
	// Empty user properties are 5 bytes on the wire and seven times that in memory.
	stuffed := func() mqttfake.Message {
		return mqttfake.Message{Topic: "t/x", Props: &packets.Properties{User: make([]packets.User, size/5)}}
	}
	for name, tt := range map[string]struct {
		message func() mqttfake.Message
		largest int
	}{"payload": {plain, size + 1<<10}, "user properties": {stuffed, 9 * size}} {
		t.Run(name, func(t *testing.T) {
			change := func(c *Config) { c.BufferBytes = limit }
			forQoS1And2(t, mqttfake.Options{}, change, func(t *testing.T, qos byte, b *mqttfake.Broker, s *Source) {
				const n = 12
				for range n {
					m := tt.message()
					m.QoS = qos
					b.Publish(m)
				}
				time.Sleep(time.Hour)
				var held []bridge.Message
				for got := 0; got < n; got += len(held) {
					st := s.Stats()
					require.True(t, st.Connections[0].Paused || got+st.Buffered == n)
					require.Less(t, st.HeldBytes, limit+tt.largest)
					held = readN(t, s, st.Buffered)
					synctest.Wait()
					require.Zero(t, s.Stats().Buffered, "no room before something is settled")
					unsettled, window := s.Window()
					if s.Stats().Connections[0].Paused {
						require.Equal(t, unsettled, window, "the window is full, if not by number")
					}
					settle(held, nil)
					time.Sleep(time.Second)
				}
				allAcknowledged(t, b, s)
				require.Zero(t, s.Stats().Reconnects)
			})
		})
	}
}

// TestWeightOfProperties compares what a message is taken to weigh with what decoding it
// allocates.
func TestWeightOfProperties(t *testing.T) {
	p := &packets.Publish{Topic: "t", Properties: &packets.Properties{User: make([]packets.User, 1<<20/5)}}
	packet := encoded(t, p)
	_, header, err := packetSize(packet)
	require.NoError(t, err)
	var weight int64
	topics := newInterner()
	res := testing.Benchmark(func(b *testing.B) {
		for b.Loop() {
			p, _ := decodePublish(0, packet[header:], topics, false)
			weight = p.weight()
		}
	})
	require.Less(t, float64(res.AllocedBytesPerOp()), 1.1*float64(weight))
	require.Less(t, weight, int64(8<<20))
}

// TestDroppedMessagesAreSaid logs QoS 0 messages that are dropped, and not each of them.
func TestDroppedMessagesAreSaid(t *testing.T) {
	var log lockedBuffer
	small := func(c *Config) {
		c.BufferQoS0 = 10
		c.Logger = slog.New(slog.NewTextHandler(&log, nil))
	}
	withFake(t, mqttfake.Options{}, small, func(t *testing.T, b *mqttfake.Broker, s *Source) {
		log.Reset()
		send(b, 0, 0, 100)
		time.Sleep(repeat.Interval + time.Second)
		send(b, 0, 0, 5)
		synctest.Wait()
		require.EqualValues(t, 95, s.Stats().DroppedQoS0)
		require.Equal(t, 2, strings.Count(log.String(), "QoS 0 messages are dropped"))
		require.Contains(t, log.String(), "count=")
	})
}

// lockedBuffer is a buffer that several goroutines write to.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) Reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.b.Reset()
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
