package http

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/sluiceio/sluice/bridge"
)

var errNoJSON = bridge.Permanent(errors.New("http sink: the data is not JSON, and an array is to be sent"))

// arrays is a Write in mode Array.
type arrays struct {
	s    *Sink
	b    *bridge.Batch
	errs []error // of the records

	doubts int   // in a row, of single records
	stop   error // why the rest is not sent
}

// write sends a request for each Dest.
func (w *arrays) write(ctx context.Context) {
	var order []string
	groups := make(map[string][]int)
	for i := range w.b.Records {
		r := &w.b.Records[i]
		if !json.Valid(r.Data) {
			w.errs[i] = errNoJSON
			continue
		}
		if groups[r.Dest] == nil {
			order = append(order, r.Dest)
		}
		groups[r.Dest] = append(groups[r.Dest], i)
	}
	for _, dest := range order {
		w.group(ctx, dest, groups[dest])
		if !errors.Is(w.stop, bridge.ErrUnavailable) {
			w.stop, w.doubts = nil, 0 // another path may do
		}
	}
}

// group sends the records with the indexes as one request. If it is refused, or
// that may be due to one of them, it sends one for each half.
func (w *arrays) group(ctx context.Context, dest string, indexes []int) {
	if w.stop != nil {
		w.fail(indexes, w.stop)
		return
	}
	body, attempt := []byte{'['}, 0
	for n, i := range indexes {
		attempt = max(attempt, w.b.Records[i].Attempt)
		if n > 0 {
			body = append(body, ',')
		}
		body = append(body, w.b.Records[i].Data...)
	}
	err := w.s.send(ctx, request{dest: dest, body: append(body, ']'), attempt: attempt, records: len(indexes)})
	doubt := errors.As(err, new(*doubtError))
	switch half := len(indexes) / 2; {
	case err == nil:
		w.doubts = 0
	case half > 0 && (doubt || errors.Is(err, bridge.ErrPermanent)):
		w.group(ctx, dest, indexes[:half])
		w.group(ctx, dest, w.holdBack(indexes[:half], indexes[half:]))
	default:
		w.fail(indexes, err)
		if doubt {
			w.doubts++
		}
		if w.doubts >= quorum || errors.Is(err, bridge.ErrUnavailable) {
			w.stop = err
		}
	}
}

func (w *arrays) fail(indexes []int, err error) {
	for _, i := range indexes {
		w.errs[i] = err
	}
}

// holdBack fails those of the records that stand in their lane behind one of the
// first that will be tried again, and returns the others.
func (w *arrays) holdBack(first, records []int) (rest []int) {
	stuck := make(map[uint64]error)
	for _, i := range first {
		if err := w.errs[i]; err != nil && !errors.Is(err, bridge.ErrPermanent) {
			stuck[w.b.Records[i].Lane] = err
		}
	}
	for _, i := range records {
		if err := stuck[w.b.Records[i].Lane]; err != nil {
			w.errs[i] = err
		} else {
			rest = append(rest, i)
		}
	}
	return rest
}
