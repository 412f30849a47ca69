package spool_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/sink/spool"
	"github.com/stretchr/testify/require"
)

// smallDisk mounts a file system of one megabyte.
func smallDisk(t *testing.T) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("mounting a small file system needs root")
	}
	dir := t.TempDir()
	if out, err := exec.CommandContext(t.Context(), "mount", "-t", "tmpfs", "-o", "size=1m", "sluice-test", dir).CombinedOutput(); err != nil {
		t.Skipf("cannot mount a small file system: %s", out)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// TestFullDisk fills the disk, and empties it by reading, by deleting and by
// opening the buffer again. It is not parallel to tests that start processes:
// those inherit open files for a moment, whose space is then not free yet.
func TestFullDisk(t *testing.T) {
	dir := smallDisk(t)
	cfg := spool.Config{Dir: dir, MaxBytes: 8 << 20}
	buf := open(t, cfg)
	sink, source := buf.Sink(), buf.Source()
	next, read := 0, 0
	for range 3 {
		next = fill(t, sink, next)
		require.ErrorIs(t, sink.Check(t.Context()), bridge.ErrUnavailable)
		require.NotZero(t, buf.Stats().FailedCommits)
		for _, m := range take(t, source, next-read) {
			require.Equal(t, read, number(t, &m))
			read++
			m.Delivery.Done(bridge.Stored, nil)
		}
		// What is settled is removed before the next commit.
		require.NoError(t, sink.Write(t.Context(), records(next, next+50)))
		next += 50
		require.NoError(t, sink.Check(t.Context()))
	}

	next = fill(t, sink, next)
	require.NoError(t, buf.Close())
	buf = open(t, cfg) // on a full disk
	sink, source = buf.Sink(), buf.Source()
	require.EqualValues(t, next-read, buf.Stats().Pending)
	for _, m := range takeAll(t, source) {
		require.Equal(t, read, number(t, &m))
		read++
		m.Delivery.Done(bridge.Stored, nil)
	}
	require.Equal(t, next, read)
	require.NoError(t, sink.Write(t.Context(), records(next, next+50)))
	s := buf.Stats()
	require.Zero(t, s.DamagedFiles+s.DamagedRecords)
	require.NoError(t, buf.Close())
}

// fill writes until the disk is full.
func fill(t *testing.T, sink *spool.Sink, next int) int {
	t.Helper()
	for {
		err := sink.Write(t.Context(), records(next, next+50))
		if err != nil {
			require.ErrorIs(t, err, bridge.ErrUnavailable)
			require.ErrorIs(t, err, syscall.ENOSPC)
			return next
		}
		next += 50
		require.Less(t, next, 20_000)
	}
}

// TestFullDiskByOthers takes the space away and gives it back.
func TestFullDiskByOthers(t *testing.T) {
	dir := smallDisk(t)
	buf := open(t, spool.Config{Dir: filepath.Join(dir, "spool")})
	sink := buf.Sink()
	require.NoError(t, sink.Write(t.Context(), records(0, 50)))
	other := filepath.Join(dir, "other")
	for size := 1 << 20; size >= 4096; size /= 2 { // as much as there is room for
		f, err := os.OpenFile(other, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		require.NoError(t, err)
		_, _ = f.Write(make([]byte, size))
		require.NoError(t, f.Close())
	}
	for i := range 3 {
		require.ErrorIs(t, sink.Write(t.Context(), records(50, 100)), bridge.ErrUnavailable, "write %d", i)
	}
	require.NoError(t, os.Remove(other))
	require.NoError(t, sink.Write(t.Context(), records(50, 100)))
	for i, m := range take(t, buf.Source(), 100) {
		require.Equal(t, i, number(t, &m))
		m.Delivery.Done(bridge.Stored, nil)
	}
	require.NoError(t, buf.Close())
}
