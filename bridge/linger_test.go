package bridge_test

import (
	"context"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/bridge/bridgetest"
)

// slotted is a sink that aggregates 64 lanes, and takes 20 ms.
type slotted struct{ bridgetest.Sink }

func (*slotted) Lane(r *bridge.Record) (lane, group uint64) { return uint64(r.Key[0]) % 64, 0 }

// Lanes that linger share batches: however many there are, a batch leaves at most
// once in a quarter of the linger, and no record waits much longer for it.
func TestLingeringLanesShareBatches(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const linger, latency, rate, seconds = 10 * time.Millisecond, 20 * time.Millisecond, 5000, 10
		sink := new(slotted)
		sink.Max = bridge.Limits{Lanes: 500, LaneFill: 25_000, LaneBytes: 25_000, BatchTime: linger}
		sink.Before = func(context.Context, *bridge.Batch) error { time.Sleep(latency); return nil }
		r := run(t, bridge.Config{Sinks: map[string]bridge.Sink{"out": sink}})
		for range seconds * 1000 {
			for range rate / 1000 {
				r.src.Publish(message(string(rune(rand.IntN(64))), 0))
			}
			time.Sleep(time.Millisecond)
		}
		s := r.Stats().Sinks["out"]
		perSecond := float64(s.Writes) / seconds
		t.Logf("%.0f batches/s of %.1f records, p50 %v, p99 %v", perSecond, rate/perSecond, s.Latency.Quantile(0.5), s.Latency.Quantile(0.99))
		require.LessOrEqual(t, perSecond, float64(4*time.Second/linger))
		require.LessOrEqual(t, s.Latency.Max(), 2*latency+linger+linger/2)
		require.NoError(t, r.end())
		require.Empty(t, sink.Violations())
	})
}
