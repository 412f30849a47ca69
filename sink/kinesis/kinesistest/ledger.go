package kinesistest

import (
	"errors"
	"fmt"
	"sync"
)

// Ledger remembers what a test sent, per partition key in order, and compares
// it with what arrived. Data must be different within a key: embed a counter.
// The zero Ledger is ready for use, by many goroutines at once.
type Ledger struct {
	mu   sync.Mutex
	keys map[string]*account
	sent int
}

// account is one key's entries.
type account struct {
	place map[string]int // of each data, from 0
	data  []string
}

// Sent notes that data was sent with the key, after all that was noted before.
func (l *Ledger) Sent(key string, data []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.keys == nil {
		l.keys = map[string]*account{}
	}
	a := l.keys[key]
	if a == nil {
		a = &account{place: map[string]int{}}
		l.keys[key] = a
	}
	if _, again := a.place[string(data)]; !again {
		a.place[string(data)] = len(a.data)
		a.data = append(a.data, string(data))
		l.sent++
	}
}

// Entry is a piece of data and its partition key.
type Entry struct{ Key, Data string }

// Report is the outcome of a comparison.
type Report struct {
	Sent       int     // different records sent
	Arrived    int     // of those, how many arrived at least once
	Duplicates int     // arrivals beyond the first
	Lost       []Entry // sent, but never arrived
	Unknown    []Entry // arrived, but never sent
	Reordered  []Entry // first arrived after something sent later with the same key
}

// Check compares what was sent with what arrived. Records must be in the order
// in which a consumer that respects lineage sees them, as Server.UserRecords
// and Consume give them.
func (l *Ledger) Check(arrived []UserRecord) Report {
	l.mu.Lock()
	defer l.mu.Unlock()
	rep := Report{Sent: l.sent}
	seen := make(map[Entry]bool, l.sent)
	latest := map[string]int{}
	for _, r := range arrived {
		e := Entry{r.PartitionKey, string(r.Data)}
		place, ok := -1, false
		if a := l.keys[e.Key]; a != nil {
			place, ok = a.place[e.Data]
		}
		switch last, before := latest[e.Key]; {
		case !ok:
			rep.Unknown = append(rep.Unknown, e)
			continue
		case seen[e]:
			rep.Duplicates++
			continue
		case before && place < last:
			rep.Reordered = append(rep.Reordered, e)
		default:
			latest[e.Key] = place
		}
		seen[e] = true
		rep.Arrived++
	}
	for key, a := range l.keys {
		for _, data := range a.data {
			if !seen[Entry{key, data}] {
				rep.Lost = append(rep.Lost, Entry{key, data})
			}
		}
	}
	return rep
}

// Err is nil when nothing was lost, came from nowhere or overtook its key's
// earlier records. Duplicates are no error: at-least-once allows them.
func (r Report) Err() error {
	return errors.Join(
		complain("lost", r.Lost, r.Sent),
		complain("never sent", r.Unknown, r.Sent),
		complain("out of order", r.Reordered, r.Sent),
	)
}

func complain(what string, entries []Entry, sent int) error {
	if len(entries) == 0 {
		return nil
	}
	const shown = 3
	err := fmt.Errorf("kinesistest: %d records %s, of %d sent; first: %.200q", len(entries), what, sent, entries[:min(shown, len(entries))])
	return err
}
