package spool

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
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

// A Buffer keeps records in front of a sink. Make one with Open. Its methods may be called
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
	armed    bool       // flush is set
	full     bool       // the quota was reached last time
	closed   bool       // takes nothing more
	sides    int        // handed out and not closed
	failing  error      // of the last commit
	stats    Stats
	closeErr error

	recovered uint64 // records of earlier runs

	// Of the committer alone.
	marks     []span // of segments that exist
	unwritten []span // those of them that are to be written
	group     int    // writes that came while the last commit was made, and its own
	took      time.Duration
	compactAt int64 // size at which to look for files to compact
	ending    bool
	unloadErr error
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
	lock, err := openLock(cfg.Dir)
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

// openLock keeps others out of a directory. There is nothing in the file that
// does so; a damaged one is made again.
func openLock(dir string) (lock *bolt.DB, err error) {
	path := filepath.Join(dir, "lock")
	open := func() (err error) {
		lock, err = bolt.Open(path, 0o600, &bolt.Options{Timeout: lockTimeout})
		return err
	}
	err = guard(open)
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, fmt.Errorf("%w: %s", ErrLocked, dir)
	}
	if file := new(fs.PathError); err != nil && !errors.As(err, &file) {
		err = errors.Join(os.Remove(path), guard(open))
	}
	return lock, err
}

// recover finds the segments of earlier runs.
func (b *Buffer) recover() error {
	paths, err := filepath.Glob(filepath.Join(b.cfg.Dir, "*"+segmentExt+"*"))
	if err != nil {
		return err
	}
	var lost []unreadable
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
		err := b.recoverFile(path, first)
		if u := (*unreadable)(nil); errors.As(err, &u) {
			lost = append(lost, *u)
		} else if err != nil {
			return err
		}
	}
	slices.SortFunc(b.segments, func(a, c *segment) int { return cmp.Compare(a.first, c.first) })
	b.marks = mergeSpans(b.marks)
	b.recoverRecords(lost)
	return nil
}

// recoverFile opens a file and reads what it says about itself and others. One that
// cannot be read is kept aside, and the error is *unreadable.
func (b *Buffer) recoverFile(path string, first uint64) error {
	d, err := openDisk(path)
	if errors.Is(err, errDamaged) {
		to, moved := keepAside(path)
		return cmp.Or(moved, error(&unreadable{to, first, err}))
	}
	if err != nil {
		return err
	}
	s := &segment{store: d, path: path, first: first, sealed: true, size: d.view.size()}
	marks, unmarked := d.marks()
	b.marks = append(b.marks, marks...)
	var cut error
	if s.end, cut = d.end(first); cut != nil || unmarked != nil || d.view.worn {
		b.damage(s, "parts of a file are unreadable; what they held is lost", slog.Any("error", errors.Join(unmarked, cut)))
	}
	b.segments = append(b.segments, s)
	return nil
}

// unreadable is a file of which nothing can be read, and that was kept aside.
type unreadable struct {
	path  string
	first uint64 // number of its first record
	err   error
}

func (u *unreadable) Error() string { return u.err.Error() }

// loseFile counts the records of a file that cannot be read: those up to the next
// file that are not settled, as far as the others say. Those of the last file are not
// known.
func (b *Buffer) loseFile(u unreadable) {
	args := []any{slog.String("file", u.path), slog.Uint64("first", u.first), slog.Any("error", u.err)}
	if i := slices.IndexFunc(b.segments, func(s *segment) bool { return s.first > u.first }); i >= 0 {
		next := b.segments[i].first
		lost := next - u.first - covered(b.marks, u.first, next)
		b.recovered += lost // Pending is what has come in less what has ended
		b.stats.DamagedRecords += lost
		args = append(args, slog.Uint64("records", lost))
	}
	b.stats.DamagedFiles++
	b.cfg.Logger.Error("the disk buffer is damaged: a file was kept aside; records are lost", args...)
}

// recoverRecords counts what is left and removes the segments where that is
// nothing.
func (b *Buffer) recoverRecords(lost []unreadable) {
	for _, m := range b.marks {
		b.next = max(b.next, m.end) // no number is used twice, even if its record is damaged
	}
	for _, u := range lost {
		b.loseFile(u)
	}
	left := uint64(0)
	for i, s := range b.segments {
		if i+1 < len(b.segments) {
			// What is behind is of a commit that failed; its records went elsewhere.
			// What is missing at the end of a damaged file was in front of the next one.
			if next := b.segments[i+1].first; s.damaged || s.end > next {
				s.end = next
			}
		}
		b.next = max(b.next, s.end)
		s.marked = slices.Clone(b.marks) // b.marks goes on changing
		s.left = s.end - s.first - covered(s.marked, s.first, s.end)
		s.unread, s.kept = s.left, s.left
		left += s.left
	}
	if b.removeSettled() {
		b.writeMarksAgain()
		signal(b.work)
	}
	if b.recovered += left; left > 0 {
		b.cfg.Logger.Info("the disk buffer holds records of an earlier run",
			slog.String("dir", b.cfg.Dir), slog.Uint64("records", left))
	}
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

// Close ends the buffer. What is not settled is on disk then; it is an error if
// what was in memory could not be written. Further calls return the result of
// the first.
func (b *Buffer) Close() error {
	b.close.Do(func() {
		b.mu.Lock()
		b.closed = true
		b.mu.Unlock()
		b.flush.Stop()
		close(b.stop)
		<-b.ended
		b.closeErr = errors.Join(b.unloadErr, b.closeFiles())
	})
	return b.closeErr
}

func (b *Buffer) closeFiles() error {
	b.mu.Lock()
	segments := b.segments
	b.segments = nil
	for _, s := range segments {
		s.gone = true // what a reader misses from now on is no damage
	}
	b.mu.Unlock()
	var errs []error
	for _, s := range segments {
		errs = append(errs, s.close())
	}
	return errors.Join(append(errs, b.lock.Close())...)
}

// Check reports whether records can be written: nil, or why the last write was
// refused.
func (b *Buffer) Check(context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.failing
}

// signal wakes the goroutine that waits on c, now or when it looks next.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
