package mqttfake_test

import (
	"context"
	"fmt"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/sluiceio/sluice/internal/mqttfake"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// client is a bare connection with the packet codec.
type client struct {
	t  *testing.T
	nc net.Conn
}

func dial(t *testing.T, b *mqttfake.Broker, window uint16) (*client, *packets.Connack) {
	t.Helper()
	nc, err := b.Dial(t.Context(), "", "")
	require.NoError(t, err)
	c := &client{t, nc}
	p := packets.NewControlPacket(packets.CONNECT)
	cp := p.Content.(*packets.Connect)
	cp.ClientID = "c"
	cp.Properties.ReceiveMaximum = &window
	c.write(p)
	return c, c.read().Content.(*packets.Connack)
}

func (c *client) write(p *packets.ControlPacket) {
	c.t.Helper()
	_, err := p.WriteTo(c.nc)
	require.NoError(c.t, err)
}

func (c *client) read() *packets.ControlPacket {
	c.t.Helper()
	p, err := packets.ReadPacket(c.nc)
	require.NoError(c.t, err)
	return p
}

func (c *client) subscribe() {
	c.t.Helper()
	s := &packets.Subscribe{PacketID: 1, Properties: &packets.Properties{}, Subscriptions: []packets.SubOptions{{Topic: "#", QoS: 2}}}
	_, err := s.WriteTo(c.nc)
	require.NoError(c.t, err)
	require.Equal(c.t, packets.SUBACK, c.read().Type)
}

func (c *client) puback(id uint16) {
	p := packets.NewControlPacket(packets.PUBACK)
	p.Content.(*packets.Puback).PacketID = id
	c.write(p)
}

// message reads a PUBLISH and returns its payload, identifier and DUP flag.
func (c *client) message() (string, uint16, bool) {
	c.t.Helper()
	p := c.read().Content.(*packets.Publish)
	return string(p.Payload), p.PacketID, p.Duplicate
}

func publish(b *mqttfake.Broker, qos byte, payloads ...string) {
	for _, p := range payloads {
		b.Publish(mqttfake.Message{Topic: "t", Payload: []byte(p), QoS: qos})
	}
}

func TestWindowAndRedelivery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := mqttfake.New(mqttfake.Options{})
		defer b.Close()
		c, ack := dial(t, b, 2)
		require.False(t, ack.SessionPresent)
		c.subscribe()
		publish(b, 1, "a", "b", "c")
		for i, want := range []string{"a", "b"} {
			got, id, dup := c.message()
			require.Equal(t, []any{want, uint16(i + 1), false}, []any{got, id, dup})
		}
		require.NoError(t, c.nc.SetReadDeadline(time.Now().Add(time.Minute)))
		_, err := packets.ReadPacket(c.nc)
		require.Error(t, err, "the window is full")
		require.NoError(t, c.nc.SetReadDeadline(time.Time{}))
		c.puback(1)
		got, id, _ := c.message()
		require.Equal(t, []any{"c", uint16(1)}, []any{got, id}, "the lowest free identifier")

		b.Cut()
		synctest.Wait()
		c, ack = dial(t, b, 2)
		require.True(t, ack.SessionPresent)
		for _, want := range []string{"b", "c"} {
			got, _, dup := c.message()
			require.Equal(t, []any{want, true}, []any{got, dup})
		}
		require.Empty(t, b.Faults())
		c.puback(1)
		synctest.Wait()
		require.Len(t, b.Faults(), 1, "b came first")
		c.puback(9)
		synctest.Wait()
		require.Len(t, b.Faults(), 2, "9 is not under way")
		b.Forget()
		_, ack = dial(t, b, 2)
		require.False(t, ack.SessionPresent)
	})
}

func TestHook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := mqttfake.New(mqttfake.Options{Hook: func(e mqttfake.Event) mqttfake.Action {
			p, ok := e.Packet.Content.(*packets.Publish)
			if !ok {
				return mqttfake.Action{}
			}
			return map[string]mqttfake.Action{
				"skip": {Skip: true}, "twice": {Twice: true}, "late": {Delay: time.Hour}, "cut": {Cut: true},
			}[string(p.Payload)]
		}})
		defer b.Close()
		c, _ := dial(t, b, 100)
		c.subscribe()
		start := time.Now()
		publish(b, 0, "skip", "twice", "late", "cut")
		for _, want := range []string{"twice", "twice", "late"} {
			got, _, _ := c.message()
			require.Equal(t, want, got)
		}
		require.Equal(t, time.Hour, time.Since(start))
		_, err := packets.ReadPacket(c.nc)
		require.Error(t, err)
	})
}

func ExampleBroker() {
	b := mqttfake.New(mqttfake.Options{})
	defer b.Close()
	nc, _ := b.Dial(context.Background(), "", "")
	defer nc.Close()
	_, _ = packets.NewControlPacket(packets.CONNECT).WriteTo(nc)
	p, _ := packets.ReadPacket(nc)
	fmt.Println(p.PacketType(), p.Content.(*packets.Connack).SessionPresent)
	// Output: CONNACK false
}

func TestUnsubscribe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := mqttfake.New(mqttfake.Options{})
		defer b.Close()
		c, _ := dial(t, b, 10)
		c.subscribe()
		for _, want := range []byte{packets.UnsubackSuccess, packets.UnsubackNoSubscriptionFound} {
			_, err := (&packets.Unsubscribe{PacketID: 2, Properties: &packets.Properties{}, Topics: []string{"#"}}).WriteTo(c.nc)
			require.NoError(t, err)
			require.Equal(t, []byte{want}, c.read().Content.(*packets.Unsuback).Reasons)
			require.Empty(t, b.Subscriptions("c"))
		}
	})
}

func TestAuthenticate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := mqttfake.New(mqttfake.Options{Authenticate: func(id string, data []byte) ([]byte, byte) {
			switch string(data) {
			case "first":
				return []byte(id + "?"), packets.AuthContinueAuthentication
			case "second":
				return []byte("fine"), packets.AuthSuccess
			}
			return nil, packets.ConnackNotAuthorized
		}})
		defer b.Close()
		nc, err := b.Dial(t.Context(), "", "")
		require.NoError(t, err)
		c := &client{t, nc}
		p := packets.NewControlPacket(packets.CONNECT)
		cp := p.Content.(*packets.Connect)
		cp.ClientID, cp.Properties.AuthMethod, cp.Properties.AuthData = "c", "m", []byte("first")
		c.write(p)
		require.Equal(t, "c?", string(c.read().Content.(*packets.Auth).Properties.AuthData))
		answer := func(code byte, data string) {
			a := &packets.Auth{ReasonCode: code, Properties: &packets.Properties{AuthMethod: "m", AuthData: []byte(data)}}
			c.write(&packets.ControlPacket{FixedHeader: packets.FixedHeader{Type: packets.AUTH}, Content: a})
		}
		answer(packets.AuthContinueAuthentication, "second")
		ack := c.read().Content.(*packets.Connack)
		require.Zero(t, ack.ReasonCode)
		require.Equal(t, "fine", string(ack.Properties.AuthData))

		answer(packets.AuthReauthenticate, "second")
		require.Zero(t, c.read().Content.(*packets.Auth).ReasonCode)
		answer(packets.AuthReauthenticate, "nonsense")
		require.EqualValues(t, packets.ConnackNotAuthorized, c.read().Content.(*packets.Disconnect).ReasonCode)
	})
}
