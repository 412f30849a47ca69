package spool

import (
	"encoding/binary"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/sluiceio/sluice/bridge"
	bolt "go.etcd.io/bbolt"
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

// commitLoop is the only one who writes files: everything that has come together
// since the last commit goes into the next one.
func (b *Buffer) commitLoop() {
	defer close(b.ended)
	for stopping := false; !stopping; {
		select {
		case <-b.work:
		case <-b.stop:
			stopping = true
		}
		b.commitWaiting()
	}
}

func (b *Buffer) commitWaiting() {
	b.mu.Lock()
	requests, marks := b.waiting, b.settled
	b.waiting, b.settled, b.armed = nil, nil, false
	b.mu.Unlock()

	for _, m := range marks {
		b.marks = appendSpan(b.marks, m)
	}
	if b.removeSettled() {
		// Marks of segments that still exist may have been in those.
		b.marks = b.surviving(mergeSpans(b.marks))
		marks = slices.Clone(b.marks)
	}
	requests = b.admit(requests)
	if len(requests) == 0 {
		marks = b.surviving(marks)
	}
	if len(requests) == 0 && len(marks) == 0 {
		return
	}
	err := b.commit(requests, marks)
	if err != nil {
		err = bridge.Unavailable(fmt.Errorf("disk buffer: %w", err))
		b.mu.Lock()
		b.failing = err
		b.stats.FailedCommits++
		b.settled = append(marks, b.settled...)
		b.mu.Unlock()
	}
	for _, r := range requests {
		r.done <- err
	}
}

// admit refuses the requests for which the quota leaves no room.
func (b *Buffer) admit(requests []*request) []*request {
	if len(requests) == 0 {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	var used int64
	for _, s := range b.segments {
		used += s.size
	}
	admitted := requests[:0]
	for _, r := range requests {
		if used += int64(len(r.buf)); used <= b.cfg.MaxBytes {
			admitted = append(admitted, r)
			continue
		}
		used -= int64(len(r.buf))
		b.failing = fmt.Errorf("%w: it has reached MaxBytes (%d)", ErrFull, b.cfg.MaxBytes)
		b.stats.Refused += uint64(r.records)
		r.done <- bridge.Throttled(b.failing, 0)
		// Sealed, the newest segment can be removed as well.
		if n := len(b.segments); n > 0 {
			b.segments[n-1].sealed = true
		}
	}
	return admitted
}

// commit writes requests and marks in one transaction.
func (b *Buffer) commit(requests []*request, marks []span) error {
	s, err := b.writable()
	if err != nil {
		return err
	}
	seq, chunks, size, now := b.next, 0, int64(0), time.Now()
	err = guard(func() error {
		return s.db.Update(func(tx *bolt.Tx) error {
			if err := putMarks(tx, marks); err != nil {
				return err
			}
			bucket := tx.Bucket(bucketChunks)
			bucket.FillPercent = 1 // keys only grow
			for _, r := range requests {
				at := 0
				for _, c := range r.chunks {
					chunk := r.buf[at:c.end:c.end]
					putHeader(chunk, seq, c.count, now)
					if err := bucket.Put(chunkKey(seq, c.count), chunk); err != nil {
						return err
					}
					at = c.end
					seq += uint64(c.count)
				}
				chunks += len(r.chunks)
			}
			size = tx.Size()
			return nil
		})
	})
	if isDamage(err) {
		b.quarantine(s, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err != nil {
		// What of the transaction has reached the disk is not known, so this
		// file is never written again.
		s.sealed = true
		return err
	}
	b.stats.Commits++
	b.stats.Appended += seq - b.next
	s.unread += seq - b.next
	b.next, s.end = seq, seq
	s.chunks += chunks
	s.size = max(size, s.size)
	s.sealed = s.sealed || s.size >= b.cfg.segmentBytes()
	if chunks > 0 {
		b.failing = nil
		signal(b.data)
	}
	return nil
}

func putMarks(tx *bolt.Tx, marks []span) error {
	bucket := tx.Bucket(bucketSettled)
	for _, m := range marks {
		k := binary.BigEndian.AppendUint64(make([]byte, 0, 8), m.first)
		v := binary.BigEndian.AppendUint64(make([]byte, 0, 8), m.end)
		if err := bucket.Put(k, v); err != nil {
			return err
		}
	}
	return nil
}

// writable returns the segment to write to, a new one if need be.
func (b *Buffer) writable() (*segment, error) {
	b.mu.Lock()
	if n := len(b.segments); n > 0 && !b.segments[n-1].sealed {
		s := b.segments[n-1]
		b.mu.Unlock()
		return s, nil
	}
	b.mu.Unlock()
	s, err := createSegment(b.cfg, b.next) // only the committer changes b.next
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.segments = append(b.segments, s)
	return s, nil
}

// removeSettled removes the segments that hold nothing any more and reports
// whether there were any.
func (b *Buffer) removeSettled() bool {
	var done []*segment
	b.mu.Lock()
	b.segments = slices.DeleteFunc(b.segments, func(s *segment) bool {
		if s.chunks > 0 || !s.sealed {
			return false
		}
		s.gone = true
		done = append(done, s)
		return true
	})
	b.mu.Unlock()
	for _, s := range done {
		if err := s.remove(); err != nil {
			b.cfg.Logger.Warn("cannot remove a file of the disk buffer",
				slog.String("file", s.path), slog.Any("error", err))
		}
	}
	return len(done) > 0
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

// settle notes that the records of a chunk need not be kept. It does no I/O.
func (b *Buffer) settle(s *segment, seq uint64, count int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s.gone {
		return
	}
	s.chunks--
	b.settled = appendSpan(b.settled, span{seq, seq + uint64(count)})
	if !b.armed && !b.closed {
		b.armed = true
		b.flush.Reset(flushDelay)
	}
}
