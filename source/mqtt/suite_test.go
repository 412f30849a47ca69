package mqtt_test

import (
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/bridge/bridgetest"
	"github.com/sluiceio/sluice/internal/mqttfake"
	"github.com/sluiceio/sluice/source/mqtt"
)

// TestSuite runs the conformance suite for sources.
func TestSuite(t *testing.T) {
	for name, disable := range map[string]bool{"fast": false, "paho": true, "fast, MQTT 3.1.1": false, "paho, MQTT 3.1.1": true} {
		t.Run(name, func(t *testing.T) {
			opts := mqttfake.Options{OnlyV3: strings.HasSuffix(name, "3.1.1")}
			brokers := map[bridge.Source]*mqttfake.Broker{}
			bridgetest.TestSource(t, bridgetest.SourceSuite{
				New: func(t *testing.T) bridge.Source {
					b := mqttfake.New(opts)
					t.Cleanup(b.Close)
					s, err := mqtt.New(mqtt.Config{
						Brokers: []string{"mqtt://broker.test"}, ClientID: "suite", Dial: b.Dial, DisableFastPath: disable,
						Filters: []mqtt.Subscription{{Filter: "#", QoS: 1}},
						Logger:  slog.New(slog.NewTextHandler(io.Discard, nil)),
					})
					require.NoError(t, err)
					brokers[s] = b
					return s
				},
				Publish: func(t *testing.T, s bridge.Source, msgs []bridge.Message) {
					// Nobody keeps what is published before the first subscription.
					for len(brokers[s].Subscriptions("suite")) == 0 {
						select {
						case <-time.After(time.Millisecond):
						case <-t.Context().Done():
							return
						}
					}
					for _, m := range msgs {
						brokers[s].Publish(mqttfake.Message{Topic: m.Topic, Payload: m.Payload, QoS: 1})
					}
				},
				Acked: func(_ *testing.T, s bridge.Source) int { return brokers[s].Acked() },
			})
		})
	}
}
