package spool_test

import (
	"testing"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/sink/spool"
	"github.com/stretchr/testify/require"
)

// TestWhatCannotBeDeliveredHoldsLittle keeps one record of 500 for ever while
// many times the quota goes through.
func TestWhatCannotBeDeliveredHoldsLittle(t *testing.T) {
	t.Parallel()
	cfg := spool.Config{Dir: t.TempDir(), MaxBytes: 4 << 20, Mode: spool.Volatile, MemoryBytes: -1}
	buf := open(t, cfg)
	sink, source := buf.Sink(), buf.Source()
	stuck := func(n int) bool { return n%500 == 250 }
	const rounds, perRound = 12, 5000
	var held []bridge.Message
	for round := range rounds {
		write(t, sink, round*perRound, perRound)
		for _, m := range take(t, source, perRound) {
			if stuck(number(t, &m)) {
				held = append(held, m)
			} else {
				m.Delivery.Done(bridge.Stored, nil)
			}
		}
		require.LessOrEqual(t, buf.Stats().Bytes, cfg.MaxBytes)
	}
	require.Len(t, held, rounds*perRound/500)
	held[0].Delivery.Done(bridge.Stored, nil) // from a file that has been rewritten
	require.NoError(t, buf.Close())

	for i := range 2 {
		buf = open(t, cfg)
		last, found := -1, 0
		var again []bridge.Message
		for _, m := range takeAll(t, buf.Source()) {
			n := number(t, &m)
			require.Greater(t, n, last, "order")
			last = n
			if stuck(n) {
				found++
				again = append(again, m)
			} else {
				m.Delivery.Done(bridge.Stored, nil) // it came with a stuck one
			}
		}
		require.Equal(t, len(held)-1, found)
		held, sink = again, buf.Sink()
		held[0].Delivery.Done(bridge.Stored, nil)
		require.NoError(t, sink.Write(t.Context(), records(100_000+i, 100_001+i)))
		s := buf.Stats()
		require.Zero(t, s.DamagedFiles+s.DamagedRecords)
		require.NoError(t, buf.Close())
	}
}
