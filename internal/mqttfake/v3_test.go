package mqttfake_test

import (
	"io"
	"testing"
	"testing/synctest"

	"github.com/eclipse/paho.golang/packets"
	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/internal/mqttfake"
)

// TestMQTT3 exchanges packets of MQTT 3.1.1 byte by byte.
func TestMQTT3(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := mqttfake.New(mqttfake.Options{OnlyV3: true})
		defer b.Close()
		nc, err := b.Dial(t.Context(), "", "")
		require.NoError(t, err)
		defer nc.Close()
		say := func(packet ...byte) {
			_, err := nc.Write(packet)
			require.NoError(t, err)
		}
		hear := func(want ...byte) {
			t.Helper()
			got := make([]byte, len(want))
			_, err := io.ReadFull(nc, got)
			require.NoError(t, err)
			require.Equal(t, want, got)
		}
		say(0x10, 19, 0, 4, 'M', 'Q', 'T', 'T', 4, 0x04, 0, 0, 0, 1, 'c', 0, 1, 'w', 0, 1, 'x') // with a will
		hear(0x20, 2, 0, 0)
		say(0x82, 6, 0, 7, 0, 1, 't', 1)
		hear(0x90, 3, 0, 7, 1)
		publish(b, 1, "hello")
		hear(0x32, 10, 0, 1, 't', 0, 1, 'h', 'e', 'l', 'l', 'o')
		say(0x40, 2, 0, 1)
		say(0x32, 6, 0, 1, 't', 0, 9, '!') // what a client publishes
		ack, back := "\x40\x02\x00\x09", "\x32\x06\x00\x01t\x00\x01!"
		both := make([]byte, len(ack+back)) // written by two goroutines
		_, err = io.ReadFull(nc, both)
		require.NoError(t, err)
		require.Contains(t, []string{ack + back, back + ack}, string(both))
		say(0xa2, 5, 0, 8, 0, 1, 't')
		hear(0xb0, 2, 0, 8)
		require.Empty(t, b.Subscriptions("c"))
		require.Empty(t, b.Faults())
	})
}

func TestOnlyMQTT3(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := mqttfake.New(mqttfake.Options{OnlyV3: true})
		defer b.Close()
		nc, err := b.Dial(t.Context(), "", "")
		require.NoError(t, err)
		defer nc.Close()
		_, err = packets.NewControlPacket(packets.CONNECT).WriteTo(nc)
		require.NoError(t, err)
		answer, err := io.ReadAll(nc)
		require.NoError(t, err)
		require.Equal(t, []byte{0x20, 2, 0, 1}, answer)
	})
}

// TestCopies sends a message by each subscription, with its identifier.
func TestCopies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := mqttfake.New(mqttfake.Options{Copies: true})
		defer b.Close()
		c, _ := dial(t, b, 10)
		defer c.nc.Close()
		for id, filter := range []string{"t/+", "+/a"} {
			n := id + 1
			s := &packets.Subscribe{
				PacketID: 1, Properties: &packets.Properties{SubscriptionIdentifier: &n},
				Subscriptions: []packets.SubOptions{{Topic: filter, QoS: byte(id)}},
			}
			_, err := s.WriteTo(c.nc)
			require.NoError(t, err)
			require.Equal(t, packets.SUBACK, c.read().Type)
		}
		b.Publish(mqttfake.Message{Topic: "t/a", QoS: 1})
		for _, want := range []int{2, 1} { // the highest QoS first
			p := c.read().Content.(*packets.Publish)
			require.Equal(t, want, *p.Properties.SubscriptionIdentifier)
			require.Equal(t, byte(want-1), p.QoS)
		}
	})
}
