package mqtt

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/sluiceio/sluice/internal/mqttfake"
)

func filters(names ...string) []Subscription {
	subs := make([]Subscription, len(names))
	for i, n := range names {
		subs[i] = Subscription{Filter: n, QoS: 2}
	}
	return subs
}

func TestSetSubscriptions(t *testing.T) {
	withFake(t, mqttfake.Options{}, nil, func(t *testing.T, b *mqttfake.Broker, s *Source) {
		send(b, 1, 0, 10)
		require.NoError(t, s.SetSubscriptions(t.Context(), filters("t/1", "u/#", "t/1")))
		require.Equal(t, []string{"t/1", "u/#"}, b.Subscriptions("c1"))
		msgs := readN(t, s, 10)
		require.Equal(t, numbers(0, 10), payloads(msgs), "what was under way is still handed out")
		settle(msgs, nil)
		b.Publish(mqttfake.Message{Topic: "u/x", Payload: []byte("u"), QoS: 1}, mqttfake.Message{Topic: "t/2", QoS: 1})
		require.Equal(t, []string{"u"}, payloads(readN(t, s, 1)))

		b.Forget()
		time.Sleep(time.Second)
		require.NoError(t, s.Check(t.Context()))
		require.Equal(t, []string{"t/1", "u/#"}, b.Subscriptions("c1"), "they outlive the session")
		require.Error(t, s.SetSubscriptions(t.Context(), nil))
		require.ErrorContains(t, s.SetSubscriptions(t.Context(), []Subscription{{Filter: "a"}, {Filter: "a", QoS: 1}}), "is there already")
		require.Equal(t, []string{"t/1", "u/#"}, b.Subscriptions("c1"))
	})
}

// TestSetSubscriptionsLosesNothing publishes all the time while the filters change
// from narrow to wide and back.
func TestSetSubscriptionsLosesNothing(t *testing.T) {
	slow := func(e mqttfake.Event) mqttfake.Action {
		if e.FromPeer && (e.Packet.Type == packets.SUBSCRIBE || e.Packet.Type == packets.UNSUBSCRIBE) {
			return mqttfake.Action{Delay: 25 * time.Millisecond}
		}
		return mqttfake.Action{}
	}
	withFake(t, mqttfake.Options{Hook: slow}, nil, func(t *testing.T, b *mqttfake.Broker, s *Source) {
		const n = 400
		var work sync.WaitGroup
		defer work.Wait()
		work.Go(func() {
			for i := range n {
				send(b, 1, i, i+1)
				time.Sleep(10 * time.Millisecond)
			}
		})
		work.Go(func() {
			for i := range 20 {
				time.Sleep(150 * time.Millisecond)
				if i%7 == 3 {
					b.Cut()
				}
				names := []string{"t/0", "t/1", "t/2"}
				if i%2 == 0 {
					names = []string{"t/+", fmt.Sprint("x/", i)}
				}
				_ = s.SetSubscriptions(context.Background(), filters(names...))
			}
		})
		next := 0
		for next < n {
			m := readN(t, s, 1)
			var i int
			_, _ = fmt.Sscan(string(m[0].Payload), &i)
			require.LessOrEqual(t, i, next, "order")
			next = max(next, i+1)
			settle(m, nil)
		}
		work.Wait()
		time.Sleep(time.Second)
		require.Zero(t, b.Pending())
		require.Empty(t, b.Faults())
	})
}

func TestSetSubscriptionsWhileAway(t *testing.T) {
	withFake(t, mqttfake.Options{}, nil, func(t *testing.T, b *mqttfake.Broker, s *Source) {
		b.Cut()
		synctest.Wait()
		require.NoError(t, s.SetSubscriptions(t.Context(), filters("u/#")))
		time.Sleep(time.Second)
		require.NoError(t, s.Check(t.Context()))
		require.Equal(t, []string{"u/#"}, b.Subscriptions("c1"))
		require.NoError(t, s.Close(t.Context()))
		require.ErrorIs(t, s.SetSubscriptions(t.Context(), filters("u/#")), ErrClosed)
	})
}

