package spool_test

import (
	"testing"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/sink/spool"
	"github.com/stretchr/testify/require"
)

func volatile(t *testing.T) spool.Config {
	return spool.Config{Dir: t.TempDir(), MaxBytes: 16 << 20, MemoryBytes: 200_000, Mode: spool.Volatile}
}

// write appends n records in batches of 50.
func write(t *testing.T, sink *spool.Sink, from, n int) {
	t.Helper()
	for i := from; i < from+n; i += 50 {
		require.NoError(t, sink.Write(t.Context(), records(i, i+50)))
	}
}

// settleInOrder reads n records, which must come in order, and settles them.
func settleInOrder(t *testing.T, source *spool.Source, from, n int) {
	t.Helper()
	for i, m := range take(t, source, n) {
		require.Equal(t, from+i, number(t, &m))
		m.Delivery.Done(bridge.Stored, nil)
	}
}

func TestMemoryComesFirst(t *testing.T) {
	t.Parallel()
	cfg := volatile(t)
	buf := open(t, cfg)
	sink, source := buf.Sink(), buf.Source()

	for i := range 100 { // what is settled makes room
		write(t, sink, i*500, 500)
		settleInOrder(t, source, i*500, 500)
	}
	require.Empty(t, segments(t, cfg.Dir), "nothing was written to disk")
	require.Zero(t, buf.Stats().MemoryBytes)

	write(t, sink, 0, 5000) // five times more than there is room for
	s := buf.Stats()
	require.NotEmpty(t, segments(t, cfg.Dir))
	require.Equal(t, 1, s.Files)
	require.LessOrEqual(t, s.MemoryBytes, cfg.MemoryBytes)
	require.Greater(t, s.MemoryBytes, cfg.MemoryBytes*9/10, "all of the memory is used")
	settleInOrder(t, source, 0, 2500)
	require.Zero(t, buf.Stats().MemoryBytes)
	write(t, sink, 5000, 500)
	require.Zero(t, buf.Stats().MemoryBytes, "the file goes on until it is full or has been read")
	settleInOrder(t, source, 2500, 3000)
	write(t, sink, 5500, 500)
	require.NotZero(t, buf.Stats().MemoryBytes)
	require.Empty(t, segments(t, cfg.Dir), "a file that has been read is removed")
	settleInOrder(t, source, 5500, 500)
}

// TestMemoryAndDiskAlternate fills files and memory by turns: order holds across
// all of them, and across a stop, which writes everything to disk.
func TestMemoryAndDiskAlternate(t *testing.T) {
	t.Parallel()
	cfg := volatile(t)
	buf := open(t, cfg)
	sink, source := buf.Sink(), buf.Source()
	written, read := 0, 0
	for range 4 {
		write(t, sink, written, 8000) // a segment has a megabyte
		written += 8000
		settleInOrder(t, source, read, 5000)
		read += 5000
	}
	held := take(t, source, 2000) // some of them are settled, so that there are gaps
	for i := range held {
		if i%700 > 300 {
			held[i].Delivery.Done(bridge.Stored, nil)
		}
	}
	require.NoError(t, buf.Close())

	cfg.Mode, cfg.MemoryBytes = spool.Durable, 0 // the files are the same
	buf = open(t, cfg)
	last, there := -1, make(map[int]bool)
	for _, m := range takeAll(t, buf.Source()) {
		n := number(t, &m)
		require.Greater(t, n, last)
		last = n
		there[n] = true
		m.Delivery.Done(bridge.Stored, nil)
	}
	for i := read; i < written; i++ {
		settled := i < read+2000 && (i-read)%700 > 300
		require.True(t, there[i] || settled, "record %d is lost", i)
	}
	require.Less(t, len(there), written-read-800, "what was settled does not return, but for chunks")
	s := buf.Stats()
	require.Zero(t, s.Pending+s.DamagedRecords+s.DamagedFiles)
	require.NoError(t, buf.Close())
	require.Empty(t, segments(t, cfg.Dir))
}

// TestStopWithAFullDisk loses what is in memory, and says so.
func TestStopWithAFullDisk(t *testing.T) {
	dir := smallDisk(t)
	buf, err := spool.Open(spool.Config{Dir: dir, MaxBytes: 8 << 20, Mode: spool.Volatile, MemoryBytes: 2 << 20, Logger: quiet()})
	require.NoError(t, err)
	write(t, buf.Sink(), 0, 10_000)
	require.Empty(t, segments(t, dir))
	err = buf.Close()
	require.ErrorContains(t, err, "10000 records that were in memory are lost")
}

func TestQuotaCountsMemory(t *testing.T) {
	t.Parallel()
	cfg := spool.Config{Dir: t.TempDir(), MaxBytes: 1 << 20, MemoryBytes: 1 << 20, Mode: spool.Volatile}
	buf := open(t, cfg)
	sink, source := buf.Sink(), buf.Source()
	n := 0
	var err error
	for ; err == nil; n += 50 {
		require.Less(t, n, 20_000)
		err = sink.Write(t.Context(), records(n, n+50))
	}
	n -= 50
	require.ErrorIs(t, err, bridge.ErrThrottled)
	settleInOrder(t, source, 0, n)
	write(t, sink, n, 50)
	settleInOrder(t, source, n, 50)
}
