package spool

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"
)

const (
	format      = "1"
	segmentExt  = ".seg"
	creatingExt = ".creating"
	corruptExt  = ".corrupt"
	lockTimeout = time.Second
)

// Buckets of a file.
var (
	bucketMeta    = []byte("meta")    // "format" -> formatText
	bucketChunks  = []byte("chunks")  // chunkKey -> chunk
	bucketSettled = []byte("settled") // first record -> end, of ranges in any segment

	keyFormat = []byte("format")
)

// disk is a segment in a file of its own. The committer writes it by the store,
// from the first transaction to the first that fails; everybody may read it, by
// a tree.
type disk struct {
	path string
	db   *bolt.DB // nil when it is read only; the committer's own
	file *os.File
	info os.FileInfo // of file

	mu   sync.Mutex
	view tree // as of the last transaction
	// The store reuses the pages that a transaction has freed in the one after
	// the next. So readers hold the lock of their view, by the parity of its
	// transaction, and the committer waits for those of the view before the
	// last.
	reading [2]sync.RWMutex
}

func segmentPath(dir string, first uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%020d%s", first, segmentExt))
}

// parseSegmentPath returns the number of a segment's first record.
func parseSegmentPath(path string) (uint64, bool) {
	name, ok := strings.CutSuffix(filepath.Base(path), segmentExt)
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseUint(name, 10, 64)
	return n, err == nil
}

// createDisk makes a file that is either complete or not there: it gets its name
// when it is ready, with the chunks and marks that are given.
func createDisk(cfg Config, first uint64, chunks []chunk, marks []span) (d *disk, err error) {
	path := segmentPath(cfg.Dir, first)
	creating := path + creatingExt
	err = guard(func() error {
		db, err := bolt.Open(creating, 0o600, writeOptions(cfg))
		if err != nil {
			return err
		}
		err = db.Update(func(tx *bolt.Tx) error {
			for _, name := range [][]byte{bucketMeta, bucketChunks, bucketSettled} {
				if _, err := tx.CreateBucket(name); err != nil {
					return err
				}
			}
			if err := put(tx, chunks, marks); err != nil {
				return err
			}
			return tx.Bucket(bucketMeta).Put(keyFormat, formatText(format))
		})
		return errors.Join(err, db.Close())
	})
	if err == nil {
		err = os.Rename(creating, path)
	}
	if err != nil {
		_ = os.Remove(creating)
		return nil, err
	}
	if err := syncDir(cfg); err != nil {
		return nil, err
	}
	d, err = openDisk(path)
	if err != nil {
		return nil, err
	}
	err = guard(func() (err error) {
		d.db, err = bolt.Open(path, 0o600, writeOptions(cfg))
		return err
	})
	if err != nil {
		return nil, errors.Join(err, d.file.Close())
	}
	return d, nil
}

// formatText is a version with a checksum, so that damage is not taken for a
// newer version.
func formatText(version string) []byte {
	return fmt.Appendf(nil, "%s %08x", version, crc32.Checksum([]byte(version), castagnoli))
}

func writeOptions(cfg Config) *bolt.Options {
	return &bolt.Options{
		Timeout:         lockTimeout,
		FreelistType:    bolt.FreelistMapType,
		InitialMmapSize: int(cfg.segmentBytes()),
		NoSync:          cfg.Mode == Volatile,
		NoGrowSync:      cfg.Mode == Volatile,
		NoStatistics:    true,
	}
}

