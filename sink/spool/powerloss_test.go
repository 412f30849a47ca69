package spool_test

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/sink/spool"
	"github.com/stretchr/testify/require"
)

// TestPowerLoss makes the files that a loss of power may leave: before the first
// sync of a transaction any of its pages may have reached the disk, and after it
// all of them and perhaps the meta page. What was written before is always there.
func TestPowerLoss(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(1, 2))
	dir := t.TempDir()
	buf := open(t, spool.Config{Dir: dir})
	sink, source := buf.Sink(), buf.Source()
	settled, n := 0, 0
	var before []byte
	for round := range 12 {
		more := 1 + rnd.IntN(150)
		require.NoError(t, sink.Write(t.Context(), records(n, n+more)))
		files := segments(t, dir)
		require.Len(t, files, 1)
		after, err := os.ReadFile(files[0])
		require.NoError(t, err)
		for range 2 {
			if before == nil {
				break
			}
			written := rnd.IntN(3) > 0 // the pages are, the meta page may be
			torn := tear(rnd, before, after, written)
			requireRecords(t, filepath.Base(files[0]), torn, settled, n, n+more, round)
		}
		before = after
		n += more
		if rnd.IntN(3) == 0 { // marks change pages as well
			settled = n
			for _, m := range takeAll(t, source) {
				m.Delivery.Done(bridge.Stored, nil)
			}
			require.NoError(t, sink.Write(t.Context(), records(n, n+1)))
			n++
			before, err = os.ReadFile(files[0])
			require.NoError(t, err)
		}
	}
}

// tear mixes the pages of a file before and after a transaction.
func tear(rnd *rand.Rand, before, after []byte, written bool) []byte {
	const page = 4096
	before = append(bytes.Clone(before), make([]byte, max(0, len(after)-len(before)))...)
	torn := bytes.Clone(before)
	for at := 0; at+page <= len(after); at += page {
		if meta := at < 2*page; meta && (!written || rnd.IntN(2) == 0) || !meta && !written && rnd.IntN(2) == 0 {
			continue
		}
		copy(torn[at:at+page], after[at:at+page])
	}
	return torn
}

// requireRecords opens a file and expects records settled to n in it, and of
// those up to end all or none.
func requireRecords(t *testing.T, name string, data []byte, settled, n, end, round int) {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, name), data, 0o600))
	buf := open(t, spool.Config{Dir: dir})
	var got []int
	for _, m := range takeAll(t, buf.Source()) {
		got = append(got, number(t, &m))
	}
	if len(got) > n-settled {
		n = end
	}
	require.Equal(t, numbers(settled, n), got, "round %d", round)
	s := buf.Stats()
	require.Zero(t, s.DamagedFiles+s.DamagedRecords, "round %d", round)
	require.NoError(t, buf.Close())
}
