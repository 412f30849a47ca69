package spool_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/sink/spool"
	"github.com/stretchr/testify/require"
)

func segments(t testing.TB, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.seg"))
	require.NoError(t, err)
	return files
}

// spoil damages one of the files while they are in use: bytes anywhere, the
// heads of pages, whose damage does most, or the end of the file.
func spoil(t *testing.T, dir string, rnd *rand.Rand) {
	t.Helper()
	files := segments(t, dir)
	if len(files) == 0 {
		return
	}
	path := files[len(files)-1]
	if rnd.IntN(3) == 0 {
		path = files[rnd.IntN(len(files))]
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if os.IsNotExist(err) {
		return // removed meanwhile
	}
	require.NoError(t, err)
	defer f.Close()
	info, err := f.Stat()
	require.NoError(t, err)
	size := max(1, info.Size())
	if rnd.IntN(10) == 0 {
		require.NoError(t, f.Truncate(rnd.Int64N(size)))
		return
	}
	for range 1 + rnd.IntN(10) {
		at := rnd.Int64N(size)
		if rnd.IntN(2) == 0 {
			at = at/4096*4096 + rnd.Int64N(48)
		}
		var b [1]byte
		_, _ = f.ReadAt(b[:], at)
		b[0] ^= byte(1 + rnd.IntN(255))
		_, err = f.WriteAt(b[:], at)
		require.NoError(t, err)
	}
}

// TestDamageUnderLoad damages the files that a buffer writes and reads. It goes
// on, hands out what is intact in order, and accounts for what is not.
func TestDamageUnderLoad(t *testing.T) {
	t.Parallel()
	for seed := range uint64(6) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		var log bytes.Buffer
		cfg := spool.Config{Dir: t.TempDir(), MaxBytes: 16 << 20, Mode: spool.Volatile, MemoryBytes: -1, Logger: textLog(&log)}
		buf := open(t, cfg)
		sink, source := buf.Sink(), buf.Source()
		const batches, perBatch = 200, 40
		done := make(chan struct{})
		go func() {
			defer close(done)
			for i := range batches {
				at := i * perBatch
				for {
					err := sink.Write(t.Context(), records(at, at+perBatch))
					if err == nil {
						break
					}
					if !errors.Is(err, bridge.ErrUnavailable) { // which a queue would try again
						t.Errorf("seed %d: %v", seed, err)
						return
					}
				}
			}
		}()
		got, last := 0, -1
		read := func() {
			for _, m := range takeAll(t, source) {
				n := number(t, &m)
				require.Greater(t, n, last, "seed %d: order", seed)
				require.Equal(t, records(n, n+1).Records[0].Data, m.Payload, "seed %d: damage was handed out", seed)
				last = n
				got++
				m.Delivery.Done(bridge.Stored, nil)
			}
		}
		for running := true; running; {
			select {
			case <-done:
				running = false
			default:
			}
			if rnd.IntN(3) == 0 {
				spoil(t, cfg.Dir, rnd)
			}
			if rnd.IntN(2) == 0 {
				read()
			}
		}
		read()
		s := buf.Stats()
		require.EqualValues(t, batches*perBatch, s.Appended, "seed %d", seed)
		require.Equal(t, s.Appended, uint64(got)+s.DamagedRecords, "seed %d: every record is handed out or accounted for", seed)
		require.Zero(t, s.Pending, "seed %d", seed)
		require.Equal(t, s.DamagedFiles > 0, bytes.Contains(log.Bytes(), []byte("damaged")), "seed %d", seed)
		require.NoError(t, sink.Write(t.Context(), records(0, 10)), "it goes on")
		require.NoError(t, buf.Close())

		buf = open(t, cfg)
		require.LessOrEqual(t, len(takeAll(t, buf.Source())), 100, "seed %d: what was settled does not return", seed)
		require.NoError(t, buf.Close())
	}
}