// syncDir makes a new name durable.
func syncDir(cfg Config) error {
	if cfg.Mode == Volatile || runtime.GOOS == "windows" { // which has no such call
		return nil
	}
	d, err := os.Open(cfg.Dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// openDisk opens a file for reading.
func openDisk(path string) (*disk, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	d := &disk{path: path, file: f}
	d.info, err = f.Stat()
	if err == nil {
		d.view, err = openTree(f)
	}
	if err == nil {
		err = d.checkFormat()
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return d, nil
}

func (d *disk) checkFormat() error {
	var text []byte
	err := d.view.ascend(bucketMeta, keyFormat, func(_, value []byte) bool {
		text = value
		return false
	})
	version, _, _ := strings.Cut(string(text), " ")
	switch {
	case err != nil:
		return err
	case !bytes.Equal(text, formatText(version)):
		return fmt.Errorf("%w: the version is unreadable", errDamaged)
	case version != format:
		return fmt.Errorf("%s: %w %q; this version reads %q", d.path, ErrFormat, version, format)
	}
	return nil
}

// put writes chunks and marks in one transaction and returns the size of the
// file. After an error nothing may be put any more.
func (d *disk) put(chunks []chunk, marks []span) (int64, error) {
	if err := d.check(chunks, marks); err != nil {
		return 0, err
	}
	before := &d.reading[(d.view.txid+1)%2]
	err := guard(func() error {
		before.Lock() // when those who read that view have ended; nobody begins to
		defer before.Unlock()
		return d.db.Update(func(tx *bolt.Tx) error { return put(tx, chunks, marks) })
	})
	if errors.Is(err, errDamaged) {
		// To close a store that has met damage may wait for ever for what it has
		// locked. So it is left alone for as long as the program runs.
		d.db = nil
	}
	if err != nil {
		return 0, err
	}
	view, err := openTree(d.file)
	if err != nil {
		return 0, err
	}
	d.mu.Lock()
	d.view = view
	d.mu.Unlock()
	return view.size(), nil
}

// check looks at what the store will need for a transaction.
func (d *disk) check(chunks []chunk, marks []span) error {
	there, err := os.Stat(d.path)
	if err == nil && !os.SameFile(there, d.info) {
		err = os.ErrNotExist
	}
	if err != nil {
		return fmt.Errorf("%w: the file is gone: %w", errDamaged, err)
	}
	view, err := openTree(d.file)
	if err != nil {
		return err
	}
	if view.txid != d.view.txid || view.worn {
		return fmt.Errorf("%w: the last transaction", errDamaged)
	}
	var keys [][]byte
	for _, m := range marks {
		keys = append(keys, binary.BigEndian.AppendUint64(nil, m.first))
	}
	err = errors.Join(view.checkFree(), view.check(bucketSettled, keys))
	if n := len(chunks); n > 0 {
		err = errors.Join(err, view.check(bucketChunks, [][]byte{chunks[n-1].key()}))
	}
	return err
}

func put(tx *bolt.Tx, chunks []chunk, marks []span) error {
	settled := tx.Bucket(bucketSettled)
	for _, m := range marks {
		k := binary.BigEndian.AppendUint64(make([]byte, 0, 8), m.first)
		v := binary.BigEndian.AppendUint64(make([]byte, 0, 8), m.end)
		if err := settled.Put(k, v); err != nil {
			return err
		}
	}
	bucket := tx.Bucket(bucketChunks)
	bucket.FillPercent = 1 // keys only grow
	for _, c := range chunks {
		if err := bucket.Put(c.key(), c.data); err != nil {
			return err
		}
	}
	return nil
}

// marks returns the ranges that the file says are settled, and an error when it
// may have said so of others.
func (d *disk) marks() (list []span, err error) {
	err = d.view.ascend(bucketSettled, nil, func(k, v []byte) bool {
		if len(k) == 8 && len(v) == 8 {
			list = append(list, span{binary.BigEndian.Uint64(k), binary.BigEndian.Uint64(v)})
		}
		return true
	})
	return list, err
}

// end returns the number behind the last record, and an error when there may be
// some behind it.
func (d *disk) end(first uint64) (uint64, error) {
	key, err := d.view.last(bucketChunks)
	if key == nil {
		return first, err
	}
	seq, count, ok := parseChunkKey(key)
	if !ok || seq < first {
		return first, fmt.Errorf("%w: a chunk with a wrong key", errDamaged)
	}
	return seq + uint64(count), err
}

// read implements store.
func (d *disk) read(pos, end uint64, want func(chunk) bool) error {
	d.mu.Lock()
	view := d.view
	reading := &d.reading[view.txid%2]
	reading.RLock()
	d.mu.Unlock()
	defer reading.RUnlock()
	return view.ascend(bucketChunks, binary.BigEndian.AppendUint64(nil, pos), func(k, v []byte) bool {
		seq, count, ok := parseChunkKey(k)
		return !ok || seq < end && want(chunk{seq, count, v})
	})
}

// settle implements store. What is settled stays in the file.
func (*disk) settle(uint64) int64 { return 0 }

// release implements store.
func (d *disk) release() error {
	db := d.db
	d.db = nil
	if db == nil {
		return nil
	}
	return guard(db.Close)
}

// sync makes durable what was written without.
func (d *disk) sync() error { return d.file.Sync() }

func (d *disk) close() error { return errors.Join(d.release(), d.file.Close()) }

// remove implements store. The file is cut off first, because a store that was
// left open would keep the space.
func (d *disk) remove() error {
	return errors.Join(d.close(), os.Truncate(d.path, 0), os.Remove(d.path))
}

// keepAside renames a damaged file, so that somebody may look at it.
func keepAside(path string) (string, error) {
	to := path + corruptExt
	for i := 2; ; i++ {
		if _, err := os.Lstat(to); os.IsNotExist(err) {
			return to, os.Rename(path, to)
		}
		to = fmt.Sprintf("%s-%d%s", path, i, corruptExt)
	}
}

// guard runs f and turns what the store does when it meets damaged pages, a
// panic or a memory fault, into an error.
func guard(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", errDamaged, p)
		}
	}()
	return f()
}
