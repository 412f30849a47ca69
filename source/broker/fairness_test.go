package broker

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/bridge/bridgetest"
)

// slowPerKey is a sink that takes one record of a key at a time, in 20 ms.
func slowPerKey() *bridgetest.Sink {
	return &bridgetest.Sink{
		Max: bridge.Limits{LaneRecords: 1},
		Before: func(ctx context.Context, _ *bridge.Batch) error {
			select {
			case <-time.After(20 * time.Millisecond):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		},
	}
}

// publishPacket makes a PUBLISH packet of MQTT 3.1.1 to the topic "t".
func publishPacket(qos byte, id int, payload string) []byte {
	p := []byte{0x30 | qos<<1, byte(3 + len(payload)), 0, 1, 't'}
	if qos > 0 {
		p[1] += 2
		p = append(p, byte(id>>8), byte(id))
	}
	return append(p, payload...)
}

// TestFloodingDeviceStarvesNobody: 50 devices send ten messages a second each, while
// one sends as fast as it can, to a sink that writes one record of a key at a time.
// The devices keep their rate, and the flood goes as fast as its key allows.
func TestFloodingDeviceStarvesNobody(t *testing.T) {
	t.Parallel()
	for _, qos := range []byte{0, 1} {
		t.Run(fmt.Sprint("QoS ", qos), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { flood(t, qos) })
		})
	}
}

func flood(t *testing.T, qos byte) {
	const (
		devices  = 50
		interval = 100 * time.Millisecond
		seconds  = 10
	)
	src, dial := openPipes(t, Config{})
	sink := slowPerKey()
	p, err := bridge.New(bridge.Config{
		Sources: map[string]bridge.Source{"broker": src},
		Rules: map[string]bridge.Rule{"all": bridge.RuleFunc(func(out *bridge.Out, m *bridge.Message) error {
			out.Add(bridge.Record{Key: []byte(m.ClientID), Data: m.Payload})
			return nil
		}, "t")},
		Sinks: map[string]bridge.Sink{"slow": sink},
		// Less than the flood would fill in a second.
		Queue:  bridge.QueueConfig{MaxRecords: 5000},
		Logger: src.log,
	})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	var running, clients sync.WaitGroup
	running.Go(func() { _ = p.Run(ctx) })

	var conns []net.Conn
	connect := func(id string) net.Conn {
		nc := dial()
		require.NoError(t, greet(nc, id))
		clients.Go(func() { discard(nc, nil) })
		conns = append(conns, nc)
		return nc
	}
	flooder := connect("flood")
	clients.Go(func() {
		for i := 0; ; i++ {
			if _, err := flooder.Write(publishPacket(qos, 1+i%60_000, "x")); err != nil {
				return
			}
		}
	})
	for d := range devices {
		nc := connect(fmt.Sprintf("dev-%02d", d))
		clients.Go(func() {
			for i := range seconds * int(time.Second/interval) {
				time.Sleep(interval)
				if _, err := nc.Write(publishPacket(qos, 1+i, fmt.Sprint(i))); err != nil {
					return
				}
			}
		})
	}
	time.Sleep(seconds*time.Second + interval)
	stored := make(map[string]int)
	for _, r := range sink.Records() {
		stored[r.Key]++
	}
	for d := range devices {
		require.GreaterOrEqual(t, stored[fmt.Sprintf("dev-%02d", d)], seconds*int(time.Second/interval)*9/10, "device %d", d)
	}
	most := seconds * 50
	require.InDelta(t, most, stored["flood"], float64(most)/10, "its key is used to the full")
	st := src.Stats()
	require.LessOrEqual(t, st.Unsettled, src.Limits().PublisherMessages+devices)
	require.Equal(t, 1, st.HeldBack)

	for _, nc := range conns {
		require.NoError(t, nc.Close())
	}
	cancel()
	running.Wait()
	clients.Wait()
	require.Empty(t, sink.Violations())
}