// TestSetSubscriptionsRefused keeps the old subscriptions as long as a new one is
// refused.
func TestSetSubscriptionsRefused(t *testing.T) {
	var open atomic.Bool
	opts := mqttfake.Options{Suback: func(filter string, qos byte) byte {
		if strings.HasPrefix(filter, "secret/") && !open.Load() {
			return packets.SubackNotauthorized
		}
		return qos
	}}
	withFake(t, opts, nil, func(t *testing.T, b *mqttfake.Broker, s *Source) {
		open.Store(false)
		err := s.SetSubscriptions(t.Context(), filters("secret/#", "u/#"))
		var e *Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, "secret/#", e.Filter)
		require.ErrorIs(t, s.Check(t.Context()), e)
		require.Equal(t, []string{"t/#", "u/#"}, b.Subscriptions("c1"))

		require.NoError(t, s.SetSubscriptions(t.Context(), filters("t/#")), "back")
		require.NoError(t, s.Check(t.Context()))
		require.Equal(t, []string{"t/#"}, b.Subscriptions("c1"))

		require.Error(t, s.SetSubscriptions(t.Context(), filters("secret/#")))
		open.Store(true)
		time.Sleep(time.Minute)
		require.NoError(t, s.Check(t.Context()), "it is tried again")
		require.Equal(t, []string{"secret/#"}, b.Subscriptions("c1"))
	})
}

func TestUnsubscribeRefused(t *testing.T) {
	var refused atomic.Bool
	opts := mqttfake.Options{Unsuback: func(string) byte {
		if refused.CompareAndSwap(false, true) {
			return packets.UnsubackNotAuthorized
		}
		return 0
	}}
	withFake(t, opts, nil, func(t *testing.T, b *mqttfake.Broker, s *Source) {
		refused.Store(false)
		require.ErrorContains(t, s.SetSubscriptions(t.Context(), filters("u")), `refused to end the subscription to "t/#"`)
		time.Sleep(time.Second)
		require.NoError(t, s.Check(t.Context()))
		require.Equal(t, []string{"u"}, b.Subscriptions("c1"))
	})
}

// TestOptionsOfASubscriptionChange replaces a subscription by itself with other
// options.
func TestOptionsOfASubscriptionChange(t *testing.T) {
	withFake(t, mqttfake.Options{}, nil, func(t *testing.T, b *mqttfake.Broker, s *Source) {
		require.NoError(t, s.SetSubscriptions(t.Context(), []Subscription{{Filter: "t/#", QoS: 0}}))
		send(b, 1, 0, 1)
		require.Zero(t, readN(t, s, 1)[0].QoS)
	})
}

func TestDivide(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := Config{Connections: rapid.IntRange(1, 5).Draw(t, "connections")}
		draw := func() []Subscription {
			names := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f", "g", "h", "$share/g/x"}), 1, 9, rapid.ID).Draw(t, "filters")
			return filters(names...)
		}
		var parts [][]Subscription
		where := map[string]int{}
		for range rapid.IntRange(1, 4).Draw(t, "changes") {
			cfg.Filters = draw()
			parts = cfg.divide(parts)
			times := map[string]int{}
			for i, part := range parts {
				for _, s := range part {
					times[s.Filter]++
					if at, ok := where[s.Filter]; ok && !isShared(s.Filter) && at != i {
						t.Fatalf("%s has moved", s.Filter)
					}
				}
			}
			clear(where)
			for i, part := range parts {
				for _, s := range part {
					where[s.Filter] = i
				}
			}
			for _, s := range cfg.Filters {
				want := 1
				if isShared(s.Filter) {
					want = cfg.Connections
				}
				if times[s.Filter] != want {
					t.Fatalf("%s: %d times", s.Filter, times[s.Filter])
				}
			}
			if len(times) != len(cfg.Filters) {
				t.Fatal("a filter that is not wanted")
			}
		}
	})
}
