package spool

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/sluiceio/sluice/bridge"
)

// flushDelay is how long it may take until it is on disk what has been settled,
// when nothing is appended meanwhile. A crash within it makes duplicates.
const flushDelay = 100 * time.Millisecond

// request is a write that waits for its commit.
type request struct {
	buf     []byte // chunks, one after the other, each begun with a free header
	chunks  []chunkEnd
	records int
	done    chan error // buffered
}

// chunkEnd is where in request.buf a chunk ends and how many records it has.
type chunkEnd struct{ end, count int }

// commitLoop is the only writer: everything that has come together since
// the last commit goes into the next one.
func (b *Buffer) commitLoop() {
	defer close(b.ended)
	for !b.ending {
		select {
		case <-b.work:
		case <-b.stop:
			b.ending = true
		}
		b.gather()
		begin := time.Now()
		b.commitWaiting()
		b.took = time.Since(begin)
	}
}

// gather waits a little for the writes that come back after the last commit, so
// that they share this one and not the next: an eighth of what the last one took.
func (b *Buffer) gather() {
	if b.group < 2 || b.ending {
		return
	}
	late := time.NewTimer(b.took / 8)
	defer late.Stop()
	for {
		b.mu.Lock()
		n := len(b.waiting)
		b.mu.Unlock()
		if n >= b.group {
			return
		}
		select {
		case <-b.work:
		case <-late.C:
			return
		}
	}
}

func (b *Buffer) commitWaiting() {
	b.mu.Lock()
	requests, settled := b.waiting, b.settled
	b.waiting, b.settled, b.armed = nil, nil, false
	b.mu.Unlock()

	b.marks = append(b.marks, settled...)
	b.unwritten = append(b.unwritten, settled...)
	if b.removeSettled() {
		b.writeMarksAgain() // those of segments that still exist may have been there
	}
	if b.ending {
		b.unloadErr = b.unload()
	} else {
		b.compact()
	}
	requests = b.admit(requests)
	if len(requests) == 0 {
		b.unwritten = b.surviving(b.unwritten)
		if len(b.unwritten) == 0 || b.toMemory() {
			return
		}
	}
	err := b.commit(requests)
	b.mu.Lock()
	b.group = len(requests) + len(b.waiting)
	b.mu.Unlock()
	if err != nil {
		err = bridge.Unavailable(fmt.Errorf("disk buffer: %w", err))
		b.mu.Lock()
		b.failing = err
		b.stats.FailedCommits++
		b.mu.Unlock()
	}
	for _, r := range requests {
		r.done <- err
	}
}

// writeMarksAgain has all marks that matter written with the next commit.
func (b *Buffer) writeMarksAgain() {
	b.marks = b.surviving(mergeSpans(b.marks))
	b.unwritten = slices.Clone(b.marks)
}

