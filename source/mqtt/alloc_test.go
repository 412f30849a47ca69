package mqtt

import (
	"bytes"
	"io"
	"log/slog"
	"net"
	"testing"

	"github.com/eclipse/paho.golang/packets"
	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
)

// TestFastPathDoesNotAllocatePerMessage takes messages of both versions of MQTT all the
// way from the network to their acknowledgement. What is allocated are read buffers,
// shared by hundreds of messages.
func TestFastPathDoesNotAllocatePerMessage(t *testing.T) {
	t.Run("MQTT 5", func(t *testing.T) { fastPathDoesNotAllocate(t, false) })
	t.Run("MQTT 3.1.1", func(t *testing.T) { fastPathDoesNotAllocate(t, true) })
}

func fastPathDoesNotAllocate(t *testing.T, v3 bool) {
	t.Helper()
	client, server := net.Pipe()
	go func() { _, _ = io.Copy(io.Discard, server) }()
	cfg := Config{ReceiveMaximum: 1000}.withDefaults()
	s := newSession(&cfg, newInbox(newBudget(1<<20), 10), &counters{}, slog.Default(), nil)
	c := newConn(client, maxPacketSize, s, func() {})
	defer c.Close()
	if v3 {
		c.speakV3() // the byte of the empty properties is then the payload's first
	}
	require.NoError(t, s.ConAckReceived(c, &packets.Connect{}, &packets.Connack{}))
	const n = 200
	packets, _ := encodedPublishes(n)
	src := bytes.NewReader(nil)
	c.frames.src = src
	dst := make([]bridge.Message, n)
	run := func() {
		src.Reset(packets)
		for src.Len() > 0 || c.frames.r < c.frames.w {
			if err := c.next(); err != nil {
				t.Fatal(err)
			}
		}
		s.flush(c)
		for got := 0; got < n; {
			k := s.inbox.take(dst)
			for i := range dst[:k] {
				dst[i].Delivery.Done(bridge.Stored, nil)
			}
			got += k
		}
	}
	run()
	perMessage := testing.AllocsPerRun(100, run) / n
	require.Less(t, perMessage, 0.05)
}
