package boltstore_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/source/broker"
	"github.com/sluiceio/sluice/source/broker/boltstore"
)

func entries(t *testing.T, s *boltstore.Store) (all []string) {
	t.Helper()
	require.NoError(t, s.Load(func(key string, value []byte) error {
		all = append(all, key+"="+string(value))
		return nil
	}))
	return all
}

func TestStore(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "broker.db")
	s, err := boltstore.Open(path)
	require.NoError(t, err)
	require.Empty(t, entries(t, s))
	require.NoError(t, s.Apply([]broker.Change{{Key: "b", Value: []byte("2")}, {Key: "a", Value: []byte("1")}, {Key: "c", Value: []byte("3")}}))
	require.NoError(t, s.Apply([]broker.Change{{Key: "b"}, {Key: "none"}, {Key: "c", Value: []byte{}}}))
	require.Equal(t, []string{"a=1", "c="}, entries(t, s))

	_, err = boltstore.Open(path)
	require.ErrorContains(t, err, "in use by another process")

	require.Error(t, s.Apply([]broker.Change{{Key: "d", Value: []byte("4")}, {Key: "", Value: []byte("no key")}}))
	require.Equal(t, []string{"a=1", "c="}, entries(t, s), "all or nothing")
	require.NoError(t, s.Close())

	s, err = boltstore.Open(path)
	require.NoError(t, err)
	require.Equal(t, []string{"a=1", "c="}, entries(t, s))
	require.NoError(t, s.Close())
	_, err = boltstore.Open(filepath.Join(path, "x"))
	require.Error(t, err)
}

func Example() {
	dir, err := os.MkdirTemp("", "broker")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	store, err := boltstore.Open(filepath.Join(dir, "broker.db"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer store.Close() // the source does it when it is closed
	_, err = broker.New(broker.Config{Store: store})
	fmt.Println(err)
	// Output: <nil>
}
