package mqtt

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/internal/mqttfake"
)

// TestRandomFaults lets the broker misbehave at random while messages of all
// kinds come in and are settled in random order.
func TestRandomFaults(t *testing.T) {
	for seed := range uint64(16) {
		rng := rand.New(rand.NewPCG(seed, 1))
		hook := func(e mqttfake.Event) mqttfake.Action {
			switch rng.IntN(300) {
			case 0:
				return mqttfake.Action{Cut: true}
			case 1:
				return mqttfake.Action{Delay: time.Duration(rng.IntN(300)) * time.Millisecond}
			}
			return mqttfake.Action{}
		}
		// The hook is called by two goroutines of a connection.
		guard := make(chan struct{}, 1)
		locked := func(e mqttfake.Event) mqttfake.Action {
			guard <- struct{}{}
			defer func() { <-guard }()
			return hook(e)
		}
		bothPaths(t, func(t *testing.T, disable bool) {
			synctest.Test(t, func(t *testing.T) {
				guard = make(chan struct{}, 1)
				b := mqttfake.New(mqttfake.Options{Hook: locked, Copies: true})
				defer b.Close()
				cfg := fakeConfig(b)
				cfg.DisableFastPath = disable
				cfg.ReceiveMaximum = 1 + rand.IntN(20)
				cfg.ProtocolVersion = []int{version5, version3}[seed/2%2]
				if seed/4%2 > 0 && cfg.ProtocolVersion == version5 {
					cfg.Filters = filters("t/+", "+/0", "+/1")
				}
				s, err := New(cfg)
				require.NoError(t, err)
				defer s.Close(context.Background())
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				require.NoError(t, s.Open(ctx))
				for len(b.Subscriptions("c1")) < len(cfg.Filters) {
					time.Sleep(time.Second)
				}
				const n = 300
				send(b, 1+byte(seed%2), 0, n)
				next, buf := 0, make([]bridge.Message, 16)
				for next < n || b.Pending() > 0 {
					short, stop := context.WithTimeout(ctx, 10*time.Second)
					k, err := s.Read(short, buf)
					stop()
					require.NoError(t, ctx.Err(), "%d of %d, pending %d: %+v", next, n, b.Pending(), s.Stats())
					if err != nil {
						continue
					}
					var batch []bridge.Delivery
					for _, m := range buf[:k] {
						var i int
						_, _ = fmt.Sscan(string(m.Payload), &i)
						require.LessOrEqual(t, i, next, "order")
						if m.QoS == 2 {
							require.Equal(t, i, next, "QoS 2 messages are recognized when they come again")
						}
						next = max(next, i+1)
						batch = append(batch, m.Delivery)
					}
					time.AfterFunc(time.Duration(rand.IntN(100))*time.Millisecond, func() {
						for _, i := range rand.Perm(len(batch)) {
							batch[i].Done(bridge.Stored, nil)
						}
					})
				}
				require.Empty(t, b.Faults())
			})
		})
	}
}
