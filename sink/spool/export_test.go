package spool

import (
	"testing"

	bolt "go.etcd.io/bbolt"
)

// SetFormat changes what a file says about its format.
func SetFormat(t *testing.T, path, version string) {
	t.Helper()
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.Update(func(tx *bolt.Tx) error {
		return tx.Bucket(bucketMeta).Put(keyFormat, formatText(version))
	}); err != nil {
		t.Fatal(err)
	}
}
