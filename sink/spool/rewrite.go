package spool

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"slices"
)

// unload writes to disk what is in memory, at the end.
func (b *Buffer) unload() error {
	var errs []error
	for _, s := range b.list() {
		if !s.inMemory() || b.leftIn(s) == 0 {
			continue
		}
		if err := b.rewrite([]*segment{s}); err != nil {
			err = fmt.Errorf("disk buffer: %d records that were in memory are lost: %w", b.leftIn(s), err)
			b.cfg.Logger.Error(err.Error())
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// compact makes one file of several of which most is settled, when more than
// half of the quota is used. Without it, a key that cannot be delivered for
// hours would hold all that has been appended meanwhile.
func (b *Buffer) compact() {
	b.mu.Lock()
	used := b.used()
	if used < b.cfg.MaxBytes/2 || used < b.compactAt {
		if used < b.cfg.MaxBytes/2 {
			b.compactAt = 0
		}
		b.mu.Unlock()
		return
	}
	run := b.sparse()
	b.mu.Unlock()
	if len(run) > 0 {
		if err := b.rewrite(run); err != nil {
			b.cfg.Logger.Warn("cannot compact the disk buffer", slog.Any("error", err))
		}
	}
	b.mu.Lock()
	b.compactAt = b.used() + b.cfg.segmentBytes() // not with every commit
	b.mu.Unlock()
}

// sparse returns the first segments in a row that have been read and of which
// half or more is settled, as many as make half of one. The lock is held.
func (b *Buffer) sparse() (run []*segment) {
	var size int64
	for _, s := range b.segments {
		good := s.sealed && !s.inMemory() && !s.damaged && s.unread == 0 && s.left*2 <= s.kept
		if good {
			size += int64(float64(s.size) * float64(s.left) / float64(s.kept))
			good = size <= b.cfg.segmentBytes()/2 // it is held in memory for a moment
		}
		switch {
		case good:
			run = append(run, s)
		case len(run) > 0:
			return run
		default:
			size = 0
		}
	}
	return run
}

// rewrite puts what is left in segments that stand in a row into a file, which
// takes their place.
func (b *Buffer) rewrite(run []*segment) error {
	b.marks = mergeSpans(b.marks)
	var chunks []chunk
	var gaps []span
	var next, kept uint64
	for _, s := range run {
		err := s.read(s.first, s.end, func(c chunk) bool {
			if covers(b.marks, c.seq) || !c.intact() {
				return true
			}
			if next > 0 && c.seq > next {
				gaps = append(gaps, span{next, c.seq})
			}
			next = c.seq + uint64(c.count)
			kept += uint64(c.count)
			if !s.inMemory() {
				c.data = bytes.Clone(c.data) // a part of a larger piece of memory
			}
			chunks = append(chunks, c)
			return true
		})
		if err != nil {
			b.mu.Lock()
			b.damage(s, "a file cannot be compacted", slog.Any("error", err)) // nor tried again
			b.mu.Unlock()
			return err
		}
	}
	if len(chunks) == 0 {
		return nil
	}
	d, err := createDisk(b.cfg, chunks[0].seq, chunks, gaps)
	if err != nil {
		return err
	}
	if err := errors.Join(d.sync(), d.release()); err != nil {
		return errors.Join(err, d.close())
	}
	b.replace(run, &segment{
		store: d, path: d.path, first: chunks[0].seq, end: next, kept: kept, size: d.view.size(), sealed: true,
	})
	return nil
}

// replace puts a segment in the place of others. What is settled meanwhile is
// counted in those until then.
func (b *Buffer) replace(run []*segment, s *segment) {
	b.mu.Lock()
	at := slices.Index(b.segments, run[0])
	for _, old := range run {
		s.left += old.left
		s.unread += old.unread
		old.sealed, old.gone = true, true
	}
	b.segments = slices.Replace(b.segments, at, at+len(run), s)
	b.mu.Unlock()
	for _, old := range run {
		if old.path == s.path { // its name is taken
			_ = old.close()
			continue
		}
		b.discard(old)
	}
	b.writeMarksAgain()
}

// list returns the segments.
func (b *Buffer) list() []*segment {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.segments)
}

func (b *Buffer) leftIn(s *segment) uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return s.left
}
