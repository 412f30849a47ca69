package spool

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/sluiceio/sluice/bridge"
)

// Event is the event of every message that a Source hands out. Messages have
// one so that no rule for their topic sees them a second time; rules get them by
// the filter "$sources/<name>".
const Event = "$spool/record"

// Columns of a message that a Source hands out, present when the record has
// such a part. The message's payload is the record's data and its topic that of
// the original message.
const (
	ColumnAttrs   = "attrs" // []any of map[string]any with "name" and "value"
	ColumnDest    = "dest"
	ColumnHashKey = "hash_key"
	ColumnKey     = "key"
	ColumnRule    = "rule"

	columnOptional = "optional"
	columnName     = "name"
	columnValue    = "value"
)

// Source is the side of a Buffer that hands records out, in the order in which
// they were appended. It implements bridge.Source.
//
// A message whose Delivery is settled with an error stays on disk and is handed
// out when the buffer is opened again.
type Source struct {
	buf   *Buffer
	pos   uint64           // of the next record to read
	rest  []bridge.Message // decoded and not handed out
	close sync.Once
	err   error
}

var _ bridge.Source = (*Source)(nil)

// Read implements bridge.Source.
func (s *Source) Read(ctx context.Context, dst []bridge.Message) (int, error) {
	for {
		if n := copy(dst, s.rest); n > 0 {
			clear(s.rest[:n])
			s.rest = s.rest[n:]
			return n, nil
		}
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		more, err := s.fill(len(dst))
		if err != nil {
			return 0, err
		}
		if more {
			continue
		}
		select {
		case <-s.buf.data:
		case <-s.buf.stop:
			return 0, ErrClosed
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// Close passes on to the disk what is settled.
func (s *Source) Close(context.Context) error {
	s.close.Do(func() {
		signal(s.buf.work)
		s.err = s.buf.closeSide()
	})
	return s.err
}

// fill reads on and reports whether there may be more at once.
func (s *Source) fill(want int) (bool, error) {
	seg, end := s.buf.segmentAt(&s.pos)
	if seg == nil {
		return false, nil
	}
	chunks, err := seg.read(s.pos, end, want)
	switch {
	case s.buf.isGone(seg):
		return true, nil
	case err != nil && isDamage(err):
		s.pos = end
		s.buf.quarantine(seg, err)
		return true, nil
	case err != nil:
		return false, err
	}
	if len(chunks) == 0 {
		s.pos = end
		return true, nil
	}
	s.rest = s.rest[:0]
	for _, c := range chunks {
		s.decode(seg, c)
	}
	return true, nil
}

// decode makes messages of a chunk.
func (s *Source) decode(seg *segment, raw rawChunk) {
	seq, count, _ := parseChunkKey(raw.key)
	s.pos = seq + 1 // the next chunk begins there or later, whatever a damaged count says
	c := &chunk{buf: s.buf, seg: seg, seq: seq, count: count}
	from := len(s.rest)
	delivery := bridge.NewDelivery(c, 0)
	appended, intact := readChunk(raw.key, raw.value, func(r *bridge.Record) {
		s.rest = append(s.rest, message(r, delivery))
	})
	for i := range s.rest[from:] {
		s.rest[from+i].Received = appended
	}
	c.left.Store(int64(intact))
	s.buf.handOut(seg, seq, intact, count-intact)
	if intact == 0 {
		s.buf.settle(seg, seq, count)
	}
}

func message(r *bridge.Record, d bridge.Delivery) bridge.Message {
	m := bridge.Message{Topic: r.Topic, Payload: r.Data, Event: Event, Delivery: d}
	columns := make(map[string]any, 4)
	if r.Key != nil {
		columns[ColumnKey] = r.Key
	}
	if r.Dest != "" {
		columns[ColumnDest] = r.Dest
	}
	if r.HashKey != nil {
		columns[ColumnHashKey] = r.HashKey
	}
	if r.Rule != "" {
		columns[ColumnRule] = r.Rule
	}
	if r.Optional {
		columns[columnOptional] = true
	}
	if len(r.Attrs) > 0 {
		attrs := make([]any, len(r.Attrs))
		for i, a := range r.Attrs {
			attrs[i] = map[string]any{columnName: a.Name, columnValue: a.Value}
		}
		columns[ColumnAttrs] = attrs
	}
	m.Columns = columns
	return m
}

// chunk counts down the records of a chunk that are not settled.
type chunk struct {
	buf    *Buffer
	seg    *segment
	seq    uint64
	count  int
	left   atomic.Int64
	failed atomic.Bool
}

// Done implements bridge.Acker.
func (c *chunk) Done(_ uint64, err error) {
	if err != nil {
		c.failed.Store(true)
	} else {
		c.buf.done.Add(1)
	}
	if c.left.Add(-1) == 0 && !c.failed.Load() {
		c.buf.settle(c.seg, c.seq, c.count)
	}
}

// segmentAt returns the segment to read next, moving pos to where it begins,
// and where its records end; nil when everything has been read.
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

func (b *Buffer) isGone(s *segment) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return s.gone || b.segments == nil
}

// quarantine takes a segment that cannot be read out of service.
func (b *Buffer) quarantine(s *segment, cause error) {
	b.mu.Lock()
	if s.gone {
		b.mu.Unlock()
		return
	}
	s.gone, s.sealed = true, true
	b.segments = slices.DeleteFunc(b.segments, func(x *segment) bool { return x == s })
	b.stats.DamagedFiles++
	b.stats.DamagedRecords += s.unread
	lost := s.unread
	b.mu.Unlock()
	to, err := s.keepAside()
	b.cfg.Logger.Error("a file of the disk buffer is damaged and was kept aside; records in it are lost",
		slog.String("file", to), slog.Uint64("records", lost), slog.Any("error", errors.Join(cause, err)))
}

// handOut counts the records of a chunk and reports those that were skipped
// because of damage.
func (b *Buffer) handOut(s *segment, seq uint64, intact, lost int) {
	b.mu.Lock()
	gone := min(uint64(lost), s.unread-min(s.unread, uint64(intact)))
	b.stats.HandedOut += uint64(intact)
	b.stats.DamagedRecords += gone
	s.unread -= min(s.unread, uint64(intact)+gone)
	b.mu.Unlock()
	if lost > 0 {
		b.cfg.Logger.Error("records in the disk buffer are damaged and were skipped",
			slog.String("file", s.path), slog.Uint64("chunk", seq), slog.Int("records", lost))
	}
}
