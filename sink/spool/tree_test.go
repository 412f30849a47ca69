package spool

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	bolt "go.etcd.io/bbolt"
)

// storeFile makes a file by the store with n keys, in several transactions.
func storeFile(t testing.TB, n int) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	db, err := bolt.Open(path, 0o600, nil)
	require.NoError(t, err)
	for from := 0; from <= n; from += 100 {
		require.NoError(t, db.Update(func(tx *bolt.Tx) error {
			b, err := tx.CreateBucketIfNotExists(bucketChunks)
			for i := from; err == nil && i < min(n, from+100); i++ {
				err = b.Put(testKey(i), testValue(i))
			}
			return err
		}))
	}
	require.NoError(t, db.Close())
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	return data
}

func testKey(i int) []byte   { return binary.BigEndian.AppendUint64(nil, uint64(i)) }
func testValue(i int) []byte { return bytes.Repeat(fmt.Append(nil, i), i%500) }

func TestTreeReadsWhatTheStoreWrites(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 5, 100, 3000} {
		data := storeFile(t, n)
		view, err := readTree(bytes.NewReader(data), int64(len(data)))
		require.NoError(t, err)
		require.False(t, view.worn)
		for _, from := range []int{0, n / 2, n} {
			i := from
			require.NoError(t, view.ascend(bucketChunks, testKey(from), func(key, value []byte) bool {
				require.Equal(t, testKey(i), key)
				require.Equal(t, string(testValue(i)), string(value))
				i++
				return true
			}))
			require.Equal(t, n, i, "from %d", from)
		}
		last, err := view.last(bucketChunks)
		require.NoError(t, err)
		if n > 0 {
			require.Equal(t, testKey(n-1), last)
		}
		require.NoError(t, view.check(bucketChunks, [][]byte{testKey(n), testKey(n / 2)}))
		require.NoError(t, view.checkFree())
		require.ErrorIs(t, view.ascend(bucketMeta, nil, nil), errDamaged)
	}
}

func FuzzTree(f *testing.F) {
	data := storeFile(f, 1000)
	f.Add(0, []byte{}, len(data))
	f.Add(4096*3+8, []byte{1, 0, 200}, len(data))
	f.Add(4096*5+12, []byte{255}, 50_000)
	f.Fuzz(func(t *testing.T, at int, patch []byte, size int) {
		spoilt := bytes.Clone(data[:min(len(data), max(0, size))])
		copy(spoilt[min(len(spoilt), max(0, at)):], patch)
		view, err := readTree(bytes.NewReader(spoilt), int64(len(spoilt)))
		if err != nil {
			require.ErrorIs(t, err, errDamaged)
			return
		}
		var before []byte
		err = view.ascend(bucketChunks, nil, func(key, _ []byte) bool {
			require.Negative(t, bytes.Compare(before, key), "order")
			before = key
			return true
		})
		if err != nil {
			require.ErrorIs(t, err, errDamaged)
		}
		_, _ = view.last(bucketChunks)
		_ = view.check(bucketChunks, [][]byte{testKey(10_000)})
		_ = view.checkFree()
	})
}