// admit refuses the requests for which the quota leaves no room.
func (b *Buffer) admit(requests []*request) []*request {
	if len(requests) == 0 {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	used := b.used()
	b.full = false
	admitted := requests[:0]
	for _, r := range requests {
		if used += int64(len(r.buf)); used <= b.cfg.MaxBytes {
			admitted = append(admitted, r)
			continue
		}
		used -= int64(len(r.buf))
		b.full = true
		b.failing = fmt.Errorf("%w: it has reached MaxBytes (%d)", ErrFull, b.cfg.MaxBytes)
		b.stats.Refused += uint64(r.records)
		r.done <- bridge.Throttled(b.failing, 0)
	}
	return admitted
}

// commit writes the requests, and to disk the marks, in one transaction.
func (b *Buffer) commit(requests []*request) error {
	chunks, bytes, end := number(requests, b.next)
	s, size, err := b.put(chunks, bytes)
	if errors.Is(err, errDamaged) {
		s, size, err = b.put(chunks, bytes) // elsewhere
	}
	if err != nil {
		return err
	}
	if !s.inMemory() {
		b.unwritten = nil
	}
	b.mu.Lock()
	records := end - b.next
	b.stats.Commits++
	b.stats.Appended += records
	s.unread += records
	s.left += records
	s.kept += records
	b.next, s.end = end, end
	s.size = size
	if records > 0 {
		b.failing = nil
		signal(b.data)
	}
	b.mu.Unlock()
	if !s.inMemory() && size >= b.cfg.segmentBytes() {
		b.seal(s)
	}
	return nil
}

func (b *Buffer) put(chunks []chunk, bytes int64) (*segment, int64, error) {
	s, err := b.writable(bytes)
	if err != nil {
		return nil, 0, err
	}
	size, err := s.put(chunks, b.unwritten)
	if err != nil {
		b.abandon(s, err)
	}
	return s, size, err
}

// number completes the chunks of the requests, whose records get the numbers
// from seq on, and returns their bytes and the number behind them.
func number(requests []*request, seq uint64) (chunks []chunk, size int64, end uint64) {
	now := time.Now()
	for _, r := range requests {
		at := 0
		for _, c := range r.chunks {
			data := r.buf[at:c.end:c.end]
			putHeader(data, seq, c.count, now)
			chunks = append(chunks, chunk{seq, c.count, data})
			at = c.end
			seq += uint64(c.count)
		}
		size += int64(len(r.buf)) + chunkOverhead*int64(len(r.chunks))
	}
	return chunks, size, seq
}

// abandon seals a segment whose transaction failed: what of it has reached the
// disk is not known, so the file is never written again. What is intact in it is
// still handed out.
func (b *Buffer) abandon(s *segment, err error) {
	b.mu.Lock()
	s.sealed = true
	if errors.Is(err, errDamaged) {
		b.damage(s, "a file is not written any more", slog.Any("error", err))
	}
	empty := s.end == s.first
	if empty { // the next one has the same name
		s.gone = true
		b.segments = slices.DeleteFunc(b.segments, func(x *segment) bool { return x == s })
	}
	b.mu.Unlock()
	_ = s.release() // the error of put says it all
	if empty {
		b.discard(s)
	}
	b.writeMarksAgain()
}

// seal ends the writing to a segment.
func (b *Buffer) seal(s *segment) {
	b.mu.Lock()
	s.sealed = true
	b.mu.Unlock()
	if err := s.release(); err != nil {
		b.cfg.Logger.Warn("cannot close a file of the disk buffer", slog.String("file", s.path), slog.Any("error", err))
	}
}

// writable returns the segment to write to, a new one if need be: one in memory
// while there is room, if the buffer has memory. The change from memory to disk
// comes at the bound. The change back comes when a file is full, or has been
// read, and half of the memory is free, so that files do not become small.
func (b *Buffer) writable(size int64) (*segment, error) {
	b.mu.Lock()
	s, limit := b.newest(), b.memoryBytes()
	if s == nil || !s.inMemory() {
		limit /= 2
	}
	room := limit > 0 && b.memoryUsed()+size <= limit
	good := s != nil && (s.inMemory() == room || room && s.left > 0)
	b.mu.Unlock()
	if good {
		return s, nil
	}
	if s != nil {
		b.seal(s)
	}
	s = &segment{store: new(memory), first: b.next, end: b.next} // only the committer changes b.next
	if !room {
		d, err := createDisk(b.cfg, b.next, nil, nil)
		if err != nil {
			return nil, err
		}
		s.store, s.path = d, d.path
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.segments = append(b.segments, s)
	return s, nil
}

// newest returns the segment that may be written, nil if there is none. The lock
// is held.
func (b *Buffer) newest() *segment {
	if n := len(b.segments); n > 0 && !b.segments[n-1].sealed {
		return b.segments[n-1]
	}
	return nil
}

// toMemory reports whether the next write goes to memory.
func (b *Buffer) toMemory() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.newest()
	return b.memoryBytes() > 0 && (s == nil || s.inMemory())
}

// used returns the size of everything. The lock is held.
func (b *Buffer) used() (n int64) {
	for _, s := range b.segments {
		n += s.size
	}
	return n
}

// memoryUsed returns the size of what is in memory. The lock is held.
func (b *Buffer) memoryUsed() (n int64) {
	for _, s := range b.segments {
		if s.inMemory() {
			n += s.size
		}
	}
	return n
}

// memoryBytes is how much of the buffer may be in memory: nothing at the end.
func (b *Buffer) memoryBytes() int64 {
	if b.ending {
		return 0
	}
	return b.cfg.memoryBytes()
}
