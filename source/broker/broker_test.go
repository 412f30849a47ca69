package broker_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/paho"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/source/broker"
)

func TestMain(m *testing.M) {
	if addr := os.Getenv(devicesAddr); addr != "" {
		if err := runDevices(addr); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// patience is how long a test waits for what must happen. No test asserts a
// shorter time.
const patience = time.Minute

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// open starts a broker on a free port and closes it at the end of the test.
func open(t *testing.T, cfg broker.Config) *broker.Source {
	t.Helper()
	if cfg.Listeners == nil {
		cfg.Listeners = []broker.Listener{{URL: "mqtt://127.0.0.1:0"}}
	}
	if cfg.Logger == nil {
		cfg.Logger = quiet()
	}
	src, err := broker.New(cfg)
	require.NoError(t, err)
	require.NoError(t, src.Open(t.Context()))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		require.NoError(t, src.Close(ctx))
	})
	return src
}

// client is a connected MQTT client.
type client struct {
	*paho.Client
	t    *testing.T
	got  chan *paho.Publish // what it is subscribed to
	down chan *paho.Disconnect
	lost chan error
}

func dial(t *testing.T, src *broker.Source) net.Conn {
	t.Helper()
	nc, err := net.Dial(src.Addr().Network(), src.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { _ = nc.Close() })
	return nc
}

// connectOn connects a client over nc, which must succeed.
func connectOn(t *testing.T, nc net.Conn, cp *paho.Connect) *client {
	t.Helper()
	c, _, err := tryConnect(t, nc, cp)
	require.NoError(t, err)
	return c
}

func tryConnect(t *testing.T, nc net.Conn, cp *paho.Connect) (*client, *paho.Connack, error) {
	t.Helper()
	c := &client{t: t, got: make(chan *paho.Publish, 10_000), down: make(chan *paho.Disconnect, 1), lost: make(chan error, 1)}
	c.Client = paho.NewClient(paho.ClientConfig{
		Conn: nc,
		OnPublishReceived: []func(paho.PublishReceived) (bool, error){func(p paho.PublishReceived) (bool, error) {
			c.got <- p.Packet
			return true, nil
		}},
		OnServerDisconnect: func(d *paho.Disconnect) { c.down <- d },
		OnClientError:      func(err error) { c.lost <- err },
		PacketTimeout:      patience,
	})
	if cp.KeepAlive == 0 {
		cp.KeepAlive = 60
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	ack, err := c.Connect(ctx, cp)
	if err != nil {
		return nil, ack, err
	}
	t.Cleanup(func() { _ = c.Disconnect(&paho.Disconnect{}); <-c.Done() })
	return c, ack, nil
}

func connect(t *testing.T, src *broker.Source, id string) *client {
	t.Helper()
	return connectOn(t, dial(t, src), &paho.Connect{ClientID: id, CleanStart: true})
}

// publish publishes and waits for the acknowledgement.
func (c *client) publish(topic string, qos byte, payload string) {
	c.t.Helper()
	_, err := c.Publish(c.t.Context(), &paho.Publish{Topic: topic, QoS: qos, Payload: []byte(payload)})
	require.NoError(c.t, err)
}

func (c *client) subscribe(filter string, qos byte) {
	c.t.Helper()
	_, err := c.Subscribe(c.t.Context(), &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: filter, QoS: qos}}})
	require.NoError(c.t, err)
}

func receive[T any](t *testing.T, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		require.FailNow(t, "nothing arrived")
		panic("unreachable")
	}
}

// read reads n messages.
func read(t *testing.T, src bridge.Source, n int) []bridge.Message {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var all []bridge.Message
	buf := make([]bridge.Message, n)
	for len(all) < n {
		k, err := src.Read(ctx, buf[:n-len(all)])
		require.NoError(t, err, "after %d messages", len(all))
		all = append(all, buf[:k]...)
	}
	return all
}

// readFor reads what comes within a time.
func readFor(src bridge.Source, dst []bridge.Message, d time.Duration) int {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	n, _ := src.Read(ctx, dst)
	return n
}

// drain settles everything that arrives until the test ends.
func drain(t *testing.T, src bridge.Source) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]bridge.Message, 100)
		for {
			n, err := src.Read(ctx, buf)
			for _, m := range buf[:n] {
				m.Delivery.Done(bridge.Stored, nil)
			}
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
}

func TestPublishedMessage(t *testing.T) {
	t.Parallel()
	src := open(t, broker.Config{})
	nc := dial(t, src)
	c := connectOn(t, nc, &paho.Connect{ClientID: "dev-1", CleanStart: true, Username: "ann", UsernameFlag: true})
	format, expiry := byte(1), uint32(60)
	done := make(chan error, 1)
	go func() {
		_, err := c.Publish(t.Context(), &paho.Publish{
			Topic: "t/1", QoS: 1, Retain: true, Payload: []byte("hello"),
			Properties: &paho.PublishProperties{
				PayloadFormat: &format, MessageExpiry: &expiry, ContentType: "text/plain",
				ResponseTopic: "r", CorrelationData: []byte{1},
				User: paho.UserProperties{{Key: "a", Value: "1"}, {Key: "a", Value: "2"}},
			},
		})
		done <- err
	}()
	m := read(t, src, 1)[0]
	require.Equal(t, "t/1", m.Topic)
	require.Equal(t, "hello", string(m.Payload))
	require.Equal(t, "dev-1", m.ClientID)
	require.Equal(t, "ann", m.Username)
	require.Equal(t, "127.0.0.1", m.PeerHost)
	require.Equal(t, nc.LocalAddr().String(), m.PeerName)
	require.Empty(t, m.Event)
	require.Equal(t, byte(1), m.QoS)
	require.True(t, m.Retain)
	require.False(t, m.Received.IsZero())
	require.Equal(t, &bridge.Properties{
		PayloadFormat: &format, MessageExpiry: &expiry, ContentType: "text/plain",
		ResponseTopic: "r", CorrelationData: []byte{1},
		User: []bridge.UserProperty{{Key: "a", Value: "1"}, {Key: "a", Value: "2"}},
	}, m.Props)
	require.Empty(t, done, "acknowledged before it was settled")
	m.Delivery.Done(bridge.Stored, nil)
	require.NoError(t, receive(t, done))

	c.publish("t/2", 0, "")
	m = read(t, src, 1)[0]
	require.Equal(t, byte(0), m.QoS)
	require.Empty(t, m.Payload)
	require.Nil(t, m.Props)
	m.Delivery.Done(bridge.Stored, nil)
}

func TestReadEndsWithContextAndClose(t *testing.T) {
	t.Parallel()
	src, err := broker.New(broker.Config{Listeners: []broker.Listener{{URL: "mqtt://127.0.0.1:0"}}, Logger: quiet()})
	require.NoError(t, err)
	require.Error(t, src.Check(t.Context()))
	require.NoError(t, src.Open(t.Context()))
	require.NoError(t, src.Open(t.Context()), "opening twice")
	require.NoError(t, src.Check(t.Context()))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = src.Read(ctx, make([]bridge.Message, 1))
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, src.Close(t.Context()))
	require.NoError(t, src.Close(t.Context()), "closing twice")
	_, err = src.Read(t.Context(), make([]bridge.Message, 1))
	require.ErrorIs(t, err, io.EOF)
	require.Error(t, src.Check(t.Context()))
}
