package spool

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// Errors of this package; match them with errors.Is.
var (
	// ErrClosed is the error of a write to a buffer that is closed.
	ErrClosed = errors.New("disk buffer is closed")
	// ErrFormat is why files of a newer version cannot be opened.
	ErrFormat = errors.New("unknown format")
	// ErrFull is why a write was refused: the files have reached MaxBytes.
	ErrFull = errors.New("disk buffer is full")
	// ErrLocked is the error of Open for a directory that is in use.
	ErrLocked = errors.New("directory is used by another buffer")
	// ErrTooLarge is why a record can never be stored.
	ErrTooLarge = errors.New("record is too large for the disk buffer")
)

// A Buffer keeps records on disk. Make one with Open. Its methods may be called
// concurrently.
//
// A pipeline closes the sides that it was given; the Buffer is closed with the
// last side that somebody asked for. Call Close where no pipeline does.
type Buffer struct {
	cfg   Config
	lock  *bolt.DB      // held open, so that nobody else opens the directory
	work  chan struct{} // the committer has something to do
	data  chan struct{} // the reader may have
	stop  chan struct{} // the committer ends
	ended chan struct{} // the committer has ended
	close sync.Once
	flush *time.Timer   // of settled ranges, when nothing is appended
	done  atomic.Uint64 // records settled

	mu       sync.Mutex
	segments []*segment // oldest first
	next     uint64     // number of the next record
	waiting  []*request // to be appended
	settled  []span     // to be marked
	marks    []span     // marked, of segments that exist; the committer's own
	armed    bool       // flush is set
	closed   bool       // takes nothing more
	sides    int        // handed out and not closed
	failing  error      // of the last commit
	stats    Stats
	closeErr error

	recovered uint64 // records of earlier runs
}

// Open opens the buffer in a directory and finds out what an earlier run has
// left there. Files that are damaged are kept aside and reported; it is an error
// when the directory is in use, cannot be written, or was written by a newer
// version.
func Open(cfg Config) (*Buffer, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	b := &Buffer{
		cfg:   cfg.withDefaults(),
		work:  make(chan struct{}, 1),
		data:  make(chan struct{}, 1),
		stop:  make(chan struct{}),
		ended: make(chan struct{}),
		next:  1,
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("disk buffer: %w", err)
	}
	lock, err := bolt.Open(filepath.Join(cfg.Dir, "lock"), 0o600, &bolt.Options{Timeout: lockTimeout})
	if errors.Is(err, bolterrors.ErrTimeout) {
		err = fmt.Errorf("%w: %s", ErrLocked, cfg.Dir)
	}
	if err != nil {
		return nil, fmt.Errorf("disk buffer: %w", err)
	}
	b.lock = lock
	if err := b.recover(); err != nil {
		return nil, errors.Join(fmt.Errorf("disk buffer: %w", err), b.closeFiles())
	}
	b.flush = time.AfterFunc(math.MaxInt64, func() { signal(b.work) })
	go b.commitLoop()
	return b, nil
}

// recover finds the segments of earlier runs.
func (b *Buffer) recover() error {
	paths, err := filepath.Glob(filepath.Join(b.cfg.Dir, "*"+segmentExt+"*"))
	if err != nil {
		return err
	}
	for _, path := range paths {
		if filepath.Ext(path) == creatingExt { // nothing was acknowledged in it
			if err := os.Remove(path); err != nil {
				return err
			}
			continue
		}
		first, ok := parseSegmentPath(path)
		if !ok {
			continue
		}
		if err := b.recoverSegment(path, first); err != nil {
			return err
		}
	}
	slices.SortFunc(b.segments, func(a, c *segment) int { return cmp.Compare(a.first, c.first) })
	if err := b.recoverMarks(); err != nil {
		return err
	}
	return b.recoverRecords()
}

func (b *Buffer) recoverSegment(path string, first uint64) error {
	s, err := openSegment(path, first)
	if err != nil && s != nil && errors.Is(err, ErrFormat) {
		return errors.Join(err, s.db.Close())
	}
	if err != nil {
		return b.damaged(path, err)
	}
	b.segments = append(b.segments, s)
	return nil
}

