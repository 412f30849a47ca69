package broker_test

import (
	"context"
	"net"
	"testing"

	"github.com/eclipse/paho.golang/paho"
	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/bridge/bridgetest"
	"github.com/sluiceio/sluice/source/broker"
)

// TestSuite runs the conformance suite for sources, with a paho client as the
// device. It publishes in the background: by default a publisher's PUBACK waits
// until its message is settled.
func TestSuite(t *testing.T) {
	bridgetest.TestSource(t, bridgetest.SourceSuite{
		New: func(t *testing.T) bridge.Source {
			s, err := broker.New(broker.Config{Listeners: []broker.Listener{{URL: "mqtt://127.0.0.1:0"}}, Logger: quiet()})
			require.NoError(t, err)
			return s
		},
		Publish: func(t *testing.T, s bridge.Source, msgs []bridge.Message) {
			src := s.(*broker.Source)
			require.NoError(t, src.Open(t.Context()))
			conn, err := net.Dial("tcp", src.Addr().String())
			require.NoError(t, err)
			client := paho.NewClient(paho.ClientConfig{Conn: conn})
			_, err = client.Connect(t.Context(), &paho.Connect{ClientID: "device", CleanStart: true, KeepAlive: 30})
			require.NoError(t, err)
			for _, m := range msgs {
				_, err := client.PublishWithOptions(context.Background(), &paho.Publish{Topic: m.Topic, Payload: m.Payload, QoS: 1},
					paho.PublishOptions{Method: paho.PublishMethod_AsyncSend})
				require.NoError(t, err)
			}
		},
	})
}
