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

// TestFastPathDoesNotAllocatePerMessage takes messages all the way from the
// network to their acknowledgement. What is allocated are read buffers, shared by
// hundreds of messages.
func TestFastPathDoesNotAllocatePerMessage(t *testing.T) {
	client, server := net.Pipe()
	go func() { _, _ = io.Copy(io.Discard, server) }()
	cfg := Config{ReceiveMaximum: 1000}.withDefaults()
	s := newSession(&cfg, newInbox(1<<20, 10), &counters{}, slog.Default(), nil)
	c := newConn(client, maxPacketSize, s, func() {})
	defer c.Close()
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
				dst[i].Delivery.Done(nil)
			}
			got += k
		}
	}
	run()
	perMessage := testing.AllocsPerRun(100, run) / n
	require.Less(t, perMessage, 0.05)
}