// TestDamageOfTheNewestFile cuts off the file that is written, in every way that
// takes the store's memory map away from under it.
func TestDamageOfTheNewestFile(t *testing.T) {
	t.Parallel()
	for _, size := range []int64{0, 100, 8192, 100_000} {
		cfg := spool.Config{Dir: t.TempDir()}
		buf := open(t, cfg)
		sink, source := buf.Sink(), buf.Source()
		for i := range 40 {
			require.NoError(t, sink.Write(t.Context(), records(i*50, i*50+50)))
		}
		files := segments(t, cfg.Dir)
		require.NoError(t, os.Truncate(files[len(files)-1], size))
		require.NoError(t, sink.Write(t.Context(), records(2000, 2050)), "size %d: it goes elsewhere", size)
		var got []int
		for _, m := range takeAll(t, source) {
			got = append(got, number(t, &m))
			m.Delivery.Done(bridge.Stored, nil)
		}
		require.True(t, slices.IsSorted(got))
		require.Equal(t, numbers(2000, 2050), got[len(got)-50:])
		s := buf.Stats()
		require.EqualValues(t, 2050, uint64(len(got))+s.DamagedRecords, "size %d", size)
		require.EqualValues(t, 1, s.DamagedFiles)
		require.NoError(t, sink.Write(t.Context(), &bridge.Batch{Records: []bridge.Record{{Data: []byte("0 ")}}}))
		require.NoError(t, buf.Close())
		aside, err := filepath.Glob(filepath.Join(cfg.Dir, "*.corrupt"))
		require.NoError(t, err)
		require.Len(t, aside, 1, "size %d: the damaged file is kept", size)
	}
}

// TestDamageOfAnOldFile cuts off or spoils the first of several files while the
// buffer is closed. What is missing is known by the number of the next file's first
// record.
func TestDamageOfAnOldFile(t *testing.T) {
	t.Parallel()
	cfg := spool.Config{Dir: t.TempDir(), MaxBytes: 4 << 20}
	buf := open(t, cfg)
	sink, source := buf.Sink(), buf.Source()
	const written, settled = 6000, 10
	for i := 0; i < written; i += 50 {
		require.NoError(t, sink.Write(t.Context(), records(i, i+50)))
	}
	settleInOrder(t, source, 0, settled)
	require.NoError(t, buf.Close())
	files := segments(t, cfg.Dir)
	require.Greater(t, len(files), 2)
	whole, err := os.ReadFile(files[0])
	require.NoError(t, err)

	for size := 0; size <= len(whole); size += len(whole)/40 + 1 {
		for _, way := range []string{"cut off", "end of zeros", "a meta page"} {
			cfg.Dir = t.TempDir()
			for _, file := range files[1:] {
				data, err := os.ReadFile(file)
				require.NoError(t, err)
				require.NoError(t, os.WriteFile(filepath.Join(cfg.Dir, filepath.Base(file)), data, 0o600))
			}
			damaged := slices.Clone(whole[:size])
			switch way {
			case "end of zeros":
				damaged = append(damaged, make([]byte, len(whole)-size)...)
			case "a meta page": // one of the two
				damaged = slices.Clone(whole)
				damaged[(size%2)*4096+16+size%64] ^= 1
			}
			require.NoError(t, os.WriteFile(filepath.Join(cfg.Dir, filepath.Base(files[0])), damaged, 0o600))
			var log bytes.Buffer
			cfg.Logger = textLog(&log)
			buf := open(t, cfg)
			got := len(takeAll(t, buf.Source()))
			s := buf.Stats()
			require.EqualValues(t, got, s.Pending, "%d of %d bytes, %s", size, len(whole), way)
			require.NoError(t, buf.Close())
			require.GreaterOrEqual(t, uint64(got)+s.DamagedRecords, uint64(written-settled), "%d of %d bytes, %s: %s", size, len(whole), way, &log)
			require.LessOrEqual(t, uint64(got)+s.DamagedRecords, uint64(written), "%d of %d bytes, %s: %s", size, len(whole), way, &log)
			require.Equal(t, s.DamagedRecords > 0, bytes.Contains(log.Bytes(), []byte("records are lost")), "%s: %s", way, &log)
		}
	}
}

