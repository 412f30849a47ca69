package spool

import (
	"context"
	"fmt"
	"sync"

	"github.com/sluiceio/sluice/bridge"
)

// Sink is the side of a Buffer that records are written to. It implements
// bridge.Sink, bridge.Limiter and bridge.Checker.
type Sink struct {
	buf   *Buffer
	close sync.Once
	err   error
}

var (
	_ bridge.Sink    = (*Sink)(nil)
	_ bridge.Limiter = (*Sink)(nil)
	_ bridge.Checker = (*Sink)(nil)
)

// Limits lets batches grow large, because what comes together shares the syncs of
// the disk, but keeps them small compared with the quota. There is no Lane: the
// pipeline's default, a lane for each Dest and Key, keeps the order of each key
// and has several writes under way, which share the syncs of the disk.
func (s *Sink) Limits() bridge.Limits {
	return bridge.Limits{Records: 2000, Bytes: int(min(4<<20, s.buf.cfg.segmentBytes()))}
}

// Write appends the records and returns when they are on disk, all or none of
// them, except for those that are too large, which fail permanently. Concurrent
// writes share one commit. It fails as throttled at the quota, and as
// unavailable when the disk is full or fails; a later write tries again.
func (s *Sink) Write(ctx context.Context, b *bridge.Batch) error {
	req := s.encode(b)
	if req.records == 0 {
		req.free()
		return nil
	}
	if err := s.buf.enqueue(req); err != nil {
		return err
	}
	select {
	case err := <-req.done:
		req.free()
		return err
	case <-ctx.Done():
		return bridge.Ambiguous(fmt.Errorf("disk buffer: %w", context.Cause(ctx)))
	}
}

// Close closes the side: further writes fail.
func (s *Sink) Close(context.Context) error {
	s.close.Do(func() { s.err = s.buf.closeSide() })
	return s.err
}

// Check reports whether records can be written: nil, or why the last write was
// refused.
func (s *Sink) Check(ctx context.Context) error { return s.buf.Check(ctx) }

// encode makes chunks of the records, and fails those that are too large.
func (s *Sink) encode(b *bridge.Batch) *request {
	req := requests.Get().(*request)
	req.done = make(chan error, 1) // not reused: testing/synctest binds channels to a test
	limit := s.buf.cfg.MaxBytes / 4
	begin, count := 0, 0
	for i := range b.Records {
		r := &b.Records[i]
		if int64(r.Size()) > limit {
			b.Fail(r, bridge.Permanent(fmt.Errorf("%w: %d bytes, and MaxBytes/4 is %d", ErrTooLarge, r.Size(), limit)))
			continue
		}
		if count > 0 && len(req.buf)-begin+r.Size()+frameSize+len(r.Topic)+len(r.Dest) > chunkSize {
			req.chunks = append(req.chunks, chunkEnd{len(req.buf), count})
			begin, count = len(req.buf), 0
		}
		if count == 0 {
			req.buf = append(req.buf, make([]byte, headerSize)...)
		}
		req.buf = appendFrame(req.buf, r)
		count++
		req.records++
	}
	if count > 0 {
		req.chunks = append(req.chunks, chunkEnd{len(req.buf), count})
	}
	return req
}

// requests are reused, because their buffers are large.
var requests = sync.Pool{New: func() any { return new(request) }}

func (r *request) free() {
	if cap(r.buf) > 8<<20 {
		return
	}
	r.buf, r.chunks, r.records = r.buf[:0], r.chunks[:0], 0
	requests.Put(r)
}

func (b *Buffer) enqueue(r *request) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return ErrClosed
	}
	b.waiting = append(b.waiting, r)
	signal(b.work)
	return nil
}
