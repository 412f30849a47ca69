package spool

import (
	"errors"
	"log/slog"
	"slices"
	"sort"
)

// segment is a run of chunks, without gaps between the numbers of their records.
// Those in a segment come before those in the next one, wherever they lie. The
// fields below the line are guarded by Buffer.mu.
type segment struct {
	store
	path  string // empty: in memory
	first uint64
	// settled in an earlier run
	marked []span

	end     uint64 // behind its last record that may be read
	kept    uint64 // records that are there
	left    uint64 // those of them that are not settled
	unread  uint64 // records that the source has not read
	size    int64
	sealed  bool // takes nothing more
	gone    bool // removed
	damaged bool // kept aside when it is not needed any more
}

func (s *segment) inMemory() bool { return s.path == "" }

// store is where the chunks of a segment lie.
type store interface {
	// put adds chunks and marks, all or none, and returns the size of it all.
	// After an error it takes nothing more. The committer calls it.
	put(chunks []chunk, marks []span) (size int64, err error)
	// read calls want for the chunks that begin at record pos or later and
	// before end, in order, until it returns false. It goes on behind what is
	// damaged, and returns what that is.
	read(pos, end uint64, want func(chunk) bool) error
	// settle forgets a chunk and returns how much memory that frees.
	settle(seq uint64) int64
	// release gives up what only put needs. The committer calls it.
	release() error
	remove() error
	close() error
}

// span is a range of records: first to end-1.
type span struct{ first, end uint64 }

// segmentOf returns the segment of a record, nil if it is gone. The lock is held.
func (b *Buffer) segmentOf(seq uint64) *segment {
	i := sort.Search(len(b.segments), func(i int) bool { return b.segments[i].end > seq })
	if i == len(b.segments) || b.segments[i].first > seq {
		return nil
	}
	return b.segments[i]
}

// segmentAt returns the segment to read next, moving pos to where it begins, and
// where its records end; nil when everything has been read.
func (b *Buffer) segmentAt(pos *uint64) (*segment, uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.segments {
		if s.end > *pos {
			*pos = max(*pos, s.first)
			return s, s.end
		}
	}
	return nil, 0
}

// damage notes that a file is damaged, for whatever it says about it. The lock
// is held.
func (b *Buffer) damage(s *segment, what string, args ...any) {
	if !s.damaged {
		s.damaged = true
		b.stats.DamagedFiles++
	}
	b.cfg.Logger.Error("the disk buffer is damaged: "+what, append([]any{slog.String("file", s.path)}, args...)...)
}

// lose gives up records that should be in a segment and are not, unless they
// have been settled.
func (b *Buffer) lose(s *segment, from, to uint64, cause error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	lost := to - from - covered(s.marked, from, to)
	if s.gone || s.inMemory() || lost == 0 {
		return
	}
	if cause == nil {
		cause = errDamaged
	}
	b.damage(s, "records are lost", slog.Uint64("records", lost), slog.Uint64("first", from), slog.Any("error", cause))
	b.stats.DamagedRecords += lost
	s.unread -= min(s.unread, lost)
	s.left -= min(s.left, lost)
	b.mark(span{from, to})
}

// handOut counts the records of a chunk and reports those that were skipped
// because of damage.
func (b *Buffer) handOut(s *segment, seq uint64, intact, lost int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stats.HandedOut += uint64(intact)
	b.stats.DamagedRecords += uint64(lost)
	s.unread -= min(s.unread, uint64(intact+lost))
	if lost > 0 {
		b.damage(s, "records are lost", slog.Int("records", lost), slog.Uint64("first", seq),
			slog.String("error", "checksum"))
	}
}

// settle notes that the records of a chunk need not be kept. It does no I/O.
func (b *Buffer) settle(seq uint64, count int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.segmentOf(seq)
	if s == nil {
		return
	}
	s.left -= min(s.left, uint64(count))
	s.size -= s.settle(seq)
	if !s.inMemory() {
		b.mark(span{seq, seq + uint64(count)})
	}
}

// mark has a range written down as settled, soon. The lock is held.
func (b *Buffer) mark(m span) {
	b.settled = appendSpan(b.settled, m)
	if !b.armed && !b.closed {
		b.armed = true
		b.flush.Reset(flushDelay)
	}
}

// removeSettled removes the segments that hold nothing any more and reports
// whether there were any on disk.
func (b *Buffer) removeSettled() bool {
	var done []*segment
	b.mu.Lock()
	b.segments = slices.DeleteFunc(b.segments, func(s *segment) bool {
		if s.left > 0 || !s.sealed && !b.full && !b.ending {
			return false
		}
		s.gone = true
		done = append(done, s)
		return true
	})
	b.mu.Unlock()
	files := false
	for _, s := range done {
		files = files || !s.inMemory()
		b.discard(s)
	}
	return files
}

// discard removes a segment that is not in the list any more, or keeps it aside
// if it is damaged.
func (b *Buffer) discard(s *segment) {
	var err error
	if s.damaged {
		_, moved := keepAside(s.path)
		err = errors.Join(s.close(), moved)
	} else {
		err = s.remove()
	}
	if err != nil {
		b.cfg.Logger.Warn("cannot remove a file of the disk buffer", slog.String("file", s.path), slog.Any("error", err))
	}
}

// surviving returns the marks that matter: those of segments that still exist.
func (b *Buffer) surviving(marks []span) []span {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.DeleteFunc(marks, func(m span) bool {
		return !slices.ContainsFunc(b.segments, func(s *segment) bool {
			return m.first < s.end && m.end > s.first
		})
	})
}

// mergeSpans sorts the ranges and joins those that touch.
func mergeSpans(list []span) []span {
	slices.SortFunc(list, func(a, c span) int {
		switch {
		case a.first < c.first:
			return -1
		case a.first > c.first:
			return 1
		}
		return 0
	})
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

// covers reports whether a number is in one of the merged ranges.
func covers(list []span, seq uint64) bool {
	return covered(list, seq, seq+1) > 0
}

// covered returns how many of the numbers from..to-1 are in the merged ranges.
func covered(list []span, from, to uint64) (n uint64) {
	i := sort.Search(len(list), func(i int) bool { return list[i].end > from })
	for ; i < len(list) && list[i].first < to; i++ {
		n += min(to, list[i].end) - max(from, list[i].first)
	}
	return n
}