// TestDamageInCircles makes a branch of the newest file lead to itself and lets
// the overflow of others be endless. The store would follow that until its stack
// or the memory is full, which nothing can recover from.
func TestDamageInCircles(t *testing.T) {
	t.Parallel()
	for _, spoil := range map[string]func(page []byte){
		"branch": func(page []byte) {
			if binary.NativeEndian.Uint16(page[8:]) == 1 {
				for i := range int(binary.NativeEndian.Uint16(page[10:])) {
					copy(page[16+i*16+8:], page[:8])
				}
			}
		},
		"overflow": func(page []byte) { binary.NativeEndian.PutUint32(page[12:], 1<<30) },
	} {
		dir := t.TempDir()
		buf := open(t, spool.Config{Dir: dir})
		sink, source := buf.Sink(), buf.Source()
		for i := range 20 {
			require.NoError(t, sink.Write(t.Context(), records(i*100, i*100+100)))
		}
		files := segments(t, dir)
		require.Len(t, files, 1)
		data, err := os.ReadFile(files[0])
		require.NoError(t, err)
		damaged := slices.Clone(data)
		for at := 2 * 4096; at+4096 <= len(data); at += 4096 {
			if kind := binary.NativeEndian.Uint16(damaged[at+8:]); kind <= 16 && binary.NativeEndian.Uint64(damaged[at:]) == uint64(at/4096) {
				spoil(damaged[at : at+4096])
			}
		}
		require.NotEqual(t, data, damaged)
		f, err := os.OpenFile(files[0], os.O_WRONLY, 0)
		require.NoError(t, err)
		_, err = f.WriteAt(damaged, 0)
		require.NoError(t, errors.Join(err, f.Close()))

		require.NoError(t, sink.Write(t.Context(), records(2000, 2100)))
		got := takeAll(t, source)
		require.GreaterOrEqual(t, len(got), 100)
		s := buf.Stats()
		require.EqualValues(t, 2100, uint64(len(got))+s.DamagedRecords)
		require.EqualValues(t, 1, s.DamagedFiles)
		require.NoError(t, buf.Close())
	}
}

// TestRemovedFile removes the file that is written: what is in it can be read
// while the program runs, and nothing more is written to it.
func TestRemovedFile(t *testing.T) {
	t.Parallel()
	cfg := spool.Config{Dir: t.TempDir()}
	buf := open(t, cfg)
	sink, source := buf.Sink(), buf.Source()
	write(t, sink, 0, 100)
	require.NoError(t, os.Remove(segments(t, cfg.Dir)[0]))
	write(t, sink, 100, 100)
	settleInOrder(t, source, 0, 100)
	require.EqualValues(t, 1, buf.Stats().DamagedFiles)
	require.NoError(t, buf.Close())
	buf = open(t, cfg)
	settleInOrder(t, buf.Source(), 100, 100)
	require.NoError(t, buf.Close())
}

// TestDamageOfTheLock damages a file in which there is nothing.
func TestDamageOfTheLock(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 10, 5000, 20_000} {
		cfg := spool.Config{Dir: t.TempDir()}
		require.NoError(t, os.WriteFile(filepath.Join(cfg.Dir, "lock"), bytes.Repeat([]byte("x"), size), 0o600))
		buf := open(t, cfg)
		require.NoError(t, buf.Sink().Write(t.Context(), records(0, 1)))
		if size == 5000 {
			_, err := spool.Open(cfg)
			require.ErrorIs(t, err, spool.ErrLocked)
		}
		require.NoError(t, buf.Close())
	}
}
