package kinesis

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/sluiceio/sluice/bridge"
)

// write is one call of Sink.Write. Its memory is reused.
type write struct {
	sink     *Sink
	records  []bridge.Record
	errs     []error          // of records, nil for stored ones
	wants    bool             // receipts
	receipts []bridge.Receipt // of records, if they are wanted
	puts     []*put           // one per stream that the batch goes to
	used     int              // of puts

	packer packer

	mu      sync.Mutex
	whole   error // why nothing could be sent, if that has nothing to do with a stream
	reached bool  // whether any request was sent
}

func newWrite(s *Sink) *write {
	w := &write{sink: s}
	w.packer.write = w
	return w
}

// keepBytes is the size up to which buffers are kept for reuse.
const keepBytes = 4 << 20

func (w *write) release() {
	for _, p := range w.puts[:w.used] {
		p.reset()
	}
	if len(w.puts) > maxPutsAtOnce {
		w.puts = slices.Delete(w.puts, maxPutsAtOnce, len(w.puts)) // their buffers would be kept for ever
	}
	w.packer.reset()
	w.records = nil
	clear(w.errs)
	clear(w.receipts)
	w.used, w.whole, w.reached = 0, nil, false
	w.sink.writes.Put(w)
}

// begin encodes the records, sorted by stream.
func (w *write) begin(b *bridge.Batch) {
	records := b.Records
	w.records = records
	if w.wants = b.WantsReceipts(); w.wants {
		w.receipts = slices.Grow(w.receipts[:0], len(records))[:len(records)]
	}
	if cap(w.errs) < len(records) {
		w.errs = make([]error, len(records))
	}
	w.errs = w.errs[:len(records)]
	now := time.Now().UnixNano()
	for from := 0; from < len(records); {
		to := w.runEnd(from)
		p, err := w.put(records[from].Dest, now)
		if err != nil {
			w.refuse(from, to, records[from].Dest, err)
		} else {
			w.packer.addLane(p, from, to)
		}
		from = to
	}
}

// runEnd is the end of the run of records that share the lane and the stream of
// the one at from.
func (w *write) runEnd(from int) int {
	s, first := w.sink, &w.records[from]
	dest, to := s.dest(first), from+1
	if !s.cfg.packs() {
		for to < len(w.records) && s.dest(&w.records[to]) == dest {
			to++
		}
		return to
	}
	// Lanes are those that the pipeline got from us; a caller of another kind
	// leaves them 0.
	lane, _ := s.Lane(first)
	given := lane == first.Lane
	for to < len(w.records) && s.dest(&w.records[to]) == dest {
		r := &w.records[to]
		at := r.Lane
		if !given {
			at, _ = s.Lane(r)
		}
		if at != lane {
			break
		}
		to++
	}
	return to
}

// put returns the part of the write that goes to a stream.
func (w *write) put(dest string, now int64) (*put, error) {
	st, err := w.sink.streams.get(dest)
	if err != nil {
		return nil, err
	}
	for _, p := range w.puts[:w.used] {
		if p.stream == st {
			return p, nil
		}
	}
	if w.used == len(w.puts) {
		w.puts = append(w.puts, &put{write: w})
	}
	p := w.puts[w.used]
	w.used++
	p.stream = st
	p.maxRecord = w.sink.maxRecord(st)
	p.careful = st.placement.onTrial(w.sink.cfg.RefreshInterval) && w.sink.cfg.Aggregate
	st.used.Store(now)
	return p, nil
}

// refuse fails records for which there is no stream.
func (w *write) refuse(from, to int, dest string, err error) {
	err = bridge.Permanent(&Error{Stream: fmt.Sprintf("%.100q", dest), Message: err.Error(), Err: err})
	for i := from; i < to; i++ {
		w.errs[i] = err
	}
}

// maxPutsAtOnce bounds the requests that one write has under way, to streams of
// their own each.
const maxPutsAtOnce = 8

// send sends what was encoded and returns when all outcomes are known.
func (w *write) send(ctx context.Context) {
	puts := w.puts[:w.used]
	if len(puts) == 1 {
		puts[0].run(ctx)
		return
	}
	free := make(chan struct{}, maxPutsAtOnce)
	var wg sync.WaitGroup
	for _, p := range puts {
		free <- struct{}{}
		wg.Go(func() {
			p.run(ctx)
			<-free
		})
	}
	wg.Wait()
}

// result is what Sink.Write returns; records that have failed are failed in b.
func (w *write) result(b *bridge.Batch) error {
	if w.whole != nil && !w.reached {
		return w.whole // concerns all streams: the pipeline need not try the others
	}
	for i, err := range w.errs {
		switch {
		case err != nil:
			b.Fail(&b.Records[i], err)
		case w.wants:
			b.Receipt(&b.Records[i], w.receipts[i])
		}
	}
	return nil
}

// cannotSend notes that a request could not even be sent.
func (w *write) cannotSend(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.whole == nil {
		w.whole = err
	}
}

// reachedOne notes that a request was sent, whatever became of it.
func (w *write) reachedOne() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reached = true
}
