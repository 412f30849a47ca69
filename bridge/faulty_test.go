package bridge_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/sluiceio/sluice/bridge"
)

// faulty is a sink that stands at a place.
type faulty struct {
	*history
	place  string
	limits bridge.Limits
	mood   int // the share of writes that go wrong, in percent

	closed int  // guarded by history.mu, as is
	reused bool // it may have been replaced, and closed, before it was set again
}

func (h *history) sink(place string) bridge.Sink {
	s := &faulty{history: h, place: place, mood: []int{0, 30, 100}[h.n(3)]}
	s.limits.LaneRecords = h.n(3)
	if h.n(3) == 0 {
		s.limits.LaneFill, s.limits.Lanes = 200, 3
	}
	if h.n(2) == 0 {
		return s
	}
	return &laned{s, uint64(1 + h.n(5)), uint64(1 + h.n(3))}
}

// laned puts several keys into one lane.
type laned struct {
	*faulty
	lanes, groups uint64
}

func (l *laned) Lane(r *bridge.Record) (lane, group uint64) {
	if l.n(20) == 0 {
		time.Sleep(time.Millisecond) // while others go on
	}
	n, _ := strconv.ParseUint(string(r.Key), 10, 64)
	return n % l.lanes, n % l.lanes % l.groups
}

func (s *faulty) Limits() bridge.Limits { return s.limits }

func (s *faulty) Open(ctx context.Context) error {
	if s.n(10) == 0 {
		time.Sleep(time.Second)
	}
	return ctx.Err()
}

func (s *faulty) Close(context.Context) error {
	s.mu.Lock()
	s.closed++
	twice := s.closed > 1 && !s.reused
	s.mu.Unlock()
	if twice {
		s.violate("a sink of %s was closed twice", s.place)
	}
	return nil
}

func (s *faulty) again() {
	s.mu.Lock()
	s.reused = true
	s.mu.Unlock()
}

// store notes a record for the judge.
func (s *faulty) store(r *bridge.Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, id := s.places[s.place], string(r.Data)
	if s.place == "dead" {
		for _, a := range r.Attrs {
			if a.Name == "dest" {
				id = string(a.Value) + id
			}
		}
	}
	p.stored[id]++
	seq, _ := strconv.Atoi(string(r.Data))
	if key := string(r.Key); s.place != "dead" && p.stored[id] == 1 {
		if seq < p.last[key] && slices.Contains(s.made[seq], s.place) {
			s.late[seq] = fmt.Sprintf("%s: %d of key %s is stored after %d", s.place, seq, key, p.last[key])
		}
		p.last[key] = max(p.last[key], seq)
	}
}

func (s *faulty) storeAll(records []bridge.Record) {
	for i := range records {
		s.store(&records[i])
	}
}

// Write does one of many things.
func (s *faulty) Write(ctx context.Context, b *bridge.Batch) error {
	time.Sleep(time.Duration(s.n(20)) * time.Millisecond)
	s.mu.Lock()
	bad, what := !s.healed && s.rng.IntN(100) < s.mood, s.rng.IntN(12)
	s.mu.Unlock()
	if !bad {
		s.storeAll(b.Records)
		return nil
	}
	failed := errors.New("failed")
	switch what {
	case 0:
		return failed
	case 1:
		return bridge.Unavailable(failed)
	case 2:
		return bridge.Throttled(failed, 10*time.Millisecond)
	case 3:
		s.storeAll(b.Records)
		return bridge.Ambiguous(failed)
	case 4:
		select {
		case <-ctx.Done():
		case <-s.heal:
		}
		return failed
	case 5: // it comes back long after it was given up, or not
		time.Sleep(time.Duration(s.n(20)) * time.Second)
		s.storeAll(b.Records)
		return nil
	case 6:
		s.storeAll(b.Records[:len(b.Records)/2])
		panic("half of it is stored")
	case 7:
		s.storeAll(b.Records)
		b.Fail(&bridge.Record{}, failed)
		return nil
	default:
		s.failSome(b, failed)
		return nil
	}
}

// failSome fails records with every mark, and what is behind them in their lanes.
func (s *faulty) failSome(b *bridge.Batch, failed error) {
	var stuck error
	for i := range b.Records {
		r := &b.Records[i]
		if i == 0 || r.Lane != b.Records[i-1].Lane {
			stuck = nil
		}
		switch kind := s.n(12); {
		case stuck != nil:
			b.Fail(r, stuck)
		case kind < 4:
			stuck = []error{failed, bridge.Unavailable(failed), bridge.Throttled(failed, 0), bridge.Ambiguous(failed)}[kind]
			if kind == 3 {
				s.store(r)
			}
			b.Fail(r, stuck)
		case kind == 4:
			s.mu.Lock()
			s.places[s.place].killed[r.Dest+string(r.Data)] = true
			if s.place == "dead" {
				s.places["dead"].killed[string(r.Data)] = true
			}
			s.mu.Unlock()
			b.Fail(r, bridge.Permanent(failed))
		default:
			s.store(r)
		}
	}
}
