// Package boltstore keeps the sessions and retained messages of an embedded broker
// in a file, so that they outlive the process.
//
//	store, err := boltstore.Open("/var/lib/bridge/broker.db")
//	…
//	src, err := broker.New(broker.Config{Store: store})
package boltstore

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/sluiceio/sluice/source/broker"
)

// Store is a file of go.etcd.io/bbolt. It implements broker.Store.
type Store struct{ db *bbolt.DB }

var _ broker.Store = (*Store)(nil)

const (
	lockTimeout = time.Second
	bucket      = "broker"
)

// Open opens the file, which is made with mode 0600 if there is none. A file that
// another process has open is an error after a second.
func Open(path string) (*Store, error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{
		Timeout:        lockTimeout,
		FreelistType:   bbolt.FreelistMapType,
		NoFreelistSync: true, // smaller commits for a slower start after a crash
	})
	switch {
	case errors.Is(err, berrors.ErrTimeout):
		return nil, fmt.Errorf("boltstore: %s is in use by another process", path)
	case err != nil:
		return nil, fmt.Errorf("boltstore: %s: %w", path, err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucketIfNotExists([]byte(bucket))
		return err
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("boltstore: %s: %w", path, err), db.Close())
	}
	return &Store{db}, nil
}

// Load implements broker.Store.
func (s *Store) Load(f func(key string, value []byte) error) error {
	return s.db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte(bucket)).ForEach(func(k, v []byte) error { return f(string(k), v) })
	})
}

// Apply implements broker.Store, in one transaction that ends with an fsync.
func (s *Store) Apply(changes []broker.Change) error {
	// In order, so that neighbours share pages.
	slices.SortFunc(changes, func(a, b broker.Change) int { return strings.Compare(a.Key, b.Key) })
	return s.db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte(bucket))
		for _, c := range changes {
			var err error
			if c.Value == nil {
				err = b.Delete([]byte(c.Key))
			} else {
				err = b.Put([]byte(c.Key), c.Value)
			}
			if err != nil {
				return fmt.Errorf("boltstore: %q: %w", c.Key, err)
			}
		}
		return nil
	})
}

// Close implements broker.Store.
func (s *Store) Close() error { return s.db.Close() }
