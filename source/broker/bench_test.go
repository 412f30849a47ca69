package broker_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"testing"

	"github.com/eclipse/paho.golang/packets"
	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/source/broker"
)

// BenchmarkReceive is the way of a 200-byte message from a device's socket to
// Read, and of the acknowledgement back, with 500 messages on their way.
func BenchmarkReceive(b *testing.B) {
	for name, qos := range map[string]byte{"qos0": 0, "qos1": 1} {
		b.Run(name, func(b *testing.B) {
			src, err := broker.New(broker.Config{Listeners: []broker.Listener{{URL: "mqtt://127.0.0.1:0"}}, Logger: quiet()})
			require.NoError(b, err)
			require.NoError(b, src.Open(b.Context()))
			defer src.Close(context.Background())
			nc, err := net.Dial("tcp", src.Addr().String())
			require.NoError(b, err)
			defer nc.Close()
			_, err = connectPacket("bench", true).WriteTo(nc)
			require.NoError(b, err)
			_, err = packets.ReadPacket(nc)
			require.NoError(b, err)

			const batch = 500
			var frames bytes.Buffer
			for i := range batch {
				p := &packets.Publish{Topic: "site/7/device", QoS: qos, Payload: make([]byte, 200), Properties: &packets.Properties{}}
				if qos > 0 {
					p.PacketID = uint16(i + 1)
				}
				_, err := p.WriteTo(&frames)
				require.NoError(b, err)
			}
			msgs, acks := make([]bridge.Message, batch), make([]byte, 4*batch)
			b.ReportAllocs()
			for n := 0; b.Loop(); n++ {
				if n%batch != 0 {
					continue // a batch counts as many iterations as it has messages
				}
				if _, err := nc.Write(frames.Bytes()); err != nil {
					b.Fatal(err)
				}
				for got := 0; got < batch; {
					k, err := src.Read(b.Context(), msgs)
					if err != nil {
						b.Fatal(err)
					}
					for i := range msgs[:k] {
						msgs[i].Delivery.Done(bridge.Stored, nil)
					}
					got += k
				}
				if qos > 0 {
					if _, err := io.ReadFull(nc, acks); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
