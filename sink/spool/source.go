package spool

import (
	"context"
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
	read  []bridge.Message // decoded
	next  int              // of those, to be handed out
	dest  any              // of the last record that had one, as a column
	rule  any
	close sync.Once
	err   error
}

var _ bridge.Source = (*Source)(nil)

// Read implements bridge.Source.
func (s *Source) Read(ctx context.Context, dst []bridge.Message) (int, error) {
	for {
		if n := copy(dst, s.read[s.next:]); n > 0 {
			clear(s.read[s.next : s.next+n])
			s.next += n
			return n, nil
		}
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		if s.fill() {
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

// readBytes and readRecords are how much is read at once, unless one chunk is
// larger.
const (
	readBytes   = 1 << 20
	readRecords = 1000
)

// fill reads on and reports whether there may be more at once.
func (s *Source) fill() bool {
	seg, end := s.buf.segmentAt(&s.pos)
	if seg == nil {
		return false
	}
	var chunks []chunk
	want, bytes := readRecords, 0
	err := seg.read(s.pos, end, func(c chunk) bool {
		if c.intact() && !covers(seg.marked, c.seq) {
			chunks = append(chunks, c)
			want -= c.count
			bytes += len(c.data)
		}
		return want > 0 && bytes < readBytes
	})
	s.read, s.next = s.read[:0], 0
	for _, c := range chunks {
		if c.seq > s.pos {
			s.buf.lose(seg, s.pos, c.seq, err)
		}
		s.decode(seg, c)
		s.pos = c.seq + uint64(c.count)
	}
	if want > 0 && bytes < readBytes && s.pos < end {
		s.buf.lose(seg, s.pos, end, err)
		s.pos = end
	}
	return true
}

// decode makes messages of a chunk.
func (s *Source) decode(seg *segment, c chunk) {
	h := &handed{buf: s.buf, seq: c.seq, count: c.count}
	from := len(s.read)
	delivery := bridge.NewDelivery(h, 0)
	appended, intact := c.records(func(r *bridge.Record) {
		s.read = append(s.read, s.message(r, delivery))
	})
	for i := range s.read[from:] {
		s.read[from+i].Received = appended
	}
	h.left.Store(int64(intact))
	s.buf.handOut(seg, c.seq, intact, c.count-intact)
	if intact == 0 {
		s.buf.settle(c.seq, c.count)
	}
}

func (s *Source) message(r *bridge.Record, d bridge.Delivery) bridge.Message {
	m := bridge.Message{Topic: r.Topic, Payload: r.Data, Event: Event, Delivery: d}
	columns := make(map[string]any, 4)
	if r.Key != nil {
		columns[ColumnKey] = r.Key
	}
	if r.Dest != "" {
		columns[ColumnDest] = box(&s.dest, r.Dest)
	}
	if r.HashKey != nil {
		columns[ColumnHashKey] = r.HashKey
	}
	if r.Rule != "" {
		columns[ColumnRule] = box(&s.rule, r.Rule)
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

// box returns a text as a value of a column: the last one if that is the same.
func box(last *any, text string) any {
	if t, ok := (*last).(string); !ok || t != text {
		*last = text
	}
	return *last
}

// handed counts down the records of a chunk that are not settled.
type handed struct {
	buf    *Buffer
	seq    uint64
	count  int
	left   atomic.Int64
	failed atomic.Bool
}

// Done implements bridge.Acker.
func (h *handed) Done(_ uint64, o bridge.Outcome, err error) {
	if o.Settled() {
		err = nil
	}
	if err != nil {
		h.failed.Store(true)
	} else {
		h.buf.done.Add(1)
	}
	if h.left.Add(-1) == 0 && !h.failed.Load() {
		h.buf.settle(h.seq, h.count)
	}
}
