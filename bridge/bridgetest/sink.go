package bridgetest

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/sluiceio/sluice/bridge"
)

// Sink is a bridge.Sink in memory with scripted faults. The zero value stores
// everything. Set the exported fields before use.
type Sink struct {
	// Fault is asked for each record before it is stored, with the number of
	// the Write, counted from 1. It is called with the Sink's lock held. Nil
	// stores everything.
	Fault func(call int, r *bridge.Record) Fault
	// Before is called at the start of each Write, without a lock. It may
	// block, and its error fails the whole call before anything is stored.
	Before func(ctx context.Context, b *bridge.Batch) error
	// After is called when the records are stored; its error is returned in
	// place of the result, so that the caller cannot know what was stored.
	After func(ctx context.Context, b *bridge.Batch) error
	// Max are the limits that it reports and checks.
	Max bridge.Limits

	mu         sync.Mutex
	calls      int
	records    []Stored
	flying     map[uint64]bool
	violations []string
	closed     bool
}

// Fault is what happens to a record.
type Fault struct {
	// Err fails the record; nil stores it.
	Err error
	// Store stores the record although Err is reported for it.
	Store bool
}

// Stored is a copy of a record that a Sink has stored.
type Stored struct {
	Dest, Key, HashKey, Data string
	Topic, Rule              string
	Attrs                    map[string]string
	Attempt                  int
	Call                     int // the number of the Write
}

// Limits implements bridge.Limiter.
func (s *Sink) Limits() bridge.Limits { return s.Max }

// Write implements bridge.Sink. Behind a record that failed and will be written
// again it stores no other of the same lane, as the contract demands of a sink
// that keeps order.
func (s *Sink) Write(ctx context.Context, b *bridge.Batch) error {
	call := s.begin(b)
	defer s.end(b)
	if s.Before != nil {
		if err := s.Before(ctx, b); err != nil {
			return err
		}
	}
	s.store(call, b)
	if s.After != nil {
		if after := s.After(ctx, b); after != nil {
			return after
		}
	}
	return nil
}

func (s *Sink) store(call int, b *bridge.Batch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var stuck error
	for i := range b.Records {
		r := &b.Records[i]
		if i == 0 || r.Lane != b.Records[i-1].Lane {
			stuck = nil
		}
		f := Fault{Err: stuck}
		if stuck == nil && s.Fault != nil {
			f = s.Fault(call, r)
		}
		if f.Err == nil || f.Store {
			s.records = append(s.records, stored(r, call))
			if f.Err == nil && b.WantsReceipts() {
				b.Receipt(r, bridge.Receipt{Shard: "memory", Sequence: strconv.Itoa(len(s.records))})
			}
		}
		if f.Err != nil {
			b.Fail(r, f.Err)
		}
		if !errors.Is(f.Err, bridge.ErrPermanent) {
			stuck = f.Err
		}
	}
}

// begin counts the call and notes how the caller breaks the contract.
func (s *Sink) begin(b *bridge.Batch) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	if s.flying == nil {
		s.flying = make(map[uint64]bool)
	}
	here := make(map[uint64]bool)
	for i := range b.Records {
		lane := b.Records[i].Lane
		switch {
		case i > 0 && b.Records[i-1].Lane == lane:
			continue
		case here[lane]:
			s.violate("a lane's records do not stand together in a batch")
		case s.flying[lane]:
			s.violate("a lane is in two writes at once")
		}
		here[lane], s.flying[lane] = true, true
	}
	if s.closed {
		s.violate("Write after Close")
	}
	if n := s.Max.Records; n > 0 && len(b.Records) > n {
		s.violate("a batch is larger than the limit")
	}
	if n := s.Max.Lanes; n > 0 && len(here) > n {
		s.violate("a batch has more lanes than the limit")
	}
	return s.calls
}

func (s *Sink) end(b *bridge.Batch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range b.Records {
		delete(s.flying, b.Records[i].Lane)
	}
}

func (s *Sink) violate(text string) {
	if !slices.Contains(s.violations, text) {
		s.violations = append(s.violations, text)
	}
}

func stored(r *bridge.Record, call int) Stored {
	st := Stored{
		Dest: r.Dest, Key: string(r.Key), HashKey: string(r.HashKey), Data: string(r.Data),
		Topic: strings.Clone(r.Topic), Rule: r.Rule, Attempt: r.Attempt, Call: call,
	}
	for _, a := range r.Attrs {
		if st.Attrs == nil {
			st.Attrs = make(map[string]string)
		}
		st.Attrs[a.Name] = string(a.Value)
	}
	return st
}

// Close implements bridge.Sink.
func (s *Sink) Close(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		s.violate("Close was called twice")
	}
	if len(s.flying) > 0 {
		s.violate("Close while a Write runs")
	}
	s.closed = true
	return nil
}

// Records returns what was stored, in order.
func (s *Sink) Records() []Stored {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.records)
}

// Calls returns how often Write was called.
func (s *Sink) Calls() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls
}

// Violations returns how the caller broke the contract of bridge.Sink; it must
// be empty.
func (s *Sink) Violations() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.violations)
}

// Closed reports whether Close was called.
func (s *Sink) Closed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// Write writes a batch to a sink and returns everything that went wrong: the error
// of Write, or those of the records that it has failed, joined. A batch that was
// written before begins anew.
func Write(ctx context.Context, s bridge.Sink, b *bridge.Batch) error {
	*b = bridge.Batch{Records: b.Records}
	if err := s.Write(ctx, b); err != nil {
		return err
	}
	var errs []error
	for i := range b.Records {
		errs = append(errs, b.Err(&b.Records[i]))
	}
	return errors.Join(errs...)
}

// Failed returns the errors of the records that a sink has failed, by their index
// in the batch.
func Failed(b *bridge.Batch) map[int]error {
	failed := make(map[int]error)
	for i := range b.Records {
		if err := b.Err(&b.Records[i]); err != nil {
			failed[i] = err
		}
	}
	return failed
}