// damaged keeps a file aside, or returns the error if it is none of damage.
func (b *Buffer) damaged(path string, err error) error {
	if !isDamage(err) {
		return err
	}
	to, moved := keepAside(path)
	b.stats.DamagedFiles++
	b.cfg.Logger.Error("a file of the disk buffer is damaged and was kept aside; records in it are lost",
		slog.String("file", to), slog.Any("error", errors.Join(err, moved)))
	return moved
}

// recoverMarks distributes the settled ranges, which lie in any segment.
func (b *Buffer) recoverMarks() error {
	var marks []span
	for i := 0; i < len(b.segments); {
		s := b.segments[i]
		list, err := s.marks()
		if err != nil {
			if err := b.damaged(s.path, err); err != nil {
				return err
			}
			b.segments = slices.Delete(b.segments, i, i+1)
			continue
		}
		marks = append(marks, list...)
		i++
	}
	b.marks = mergeSpans(marks)
	for _, s := range b.segments {
		s.marked = slices.Clone(b.marks) // b.marks goes on changing
	}
	return nil
}

// recoverRecords counts what is left and removes the segments where that is
// nothing.
func (b *Buffer) recoverRecords() error {
	before := len(b.segments)
	for i := 0; i < len(b.segments); {
		s, limit := b.segments[i], uint64(math.MaxUint64)
		if i+1 < len(b.segments) {
			limit = b.segments[i+1].first
		}
		records, err := s.scan(limit)
		b.next = max(b.next, s.end)
		switch {
		case err != nil:
			err = b.damaged(s.path, err)
		case s.chunks == 0:
			err = s.remove()
		default:
			s.unread = records
			b.recovered += records
			i++
			continue
		}
		if err != nil {
			return err
		}
		b.segments = slices.Delete(b.segments, i, i+1)
	}
	if len(b.segments) < before {
		b.settled = b.surviving(slices.Clone(b.marks)) // they may have been in a file that is gone
		signal(b.work)
	}
	if n := b.recovered; n > 0 {
		b.cfg.Logger.Info("the disk buffer holds records of an earlier run",
			slog.String("dir", b.cfg.Dir), slog.Uint64("records", n))
	}
	return nil
}

// Sink returns the side that records are written to.
func (b *Buffer) Sink() *Sink {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sides++
	return &Sink{buf: b}
}

// Source returns the side that hands records out. Ask for it once: two sources
// would share the records.
func (b *Buffer) Source() *Source {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sides++
	return &Source{buf: b}
}

// closeSide closes the buffer with its last side.
func (b *Buffer) closeSide() error {
	b.mu.Lock()
	b.sides--
	last := b.sides == 0
	b.mu.Unlock()
	if last {
		return b.Close()
	}
	return nil
}

// Close ends the buffer. What is not settled stays on disk. Further calls return
// the result of the first.
func (b *Buffer) Close() error {
	b.close.Do(func() {
		b.mu.Lock()
		b.closed = true
		b.mu.Unlock()
		b.flush.Stop()
		close(b.stop)
		<-b.ended
		b.closeErr = b.closeFiles()
	})
	return b.closeErr
}

func (b *Buffer) closeFiles() error {
	b.mu.Lock()
	segments := b.segments
	b.segments = nil
	b.mu.Unlock()
	var errs []error
	for _, s := range segments {
		errs = append(errs, s.db.Close())
	}
	return errors.Join(append(errs, b.lock.Close())...)
}

// Check tells whether records can be written: nil, or why the last write was
// refused.
func (b *Buffer) Check(context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.failing
}

// signal wakes who waits on c, now or when it looks next.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// mergeSpans sorts the ranges and joins those that touch.
func mergeSpans(list []span) []span {
	slices.SortFunc(list, func(a, c span) int { return cmp.Compare(a.first, c.first) })
	merged := list[:0]
	for _, s := range list {
		merged = appendSpan(merged, s)
	}
	return merged
}

// appendSpan adds a range behind the others, and to the last one if it follows it.
func appendSpan(list []span, s span) []span {
	if n := len(list); n > 0 && list[n-1].end >= s.first && list[n-1].first <= s.first {
		list[n-1].end = max(list[n-1].end, s.end)
		return list
	}
	return append(list, s)
}
