package mqtt

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/internal/mqttfake"
)

// Ask learns what the broker would say, and takes nothing from a source that runs.
func TestAsk(t *testing.T) {
	var mu sync.Mutex
	var connects []*packets.Connect
	b := mqttfake.New(mqttfake.Options{
		Connect: func(c *packets.Connect) *packets.Connack {
			mu.Lock()
			defer mu.Unlock()
			connects = append(connects, c)
			if c.Username == "nobody" {
				return &packets.Connack{ReasonCode: packets.ConnackBadUsernameOrPassword, Properties: &packets.Properties{}}
			}
			return &packets.Connack{Properties: &packets.Properties{}}
		},
		Suback: func(filter string, qos byte) byte {
			if filter == "secret/#" {
				return packets.SubackNotauthorized
			}
			return qos
		},
	})
	t.Cleanup(b.Close)
	cfg := Config{
		Brokers: []string{"mqtt://broker"}, Dial: b.Dial, ClientID: "bridge", StartTimeout: 10 * time.Second,
		Filters: []Subscription{{Filter: "$share/g/t/#", QoS: 1}, {Filter: "u/#", QoS: 1}},
		Will:    &Will{Topic: "gone"},
	}
	s, err := New(cfg)
	require.NoError(t, err)
	require.NoError(t, s.Open(t.Context()))
	defer func() { require.NoError(t, s.Close(context.WithoutCancel(t.Context()))) }()

	require.NoError(t, Ask(t.Context(), cfg))
	require.NoError(t, s.Check(t.Context()), "the session was not taken over")
	mu.Lock()
	require.Len(t, connects, 2)
	asked := connects[1]
	mu.Unlock()
	require.Regexp(t, `^bridge-check-[0-9a-f]{4}$`, asked.ClientID)
	require.True(t, asked.CleanStart)
	require.Zero(t, *asked.Properties.SessionExpiryInterval)
	require.False(t, asked.WillFlag)
	require.Equal(t, []string{"$share/g/t/#", "u/#"}, slices.Sorted(slices.Values(b.Subscriptions("bridge"))))

	// What comes while it asks goes to the source alone.
	b.Publish(mqttfake.Message{Topic: "t/1", QoS: 1, Payload: []byte("x")})
	got := make([]bridge.Message, 2)
	n, err := s.Read(t.Context(), got)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	got[0].Delivery.Done(bridge.Stored, nil)

	none := cfg
	none.Filters = nil
	require.NoError(t, Ask(t.Context(), none), "without subscriptions")
	denied := cfg
	denied.Filters = []Subscription{{Filter: "u/#"}, {Filter: "$share/g/secret/#", QoS: 1}}
	require.ErrorContains(t, Ask(t.Context(), denied), `secret/#`)
	denied = cfg
	denied.Username = "nobody"
	require.ErrorContains(t, Ask(t.Context(), denied), "password")
	require.ErrorContains(t, Ask(t.Context(), Config{}), "at least one URL")
	away := cfg
	away.Dial, away.Brokers, away.StartTimeout = nil, []string{"mqtt://127.0.0.1:1"}, 50*time.Millisecond
	require.ErrorContains(t, Ask(t.Context(), away), "refused")
}
