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
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

const (
	format      = "1"
	segmentExt  = ".seg"
	creatingExt = ".creating"
	corruptExt  = ".corrupt"
	lockTimeout = time.Second
)

// Buckets of a segment.
var (
	bucketMeta    = []byte("meta")    // "format" -> formatText
	bucketChunks  = []byte("chunks")  // chunkKey -> chunk
	bucketSettled = []byte("settled") // first record -> end, of ranges in any segment

	keyFormat = []byte("format")
)

// segment is one file. The fields below the line are guarded by Buffer.mu.
type segment struct {
	path  string
	db    *bolt.DB
	first uint64

	end    uint64 // behind its last record that may be read
	chunks int    // that are not settled
	unread uint64 // records that the source has not read
	size   int64
	sealed bool   // takes nothing more
	gone   bool   // removed or kept aside
	marked []span // settled in an earlier run
}

// span is a range of records: first to end-1.
type span struct{ first, end uint64 }

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

// createSegment makes a file that is either complete or not there: it gets its
// name when it is ready.
func createSegment(cfg Config, first uint64) (s *segment, err error) {
	path := segmentPath(cfg.Dir, first)
	creating := path + creatingExt
	defer func() {
		if err != nil {
			_ = os.Remove(creating)
		}
	}()
	db, err := bolt.Open(creating, 0o600, writeOptions(cfg))
	if err != nil {
		return nil, err
	}
	err = db.Update(func(tx *bolt.Tx) error {
		for _, name := range [][]byte{bucketMeta, bucketChunks, bucketSettled} {
			if _, err := tx.CreateBucket(name); err != nil {
				return err
			}
		}
		return tx.Bucket(bucketMeta).Put(keyFormat, formatText(format))
	})
	if err = errors.Join(err, db.Close()); err != nil {
		return nil, err
	}
	if err := os.Rename(creating, path); err != nil {
		return nil, err
	}
	if err := syncDir(cfg); err != nil {
		return nil, err
	}
	db, err = bolt.Open(path, 0o600, writeOptions(cfg))
	if err != nil {
		return nil, err
	}
	return &segment{path: path, db: db, first: first, end: first}, nil
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

// openSegment opens a file of an earlier run. It is not written again, so
// nothing can be made worse than it is.
func openSegment(path string, first uint64) (*segment, error) {
	s := &segment{path: path, first: first, sealed: true}
	err := guard(func() error {
		if info, err := os.Stat(path); err != nil || info.Size() == 0 {
			return errors.Join(errDamaged, err)
		}
		db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: lockTimeout, ReadOnly: true, NoStatistics: true})
		if err != nil {
			return err
		}
		s.db = db
		return verify(path, db)
	})
	if err != nil {
		return nil, err
	}
	return s, s.view(func(tx *bolt.Tx) error {
		s.size = tx.Size()
		meta := tx.Bucket(bucketMeta)
		if meta == nil || tx.Bucket(bucketChunks) == nil || tx.Bucket(bucketSettled) == nil {
			return fmt.Errorf("%w: a part is missing", errDamaged)
		}
		text := meta.Get(keyFormat)
		version, _, _ := strings.Cut(string(text), " ")
		switch {
		case !bytes.Equal(text, formatText(version)):
			return fmt.Errorf("%w: the version is unreadable", errDamaged)
		case version != format:
			return fmt.Errorf("%s: %w %q; this version reads %q", path, ErrFormat, version, format)
		}
		return nil
	})
}

// marks returns the ranges that the segment says are settled.
func (s *segment) marks() (list []span, err error) {
	err = s.view(func(tx *bolt.Tx) error {
		return tx.Bucket(bucketSettled).ForEach(func(k, v []byte) error {
			if len(k) == 8 && len(v) == 8 {
				list = append(list, span{binary.BigEndian.Uint64(k), binary.BigEndian.Uint64(v)})
			}
			return nil
		})
	})
	return list, err
}

// scan counts what is in the segment, below the number limit and not settled.
func (s *segment) scan(limit uint64) (records uint64, err error) {
	s.chunks, s.end = 0, s.first
	err = s.view(func(tx *bolt.Tx) error {
		return tx.Bucket(bucketChunks).ForEach(func(k, _ []byte) error {
			seq, count, ok := parseChunkKey(k)
			if !ok || seq < s.end {
				return fmt.Errorf("%w: chunk keys are out of order", errDamaged)
			}
			if seq >= limit {
				return nil // of a commit that failed; its records went elsewhere
			}
			s.end = seq + uint64(count)
			if !covers(s.marked, seq) {
				s.chunks++
				records += uint64(count)
			}
			return nil
		})
	})
	return records, err
}

// rawChunk is a copy of a chunk.
type rawChunk struct{ key, value []byte }

// read copies chunks from record number pos on, until it has want records or
// enough bytes.
func (s *segment) read(pos, end uint64, want int) (list []rawChunk, err error) {
	err = s.view(func(tx *bolt.Tx) error {
		c := tx.Bucket(bucketChunks).Cursor()
		from := binary.BigEndian.AppendUint64(make([]byte, 0, 8), pos)
		bytes := 0
		for k, v := c.Seek(from); k != nil && want > 0 && bytes < readBytes; k, v = c.Next() {
			seq, count, ok := parseChunkKey(k)
			if !ok || seq < pos {
				return fmt.Errorf("%w: chunk keys are out of order", errDamaged)
			}
			if seq >= end {
				return nil
			}
			if covers(s.marked, seq) {
				continue
			}
			raw := append(append(make([]byte, 0, len(k)+len(v)), k...), v...)
			list = append(list, rawChunk{raw[:len(k):len(k)], raw[len(k):]})
			want -= count
			bytes += len(v)
		}
		return nil
	})
	return list, err
}

// readBytes is how much is read at once, unless one chunk is larger.
const readBytes = 1 << 20

// view runs f in a read transaction.
func (s *segment) view(f func(*bolt.Tx) error) error {
	return guard(func() error { return s.db.View(f) })
}

// remove deletes the file. Reads that are under way end first.
func (s *segment) remove() error {
	return errors.Join(s.db.Close(), os.Remove(s.path))
}

// keepAside renames a file that cannot be read, so that somebody may look at
// it. It is not closed: after a panic inside the store that might wait for ever.
func (s *segment) keepAside() (string, error) { return keepAside(s.path) }

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

// isDamage tells damage of a file from trouble of another kind.
func isDamage(err error) bool {
	return errors.Is(err, errDamaged) || errors.Is(err, bolterrors.ErrInvalid) ||
		errors.Is(err, bolterrors.ErrChecksum) || errors.Is(err, bolterrors.ErrVersionMismatch) ||
		errors.Is(err, bolterrors.ErrInvalidMapping)
}

// covers tells whether a number is in one of the sorted ranges.
func covers(list []span, seq uint64) bool {
	lo, hi := 0, len(list)
	for lo < hi {
		if mid := (lo + hi) / 2; list[mid].end <= seq {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo < len(list) && list[lo].first <= seq
}
