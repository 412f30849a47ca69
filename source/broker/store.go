package broker

import (
	"context"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/sluiceio/sluice/bridge"
)

// Store keeps sessions and retained messages beyond the life of the process.
// Package boltstore has one in a file.
//
// Keys are text of up to 1 KiB, values bytes; both are the broker's business. The methods are not
// called concurrently.
type Store interface {
	// Load calls f with every entry, in the order of their keys. It is called
	// once, before Apply. f does not keep value.
	Load(f func(key string, value []byte) error) error
	// Apply makes the changes, all or none of them. They are durable when it
	// returns nil.
	Apply(changes []Change) error
	// Close is called once, after the last Apply.
	Close() error
}

// Change is a change of a Store: Key gets Value, or is deleted if that is nil.
type Change struct {
	Key   string
	Value []byte
}

// journal writes changes to a store behind the back of those who make them. While
// one write is under way the next changes gather, so that many share one. A nil
// journal does nothing.
type journal struct {
	store Store
	log   *slog.Logger

	mu      sync.Mutex
	next    *commit // what is to be written
	writing *commit // what is being written; nil if nothing is
	closed  bool

	kick chan struct{} // capacity 1: there is something to write, or it is closed
	done chan struct{} // closed when nothing is written any more
}

// commit is a set of changes that are written together.
type commit struct {
	changes map[string][]byte // nil values delete
	waiting []bridge.Delivery // settled when it is written
}

func newJournal(store Store, log *slog.Logger) *journal {
	return &journal{
		store: store, log: log, next: new(commit),
		kick: make(chan struct{}, 1), done: make(chan struct{}),
	}
}

// change sets a key, or deletes it if value is nil.
func (j *journal) change(key string, value []byte) {
	if j == nil {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.next.changes == nil {
		j.next.changes = make(map[string][]byte)
		j.wake()
	}
	j.next.changes[key] = value
}

func (j *journal) wake() {
	select {
	case j.kick <- struct{}{}:
	default:
	}
}

// whenStored settles d once all changes that were made before are durable.
func (j *journal) whenStored(d bridge.Delivery) {
	j.mu.Lock()
	var c *commit
	switch {
	case j.next.changes != nil:
		c = j.next
	case j.writing != nil:
		c = j.writing
	}
	if c != nil {
		c.waiting = append(c.waiting, d)
	}
	j.mu.Unlock()
	if c == nil {
		d.Done(bridge.Stored, nil) // without the lock: it may make a change
	}
}

// wait waits until all changes that were made before are durable.
func (j *journal) wait(ctx context.Context) error {
	if j == nil {
		return nil
	}
	stored := make(signal)
	j.whenStored(bridge.NewDelivery(stored, 0))
	select {
	case <-stored:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// signal is a channel that is closed when a delivery is settled.
type signal chan struct{}

// Done implements bridge.Acker.
func (s signal) Done(uint64, bridge.Outcome, error) { close(s) }

// run writes until the journal is closed and everything is written. What cannot be
// written is tried again: meanwhile publishers wait for their acknowledgements.
func (j *journal) run() {
	defer close(j.done)
	const pause = time.Second
	for range j.kick {
		for {
			c, last := j.take()
			if c == nil {
				if last {
					return
				}
				break
			}
			err := j.store.Apply(c.list())
			if err == nil {
				j.finish()
				continue
			}
			j.log.Error("broker cannot store sessions", "changes", len(c.changes), "error", err)
			if last {
				return
			}
			j.giveBack()
			select {
			case <-time.After(pause):
			case <-j.kick:
			}
		}
	}
}

// take returns what is to be written, nil if nothing is, and whether the journal is
// closed.
func (j *journal) take() (c *commit, closed bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.next.changes == nil {
		return nil, j.closed
	}
	j.writing, j.next = j.next, new(commit)
	return j.writing, j.closed
}

func (j *journal) finish() {
	j.mu.Lock()
	written := j.writing
	j.writing = nil
	j.mu.Unlock()
	for _, d := range written.waiting {
		d.Done(bridge.Stored, nil)
	}
}

// giveBack puts what could not be written before what has come since.
func (j *journal) giveBack() {
	j.mu.Lock()
	defer j.mu.Unlock()
	failed := j.writing
	j.writing = nil
	maps.Copy(failed.changes, j.next.changes)
	failed.waiting = append(failed.waiting, j.next.waiting...)
	j.next = failed
}

func (c *commit) list() []Change {
	list := make([]Change, 0, len(c.changes))
	for key, value := range c.changes {
		list = append(list, Change{Key: key, Value: value})
	}
	return list
}

// close writes what is left and closes the store.
func (j *journal) close() error {
	if j == nil {
		return nil
	}
	j.mu.Lock()
	j.closed = true
	j.wake()
	j.mu.Unlock()
	<-j.done
	return j.store.Close()
}
